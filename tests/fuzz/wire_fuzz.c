/*
 * Bytes from an attacker through every decoder: no crash, and what was decoded
 * encodes and decodes to the same. An ordinary test runs it over mutations of
 * good frames (main below); with clang, -fsanitize=fuzzer -DFERRULE_LIBFUZZER
 * makes libFuzzer's program of the same file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/fs.h"
#include "tests/lib/messages.h"
#include "tests/lib/wire_sample.h"

#define STRUCT_MAX 128 /* bytes of the largest C struct of a message */

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void fail(const char *name, const char *what)
{
	fprintf(stderr, "%s: %s\n", name, what);
	abort();
}

/* What was decoded is encoded and decoded once more. Bytes that no table describes may be lost. */
static void check_again(const struct message_row *row, const void *decoded)
{
	const struct wire_message *message = row->message;
	_Alignas(8) unsigned char again[STRUCT_MAX];
	size_t needed = wire_encoded_len(message, decoded), len;
	unsigned char *body;
	const char *field;

	if (needed == 0)
		fail(row->name, "was decoded and cannot be encoded");
	body = malloc(needed - FRAME_HEADER_LEN);
	len = wire_encode_body(message, decoded, body, needed - FRAME_HEADER_LEN);
	if (len != needed - FRAME_HEADER_LEN || wire_decode(message, again, body, len) != 0)
		fail(row->name, "cannot be decoded again");
	field = wire_difference(message, decoded, again);
	if (field != NULL)
		fail(row->name, field);
	free(body);
}

static void try_messages(const unsigned char *body, size_t len)
{
	for (unsigned i = 0; i < message_row_count; i++) {
		_Alignas(8) unsigned char decoded[STRUCT_MAX];
		const struct message_row *row = &message_rows[i];

		if (row->message->struct_size > sizeof(decoded))
			fail(row->name, "needs a larger STRUCT_MAX");
		if (wire_decode(row->message, decoded, body, len) == 0)
			check_again(row, decoded);
	}
}

static void try_entries(const unsigned char *bytes, size_t len)
{
	struct fs_entry entry;
	long used;

	while ((used = fs_entry_decode(&entry, bytes, len)) > 0) {
		unsigned char
			copy[FS_ENTRY_HEADER_LEN + FS_NAME_MAX + 1 + sizeof(struct fs_attributes)];

		if ((size_t)used > len)
			fail("Entry", "is longer than the bytes it was in");
		if (fs_entry_encode(&entry, copy, sizeof(copy)) != (size_t)used)
			fail("Entry", "is encoded to another length");
		bytes += used;
		len -= (size_t)used;
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct frame frame;

	if (frame_decode(&frame, data, size) == 1) {
		unsigned char header[FRAME_HEADER_LEN];

		frame_encode(&frame, header);
		if (memcmp(header, data, sizeof(header)) != 0)
			fail("Header", "is encoded to other bytes");
		try_messages(data + FRAME_HEADER_LEN, size - FRAME_HEADER_LEN);
	}
	try_messages(data, size);
	try_entries(data, size);
	return 0;
}

#ifndef FERRULE_LIBFUZZER

#define INPUT_MAX 4096
#define ROUNDS    30000

struct input {
	unsigned char bytes[INPUT_MAX];
	size_t len;
};

/* A good frame, or a good list of entries. */
static void start_from(struct input *input, struct random *random)
{
	const struct message_row *row = &message_rows[random_below(random, message_row_count)];
	const struct frame header = {.request_id = 1};
	struct wire_sample sample;

	wire_sample_make(&sample, row->message, WIRE_SAMPLE_RANDOM, random);
	input->len = wire_encode(row->message, &header, sample.body, input->bytes, INPUT_MAX);
	wire_sample_free(&sample);
	for (unsigned i = 0; row->message == &fs_entry_message && i < 3; i++) {
		const struct fs_entry entry = {.cookie = i,
			.has_attributes = i == 1,
			.name = {"a directory entry", 1 + i * 5}};

		input->len = i == 0 ? 0 : input->len;
		input->len +=
			fs_entry_encode(&entry, input->bytes + input->len, INPUT_MAX - input->len);
	}
}

static void mutate(struct input *input, struct random *random)
{
	static const unsigned char edges[] = {0, 1, 0x0f, 0x10, 0x7f, 0x80, 0xff, '/'};
	size_t at = input->len == 0 ? 0 : random_below(random, input->len);

	switch (random_below(random, 5)) {
	case 0:
		input->bytes[at] ^= (unsigned char)(1u << random_below(random, 8));
		break;
	case 1:
		input->bytes[at] = edges[random_below(random, sizeof(edges))];
		break;
	case 2:
		input->len = at;
		break;
	case 3: /* a piece from elsewhere */
		memmove(input->bytes, input->bytes + at, input->len - at);
		input->len -= at;
		break;
	default:
		while (input->len < INPUT_MAX && !random_once_in(random, 8))
			input->bytes[input->len++] = (unsigned char)random_next(random);
		break;
	}
}

int main(void)
{
	struct random random = {.state = random_seed()};
	static struct input input;

	for (int i = 0; i < ROUNDS; i++) {
		void *exact;

		start_from(&input, &random);
		for (uint64_t times = random_below(&random, 6); times > 0; times--)
			mutate(&input, &random);
		exact = exact_copy(input.bytes, input.len);
		LLVMFuzzerTestOneInput(exact, input.len);
		free(exact);
	}
	printf("%d inputs\n", ROUNDS);
	return EXIT_SUCCESS;
}

#endif
