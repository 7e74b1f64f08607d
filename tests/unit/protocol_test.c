/* Open, the messages of each protocol, directory entries and the error table. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/error.h"
#include "protocol/fs.h"
#include "protocol/network.h"
#include "protocol/open.h"
#include "protocol/tcp.h"
#include "tests/lib/messages.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"
#include "tests/lib/wire_cases.h"
#include "tests/lib/wire_sample.h"

static uint64_t seed;

START_TEST(survives_the_codec)
{
	const struct wire_message *message = message_rows[_i].message;
	struct random random = {.state = seed + (unsigned)_i};

	wire_case_table(message);
	wire_case_round_trip(message, &random);
	wire_case_truncated(message, &random);
	wire_case_longer(message, &random);
	wire_case_bad_strings(message, &random);
	wire_case_random_bytes(message, &random, 5000);
}
END_TEST

START_TEST(rows_have_their_type)
{
	ck_assert_uint_eq(fs_requests[_i].type, STREAM_FIRST + _i);
	ck_assert_uint_eq(fs_replies[_i].type, STREAM_FIRST + _i);
	ck_assert_ptr_nonnull(fs_requests[_i].name);
	ck_assert_ptr_nonnull(fs_replies[_i].name);
	ck_assert_uint_ge(fs_requests[_i].field_count, 1);
}
END_TEST

static bool is_listed(const struct wire_message *message)
{
	for (unsigned i = 0; i < message_row_count; i++) {
		if (message_rows[i].message == message)
			return true;
	}
	return false;
}

START_TEST(no_message_is_left_out)
{
	for (unsigned i = 0; i < FS_TYPE_COUNT; i++) {
		ck_assert_msg(is_listed(&fs_requests[i]), "%s", fs_requests[i].name);
		ck_assert_msg(is_listed(&fs_replies[i]), "%s", fs_replies[i].name);
	}
	for (unsigned i = 0; i < message_row_count; i++) {
		if (message_rows[i].kind != MESSAGE_STRUCTURE)
			ck_assert_str_eq(message_rows[i].name, message_rows[i].message->name);
	}
}
END_TEST

/* The longest requests have to be frames. */
START_TEST(longest_rename_is_a_frame)
{
	static char path[FS_PATH_MAX];
	const struct fs_rename rename = {.from = {path, sizeof(path)}, .to = {path, sizeof(path)}};

	memset(path, 'p', sizeof(path));
	ck_assert_uint_eq(wire_encoded_len(&fs_requests[FS_RENAME - STREAM_FIRST], &rename), 8222);
}
END_TEST

START_TEST(opening_payload_rides_along)
{
	const struct tcp_listen listen = {
		.local = {.family = ENDPOINT_IPV4, .port = 8080}, .backlog = 5};
	unsigned char payload[128], body[128];
	struct stream_open open = {.protocol = PROTOCOL_TCP_LISTEN, .version = PROTOCOL_VERSION};
	struct stream_open got;
	struct tcp_listen got_listen;
	size_t len;

	open.payload.data = payload;
	open.payload.len = wire_encode_body(&tcp_listen_message, &listen, payload, sizeof(payload));
	ck_assert_uint_eq(open.payload.len, 64);
	len = wire_encode_body(&stream_open_message, &open, body, sizeof(body));
	ck_assert_uint_eq(len, 72);
	ck_assert_int_eq(wire_decode(&stream_open_message, &got, body, len), 0);
	ck_assert_int_eq(
		wire_decode(&tcp_listen_message, &got_listen, got.payload.data, got.payload.len),
		0);
	ck_assert_ptr_null(wire_difference(&tcp_listen_message, &got_listen, &listen));
}
END_TEST

/* A structure is copied as it lies where it is a field, and encoded by its table where it is a
 * body. */
static void check_lies_as_tabulated(const char *name, size_t size, struct random *random)
{
	const struct wire_message *message = message_row_find(name)->message;
	struct wire_sample sample;
	unsigned char *body;
	size_t len;

	wire_sample_make(&sample, message, WIRE_SAMPLE_RANDOM, random);
	body = wire_sample_body(&sample, &len);
	ck_assert_uint_eq(len, size);
	ck_assert_uint_eq(message->struct_size, size);
	ck_assert_mem_eq(body, sample.body, size);
	free(body);
	wire_sample_free(&sample);
}

