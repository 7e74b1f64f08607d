/*
 * The KVM engine and the platform of guests under KVM, with the small guest
 * tests/guests/vm_trial.c: vm_test IMAGE. Skipped where there is no usable KVM.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "control/boot.h"
#include "monitor/elf.h"
#include "tests/guests/vm_trial.h"
#include "tests/lib/clock.h"
#include "tests/lib/hold_vm.h"
#include "tests/lib/machine.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"

#define MEMORY      (64u << 20)
#define TIMEOUT_MS  10000
#define RACE_ROUNDS 10000
#define LATE_MS     4000 /* an answer that takes so long was lost */

static const char *image;

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- trials that end by themselves: status, and what the console must have */

static const struct {
	const char *name;
	const char *argument;
	int status;
	const char *out, *err; /* to be found there; NULL: nothing may be there */
	const char *also_err;
} simple[] = {
	{"exit", "0", 0, NULL, NULL, NULL},
	{"exit", "7", 7, NULL, NULL, NULL},
	{"exit", "255", 255, NULL, NULL, NULL},
	{"print", "last", 0, "arguments 3, last last, HOME=/nowhere\n",
		"to stderr   -42|42   |00042|0xff|18446744073709551615|x|abc|0x1000\n", NULL},
	{"null", NULL, 134, NULL, "page fault", "write to unmapped address 0x0 (null pointer)"},
	{"divide", NULL, 134, NULL, "division error", "backtrace: 0x4"},
	{"overflow", NULL, 134, NULL, "page fault", "stack overflow of the boot stack"},
	{"fiber_overflow", NULL, 134, NULL, "page fault", "stack overflow of fiber stack 3"},
	{"jump_data", NULL, 134, NULL, "page fault", "jump to protected address"},
	{"jump_heap", NULL, 134, NULL, "page fault", "jump to protected address"},
	{"jump_wild", NULL, 134, NULL, "page fault", "jump to unmapped address 0x123456789000"},
	{"write_code", NULL, 134, NULL, "page fault", "write to protected address"},
	{"write_constant", NULL, 134, NULL, "page fault", "write to protected address"},
	{"write_boot", NULL, 134, NULL, "page fault", "write to protected address"},
	{"read_kernel", NULL, 134, NULL, "page fault", "read from protected address 0x100000"},
	{"privileged", NULL, 134, NULL, "general protection fault", "backtrace: 0x4"},
	{"breakpoint", NULL, 134, NULL, "breakpoint", "0x0000000000003039"},
	{"wild_frame", NULL, 134, NULL, "0xfffffffffffffff0", "backtrace: 0x4"},
	{"crash_twice", NULL, 134, NULL, "kernel panicked: exception 14", "at CPL 3, cr2"},
	{"panic", NULL, 134, NULL, "kernel panicked: exception 13", NULL},
	{"timer", NULL, 0, NULL, NULL, NULL},
	{"ring_unmapped", NULL, 134, NULL, "page fault", "write to unmapped address"},
	{"stacks", NULL, 0, " stacks of 65536 bytes", NULL, NULL},
	{"malloc", NULL, 0, NULL, NULL, NULL},
	{"double_free", NULL, 134, NULL, "freed before", "abort() was called"},
	{"write_behind", NULL, 134, NULL, "behind the end of a malloc block", "abort() was called"},
	{"copy", NULL, 0, NULL, NULL, NULL},
};

static void expect_console(struct machine *machine, int fd, const char *wanted)
{
	char *text = machine_console(machine, fd);

	if (wanted ? !strstr(text, wanted) : *text != 0)
		ck_abort_msg("fd %d has \"%s\", expected %s%s", fd, text,
			wanted ? "in it " : "nothing", wanted ? wanted : "");
	free(text);
}

START_TEST(trial)
{
	const char *name = simple[_i].name;
	struct machine machine;
	int error = machine_start(&machine, image, MEMORY, ARGUMENTS(name, simple[_i].argument));

	ck_assert_msg(error == 0, "%s", machine.error);
	int status = machine_wait(&machine, TIMEOUT_MS);
	machine_stop(&machine);
	ck_assert_msg(status == simple[_i].status, "%s: status %d", name, status);
	ck_assert_int_eq(machine.ended_calls, 1);
	expect_console(&machine, 1, simple[_i].out);
	expect_console(&machine, 2, simple[_i].err);
	if (simple[_i].also_err)
		expect_console(&machine, 2, simple[_i].also_err);
	machine_free(&machine);
}
END_TEST

