/* The codec itself: frame headers, and each kind of field against bytes written by hand. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/wire.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"
#include "tests/lib/wire_cases.h"
#include "tests/lib/wire_sample.h"

struct every_kind {
	uint16_t small;
	uint32_t medium;
	uint64_t large;
	unsigned char fixed[3];
	struct wire_bytes text;
	struct wire_bytes rest;
};

static const struct wire_field every_kind_fields[] = {
	WIRE_FIELD_U64(struct every_kind, large),
	WIRE_FIELD_U32(struct every_kind, medium),
	WIRE_FIELD_U16(struct every_kind, small),
	WIRE_FIELD_PAD(2),
	WIRE_FIELD_FIXED(struct every_kind, fixed),
	WIRE_FIELD_PAD(1),
	WIRE_FIELD_STRING(struct every_kind, text, 5),
	WIRE_FIELD_TAIL(struct every_kind, rest),
};
static const struct wire_message every_kind =
	WIRE_MESSAGE("EveryKind", 0x1234, every_kind_fields, struct every_kind);
static const struct wire_message nothing = WIRE_MESSAGE_EMPTY("Nothing", 9);

static const struct every_kind example = {
	.small = 0x0102,
	.medium = 0x03040506,
	.large = 0x0708090a0b0c0d0eu,
	.fixed = {0xf1, 0xf2, 0xf3},
	.text = {"abc", 3},
	.rest = {"\0z", 2},
};
static const struct frame example_header = {.flags = 0x5678, .request_id = 0x9abcdef0};
static const unsigned char example_bytes[] = {
	0x2b, 0x00, 0x00, 0x00, 0x34, 0x12, 0x78, 0x56, /* length 43, type, flags */
	0xf0, 0xde, 0xbc, 0x9a, 0x00, 0x00, 0x00, 0x00, /* request id, error */
	0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, 0x07, /* large */
	0x06, 0x05, 0x04, 0x03, 0x02, 0x01, 0x00, 0x00, /* medium, small, 2 reserved */
	0xf1, 0xf2, 0xf3, 0x00, 0x03, 0x00, 'a', 'b',   /* fixed, 1 reserved, text */
	'c', 0x00, 'z',                                 /* text, rest */
};

static uint64_t seed;

static void put_length(unsigned char *bytes, uint32_t length)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (unsigned char)(length >> 8 * i);
}

START_TEST(encodes_to_these_bytes)
{
	unsigned char bytes[sizeof(example_bytes)];

	ck_assert_uint_eq(wire_encoded_len(&every_kind, &example), sizeof(bytes));
	ck_assert_uint_eq(wire_encode(&every_kind, &example_header, &example, bytes, sizeof(bytes)),
		sizeof(bytes));
	ck_assert_mem_eq(bytes, example_bytes, sizeof(bytes));
	memset(bytes, 0xee, sizeof(bytes));
	ck_assert_uint_eq(wire_encode_body(&every_kind, &example, bytes, sizeof(bytes)),
		sizeof(bytes) - FRAME_HEADER_LEN);
	ck_assert_mem_eq(bytes, example_bytes + FRAME_HEADER_LEN, sizeof(bytes) - FRAME_HEADER_LEN);
}
END_TEST

START_TEST(decodes_these_bytes)
{
	struct every_kind got;

	ck_assert_int_eq(wire_decode(&every_kind, &got, example_bytes + FRAME_HEADER_LEN,
				 sizeof(example_bytes) - FRAME_HEADER_LEN),
		0);
	ck_assert_ptr_null(wire_difference(&every_kind, &got, &example));
}
END_TEST

START_TEST(reserved_bytes_are_ignored)
{
	unsigned char bytes[sizeof(example_bytes)];
	struct every_kind got;

	memcpy(bytes, example_bytes, sizeof(bytes));
	bytes[30] = bytes[31] = bytes[35] = 0xff;
	ck_assert_int_eq(wire_decode(&every_kind, &got, bytes + FRAME_HEADER_LEN,
				 sizeof(bytes) - FRAME_HEADER_LEN),
		0);
	ck_assert_ptr_null(wire_difference(&every_kind, &got, &example));
}
END_TEST

