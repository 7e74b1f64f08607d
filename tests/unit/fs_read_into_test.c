/* ReadInto of protocol 0: files into the rings of other streams, and from there to sockets. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "protocol/tcp.h"
#include "tests/lib/fs_guest.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"
#include "tests/lib/suite.h"

#define KEY          9
#define LARGE        (4u << 20)
#define CAPACITY     65536u
#define MOST         (256u << 10) /* bytes that the monitor reads for one request */
#define TRIES        60
#define SMALL_BUFFER 32768 /* bytes; less than a piece, so that a part of it is sent at once */

static struct guest_stream fs;
static uint32_t handle; /* of "large" */

static void setup(void)
{
	fs_guest_setup();
	file_write_pattern(fs_guest_host_path("large"), KEY, LARGE);
	fs = fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
	handle = fs_guest_handle(&fs, "large", FS_OPEN_READ);
}

static struct guest_stream new_target(uint32_t capacity)
{
	struct guest_stream target;

	expect_equal(guest_stream_new(&fs_guest, &target, capacity, 4096), 0);
	return target;
}

static int read_into(const struct fs_read_into *read, uint32_t *ret_len)
{
	struct fs_was_read answer = {0};
	int error = fs_guest_call(&fs, FS_READ_INTO, read, &answer);

	*ret_len = answer.length;
	return error;
}

static unsigned char *ring_byte(struct guest_stream *target, uint64_t position)
{
	return target->ring[PIPE_GUEST].data + (position & (target->ring[PIPE_GUEST].capacity - 1));
}

static uint32_t smaller(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

/* ---- where the bytes go */

/* Reads to a position, and finds these bytes there and nothing else touched. */
static void expect_bytes_at(struct guest_stream *target, uint64_t position, uint32_t len)
{
	uint64_t capacity = target->ring[PIPE_GUEST].capacity;
	struct fs_read_into read = {.handle = handle,
		.length = len,
		.offset = 1000,
		.stream_id = target->id,
		.position = position};
	uint32_t wanted = smaller(smaller(len, capacity), MOST), got;

	memset(target->ring[PIPE_GUEST].data, 0x5a, capacity);
	expect_equal(read_into(&read, &got), 0);
	expect_equal(got, wanted);
	expect_equal(pattern_match(KEY, 1000, ring_byte(target, position), got), got);
	for (uint64_t i = got; i < capacity; i++)
		expect_equal(*ring_byte(target, position + i), 0x5a);
}

START_TEST(bytes_are_where_they_were_wanted)
{
	static const uint32_t capacities[] = {4096, CAPACITY, 1 << 20};
	static const uint32_t lengths[] = {0, 1, 4095, 4096, 50000, MOST - 1, MOST, MOST + 1};

	for (unsigned c = 0; c < 3; c++) {
		struct guest_stream target = new_target(capacities[c]);
		const uint64_t positions[] = {0, 5, capacities[c] - 1, capacities[c],
			3ull * capacities[c] + 77, UINT64_MAX, UINT64_MAX - capacities[c] / 2};
		for (unsigned p = 0; p < sizeof(positions) / sizeof(positions[0]); p++)
			for (unsigned l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++)
				expect_bytes_at(&target, positions[p], lengths[l]);
		expect_bytes_at(&target, 17, UINT32_MAX);
		guest_stream_close(&target);
	}
}
END_TEST

START_TEST(cold_files_are_read_whole)
{
	struct guest_stream target = new_target(1 << 20);

	for (unsigned i = 0; i < 10; i++) {
		fs_guest_make_cold("large");
		expect_bytes_at(&target, 12345 * i, MOST);
	}
	guest_stream_close(&target);
}
END_TEST

START_TEST(the_end_of_a_file)
{
	static const struct {
		uint64_t offset;
		uint32_t length, wanted;
	} rows[] = {
		{LARGE - 1, 1, 1},
		{LARGE - 10, 4096, 10},
		{LARGE - 10, UINT32_MAX, 10},
		{LARGE, 1, 0},
		{LARGE + 1, 4096, 0},
		{INT64_MAX - 5, 4096, 0},
		{INT64_MAX, UINT32_MAX, 0},
	};
	struct guest_stream target = new_target(CAPACITY);
	uint32_t got;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fs_read_into read = {.handle = handle,
			.length = rows[i].length,
			.offset = rows[i].offset,
			.stream_id = target.id};
		expect_equal(read_into(&read, &got), 0);
		expect_equal(got, rows[i].wanted);
		expect_equal(pattern_match(KEY, rows[i].offset, ring_byte(&target, 0), got), got);
	}
}
END_TEST

