/*
 * A relay that skips what was sent ahead and then waits: the guest commits those bytes, and asks
 * whether to wake, just before the relay announces that it waits. What the guest commits next is to
 * wake it. Linked so that calls of ring_await_data pass through here.
 */
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/fs_guest.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#define PIECE 1000u

static struct guest_stream fs, target;
static uint32_t handle;
static atomic_bool armed, committed;

void __real_ring_await_data(struct ring_consumer *c, size_t len);
void __wrap_ring_await_data(struct ring_consumer *c, size_t len);

/* On the I/O thread; the guest's end is nobody else's at that moment. */
void __wrap_ring_await_data(struct ring_consumer *c, size_t len)
{
	/* Armed, the target is there. */
	if (atomic_load(&armed) && c->shared == target.pipe.out.shared) {
		atomic_store(&armed, false);
		ring_commit(&target.pipe.out, PIECE);
		expect(!ring_wake_consumer(&target.pipe.out));
		atomic_store(&committed, true);
	}
	__real_ring_await_data(c, len);
}

static void nap(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

/* A piece of the file, received before it is committed. */
static void send_ahead(int fd, uint64_t offset)
{
	struct fs_read_into read = {.handle = handle,
		.length = PIECE,
		.offset = offset,
		.stream_id = target.id,
		.flags = FS_INTO_AHEAD,
		.position = ring_reserved_at(&target.pipe.out)};
	struct fs_was_read answer = {0};
	char bytes[PIECE];

	expect_equal(fs_guest_call(&fs, FS_READ_INTO, &read, &answer), 0);
	expect_equal(answer.length, PIECE);
	expect_equal(recv(fd, bytes, PIECE, MSG_WAITALL), PIECE);
}

START_TEST(what_follows_wakes_it)
{
	char bytes[8];
	struct timeval limit = {.tv_sec = 5};
	int fd = fs_guest_connect(&target, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	nap();
	send_ahead(fd, 0);
	ring_commit(&target.pipe.out, PIECE);
	send_ahead(fd, PIECE);
	atomic_store(&armed, true);
	guest_flush(&fs_guest, &target.pipe, target.slot);
	while (!atomic_load(&committed))
		nap();
	nap();
	expect_equal(ring_write(&target.pipe.out, "hello", 5), 5);
	guest_flush(&fs_guest, &target.pipe, target.slot);
	expect_equal(recv(fd, bytes, 5, MSG_WAITALL), 5);
	close(fd);
}
END_TEST

static void setup(void)
{
	fs_guest_setup();
	file_write_pattern(fs_guest_host_path("file"), 1, 4 * PIECE);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
	handle = fs_guest_handle(&fs, "file", FS_OPEN_READ);
	expect_equal(guest_stream_new(&fs_guest, &target, 65536, 4096), 0);
}

int main(void)
{
	Suite *suite = suite_create("relay_wake");
	TCase *tcase = tcase_create("relay_wake");

	tcase_add_checked_fixture(tcase, setup, fs_guest_teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, what_follows_wakes_it);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