static void start(struct machine *machine, const char *name)
{
	int error = machine_start(machine, image, MEMORY, ARGUMENTS(name));

	ck_assert_msg(error == 0, "%s", machine->error);
}

START_TEST(long_text_is_printed_whole)
{
	struct machine machine;

	start(&machine, "print_long");
	ck_assert_int_eq(machine_wait(&machine, TIMEOUT_MS), 0);
	machine_stop(&machine);
	char *text = machine_console(&machine, 1);
	ck_assert_uint_eq(strlen(text), 10000);
	free(text);
	machine_free(&machine);
}
END_TEST

START_TEST(console_length_is_bounded)
{
	struct machine machine;
	struct stat status;

	start(&machine, "unknown_length");
	ck_assert_int_eq(machine_wait(&machine, TIMEOUT_MS), 0);
	machine_stop(&machine);
	fstat(machine.console[0], &status);
	ck_assert_int_eq(status.st_size, BOOT_PAGE);
	machine_free(&machine);
}
END_TEST

/* ---- the end from outside, and ends that are not the program's */

static void stop_running(const char *name)
{
	struct machine machine;

	start(&machine, name);
	ck_assert(machine_doorbell(&machine, TIMEOUT_MS));
	ck_assert_int_eq(machine_wait(&machine, 20), MACHINE_RUNNING);
	uint64_t before = clock_ms();
	machine_stop(&machine);
	ck_assert_uint_lt(clock_ms() - before, 1000);
	ck_assert_int_eq(machine.ended_calls, 1);
	ck_assert_int_eq(machine.status, 137);
	machine_free(&machine);
}

START_TEST(destroy_stops_a_guest_that_loops)
{
	stop_running("loop");
}
END_TEST

START_TEST(destroy_stops_a_guest_that_sleeps)
{
	stop_running("sleep");
}
END_TEST

START_TEST(destroy_right_after_start)
{
	for (int i = 0; i < 10; i++) {
		struct machine machine;

		start(&machine, "sleep");
		machine_stop(&machine);
		ck_assert_int_eq(machine.ended_calls, 1);
		machine_free(&machine);
	}
}
END_TEST

/* The image with the kernel's first bytes replaced by ud2: a fault before there is an IDT. */
static void make_broken_image(char *path, size_t path_len)
{
	const unsigned char ud2[] = {0x0f, 0x0b};
	struct elf_image elf;
	char error[256];
	struct stat status;
	int fd = memfd_create("broken", 0);
	FILE *source = fopen(image, "re");

	ck_assert(source && fd >= 0);
	fstat(fileno(source), &status);
	ck_assert_int_eq(
		sendfile(fd, fileno(source), NULL, (size_t)status.st_size), status.st_size);
	fclose(source);
	ck_assert_int_eq(elf_read(fd, "broken", BOOT_PLATFORM_KVM, &elf, error, sizeof(error)), 0);
	for (unsigned int i = 0; i < elf.segment_count; i++)
		if (elf.entry - elf.segment[i].address < elf.segment[i].mem_len)
			ck_assert_int_eq(pwrite(fd, ud2, sizeof(ud2),
						 (off_t)(elf.segment[i].file_offset + elf.entry -
							 elf.segment[i].address)),
				sizeof(ud2));
	snprintf(path, path_len, "/proc/self/fd/%d", fd);
}

START_TEST(triple_fault_is_reported)
{
	struct machine machine;
	char path[64];

	make_broken_image(path, sizeof(path));
	ck_assert_msg(machine_start(&machine, path, MEMORY, NULL) == 0, "%s", machine.error);
	ck_assert_int_eq(machine_wait(&machine, TIMEOUT_MS), BOOT_STATUS_PANIC);
	machine_stop(&machine);
	expect_console(&machine, 2, "the guest was stopped: ");
	expect_console(&machine, 2, "vcpu: r"); /* rip, or that the registers are lost */
	machine_free(&machine);
}
END_TEST

