/* What a guest costs: nothing while it is idle, and no exit to user space for its messages. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/load.h"
#include "tests/lib/random.h"

#define LISTEN WORDS("--listen", ANY_PORT)

/* ---- CPU time */

/* User and system time of a process, all threads, in clock ticks. */
static unsigned long ticks_of(pid_t pid)
{
	char path[64], line[1024];
	unsigned long user = 0, system = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return 0;
	size_t len = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[len] = '\0';
	/* The name is in brackets and may hold anything; fields 14 and 15 count from behind it. */
	char *behind = strrchr(line, ')');
	expect(behind != NULL);
	expect_equal(sscanf(behind + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			     &user, &system),
		2);
	return user + system;
}

static pid_t parent_of(pid_t pid)
{
	char path[64];
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%*d (%*[^)]) %*c %d", &parent) != 1)
		parent = 0;
	fclose(file);
	return parent;
}

/* Of the monitor, its vCPU threads included, and of a hosted guest. */
static double cpu_seconds(pid_t monitor)
{
	unsigned long ticks = ticks_of(monitor);
	struct dirent *entry;
	DIR *all = opendir("/proc");

	while (all != NULL && (entry = readdir(all)) != NULL) {
		pid_t pid = atoi(entry->d_name);
		if (pid > 0 && parent_of(pid) == monitor)
			ticks += ticks_of(pid);
	}
	if (all != NULL)
		closedir(all);
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static void warm_up(uint16_t port)
{
	struct echo_load load = {
		.port = port, .connections = 8, .message_len = 1000, .duration_ms = 500, .seed = 1};

	echo_load_run(&load);
}

/* With connections that are open and quiet, too. */
START_TEST(idle)
{
	unsigned seconds = scale(5, 10);
	struct command monitor;
	uint16_t port = guest_serve(&monitor, LISTEN, "echo", WORDS(ANY_PORT));
	int fds[10];

	warm_up(port);
	for (int i = 0; i < 10; i++)
		fds[i] = client_connect(port);
	sleep_ms(500);
	double before = cpu_seconds(monitor.pid);
	sleep_ms(seconds * 1000);
	double used = (cpu_seconds(monitor.pid) - before) / seconds;
	printf("idle: %.2f %% of one core\n", used * 100);
	expect(before > 0.02); /* or it was not counted */
	expect(used < 0.01);
	for (int i = 0; i < 10; i++)
		client_close(fds[i]);
	guest_stop(&monitor, port);
}
END_TEST

/* ---- counters */

/* The guest echo under so many messages; stopped, with its counters in stderr. */
static void run_load(struct command *ret_monitor, struct echo_load *load)
{
	load->port = guest_serve(
		ret_monitor, WORDS("--listen", ANY_PORT, "--stats"), "echo", WORDS(ANY_PORT));
	echo_load_run(load);
	guest_stop(ret_monitor, load->port);
}

START_TEST(wakes_per_mib)
{
	struct command monitor;
	struct echo_load load = {
		.connections = 64,
		.message_len = 64u << 10,
		.duration_ms = scale(1500, 10000),
		.seed = random_seed(),
	};

	run_load(&monitor, &load);
	double mib = (double)load.messages / 16;
	printf("%.0f MiB each way: %.2f doorbells, %.2f interrupts, %.2f calls of io_uring_enter "
	       "or epoll_wait for each MiB relayed\n",
		mib, guest_counter(&monitor, "doorbells_per_mib"),
		guest_counter(&monitor, "interrupts_per_mib"),
		guest_counter(&monitor, "io_enters_per_mib"));
	/* What was counted is what was sent. */
	expect_equal(guest_counter(&monitor, "bytes_to_guest"), load.messages * load.message_len);
	expect_equal(guest_counter(&monitor, "bytes_to_host"), load.messages * load.message_len);
	expect_equal(guest_counter(&monitor, "connections_accepted"), load.connections);
	expect_equal(guest_counter(&monitor, "broken_pipes_by_guest"), 0);
	/* A doorbell for each message and direction would be 16. */
	expect(guest_counter(&monitor, "doorbells_per_mib") < 16);
	expect(guest_counter(&monitor, "interrupts_per_mib") < 16);
}
END_TEST

/* Ten times the messages, and as many exits: those of the start and the end. */
START_TEST(no_exits)
{
	struct command few, many;
	struct echo_load short_load = {
		.connections = 16, .message_len = 1000, .each = 200, .seed = 1};
	struct echo_load long_load = short_load;

	long_load.each = 10 * short_load.each;
	run_load(&few, &short_load);
	run_load(&many, &long_load);
	printf("exits to user space: %.0f console and %.0f others for %llu messages, %.0f and %.0f "
	       "for %llu\n",
		guest_counter(&few, "console_exits"), guest_counter(&few, "other_exits"),
		(unsigned long long)short_load.messages, guest_counter(&many, "console_exits"),
		guest_counter(&many, "other_exits"), (unsigned long long)long_load.messages);
	expect_equal(guest_counter(&few, "console_exits"), guest_counter(&many, "console_exits"));
	expect(guest_counter(&many, "other_exits") <= guest_counter(&few, "other_exits") + 5);
}
END_TEST

static const struct integration_test tests[] = {
	{&idle, 60},
	{&wakes_per_mib, 60},
	{&no_exits, 60},
};

INTEGRATION_MAIN("cost", tests, NULL)