/* It is the guest's own memory, too, and the monitor reads no frame from there twice. */
START_TEST(into_the_ring_of_the_requests)
{
	struct fs_read_into read = {.handle = handle, .length = 5000, .stream_id = fs.id};
	uint32_t got;

	read.position = ring_reserved_at(&fs.pipe.out) + 4096;
	expect_equal(read_into(&read, &got), 0);
	expect_equal(got, 5000);
	expect_equal(pattern_match(KEY, 0, ring_byte(&fs, read.position), got), got);
	expect_equal(fs_guest_try_open(&fs, "large", FS_OPEN_READ), 0);
}
END_TEST

/* ---- what is refused */

START_TEST(what_is_no_file_to_read)
{
	struct guest_stream target = new_target(CAPACITY);
	struct fs_read_into read = {.length = 10, .stream_id = target.id};
	uint32_t got;

	expect_equal(read_into(&read, &got), EBADF);
	read.handle = handle + 1;
	expect_equal(read_into(&read, &got), EBADF);
	read.handle = UINT32_MAX;
	expect_equal(read_into(&read, &got), EBADF);
	read.handle = fs_guest_handle(&fs, ".", FS_OPEN_READ);
	expect_equal(read_into(&read, &got), EISDIR);
	read.handle = fs_guest_handle(&fs, "large", FS_OPEN_WRITE);
	expect_equal(read_into(&read, &got), EBADF);
	read.length = 0;
	expect_equal(read_into(&read, &got), EBADF);
	read.handle = handle;
	read.offset = (uint64_t)INT64_MAX + 1;
	expect_equal(read_into(&read, &got), EINVAL);
	read.offset = 0;
	read.flags = FS_INTO_KNOWN + 1;
	expect_equal(read_into(&read, &got), EINVAL);
	read.flags = FS_INTO_AHEAD;
	read.lead = CAPACITY + 1;
	expect_equal(read_into(&read, &got), EINVAL);
	read.lead = CAPACITY;
	expect_equal(read_into(&read, &got), 0);
}
END_TEST

START_TEST(what_is_no_stream_of_the_guest)
{
	struct guest_stream target = new_target(CAPACITY), next;
	const uint64_t ids[] = {0, 1ull << 32, target.slot, target.id + (1ull << 32),
		target.id - (1ull << 32), target.id | 1ull << 63, target.id + 200, UINT64_MAX,
		UINT32_MAX, 1ull << 32 | UINT32_MAX};
	struct fs_read_into read = {.handle = handle, .length = 10};
	uint32_t got;

	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		read.stream_id = ids[i];
		expect_equal(read_into(&read, &got), ENOENT);
	}
	read.stream_id = target.id;
	expect_equal(read_into(&read, &got), 0);
	guest_stream_close(&target);
	next = new_target(CAPACITY); /* now the close has been taken */
	expect_equal(next.slot, target.slot);
	expect_equal(read_into(&read, &got), ENOENT);
	read.stream_id = next.id;
	expect_equal(read_into(&read, &got), 0);
}
END_TEST

/* ---- many, and the end of one of the two */

START_TEST(many_at_once)
{
	enum { COUNT = 200 };
	struct guest_stream target = new_target(1 << 20);
	struct fs_read_into read = {.handle = handle, .length = 4000, .stream_id = target.id};
	uint32_t base = 0;

	fs_guest_make_cold("large");
	for (unsigned i = 0; i < COUNT; i++) {
		read.offset = read.position = 4000 * i;
		uint32_t id = fs_guest_send(&fs, FS_READ_INTO, &read);
		base = i == 0 ? id : base;
		expect_equal(id, base + i);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		struct fs_reply reply = fs_guest_receive(&fs);
		expect_equal(reply.frame.error, 0);
		expect_equal(reply.body[0] | reply.body[1] << 8, 4000);
	}
	expect_equal(pattern_match(KEY, 0, ring_byte(&target, 0), 4000 * COUNT), 4000 * COUNT);
}
END_TEST

static void send_cold_reads(struct guest_stream *stream, uint32_t file, uint64_t target_id)
{
	struct fs_read_into read = {.handle = file, .length = MOST, .stream_id = target_id};
	unsigned char bytes[1024];
	size_t len = 0;

	fs_guest_make_cold("large");
	for (unsigned i = 0; i < 8; i++) {
		struct frame frame = {.request_id = ++stream->guest->next_request};
		read.offset = (uint64_t)i * (LARGE / 8);
		size_t used = wire_encode(&fs_requests[FS_READ_INTO - STREAM_FIRST], &frame, &read,
			bytes + len, sizeof(bytes) - len);
		expect(used > 0);
		len += used;
	}
	/* At once: where the target is this stream, what is read lies where the next frame would.
	 */
	guest_write(stream->guest, &stream->pipe, stream->slot, bytes, len);
}

