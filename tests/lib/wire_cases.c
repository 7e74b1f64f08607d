#include "tests/lib/wire_cases.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/wire_sample.h"

#define RANDOM_SAMPLES 40
#define RANDOM_BYTES   200

static bool is_bytes(const struct wire_field *field)
{
	return field->kind == WIRE_STRING || field->kind == WIRE_TAIL;
}

static size_t alignment(const struct wire_field *field)
{
	switch (field->kind) {
	case WIRE_U16:
	case WIRE_STRING:
		return 2;
	case WIRE_U32:
		return 4;
	case WIRE_U64:
	case WIRE_TAIL: /* Open's holds a body, ListReply's holds entries */
		return 8;
	case WIRE_FIXED:
		return field->size % 8 == 0 ? 8 : 1;
	default:
		return 1;
	}
}

static void check_field(const struct wire_message *message, unsigned i)
{
	const struct wire_field *field = &message->fields[i];
	bool behind_string = i > 0 && message->fields[i - 1].kind == WIRE_STRING;
	size_t c_size = is_bytes(field) ? sizeof(struct wire_bytes) : field->size;

	ck_assert_msg(behind_string || wire_field_offset(message, i) % alignment(field) == 0,
		"%s.%s is not aligned", message->name, field->name);
	ck_assert_msg(i == 0 || is_bytes(field) || !is_bytes(&message->fields[i - 1]),
		"%s.%s comes behind a string", message->name, field->name);
	ck_assert_msg(i == 0 || message->fields[i - 1].kind != WIRE_TAIL, "%s.%s is behind a tail",
		message->name, field->name);
	if (field->kind == WIRE_STRING)
		ck_assert_uint_le(field->size, UINT16_MAX);
	if (field->kind == WIRE_PAD)
		ck_assert_str_eq(field->name, "reserved");
	else
		ck_assert_uint_le(field->offset + c_size, message->struct_size);
}

void wire_case_table(const struct wire_message *message)
{
	ck_assert_ptr_nonnull(message->name);
	ck_assert_uint_le(message->field_count, WIRE_SAMPLE_FIELDS);
	for (unsigned i = 0; i < message->field_count; i++)
		check_field(message, i);
}

static void check_same(const struct wire_message *message, const void *got, const void *expected)
{
	const char *field = wire_difference(message, got, expected);

	ck_assert_msg(field == NULL, "%s.%s has changed", message->name, field);
}

static void check_decodes_to(const struct wire_sample *sample, const void *body, size_t len)
{
	void *decoded = calloc(1, sample->message->struct_size);

	ck_assert_int_eq(wire_decode(sample->message, decoded, body, len), 0);
	check_same(sample->message, decoded, sample->body);
	free(decoded);
}

static void check_header(const struct wire_sample *sample, const unsigned char *bytes, size_t len)
{
	struct frame frame;

	ck_assert_int_eq(frame_decode(&frame, bytes, len), 1);
	ck_assert_uint_eq(frame.length, len);
	ck_assert_uint_eq(frame.type, sample->message->type);
	ck_assert_uint_eq(frame.flags, FRAME_REPLY);
	ck_assert_uint_eq(frame.request_id, 0x01020304);
	ck_assert_uint_eq(frame.error, 0);
}

static void round_trip(const struct wire_sample *sample)
{
	const struct frame header = {.flags = FRAME_REPLY, .request_id = 0x01020304};
	size_t len = wire_encoded_len(sample->message, sample->body);
	unsigned char *bytes = malloc(len);

	ck_assert_uint_ge(len, FRAME_HEADER_LEN);
	ck_assert_uint_eq(wire_encode(sample->message, &header, sample->body, bytes, len), len);
	check_header(sample, bytes, len);
	check_decodes_to(sample, bytes + FRAME_HEADER_LEN, len - FRAME_HEADER_LEN);
	free(bytes);
}