START_TEST(structures_lie_as_tabulated)
{
	struct random random = {.state = seed};

	check_lies_as_tabulated("Attributes", sizeof(struct fs_attributes), &random);
	check_lies_as_tabulated("Endpoint", sizeof(struct endpoint), &random);
	check_lies_as_tabulated("TcpOptions", sizeof(struct tcp_options), &random);
	check_lies_as_tabulated("Interface", sizeof(struct network_interface), &random);
}
END_TEST

static struct fs_entry entry_of(const void *name, size_t len)
{
	return (struct fs_entry){.inode = 1, .cookie = 2, .type = 8, .name = {name, len}};
}

/* Every length of name, in exactly the room it needs and in one byte less. */
START_TEST(entries_round_trip)
{
	char name[FS_NAME_MAX];

	memset(name, 'n', sizeof(name));
	for (size_t len = 1; len <= FS_NAME_MAX; len++) {
		size_t expected = FS_ENTRY_HEADER_LEN + (len + 7) / 8 * 8;
		unsigned char *bytes = malloc(expected);
		struct fs_entry entry = entry_of(name, len), got;

		memset(bytes, 0xff, expected);
		ck_assert_uint_eq(fs_entry_encode(&entry, bytes, expected - 1), 0);
		ck_assert_uint_eq(fs_entry_encode(&entry, bytes, expected), expected);
		for (size_t i = FS_ENTRY_HEADER_LEN + len; i < expected; i++)
			ck_assert_uint_eq(bytes[i], 0);
		ck_assert_int_eq(fs_entry_decode(&got, bytes, expected), (long)expected);
		ck_assert(got.inode == 1 && got.cookie == 2 && got.type == 8);
		ck_assert_uint_eq(got.name.len, len);
		ck_assert_mem_eq(got.name.data, name, len);
		free(bytes);
	}
}
END_TEST

START_TEST(entries_cut_off_are_refused)
{
	const struct fs_entry entry = entry_of("nine char", 9);
	unsigned char whole[40];
	struct fs_entry got;

	ck_assert_uint_eq(fs_entry_encode(&entry, whole, sizeof(whole)), sizeof(whole));
	ck_assert_int_eq(fs_entry_decode(&got, whole, 0), 0);
	for (size_t cut = 1; cut < sizeof(whole); cut++) {
		unsigned char *bytes = exact_copy(whole, cut);

		ck_assert_int_eq(fs_entry_decode(&got, bytes, cut), -EPROTO);
		free(bytes);
	}
}
END_TEST

START_TEST(entries_with_bad_names_are_refused)
{
	static const struct wire_bytes bad[] = {
		{"", 0}, {"a/b", 3}, {"/", 1}, {"a\0b", 3}, {"\0", 1}};
	unsigned char bytes[512] = {0};
	struct fs_entry entry = entry_of("name", 4), got;
	char name[FS_NAME_MAX + 1];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		entry.name = bad[i];
		ck_assert_uint_eq(fs_entry_encode(&entry, bytes, sizeof(bytes)), 0);
		bytes[18] = (unsigned char)bad[i].len;
		memcpy(bytes + FS_ENTRY_HEADER_LEN, bad[i].data, bad[i].len);
		ck_assert_int_eq(fs_entry_decode(&got, bytes, sizeof(bytes)), -EPROTO);
	}
	memset(name, 'n', sizeof(name));
	entry = entry_of(name, sizeof(name));
	ck_assert_uint_eq(fs_entry_encode(&entry, bytes, sizeof(bytes)), 0);
	memset(bytes, 'n', sizeof(bytes));
	bytes[18] = 0;
	bytes[19] = 1; /* 256 */
	ck_assert_int_eq(fs_entry_decode(&got, bytes, sizeof(bytes)), -EPROTO);
}
END_TEST

