/* The worker pool, with a mailbox in the place of the loop. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "monitor/io.h"
#include "monitor/worker.h"
#include "tests/lib/suite.h"

#define JOBS     1000
#define LIMIT_MS 5000

/* ---- the mailbox */

struct mailbox {
	struct worker_pool *pool;
	pthread_mutex_t lock;
	pthread_cond_t came;
	struct loop_message *first;
	struct loop_message **last;
};

static struct mailbox mailbox;

static void post(void *target, struct loop_message *message)
{
	struct mailbox *to = target;

	pthread_mutex_lock(&to->lock);
	message->next = NULL;
	*to->last = message;
	to->last = &message->next;
	pthread_cond_signal(&to->came);
	pthread_mutex_unlock(&to->lock);
}

static void run_one(void)
{
	pthread_mutex_lock(&mailbox.lock);
	while (mailbox.first == NULL)
		pthread_cond_wait(&mailbox.came, &mailbox.lock);
	struct loop_message *message = mailbox.first;
	mailbox.first = message->next;
	if (mailbox.first == NULL)
		mailbox.last = &mailbox.first;
	pthread_mutex_unlock(&mailbox.lock);
	message->run(message);
}

/* ---- jobs */

struct numbered {
	struct worker_job job;
	unsigned number;
	pthread_t worked_by;
	bool worked;
	bool done;
	int wait_fd; /* read before the work is done, unless -1 */
};

static struct numbered numbered[JOBS];
static atomic_uint begun;
static unsigned begun_order[JOBS];

static void work(struct worker_job *job)
{
	struct numbered *self = io_container(job, struct numbered, job);
	char byte, name[16];

	expect_equal(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
	ck_assert_str_eq(name, "ferrule-worker");
	begun_order[atomic_fetch_add(&begun, 1)] = self->number;
	if (self->wait_fd >= 0)
		expect_equal(read(self->wait_fd, &byte, 1), 1);
	self->worked_by = pthread_self();
	self->worked = true;
}

static void done(struct worker_job *job)
{
	struct numbered *self = io_container(job, struct numbered, job);

	expect(self->worked && !self->done);
	self->done = true;
}

static void submit(unsigned number, int wait_fd)
{
	numbered[number] = (struct numbered){
		.job = {.work = work, .done = done},
		.number = number,
		.wait_fd = wait_fd,
	};
	worker_submit(mailbox.pool, &numbered[number].job);
}

static void begin(unsigned threads)
{
	mailbox.last = &mailbox.first;
	pthread_mutex_init(&mailbox.lock, NULL);
	pthread_cond_init(&mailbox.came, NULL);
	expect_equal(worker_pool_create(&mailbox.pool, threads, post, &mailbox), 0);
}

START_TEST(every_job_is_worked_and_returned_once)
{
	begin(3);
	for (unsigned i = 0; i < JOBS; i++)
		submit(i, -1);
	expect_equal(worker_in_flight(mailbox.pool), JOBS);
	for (unsigned i = 0; i < JOBS; i++)
		run_one();
	expect_equal(worker_in_flight(mailbox.pool), 0);
	for (unsigned i = 0; i < JOBS; i++) {
		expect(numbered[i].done);
		expect(!pthread_equal(numbered[i].worked_by, pthread_self()));
	}
	worker_pool_destroy(mailbox.pool);
}
END_TEST

static void work_anywhere(struct worker_job *job)
{
	struct numbered *self = io_container(job, struct numbered, job);

	self->worked_by = pthread_self();
	self->worked = true;
}

/* With stacks larger than the address space. */
START_TEST(without_a_thread_the_caller_works)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	expect_equal(pthread_attr_setstacksize(&attr, (size_t)1 << 48), 0);
	expect_equal(pthread_setattr_default_np(&attr), 0);
	begin(2);
	numbered[0] = (struct numbered){.job = {.work = work_anywhere, .done = done}};
	worker_submit(mailbox.pool, &numbered[0].job);
	expect_equal(worker_in_flight(mailbox.pool), 1);
	run_one();
	expect(numbered[0].done && pthread_equal(numbered[0].worked_by, pthread_self()));
	expect_equal(worker_in_flight(mailbox.pool), 0);
	worker_pool_destroy(mailbox.pool);
}
END_TEST

START_TEST(one_thread_works_in_order)
{
	begin(1);
	for (unsigned i = 0; i < JOBS; i++)
		submit(i, -1);
	for (unsigned i = 0; i < JOBS; i++)
		run_one();
	for (unsigned i = 0; i < JOBS; i++)
		expect_equal(begun_order[i], i);
	worker_pool_destroy(mailbox.pool);
}
END_TEST

START_TEST(a_job_that_blocks_holds_up_one_thread)
{
	int pipe_fd[2];

	expect_equal(pipe(pipe_fd), 0);
	begin(2);
	submit(0, pipe_fd[0]);
	for (unsigned i = 1; i < 10; i++)
		submit(i, -1);
	for (unsigned i = 1; i < 10; i++)
		run_one();
	expect(!numbered[0].done);
	expect_equal(worker_in_flight(mailbox.pool), 1);
	expect_equal(write(pipe_fd[1], "", 1), 1);
	run_one();
	expect(numbered[0].done);
	worker_pool_destroy(mailbox.pool);
}
END_TEST

/* done() may give the same job new work, or free it. */
static void done_again(struct worker_job *job)
{
	done(job);
	submit(0, -1);
}

START_TEST(done_may_submit_again)
{
	begin(2);
	submit(0, -1);
	for (unsigned i = 0; i < 100; i++) {
		numbered[0].job.done = done_again;
		run_one();
	}
	run_one();
	expect_equal(worker_in_flight(mailbox.pool), 0);
	worker_pool_destroy(mailbox.pool);
}
END_TEST

/* Of two pools with one mailbox each counts its own jobs. */
START_TEST(a_job_returns_to_its_pool)
{
	struct worker_pool *first;

	begin(1);
	first = mailbox.pool;
	expect_equal(worker_pool_create(&mailbox.pool, 1, post, &mailbox), 0);
	submit(0, -1);
	expect_equal(worker_in_flight(first), 0);
	expect_equal(worker_in_flight(mailbox.pool), 1);
	run_one();
	expect_equal(worker_in_flight(first), 0);
	expect_equal(worker_in_flight(mailbox.pool), 0);
	worker_pool_destroy(mailbox.pool);
	worker_pool_destroy(first);
}
END_TEST

START_TEST(a_pool_without_work_ends)
{
	begin(4);
	worker_pool_destroy(mailbox.pool);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("worker");
	TCase *pool = tcase_create("pool");

	tcase_add_test(pool, every_job_is_worked_and_returned_once);
	tcase_add_test(pool, without_a_thread_the_caller_works);
	tcase_add_test(pool, one_thread_works_in_order);
	tcase_add_test(pool, a_job_that_blocks_holds_up_one_thread);
	tcase_add_test(pool, done_may_submit_again);
	tcase_add_test(pool, a_job_returns_to_its_pool);
	tcase_add_test(pool, a_pool_without_work_ends);
	suite_add_tcase(suite, pool);
	return suite_run(suite);
}
