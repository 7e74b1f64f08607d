/* Where the kernel's threads run that write for io_uring: io_uring.c, keep_workers_near. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/thread.h"
#include "tests/lib/io_one.h"

static int make_file(void)
{
	char path[] = "/tmp/ferrule-io-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	expect(fd >= 0);
	unlink(path);
	return fd;
}

static void write_one(int fd)
{
	struct one one;

	START(io_write(io, op_of(&one), fd, "0123456789", 10, 0));
	expect_equal(finish(&one), 10);
}

/* The CPU on which the thread was when the write had been started. */
static int write_from(int fd)
{
	struct one one;
	int cpu;

	START(io_write(io, op_of(&one), fd, "0123456789", 10, 0));
	cpu = sched_getcpu();
	expect_equal(finish(&one), 10);
	return cpu;
}

static bool is_worker(const char *thread)
{
	char path[300], name[32] = "";

	snprintf(path, sizeof(path), "/proc/self/task/%s/comm", thread);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		return false;
	if (fgets(name, sizeof(name), file) == NULL)
		name[0] = '\0';
	fclose(file);
	return strncmp(name, "iou-wrk", 7) == 0;
}

/* All CPUs on which a worker may run; the number of workers. */
static unsigned workers_cpus(cpu_set_t *ret_cpus)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned count = 0;

	expect(tasks != NULL);
	CPU_ZERO(ret_cpus);
	for (const struct dirent *task; (task = readdir(tasks)) != NULL;) {
		cpu_set_t cpus;

		if (!is_worker(task->d_name) ||
			sched_getaffinity(atoi(task->d_name), sizeof(cpus), &cpus) < 0)
			continue;
		CPU_OR(ret_cpus, ret_cpus, &cpus);
		count++;
	}
	closedir(tasks);
	return count;
}

static void bind_to(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	expect_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* Another than 'not', if there is one. */
static int one_of(const cpu_set_t *cpus, int not )
{
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (cpu != not &&CPU_ISSET(cpu, cpus))
			return cpu;
	}
	return not ;
}

/* Wherever the thread is put, it goes back to the worker's CPU, and may go anywhere still. */
START_TEST(thread_and_worker_stay_together)
{
	const cpu_set_t *all = thread_all_cpus();
	cpu_set_t now;

	unsigned rounds = 0, came = 0;

	begin(_i);
	expect(all != NULL);
	int fd = make_file();
	write_one(fd);
	int home = sched_getcpu();
	for (int i = 0; i < 20; i++) {
		for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
			if (!CPU_ISSET(cpu, all))
				continue;
			bind_to(cpu);
			expect_equal(sched_setaffinity(0, sizeof(*all), all), 0);
			rounds++;
			came += write_from(fd) == home;
			expect_equal(sched_getaffinity(0, sizeof(now), &now), 0);
			expect(CPU_EQUAL(&now, all));
		}
	}
	/* Linux may move it at any time, but not that often. */
	if (workers_cpus(&now) > 0 && CPU_COUNT(all) == 2)
		expect(came > rounds * 3 / 4);
	/* The other backend has none, nor has a file system that never waits. */
	if (workers_cpus(&now) > 0 && CPU_COUNT(all) == 2)
		expect_equal(CPU_COUNT(&now), 1);
	else if (workers_cpus(&now) > 0)
		expect(CPU_EQUAL(&now, all));
	io_close_file(io, fd);
	settle();
	end();
}
END_TEST

/* Another has bound it, to the CPU of the guest perhaps: it stays there, and the worker may go. */
START_TEST(bound_thread_stays_bound)
{
	const cpu_set_t *all = thread_all_cpus();
	cpu_set_t now;

	begin(_i);
	int fd = make_file();
	write_one(fd);
	int there = one_of(all, sched_getcpu());
	bind_to(there);
	write_one(fd);
	expect_equal(sched_getaffinity(0, sizeof(now), &now), 0);
	expect_equal(CPU_COUNT(&now), 1);
	expect(CPU_ISSET(there, &now));
	/* Set free it stays where it is: no worker is elsewhere that it would go to. */
	unsigned stayed = 0;
	for (int i = 0; i < 20; i++) {
		bind_to(there);
		write_one(fd);
		expect_equal(sched_setaffinity(0, sizeof(*all), all), 0);
		stayed += write_from(fd) == there;
	}
	expect(stayed > 15);
	io_close_file(io, fd);
	settle();
	end();
}
END_TEST

static const TTest *const *const tests[] = {
	&thread_and_worker_stay_together,
	&bound_thread_stays_bound,
};

int main(void)
{
	thread_all_cpus(); /* before any thread is bound */
	return io_suite_run("io_workers", tests, sizeof(tests) / sizeof(tests[0]));
}
