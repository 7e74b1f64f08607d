/*
 * wait: the inside of struct wait_list (guest/ferrule.h), for calls that wait on
 * more than one list at once.
 */
#ifndef FERRULE_GUEST_STREAM_WAIT_H
#define FERRULE_GUEST_STREAM_WAIT_H

#include "guest/ferrule.h"

/* Puts the running fiber into the list; it is to be suspended next. */
void waiter_add(struct wait_list *list, struct waiter *waiter);
void waiter_remove(struct waiter *waiter);

#endif