START_TEST(too_little_memory_is_refused)
{
	struct machine machine;

	ck_assert_int_lt(machine_start(&machine, image, 1u << 20, ARGUMENTS("exit", "0")), 0);
	ck_assert_ptr_nonnull(strstr(machine.error, "the guest needs at least"));
	machine.engine = NULL;
	machine_free(&machine);
}
END_TEST

/* The amount that the sentence names is enough. */
START_TEST(least_memory_is_enough)
{
	struct machine machine;

	ck_assert_int_lt(machine_start(&machine, image, 1u << 20, ARGUMENTS("exit", "0")), 0);
	unsigned long mib =
		strtoul(strstr(machine.error, "at least") + strlen("at least"), NULL, 10);
	machine_free(&machine);
	ck_assert_msg(machine_start(&machine, image, mib << 20, ARGUMENTS("stacks")) == 0, "%s",
		machine.error);
	ck_assert_int_eq(machine_wait(&machine, TIMEOUT_MS), 0);
	machine_free(&machine);
}
END_TEST

/* ---- waiting */

static struct trial_words *words(const struct machine *machine)
{
	return (void *)arena_bell(machine->config.arena, PIPE_GUEST);
}

static void finish(struct machine *machine)
{
	words(machine)->asked = TRIAL_DONE;
	machine_interrupt(machine);
	ck_assert_int_eq(machine_wait(machine, TIMEOUT_MS), 0);
	machine_stop(machine);
	machine_free(machine);
}

static void spin(uint64_t count)
{
	for (volatile uint64_t i = 0; i < count; i++)
		;
}

/* Each number is asked at a random moment of the guest's look-and-wait; none may be slept through.
 */
START_TEST(no_wake_is_lost)
{
	struct random random = {random_seed()};
	struct machine machine;

	start(&machine, "race");
	ck_assert(machine_doorbell(&machine, TIMEOUT_MS));
	struct trial_words *w = words(&machine);
	for (uint64_t n = 1; n <= RACE_ROUNDS; n++) {
		spin(random_below(&random, 2 * TRIAL_SPIN_MAX));
		w->asked = n;
		machine_interrupt(&machine);
		uint64_t start_ms = clock_ms();
		while (w->answered != n) {
			machine_doorbell(&machine, 100);
			if (clock_ms() - start_ms > LATE_MS)
				ck_abort_msg("number %llu was lost", (unsigned long long)n);
		}
	}
	finish(&machine);
}
END_TEST

START_TEST(earlier_deadline_is_kept)
{
	struct machine machine;

	start(&machine, "timer_earlier");
	ck_assert(machine_doorbell(&machine, TIMEOUT_MS));
	machine_interrupt(&machine);
	ck_assert_int_eq(machine_wait(&machine, TIMEOUT_MS), 0);
	machine_free(&machine);
}
END_TEST

START_TEST(timer_that_fires_early_is_armed_again)
{
	struct machine machine;

	start(&machine, "timer_early");
	ck_assert(machine_doorbell(&machine, TIMEOUT_MS));
	struct trial_words *w = words(&machine);
	w->asked = 1;
	machine_interrupt(&machine);
	ck_assert(machine_doorbell(&machine, TIMEOUT_MS));
	machine_interrupt(&machine); /* pending: the guest does not wait before it sees the word */
	w->asked = 2;
	ck_assert_int_eq(machine_wait(&machine, TIMEOUT_MS), 0);
	machine_stop(&machine);
	machine_free(&machine);
}
END_TEST

START_TEST(wall_clock_is_right)
{
	struct machine machine;
	struct timespec now;
	long long wall_ns;

	start(&machine, "clock");
	ck_assert_int_eq(machine_wait(&machine, TIMEOUT_MS), 0);
	clock_gettime(CLOCK_REALTIME, &now);
	machine_stop(&machine);
	char *text = machine_console(&machine, 1);
	ck_assert_int_eq(sscanf(text, "%lld", &wall_ns), 1);
	long long host_ns = now.tv_sec * 1000000000ll + now.tv_nsec;
	ck_assert_msg(wall_ns <= host_ns + 1000000 && wall_ns > host_ns - 5000000000ll,
		"guest %lld, host %lld", wall_ns, host_ns);
	free(text);
	machine_free(&machine);
}
END_TEST

