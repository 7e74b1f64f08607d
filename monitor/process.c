/*
 * The process engine: a hosted guest is a child process that finds the boot
 * info, the arena, the two doorbells and perhaps a bundle as descriptors 3 to 7 (enum boot_fd)
 * and maps the rings itself.
 *
 * start() must be called on a thread that lives as long as the guest: Linux
 * kills the child when the thread that forked it ends.
 */
#include "monitor/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monitor/boot_page.h"
#include "monitor/elf.h"
#include "monitor/log.h"
#include "monitor/start_cpus.h"
#include "monitor/terminal.h"
#include "monitor/thread.h"

#define FD_COUNT  5  /* the last only with a bundle */
#define FD_PARKED 10 /* where a descriptor on its way to its final number is in nobody's way */
#define SIGNALS   64
#define SEALS     (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

_Static_assert(BOOT_FD_BUNDLE - BOOT_FD + 1 == FD_COUNT && BOOT_FD == 3, "enum boot_fd");
_Static_assert(BOOT_FD_BUNDLE < FD_PARKED, "enum boot_fd");

struct engine {
	const struct engine_config *config;
	int boot_fd;
	int pidfd;
	pid_t pid;
	pthread_t thread;
	bool thread_started;
	struct terminal terminal; /* that thread's, while it runs */
	atomic_bool halting;      /* its end is asked for */
};

/* The boot info as a memfd that nobody can change. The descriptor, or a negative errno. */
static int make_boot_file(const struct engine_config *config)
{
	const struct boot_info none = {0};
	size_t len = boot_page_len(config);
	unsigned char *page = malloc(len);
	int fd = -1, error;

	if (!page)
		return -ENOMEM;
	error = boot_page_write(page, config, &none);
	if (!error) {
		fd = memfd_create("ferrule-boot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		if (fd < 0 || write(fd, page, len) != (ssize_t)len ||
			fcntl(fd, F_ADD_SEALS, SEALS) < 0)
			error = -errno;
	}
	free(page);
	if (error && fd >= 0)
		close(fd);
	return error ? error : fd;
}

/* In the child: the guest's descriptors in their places and nothing else but 0 to 2, and 'keep',
 * which closes on exec. Its number, or -1. */