START_TEST(header_is_these_bytes)
{
	const struct frame frame = {.length = 0x00054321,
		.type = 0x1122,
		.flags = 0x3344,
		.request_id = 0x55667788,
		.error = 0x99aabbcc};
	const unsigned char expected[] = {0x21, 0x43, 0x05, 0x00, 0x22, 0x11, 0x44, 0x33, 0x88,
		0x77, 0x66, 0x55, 0xcc, 0xbb, 0xaa, 0x99};
	unsigned char bytes[FRAME_HEADER_LEN];
	struct frame got;

	frame_encode(&frame, bytes);
	ck_assert_mem_eq(bytes, expected, sizeof(expected));
	ck_assert_int_eq(frame_decode(&got, bytes, sizeof(bytes)), 1);
	ck_assert_mem_eq(&got, &frame, sizeof(frame));
}
END_TEST

START_TEST(header_in_pieces)
{
	for (size_t len = 0; len <= FRAME_HEADER_LEN; len++) {
		unsigned char *bytes = exact_copy(example_bytes, len);
		struct frame frame;

		ck_assert_int_eq(frame_decode(&frame, bytes, len), len == FRAME_HEADER_LEN);
		free(bytes);
	}
}
END_TEST

START_TEST(impossible_lengths_are_refused)
{
	static const struct {
		uint32_t length;
		int result; /* with a whole header there */
	} cases[] = {{0, -EPROTO}, {1, -EPROTO}, {FRAME_HEADER_LEN - 1, -EPROTO},
		{FRAME_HEADER_LEN, 1}, {FRAME_LEN_MAX, 1}, {FRAME_LEN_MAX + 1, -EPROTO},
		{0x80000010, -EPROTO}, {UINT32_MAX, -EPROTO}};
	unsigned char bytes[FRAME_HEADER_LEN] = {0};
	struct frame frame;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int early = cases[i].result == 1 ? 0 : cases[i].result;

		put_length(bytes, cases[i].length);
		ck_assert_int_eq(frame_decode(&frame, bytes, 3), 0);
		ck_assert_int_eq(frame_decode(&frame, bytes, 4), early);
		ck_assert_int_eq(frame_decode(&frame, bytes, sizeof(bytes)), cases[i].result);
	}
}
END_TEST

START_TEST(longest_frame)
{
	static unsigned char tail[FRAME_LEN_MAX], bytes[FRAME_LEN_MAX + 64];
	const struct frame header = {.request_id = 1};
	struct every_kind most = {.rest = {tail, FRAME_LEN_MAX - FRAME_HEADER_LEN - 22}};

	ck_assert_uint_eq(
		wire_encode(&every_kind, &header, &most, bytes, sizeof(bytes)), FRAME_LEN_MAX);
	most.rest.len++;
	ck_assert_uint_eq(wire_encode(&every_kind, &header, &most, bytes, sizeof(bytes)), 0);
	ck_assert_uint_eq(wire_encoded_len(&every_kind, &most), 0);
	most.rest.len = SIZE_MAX;
	ck_assert_uint_eq(wire_encode(&every_kind, &header, &most, bytes, sizeof(bytes)), 0);
	most.rest.len = SIZE_MAX - 37;
	ck_assert_uint_eq(wire_encode_body(&every_kind, &most, bytes, SIZE_MAX), 0);
}
END_TEST

START_TEST(nothing_needs_no_address)
{
	const struct frame header = {.request_id = 1};
	const struct every_kind empty = {.small = 1};
	unsigned char bytes[64];
	struct every_kind got;
	size_t len = wire_encode(&every_kind, &header, &empty, bytes, sizeof(bytes));

	ck_assert_uint_eq(len, FRAME_HEADER_LEN + 22);
	ck_assert_int_eq(
		wire_decode(&every_kind, &got, bytes + FRAME_HEADER_LEN, len - FRAME_HEADER_LEN),
		0);
	ck_assert_uint_eq(got.text.len, 0);
	ck_assert_uint_eq(got.rest.len, 0);
	ck_assert_uint_eq(
		wire_encode(&nothing, &header, NULL, bytes, sizeof(bytes)), FRAME_HEADER_LEN);
	ck_assert_uint_eq(wire_encoded_len(&nothing, NULL), FRAME_HEADER_LEN);
	ck_assert_int_eq(wire_decode(&nothing, NULL, NULL, 0), 0);
	ck_assert_int_eq(wire_decode(&every_kind, &got, NULL, 0), -EPROTO);
}
END_TEST