static void pause_at_random(struct random *random)
{
	if (random_once_in(random, 2))
		nanosleep(&(struct timespec){.tv_nsec = (long)random_below(random, 200000)}, NULL);
}

/* The rings of a stream that was closed while it is read into belong to no other before the end. */
START_TEST(target_closed_in_mid_read)
{
	struct random random = {random_seed()};

	for (unsigned i = 0; i < TRIES; i++) {
		struct guest_stream target = new_target(MOST), next;
		send_cold_reads(&fs, handle, target.id);
		pause_at_random(&random);
		guest_stream_close(&target);
		next = new_target(MOST);
		memset(next.ring[PIPE_GUEST].data, 0x5a, MOST);
		for (unsigned k = 0; k < 8; k++) {
			int error = (int)fs_guest_receive(&fs).frame.error;
			expect(error == 0 || error == ENOENT);
		}
		for (unsigned k = 0; k < MOST; k++)
			expect_equal(next.ring[PIPE_GUEST].data[k], 0x5a);
		guest_stream_close(&next);
	}
}
END_TEST

START_TEST(files_closed_in_mid_read)
{
	struct random random = {random_seed()};

	for (unsigned i = 0; i < TRIES; i++) {
		struct guest_stream target = new_target(MOST);
		struct guest_stream other =
			fs_guest_open("/rw", FS_GUEST_RING, FS_GUEST_RING, NULL);
		uint32_t file = fs_guest_handle(&other, "large", FS_OPEN_READ);
		send_cold_reads(&other, file, i % 3 == 0 ? other.id : target.id);
		pause_at_random(&random);
		if (i % 2 == 0)
			guest_stream_close(&target);
		pause_at_random(&random);
		guest_stream_close(&other);
		if (i % 2 != 0)
			guest_stream_close(&target);
	}
	expect_equal(fs_guest_try_open(&fs, "large", FS_OPEN_READ), 0);
}
END_TEST

/* Ends all of it, in the fixture, with reads under way. */
START_TEST(guest_gone_in_mid_read)
{
	struct guest_stream target = new_target(MOST);

	send_cold_reads(&fs, handle, target.id);
}
END_TEST

/* ---- connections */

/* A client that checks what it gets: frames of a head and a part of the file. */
struct client {
	int fd;
	uint32_t lead, piece; /* bytes of the two */
	uint64_t got;
};

static void take(struct client *client, const unsigned char *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++, client->got++) {
		uint64_t frame = client->lead + client->piece, at = client->got % frame;
		uint64_t offset = client->got / frame * client->piece + at - client->lead;
		unsigned char wanted = (unsigned char)('a' + at % 20);
		if (at >= client->lead)
			pattern_fill(KEY, offset, &wanted, 1);
		expect_equal(bytes[i], wanted);
	}
}

/* What is there now; or waits for some. */
static void receive(struct client *client, bool wait)
{
	static unsigned char bytes[65536];
	ssize_t len = recv(client->fd, bytes, sizeof(bytes), wait ? 0 : MSG_DONTWAIT);

	if (len > 0)
		take(client, bytes, (size_t)len);
	expect(len > 0 || (!wait && len < 0 && errno == EAGAIN));
}

/* The guest's part: a head and a piece of the file, committed as one. */
static void send_frame(struct guest_stream *target, struct client *client, uint64_t offset)
{
	struct fs_read_into read = {.handle = handle,
		.length = client->piece,
		.offset = offset,
		.stream_id = target->id,
		.flags = FS_INTO_AHEAD,
		.lead = client->lead};
	struct ring_span span;
	uint32_t got;

	while ((span = ring_reserve(&target->pipe.out)).len < client->lead + client->piece) {
		/* Or the client has it all, and the monitor has still to see the commit. */
		expect_equal(span.end, 0);
		receive(client, false);
		nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
	}
	for (uint32_t i = 0; i < client->lead; i++)
		span.data[i] = (unsigned char)('a' + i % 20);
	read.position = ring_reserved_at(&target->pipe.out) + client->lead;
	expect_equal(read_into(&read, &got), 0);
	expect_equal(got, client->piece);
	ring_commit(&target->pipe.out, client->lead + got);
	guest_flush(&fs_guest, &target->pipe, target->slot);
}

