#include "tests/lib/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/suite.h"

#define ARENA_LEN     (192u << 20)
#define ARENA_SLOTS   64
#define CONTROL_RING  65536
#define ARGUMENTS_MAX 8

static char *env[] = {(char[]){"HOME=/nowhere"}};

static void on_end(void *context, int status)
{
	struct machine *machine = context;

	machine->status = status;
	machine->ended_calls++;
	sem_post(&machine->ended);
}

static void take_console(struct machine *machine)
{
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		machine->console[i] = memfd_create("console", MFD_CLOEXEC);
		machine->console_saved[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 0);
		expect(machine->console[i] >= 0 && machine->console_saved[i] >= 0);
		dup2(machine->console[i], i + 1);
	}
}

static void give_console_back(struct machine *machine)
{
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		dup2(machine->console_saved[i], i + 1);
		close(machine->console_saved[i]);
		machine->console_saved[i] = -1;
	}
}

static void make_arena(struct engine_config *config)
{
	bool fresh;

	expect_equal(arena_create(&config->arena, ARENA_LEN, ARENA_SLOTS), 0);
	for (int side = 0; side < 2; side++)
		expect_equal(arena_take_ring(config->arena, CONTROL_RING,
				     &config->control_ring[side], &fresh),
			0);
}

int machine_start(struct machine *ret_machine, const char *image, uint64_t memory,
	const char *const *arguments)
{
	struct machine *machine = ret_machine;
	char **argv = calloc(ARGUMENTS_MAX, sizeof(*argv));

	*machine = (struct machine){.status = MACHINE_RUNNING};
	struct engine_config *config = &machine->config;
	sem_init(&machine->ended, 0, 0);
	argv[config->argc++] = strdup(image);
	while (arguments && *arguments && config->argc < ARGUMENTS_MAX)
		argv[config->argc++] = strdup(*arguments++);
	config->argv = argv;
	config->env = env;
	config->envc = 1;
	config->image_path = argv[0];
	config->image_fd = open(image, O_RDONLY | O_CLOEXEC);
	config->memory = memory;
	config->doorbell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	config->interrupt_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	config->ended = on_end;
	config->context = machine;
	expect(config->image_fd >= 0);
	make_arena(config);
	take_console(machine);
	int error =
		engine_kvm.start(config, &machine->engine, machine->error, sizeof(machine->error));
	if (error)
		give_console_back(machine);
	else
		engine_kvm.start_rest(machine->engine);
	return error;
}

int machine_wait(struct machine *machine, unsigned int timeout_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += timeout_ms / 1000;
	until.tv_nsec += timeout_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	while (sem_timedwait(&machine->ended, &until) < 0)
		if (errno != EINTR)
			return MACHINE_RUNNING;
	sem_post(&machine->ended);
	return machine->status;
}

void machine_stop(struct machine *machine)
{
	engine_kvm.destroy(machine->engine);
	machine->engine = NULL;
	give_console_back(machine);
}

void machine_free(struct machine *machine)
{
	struct engine_config *config = &machine->config;

	if (machine->engine)
		machine_stop(machine);
	arena_destroy(config->arena);
	close(config->image_fd);
	close(config->doorbell_fd);
	close(config->interrupt_fd);
	for (int i = 0; i < config->argc; i++)
		free(config->argv[i]);
	free((void *)(uintptr_t)config->argv);
	for (int i = 0; i < 2; i++)
		close(machine->console[i]);
	sem_destroy(&machine->ended);
}

void machine_interrupt(struct machine *machine)
{
	expect_equal(eventfd_write(machine->config.interrupt_fd, 1), 0);
}

bool machine_doorbell(struct machine *machine, unsigned int timeout_ms)
{
	struct pollfd fd = {.fd = machine->config.doorbell_fd, .events = POLLIN};
	eventfd_t count;

	return poll(&fd, 1, (int)timeout_ms) == 1 && eventfd_read(fd.fd, &count) == 0;
}

char *machine_console(struct machine *machine, int fd)
{
	off_t len = lseek(machine->console[fd - 1], 0, SEEK_END);
	char *text = calloc(1, (size_t)len + 1);

	expect(text && pread(machine->console[fd - 1], text, (size_t)len, 0) == len);
	return text;
}