START_TEST(as_every_message)
{
	struct random random = {.state = seed};

	wire_case_table(&every_kind);
	wire_case_round_trip(&every_kind, &random);
	wire_case_truncated(&every_kind, &random);
	wire_case_bad_strings(&every_kind, &random);
	wire_case_random_bytes(&every_kind, &random, 10000);
}
END_TEST

#define FEED_FRAMES 6

/* Frames of several lengths, one behind the other. Returns the bytes, *ret_len of them. */
static unsigned char *make_frames(struct random *random, size_t *ret_len)
{
	unsigned char *bytes = malloc(FEED_FRAMES * (WIRE_SAMPLE_TAIL + 64));
	size_t len = 0;

	for (uint32_t i = 0; i < FEED_FRAMES; i++) {
		const struct frame header = {.request_id = i + 1};
		struct every_kind body = {.small = (uint16_t)i};
		unsigned char tail[40];

		body.rest = (struct wire_bytes){tail, random_below(random, sizeof(tail))};
		memset(tail, (int)i, sizeof(tail));
		len += wire_encode(&every_kind, &header, &body, bytes + len, WIRE_SAMPLE_TAIL + 64);
	}
	*ret_len = len;
	return bytes;
}

/* Takes the frames that are whole at the start of 'have' bytes; how many bytes they were. */
static size_t take_frames(const unsigned char *bytes, size_t have, uint32_t *seen)
{
	size_t taken = 0;
	struct frame frame;

	for (;;) {
		/* Exactly what has come, so that ASan sees a look beyond it. */
		unsigned char *window = exact_copy(bytes + taken, have - taken);
		int result = frame_decode(&frame, window, have - taken);
		struct every_kind body;

		ck_assert_int_ge(result, 0);
		if (result == 0 || frame.length > have - taken) {
			free(window);
			return taken;
		}
		ck_assert_uint_eq(frame.request_id, *seen + 1);
		ck_assert_int_eq(wire_decode(&every_kind, &body, window + FRAME_HEADER_LEN,
					 frame.length - FRAME_HEADER_LEN),
			0);
		ck_assert_uint_eq(body.small, *seen);
		free(window);
		taken += frame.length;
		*seen += 1;
	}
}

START_TEST(fed_at_every_chunk_size)
{
	struct random random = {.state = seed};
	size_t len;
	unsigned char *bytes = make_frames(&random, &len);

	for (size_t chunk = 1; chunk <= len; chunk++) {
		size_t taken = 0, have = 0;
		uint32_t seen = 0;

		while (have < len) {
			have = len - have < chunk ? len : have + chunk;
			taken += take_frames(bytes + taken, have - taken, &seen);
		}
		ck_assert_uint_eq(taken, len);
		ck_assert_uint_eq(seen, FEED_FRAMES);
	}
	free(bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("wire");
	TCase *tcase = tcase_create("wire");

	seed = random_seed();
	tcase_add_test(tcase, encodes_to_these_bytes);
	tcase_add_test(tcase, decodes_these_bytes);
	tcase_add_test(tcase, reserved_bytes_are_ignored);
	tcase_add_test(tcase, header_is_these_bytes);
	tcase_add_test(tcase, header_in_pieces);
	tcase_add_test(tcase, impossible_lengths_are_refused);
	tcase_add_test(tcase, longest_frame);
	tcase_add_test(tcase, nothing_needs_no_address);
	tcase_add_test(tcase, as_every_message);
	tcase_add_test(tcase, fed_at_every_chunk_size);
	tcase_set_timeout(tcase, 60);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