/* ---- rings that are made while the guest runs */

static void expect_pattern(const struct arena_ring *ring, uint64_t seed)
{
	const uint64_t *word = (const void *)ring->data;

	for (uint64_t i = 0; i < 2 * ring->capacity / 8; i++)
		expect_equal(word[i], (i % (ring->capacity / 8) + seed) * TRIAL_PATTERN);
}

/* Takes rings that nobody maps until the next one lies just before 'offset'. */
static void skip_rings(struct arena *arena, uint64_t offset)
{
	struct arena_ring ring = {0};
	bool fresh;

	while (ring.offset + 2 * ring.capacity < offset)
		ck_assert_int_eq(arena_take_ring(arena, 1 << 20, &ring, &fresh), 0);
}

START_TEST(rings_are_mapped_twice)
{
	/* From SKIP_AT on they lie around the end of the arena's first memory slot and behind it.
	 */
	static const uint64_t capacity[] = {
		4096, 65536, 8192, 1 << 20, 4096, 4 << 20, 65536, 4 << 20, 4096, 65536};
	enum { SKIP_AT = 8, FIRST_SLOT = 128 << 20 };
	struct machine machine;

	start(&machine, "rings");
	ck_assert(machine_doorbell(&machine, TIMEOUT_MS));
	struct trial_words *w = words(&machine);
	for (uint64_t n = 1; n <= sizeof(capacity) / sizeof(capacity[0]); n++) {
		struct arena_ring ring;
		bool fresh;

		if (n == SKIP_AT)
			skip_rings(machine.config.arena, FIRST_SLOT);
		ck_assert_int_eq(
			arena_take_ring(machine.config.arena, capacity[n - 1], &ring, &fresh), 0);
		ck_assert(fresh);
		if (n == SKIP_AT)
			ck_assert(ring.offset < FIRST_SLOT &&
				  ring.offset + ring.capacity > FIRST_SLOT);
		ck_assert_int_eq(
			engine_kvm.map_ring(machine.engine, ring.offset, ring.capacity), 0);
		w->ring_offset = ring.offset;
		w->ring_capacity = ring.capacity;
		w->asked = n;
		machine_interrupt(&machine);
		ck_assert_msg(machine_doorbell(&machine, TIMEOUT_MS), "ring %llu: status %d",
			(unsigned long long)n, machine.status);
		ck_assert_uint_eq(w->answered, n);
		expect_pattern(&ring, n);
	}
	finish(&machine);
}
END_TEST

static void add(TCase *tcase)
{
	tcase_add_loop_test(tcase, trial, 0, sizeof(simple) / sizeof(simple[0]));
	tcase_add_test(tcase, long_text_is_printed_whole);
	tcase_add_test(tcase, console_length_is_bounded);
	tcase_add_test(tcase, destroy_stops_a_guest_that_loops);
	tcase_add_test(tcase, destroy_stops_a_guest_that_sleeps);
	tcase_add_test(tcase, destroy_right_after_start);
	tcase_add_test(tcase, triple_fault_is_reported);
	tcase_add_test(tcase, too_little_memory_is_refused);
	tcase_add_test(tcase, least_memory_is_enough);
	tcase_add_test(tcase, no_wake_is_lost);
	tcase_add_test(tcase, earlier_deadline_is_kept);
	tcase_add_test(tcase, timer_that_fires_early_is_armed_again);
	tcase_add_test(tcase, wall_clock_is_right);
	tcase_add_test(tcase, rings_are_mapped_twice);
}

int main(int argc, char **argv)
{
	Suite *suite = suite_create("vm");
	TCase *tcase = tcase_create("vm");
	const char *ci = getenv("CI");
	char error[256];

	if (argc < 2) {
		fprintf(stderr, "usage: vm_test IMAGE\n");
		return 2;
	}
	image = argv[1];
	if (engine_kvm_usable(error, sizeof(error)) < 0) {
		printf("vm_test: %s\n", error);
		return ci && strcmp(ci, "true") == 0 ? EXIT_FAILURE : 77;
	}
	if (hold_vm() < 0)
		printf("vm_test: no virtual machine is held meanwhile\n");
	tcase_set_timeout(tcase, 120);
	add(tcase);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
