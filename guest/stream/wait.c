/*
 * Lists of waiting fibers. A waiter lies in the waiting call's own memory and
 * is taken out of its list by that call, whatever woke it.
 */
#include "guest/stream/wait.h"

#include "guest/stream/fiber.h"

void waiter_add(struct wait_list *list, struct waiter *waiter)
{
	waiter->fiber = fiber_current();
	waiter->next = NULL;
	waiter->link = list->last ? list->last : &list->first;
	*waiter->link = waiter;
	list->last = &waiter->next;
	waiter->list = list;
}

void waiter_remove(struct waiter *waiter)
{
	*waiter->link = waiter->next;
	if (waiter->next)
		waiter->next->link = waiter->link;
	else
		waiter->list->last = waiter->link == &waiter->list->first ? NULL : waiter->link;
}

int wait_list_wait(struct wait_list *list, deadline until)
{
	struct waiter waiter;
	int result;

	waiter_add(list, &waiter);
	result = fiber_suspend(until);
	waiter_remove(&waiter);
	return result;
}

void wait_list_wake(struct wait_list *list)
{
	for (struct waiter *waiter = list->first; waiter; waiter = waiter->next)
		fiber_wake(waiter->fiber);
}

int fiber_lock(struct fiber_mutex *mutex, deadline until)
{
	while (mutex->taken) {
		int error = wait_list_wait(&mutex->waiters, until);

		if (error && mutex->taken)
			return error;
	}
	mutex->taken = true;
	return 0;
}

void fiber_unlock(struct fiber_mutex *mutex)
{
	mutex->taken = false;
	wait_list_wake(&mutex->waiters);
}