/* Less room than needed: nothing is written, and ASan sees it if something is. */
static void too_little_room(const struct wire_sample *sample)
{
	const struct frame header = {.request_id = 1};
	size_t len = wire_encoded_len(sample->message, sample->body);

	for (size_t room = 0; room < len; room += 1 + room / 64) {
		unsigned char *bytes = malloc(room);

		ck_assert_uint_eq(
			wire_encode(sample->message, &header, sample->body, bytes, room), 0);
		if (room < len - FRAME_HEADER_LEN)
			ck_assert_uint_eq(
				wire_encode_body(sample->message, sample->body, bytes, room), 0);
		free(bytes);
	}
}

static void error_reply(const struct wire_message *message)
{
	const struct frame header = {.flags = FRAME_REPLY, .request_id = 7, .error = ENOENT};
	unsigned char bytes[FRAME_HEADER_LEN];
	struct frame frame;

	ck_assert_uint_eq(wire_encode(message, &header, NULL, bytes, sizeof(bytes)), sizeof(bytes));
	ck_assert_int_eq(frame_decode(&frame, bytes, sizeof(bytes)), 1);
	ck_assert_uint_eq(frame.length, FRAME_HEADER_LEN);
	ck_assert_uint_eq(frame.type, message->type);
	ck_assert_uint_eq(frame.error, ENOENT);
}

void wire_case_round_trip(const struct wire_message *message, struct random *random)
{
	for (int i = 0; i < WIRE_SAMPLE_VALUES + RANDOM_SAMPLES; i++) {
		enum wire_sample_values values =
			i < WIRE_SAMPLE_VALUES ? (enum wire_sample_values)i : WIRE_SAMPLE_RANDOM;
		struct wire_sample sample;

		wire_sample_make(&sample, message, values, random);
		round_trip(&sample);
		if (i < WIRE_SAMPLE_VALUES)
			too_little_room(&sample);
		wire_sample_free(&sample);
	}
	error_reply(message);
}

static bool ends_in_tail(const struct wire_message *message)
{
	return message->field_count > 0 &&
	       message->fields[message->field_count - 1].kind == WIRE_TAIL;
}

/* Bytes before the tail, or all of them, when every string is as long as it may be. */
static size_t len_before_tail(const struct wire_message *message)
{
	size_t len = wire_field_offset(message, message->field_count);

	for (unsigned i = 0; i < message->field_count; i++) {
		if (message->fields[i].kind == WIRE_STRING)
			len += message->fields[i].size;
	}
	return len;
}

void wire_case_truncated(const struct wire_message *message, struct random *random)
{
	size_t least = len_before_tail(message);
	bool tail = ends_in_tail(message);
	void *decoded = calloc(1, message->struct_size);
	struct wire_sample sample;
	unsigned char *body;
	size_t len;

	wire_sample_make(&sample, message, WIRE_SAMPLE_MOST, random);
	body = wire_sample_body(&sample, &len);
	for (size_t cut = 0; cut < len; cut++) {
		void *shorter = exact_copy(body, cut);
		int expected = tail && cut >= least ? 0 : -EPROTO;

		ck_assert_msg(wire_decode(message, decoded, shorter, cut) == expected,
			"%s cut off after %zu of %zu bytes", message->name, cut, len);
		free(shorter);
	}
	free(decoded);
	free(body);
	wire_sample_free(&sample);
}

void wire_case_longer(const struct wire_message *message, struct random *random)
{
	struct wire_sample sample;
	unsigned char *body;
	size_t len;

	if (ends_in_tail(message))
		return;
	wire_sample_make(&sample, message, WIRE_SAMPLE_RANDOM, random);
	body = wire_sample_body(&sample, &len);
	for (size_t more = 1; more <= 64; more++) {
		unsigned char *longer = malloc(len + more);

		memcpy(longer, body, len);
		memset(longer + len, 0xa5, more);
		check_decodes_to(&sample, longer, len + more);
		free(longer);
	}
	free(body);
	wire_sample_free(&sample);
}

