/* The monitor's threads as top -H and perf see them: their names, and where they may run. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/clock.h"
#include "tests/lib/integration.h"

#define LISTEN   WORDS("--listen", ANY_PORT)
#define PATH_LEN 320
#define LINE_LEN 512
#define LIMIT_MS 5000

/* The first line of a file that begins so, without that and its newline; "" when there is none. */
static void read_line(const char *path, const char *beginning, char *ret_line)
{
	size_t len = strlen(beginning);
	FILE *file = fopen(path, "re");

	*ret_line = '\0';
	while (file != NULL && fgets(ret_line, LINE_LEN, file) != NULL) {
		ret_line[strcspn(ret_line, "\n")] = '\0';
		if (strncmp(ret_line, beginning, len) == 0) {
			memmove(ret_line, ret_line + len, strlen(ret_line + len) + 1);
			fclose(file);
			return;
		}
		*ret_line = '\0';
	}
	if (file != NULL)
		fclose(file);
}

static void may_run_on(const char *directory, char *ret_cpus)
{
	char path[PATH_LEN + 8];

	snprintf(path, sizeof(path), "%s/status", directory);
	read_line(path, "Cpus_allowed_list:", ret_cpus);
}

/* How many threads of the process have a name that begins so and, unless that is NULL, may not run
 * on just these CPUs. */
static unsigned count_threads(pid_t pid, const char *name, const char *cpus)
{
	char path[PATH_LEN], line[LINE_LEN];
	const struct dirent *entry;
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	ck_assert_ptr_nonnull(tasks);
	while ((entry = readdir(tasks)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", pid, entry->d_name);
		read_line(path, "", line);
		bool counts = strncmp(line, name, strlen(name)) == 0;
		snprintf(path, sizeof(path), "/proc/%d/task/%s", pid, entry->d_name);
		may_run_on(path, line);
		counts &= cpus == NULL || (line[0] != '\0' && strcmp(line, cpus) != 0);
		count += counts;
	}
	closedir(tasks);
	return count;
}

START_TEST(each_has_a_name)
{
	struct command monitor;
	/* That of the log comes with its first line. */
	uint16_t port = guest_serve(&monitor, WORDS("--log-level", "info", "--listen", ANY_PORT),
		"echo", WORDS(ANY_PORT));

	expect_equal(count_threads(monitor.pid, "ferrule-io", NULL), 1);
	expect_equal(count_threads(monitor.pid, "ferrule-log", NULL), 1);
	const char *runs_guest = engine_is_kvm() ? "ferrule-vcpu" : "ferrule-wait";
	expect_equal(count_threads(monitor.pid, runs_guest, NULL), 1);
	guest_stop(&monitor, port);
}
END_TEST

/* The first child, of the main thread; 0: none. */
static pid_t child_of(pid_t pid)
{
	char path[PATH_LEN], line[LINE_LEN];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	read_line(path, "", line);
	return (pid_t)strtol(line, NULL, 10);
}

static bool main_may_run_on(pid_t pid, const char *cpus)
{
	char path[PATH_LEN], line[LINE_LEN];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	may_run_on(path, line);
	return strcmp(line, cpus) == 0;
}

/* Only while a guest is made are they kept on one CPU or another. The sanitizers have a thread of
 * their own, with the main thread's name. */
START_TEST(all_may_run_anywhere)
{
	struct command monitor;
	uint16_t port = guest_serve(&monitor, LISTEN, "echo", WORDS(ANY_PORT));
	uint64_t start = clock_ms();
	char cpus[LINE_LEN];

	may_run_on("/proc/self", cpus);
	while (!main_may_run_on(monitor.pid, cpus) ||
		count_threads(monitor.pid, "ferrule-", cpus) != 0) {
		expect(clock_ms() - start < LIMIT_MS);
		sleep_ms(1);
	}
	if (!engine_is_kvm()) {
		expect(child_of(monitor.pid) > 0);
		expect(main_may_run_on(child_of(monitor.pid), cpus));
	}
	guest_stop(&monitor, port);
}
END_TEST

static const struct integration_test tests[] = {
	{&each_has_a_name, 20},
	{&all_may_run_anywhere, 20},
};

INTEGRATION_MAIN("threads", tests, NULL)