START_TEST(random_entries_do_no_harm)
{
	struct random random = {.state = seed};

	for (int i = 0; i < 20000; i++) {
		size_t len = random_below(&random, 80);
		unsigned char *bytes = malloc(len);
		struct fs_entry got;
		long used;

		for (size_t j = 0; j < len; j++)
			bytes[j] = (unsigned char)random_next(&random) & (j == 19 ? 0 : 0x1f);
		used = fs_entry_decode(&got, bytes, len);
		ck_assert(used == -EPROTO || (used >= 0 && (size_t)used <= len));
		free(bytes);
	}
}
END_TEST

/* The table against the C library that the monitor is linked with. */
START_TEST(errors_are_linux_numbers)
{
	for (unsigned i = 0; i < wire_error_count; i++) {
		const struct wire_error *error = &wire_errors[i];
		const char *name = strerrorname_np(error->number);

		if (strcmp(name, "EOPNOTSUPP") == 0)
			name = "ENOTSUP"; /* one number, two names */
		ck_assert_str_eq(error->name, name);
		ck_assert(i == 0 || error->number > error[-1].number);
		ck_assert_uint_gt(strlen(error->text), 0);
		ck_assert_str_eq(wire_error_name(error->number), error->name);
		ck_assert_uint_eq(wire_error_number(error->number), error->number);
	}
}
END_TEST

START_TEST(errors_that_have_no_row)
{
	static const int unknown[] = {0, -1, -EIO, EFAULT, 999, 65536 + EIO, 0x7fffffff};

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		ck_assert_str_eq(wire_error_name(unknown[i]), "E?");
		ck_assert_uint_eq(wire_error_number(unknown[i]), EIO);
	}
}
END_TEST

/* Wherever the frame begins. */
START_TEST(bytes_of_files_are_aligned)
{
	static _Alignas(64) unsigned char ring[256];
	struct wire_bytes data;

	for (size_t start = 0; start < 64; start++) {
		memset(ring, 0xee, sizeof(ring));
		unsigned char *frame = ring + start, *bytes = fs_data_place(frame);
		ck_assert_uint_eq((uintptr_t)bytes % FS_DATA_ALIGN, 0);
		ck_assert_uint_le((size_t)(bytes - frame), FS_DATA_HEAD_MOST);
		size_t body = (size_t)(bytes - frame) - FRAME_HEADER_LEN;
		ck_assert_int_eq(fs_data_find(frame + FRAME_HEADER_LEN, body + 5, &data), 0);
		ck_assert_ptr_eq(data.data, bytes);
		ck_assert_uint_eq(data.len, 5);
		ck_assert_int_eq(fs_data_find(frame + FRAME_HEADER_LEN, body, &data), 0);
		ck_assert_uint_eq(data.len, 0);
		/* With fewer bytes than the padding it is none. */
		for (size_t len = 0; len < body; len++)
			ck_assert_int_eq(
				fs_data_find(frame + FRAME_HEADER_LEN, len, &data), -EPROTO);
	}
	memset(ring, 0xff, sizeof(ring));
	ck_assert_int_eq(fs_data_find(ring, sizeof(ring), &data), -EPROTO);
}
END_TEST

static void add_fs_tests(Suite *suite)
{
	TCase *tcase = tcase_create("fs");

	tcase_add_loop_test(tcase, rows_have_their_type, 0, FS_TYPE_COUNT);
	tcase_add_test(tcase, longest_rename_is_a_frame);
	tcase_add_test(tcase, entries_round_trip);
	tcase_add_test(tcase, entries_cut_off_are_refused);
	tcase_add_test(tcase, entries_with_bad_names_are_refused);
	tcase_add_test(tcase, random_entries_do_no_harm);
	tcase_add_test(tcase, bytes_of_files_are_aligned);
	suite_add_tcase(suite, tcase);
}

int main(void)
{
	Suite *suite = suite_create("protocol");
	TCase *tcase = tcase_create("messages");

	seed = random_seed();
	tcase_add_loop_test(tcase, survives_the_codec, 0, (int)message_row_count);
	tcase_add_test(tcase, no_message_is_left_out);
	tcase_add_test(tcase, opening_payload_rides_along);
	tcase_add_test(tcase, structures_lie_as_tabulated);
	tcase_add_test(tcase, errors_are_linux_numbers);
	tcase_add_test(tcase, errors_that_have_no_row);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	add_fs_tests(suite);
	return suite_run(suite);
}