static int place_descriptors(const int source[FD_COUNT], int keep)
{
	int count = source[FD_COUNT - 1] < 0 ? FD_COUNT - 1 : FD_COUNT;
	int parked[FD_COUNT];

	for (int i = 0; i < count; i++) {
		parked[i] = fcntl(source[i], F_DUPFD, FD_PARKED);
		if (parked[i] < 0)
			return -1;
	}
	keep = fcntl(keep, F_DUPFD, FD_PARKED);
	if (keep < 0)
		return -1;
	for (int i = 0; i < count; i++)
		if (dup2(parked[i], BOOT_FD + i) < 0)
			return -1;
	keep = dup3(keep, BOOT_FD + count, O_CLOEXEC);
	if (keep >= 0 && syscall(SYS_close_range, keep + 1, ~0u, 0) < 0)
		return -1;
	return keep;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i <= SIGNALS; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The child up to its own program; async-signal-safe calls only. Tells 'report' the errno if it
 * fails. */
static _Noreturn void become_guest(const struct engine *engine, const int source[FD_COUNT],
	int report, pid_t parent, char *const *argv, char *const *env)
{
	const struct engine_config *config = engine->config;

	/* The monitor may have died before the first line took effect. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() != parent)
		_exit(BOOT_STATUS_PANIC);
	reset_signals();
	/* So that all that --wrap may start can be killed. And Ctrl-C is for the monitor, which
	 * stops the guest; unless the command is to have the terminal, and Ctrl-C with it. */
	setpgid(0, 0);
	if (engine->terminal.given)
		terminal_seize();
	int fd = place_descriptors(source, report);
	if (fd >= 0) {
		report = fd;
		if (config->wrap)
			execvpe(argv[0], argv, env);
		else
			execve(config->image_path, argv, env);
	}
	int error = errno;
	(void)!write(report, &error, sizeof(error));
	_exit(BOOT_STATUS_PANIC);
}

/* A copy of the list that ends in NULL, as execve wants it. */
static char **terminated(char *const *list, int count)
{
	char **copy = calloc((size_t)count + 1, sizeof(*copy));

	for (int i = 0; copy && i < count; i++)
		copy[i] = list[i];
	return copy;
}

/* Waits until the child runs its program. 0, or the negative errno of what it could not do. */
static int await_exec(int report)
{
	int error = 0;
	ssize_t n;

	do
		n = read(report, &error, sizeof(error));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(error) ? -error : 0;
}

/* The child has ended or is to: with it ends all that --wrap started. Before the reap, while the
 * number is still the group's. */
static void bury(struct engine *engine)
{
	kill(-engine->pid, SIGKILL);
	waitpid(engine->pid, NULL, 0);
	terminal_take(&engine->terminal);
}

static int spawn(struct engine *engine, char *const *argv, char *const *env)
{
	const struct engine_config *config = engine->config;
	const int source[FD_COUNT] = {engine->boot_fd, arena_fd(config->arena), config->doorbell_fd,
		config->interrupt_fd, config->bundle_len > 0 ? config->bundle_fd : -1};
	pid_t parent = getpid();
	int report[2];

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	int error = 0;
	if (config->wrap)
		terminal_begin(&engine->terminal);
	engine->pid = fork();
	if (engine->pid < 0)
		error = -errno;
	else if (engine->pid == 0)
		become_guest(engine, source, report[1], parent, argv, env);
	close(report[1]);
	if (!error) {
		error = await_exec(report[0]);
		if (error)
			bury(engine);
	}
	close(report[0]);
	return error;
}

/* Waits for the end of the child, not reaping it; a command that has the terminal may also stop. */
static void wait_child(struct engine *engine, siginfo_t *ret_info)
{
	int stops = engine->terminal.present ? WSTOPPED : 0;

	for (;;) {
		int result = waitid(P_PID, (id_t)engine->pid, ret_info, WEXITED | WNOWAIT | stops);
		if (result < 0 && errno == EINTR)
			continue;
		if (result < 0 || ret_info->si_code != CLD_STOPPED)
			return;
		waitid(P_PID, (id_t)engine->pid, ret_info, WSTOPPED | WNOHANG);
		terminal_suspend(&engine->terminal, engine->pid);
	}
}

/* Is the signal that ended the child worth a line? Not if it was asked for, here or by Ctrl-C. */
static bool is_surprise(const struct engine *engine, int signal)
{
	return !atomic_load(&engine->halting) && !(engine->terminal.present && signal == SIGINT);
}

static void *await_end(void *argument)
{
	struct engine *engine = argument;
	siginfo_t info = {0};

	wait_child(engine, &info);
	bury(engine);
	if (info.si_code != CLD_EXITED && is_surprise(engine, info.si_status))
		log_line(LOG_ERROR, "the guest was ended by signal %d (%s)", info.si_status,
			strsignal(info.si_status));
	engine->config->ended(engine->config->context,
		info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status);
	return NULL;
}

static int start_thread(struct engine *engine)
{
	int result = thread_start(&engine->thread, "ferrule-wait", await_end, engine, NULL);

	engine->thread_started = result == 0;
	return result;
}

/* What is executed: the program with its arguments, behind the command that it is to run under. */
static char **command_line(const struct engine_config *config)
{
	int words = 0;

	if (!config->wrap)
		return terminated(config->argv, config->argc);
	while (config->wrap[words])
		words++;
	char **line = calloc((size_t)words + (size_t)config->argc, sizeof(*line));
	if (!line)
		return NULL;
	memcpy(line, config->wrap, (size_t)words * sizeof(*line));
	for (int i = 1; i < config->argc; i++)
		line[words + i - 1] = config->argv[i];
	return line;
}

static int run_program(struct engine *engine)
{
	char **argv = command_line(engine->config);
	char **env = terminated(engine->config->env, engine->config->envc);
	int error = argv && env ? spawn(engine, argv, env) : -ENOMEM;

	free(argv);
	free(env);
	if (error)
		return error;
	engine->pidfd = (int)syscall(SYS_pidfd_open, engine->pid, 0);
	error = engine->pidfd < 0 ? -errno : start_thread(engine);
	if (error)
		bury(engine);
	return error;
}

static void process_halt(struct engine *engine)
{
	if (!engine->thread_started)
		return;
	atomic_store(&engine->halting, true);
	/* Of a child that has ended already the descriptor still means that child. */
	syscall(SYS_pidfd_send_signal, engine->pidfd, SIGKILL, NULL, 0);
	pthread_join(engine->thread, NULL);
	engine->thread_started = false;
}

static void process_destroy(struct engine *engine)
{
	if (!engine)
		return;
	process_halt(engine);
	if (engine->pidfd >= 0)
		close(engine->pidfd);
	if (engine->boot_fd >= 0)
		close(engine->boot_fd);
	free(engine);
}

static int process_start(const struct engine_config *config, struct engine **ret_engine,
	char *ret_error, size_t error_len)
{
	struct elf_image image;
	int error = elf_read(config->image_fd, config->image_path, BOOT_PLATFORM_PROCESS, &image,
		ret_error, error_len);

	if (!error && config->prepared)
		error = config->prepared(config->context, ret_error, error_len);
	if (error)
		return error;
	/* The guest would inherit it. */
	if (config->start_cpus)
		start_cpus_end(config->start_cpus);
	struct engine *engine = calloc(1, sizeof(*engine));
	if (!engine)
		return log_sentence(ret_error, error_len, ENOMEM, "out of memory; free some");
	engine->config = config;
	engine->pidfd = -1;
	engine->boot_fd = make_boot_file(config);
	if (config->starts)
		config->starts(config->context, engine);
	error = engine->boot_fd < 0 ? engine->boot_fd : run_program(engine);
	if (error) {
		process_destroy(engine);
		return log_sentence(ret_error, error_len, -error,
			"cannot run %s as a process: %s; check that it is executable",
			config->wrap ? config->wrap[0] : config->image_path, strerror(-error));
	}
	*ret_engine = engine;
	return 0;
}

/* A process maps its rings itself. */
static int process_map_ring(struct engine *engine, uint64_t offset, uint64_t capacity)
{
	(void)engine;
	(void)offset;
	(void)capacity;
	return 0;
}

static void process_stats(const struct engine *engine, struct engine_stats *ret_stats)
{
	(void)engine;
	*ret_stats = (struct engine_stats){0};
}

static pid_t process_guest_thread(const struct engine *engine)
{
	(void)engine;
	return 0; /* the guest is a process of its own, and may end at any time */
}

const struct engine_ops engine_process = {
	.name = "process",
	.start = process_start,
	.map_ring = process_map_ring,
	.halt = process_halt,
	.destroy = process_destroy,
	.stats = process_stats,
	.guest_thread = process_guest_thread,
};