/* The struct has a string that may not be sent: the encoder refuses it. */
static void check_refused(const struct wire_sample *sample)
{
	static unsigned char bytes[1 << 17];
	const struct frame header = {.request_id = 1};

	ck_assert_uint_eq(wire_encoded_len(sample->message, sample->body), 0);
	ck_assert_uint_eq(
		wire_encode(sample->message, &header, sample->body, bytes, sizeof(bytes)), 0);
	ck_assert_uint_eq(wire_encode_body(sample->message, sample->body, bytes, sizeof(bytes)), 0);
}

static void bad_string(
	const struct wire_sample *sample, const struct wire_field *field, struct random *random)
{
	struct wire_bytes *value = (void *)((char *)sample->body + field->offset);
	const struct wire_bytes good = *value;
	char *bytes = malloc(field->size + 1);

	memset(bytes, 'x', field->size + 1);
	*value = (struct wire_bytes){.data = bytes, .len = field->size + 1};
	check_refused(sample);
	value->len = field->size;
	ck_assert_uint_ne(wire_encoded_len(sample->message, sample->body), 0);
	bytes[random_below(random, field->size)] = 0;
	check_refused(sample);
	*value = good;
	free(bytes);
}

/* The same on the wire. 'at' is where the string's length lies in a body whose strings are all
 * full. */
static void bad_string_bytes(const struct wire_sample *sample, const struct wire_field *field,
	size_t at, struct random *random)
{
	void *decoded = calloc(1, sample->message->struct_size);
	unsigned char *body, kept;
	size_t len, nul = at + 2 + random_below(random, field->size);

	body = wire_sample_body(sample, &len);
	ck_assert_uint_eq(body[at] | body[at + 1] << 8, field->size);
	kept = body[nul];
	body[nul] = 0;
	ck_assert_int_eq(wire_decode(sample->message, decoded, body, len), -EPROTO);
	body[nul] = kept;
	ck_assert_int_eq(wire_decode(sample->message, decoded, body, len), 0);
	body = realloc(body, len + 1);
	body[len] = 'x';
	body[at] = (unsigned char)(field->size + 1);
	body[at + 1] = (unsigned char)((field->size + 1) >> 8);
	ck_assert_int_eq(wire_decode(sample->message, decoded, body, len + 1), -EPROTO);
	free(body);
	free(decoded);
}

void wire_case_bad_strings(const struct wire_message *message, struct random *random)
{
	size_t full = 0; /* bytes of the full strings before this one */
	struct wire_sample sample;

	wire_sample_make(&sample, message, WIRE_SAMPLE_MOST, random);
	for (unsigned i = 0; i < message->field_count; i++) {
		const struct wire_field *field = &message->fields[i];

		if (field->kind != WIRE_STRING)
			continue;
		bad_string(&sample, field, random);
		bad_string_bytes(&sample, field, wire_field_offset(message, i) + full, random);
		full += field->size;
	}
	wire_sample_free(&sample);
}

static void decode_again(const struct wire_message *message, const void *decoded)
{
	struct wire_sample sample = {.message = message};
	size_t len;
	unsigned char *body;

	memcpy(&sample.body, &decoded, sizeof(decoded));
	body = wire_sample_body(&sample, &len);
	check_decodes_to(&sample, body, len);
	free(body);
}

void wire_case_random_bytes(const struct wire_message *message, struct random *random, int rounds)
{
	void *decoded = calloc(1, message->struct_size);

	for (int i = 0; i < rounds; i++) {
		size_t len = random_below(random, RANDOM_BYTES);
		unsigned char *bytes = malloc(len);
		/* Few high bits, so that lengths are often small enough to be believed. */
		unsigned char mask = random_once_in(random, 2) ? 0xff : 0x03;
		int result;

		for (size_t j = 0; j < len; j++)
			bytes[j] = (unsigned char)random_next(random) & mask;
		result = wire_decode(message, decoded, bytes, len);
		if (result == 0)
			decode_again(message, decoded);
		else
			ck_assert_int_eq(result, -EPROTO);
		free(bytes);
	}
	free(decoded);
}