static void send_frames(uint32_t lead, uint32_t piece, unsigned frames, unsigned patience)
{
	struct guest_stream target = new_target(256u << 10);
	struct client client = {
		fs_guest_connect(&target, patience == 1 ? 0 : SMALL_BUFFER), lead, piece, 0};
	uint64_t all = (uint64_t)frames * (lead + piece);

	for (unsigned i = 0; i < frames; i++) {
		if (i % 7 == 3)
			fs_guest_make_cold("large");
		send_frame(&target, &client, (uint64_t)i * piece);
		for (unsigned k = 0; patience != 0 && i % patience == 0 && k < 4; k++)
			receive(&client, false);
	}
	ring_finish(&target.pipe.out);
	guest_flush(&fs_guest, &target.pipe, target.slot);
	while (client.got < all)
		receive(&client, true);
	expect_equal(recv(client.fd, &client, 1, 0), 0);
	guest_stream_close(&target);
	close(client.fd);
}

START_TEST(a_connection_gets_head_and_file)
{
	send_frames(200, 102400, 40, 1);
	send_frames(0, MOST, LARGE / MOST, 1);
	send_frames(1000, 1, 300, 1);
}
END_TEST

/* The client reads only when there is no more room, so that little can be sent at once. */
START_TEST(a_slow_client_gets_the_same)
{
	send_frames(200, 102400, 40, 0);
	send_frames(1, MOST - 1, LARGE / MOST, 0);
	send_frames(30000, 30000, 100, 5);
}
END_TEST

START_TEST(a_client_that_has_gone)
{
	struct linger now = {.l_onoff = 1};

	for (unsigned i = 0; i < TRIES; i++) {
		struct guest_stream target = new_target(256u << 10);
		struct fs_read_into read = {.handle = handle,
			.length = MOST,
			.stream_id = target.id,
			.position = 10,
			.flags = FS_INTO_AHEAD,
			.lead = 10};
		int fd = fs_guest_connect(&target, 0);
		uint32_t got;
		if (i % 2 == 0)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(fd);
		for (unsigned k = 0; k < 10; k++) {
			expect_equal(read_into(&read, &got), 0);
			expect_equal(got, MOST);
			if (ring_reserve(&target.pipe.out).len >= MOST + 10)
				ring_commit(&target.pipe.out, MOST + 10);
			read.position = ring_reserved_at(&target.pipe.out) + 10;
			guest_flush(&fs_guest, &target.pipe, target.slot);
		}
		guest_stream_close(&target);
	}
}
END_TEST

/* What was promised is sent once; of what is committed instead as much is missing, and no more. */
START_TEST(a_promise_that_is_broken)
{
	struct guest_stream target = new_target(CAPACITY);
	struct fs_read_into read = {.handle = handle,
		.length = 1000,
		.stream_id = target.id,
		.position = 10,
		.flags = FS_INTO_AHEAD,
		.lead = 10};
	int fd = fs_guest_connect(&target, 0);
	unsigned char bytes[4096];
	uint32_t got;

	memset(ring_byte(&target, 0), 'x', 10);
	expect_equal(read_into(&read, &got), 0);
	expect_equal(read_into(&read, &got), 0); /* not committed: this one is not sent */
	expect_equal(recv(fd, bytes, sizeof(bytes), 0), 1010);
	expect_equal(pattern_match(KEY, 0, bytes + 10, 1000), 1000);
	memset(bytes, 'y', 1500);
	guest_write(&fs_guest, &target.pipe, target.slot, bytes, 1500);
	expect_equal(recv(fd, bytes, sizeof(bytes), 0), 490);
	expect_equal(bytes[0], 'y');
	read.lead = 0;
	expect_equal(read_into(&read, &got), 0); /* sent, and given up by the end */
	expect_equal(recv(fd, bytes, sizeof(bytes), 0), 1000);
	guest_stream_close(&target);
	expect_equal(recv(fd, bytes, sizeof(bytes), 0), 0);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fs_read_into");
	TCase *into = tcase_create("into");

	tcase_add_checked_fixture(into, setup, fs_guest_teardown);
	tcase_set_timeout(into, 60);
	tcase_add_test(into, bytes_are_where_they_were_wanted);
	tcase_add_test(into, cold_files_are_read_whole);
	tcase_add_test(into, the_end_of_a_file);
	tcase_add_test(into, into_the_ring_of_the_requests);
	tcase_add_test(into, what_is_no_file_to_read);
	tcase_add_test(into, what_is_no_stream_of_the_guest);
	tcase_add_test(into, many_at_once);
	tcase_add_test(into, target_closed_in_mid_read);
	tcase_add_test(into, files_closed_in_mid_read);
	tcase_add_test(into, guest_gone_in_mid_read);
	tcase_add_test(into, a_connection_gets_head_and_file);
	tcase_add_test(into, a_slow_client_gets_the_same);
	tcase_add_test(into, a_client_that_has_gone);
	tcase_add_test(into, a_promise_that_is_broken);
	suite_add_tcase(suite, into);
	expect_equal(scratch_create(), 0);
	int status = suite_run(suite);
	scratch_remove();
	return status;
}
