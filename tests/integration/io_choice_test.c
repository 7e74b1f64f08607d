/* Which backend moves sockets and files: what --io says, and what the kernel refuses. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/lib/client.h"
#include "tests/lib/integration.h"

#define WAIT_MS 20000
#define WARNING "ferrule: warning: io_uring is refused here"

/* What this process starts from now on gets this errno from io_uring_setup. */
static void refuse_uring(int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	expect_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	expect_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
	expect_equal(syscall(SYS_io_uring_setup, 1, NULL), -1);
	expect_equal(errno, error);
}

static bool uring_is_refused(void)
{
	return syscall(SYS_io_uring_setup, 1, NULL) == -1 && errno != EFAULT;
}

/* An echo is served by this backend; the lines with its name and with the warning are counted. */
static void serve(const char *choice, const char *backend, unsigned warnings)
{
	const char *const options[] = {
		"--listen", ANY_PORT, "--log-level", "info", "--io", choice, NULL};
	char said[100];
	struct command monitor;
	unsigned found = 0;

	uint16_t port = guest_serve(&monitor, options, "echo", WORDS(ANY_PORT));
	int fd = client_connect(port);
	client_send_pattern(fd, 1, 0, 100000);
	client_expect_pattern(fd, 1, 0, 100000);
	client_finish(fd);
	client_expect_end(fd);
	client_close(fd);
	guest_stop(&monitor, port);
	snprintf(said, sizeof(said), "ferrule: info: sockets and files are moved by %s\n", backend);
	command_expect_error(&monitor, said);
	char *err = file_text(monitor.err, NULL);
	for (const char *at = err; (at = strstr(at, WARNING)) != NULL; at++)
		found++;
	free(err);
	expect_equal(found, warnings);
}

START_TEST(each_by_name)
{
	serve("event", "libevent", 0);
	if (uring_is_refused())
		return;
	serve("uring", "io_uring", 0);
	serve("auto", "io_uring", 0);
}
END_TEST

START_TEST(auto_does_without)
{
	refuse_uring(EPERM);
	serve("auto", "libevent", 1);
	serve("event", "libevent", 0);
}
END_TEST

START_TEST(every_refusal_will_do)
{
	static const int errors[] = {ENOSYS, EINVAL, ENOMEM, EACCES};

	/* Of filters that agree to refuse, the newest has the errno. */
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		refuse_uring(errors[i]);
		serve("auto", "libevent", 1);
	}
}
END_TEST

START_TEST(uring_or_nothing)
{
	struct command monitor;

	refuse_uring(EPERM);
	expect_equal(guest_run(&monitor, WORDS("--io", "uring", "--listen", ANY_PORT), "echo",
			     WORDS(ANY_PORT), WAIT_MS),
		2);
	command_expect_error(&monitor, "ferrule: cannot start the I/O thread with io_uring: "
				       "Operation not permitted; ");
	command_expect_error(&monitor, ", or leave --io uring out\n");
	expect_nothing_left();
}
END_TEST

static const struct integration_test tests[] = {
	{&each_by_name, 60},
	{&auto_does_without, 60},
	{&every_refusal_will_do, 60},
	{&uring_or_nothing, 30},
};

INTEGRATION_MAIN("io_choice", tests, NULL)
