#include "tests/lib/wire_sample.h"

#include <stdlib.h>
#include <string.h>

static uint64_t pick_number(enum wire_sample_values values, struct random *random)
{
	if (values == WIRE_SAMPLE_RANDOM)
		values = (enum wire_sample_values)random_below(random, WIRE_SAMPLE_VALUES);
	switch (values) {
	case WIRE_SAMPLE_ZERO:
		return 0;
	case WIRE_SAMPLE_ONE:
		return 1;
	case WIRE_SAMPLE_MOST:
		return UINT64_MAX;
	default:
		return random_next(random);
	}
}

static size_t pick_len(size_t most, enum wire_sample_values values, struct random *random)
{
	uint64_t number = pick_number(values, random);

	if (values == WIRE_SAMPLE_RANDOM && number > 1 && number != UINT64_MAX)
		return random_len(random, most);
	return number > most ? most : number;
}

void *exact_copy(const void *bytes, size_t len)
{
	void *copy = malloc(len);

	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

static void fill_bytes(unsigned char *bytes, size_t len, bool with_nul, struct random *random)
{
	for (size_t i = 0; i < len; i++) {
		bytes[i] = (unsigned char)random_next(random);
		if (!with_nul && bytes[i] == 0)
			bytes[i] = 'x';
	}
}

static void *fill_string(const struct wire_field *field, struct wire_bytes *ret_value,
	enum wire_sample_values values, struct random *random)
{
	bool tail = field->kind == WIRE_TAIL;
	size_t len = pick_len(tail ? WIRE_SAMPLE_TAIL : field->size, values, random);
	unsigned char *bytes = malloc(len);

	fill_bytes(bytes, len, tail, random);
	ret_value->data = bytes;
	ret_value->len = len;
	return bytes;
}

void wire_sample_make(struct wire_sample *ret_sample, const struct wire_message *message,
	enum wire_sample_values values, struct random *random)
{
	unsigned char *body = calloc(1, message->struct_size);

	*ret_sample = (struct wire_sample){.message = message, .body = body};
	for (unsigned i = 0; i < message->field_count; i++) {
		const struct wire_field *field = &message->fields[i];
		void *value = body + field->offset;
		uint64_t number = pick_number(values, random);

		if (field->kind == WIRE_STRING || field->kind == WIRE_TAIL)
			ret_sample->bytes[i] = fill_string(field, value, values, random);
		else if (field->kind == WIRE_FIXED)
			fill_bytes(value, field->size, true, random);
		else if (field->kind != WIRE_PAD)
			memcpy(value, &number, field->size);
	}
}

void wire_sample_free(struct wire_sample *sample)
{
	for (unsigned i = 0; i < WIRE_SAMPLE_FIELDS; i++)
		free(sample->bytes[i]);
	free(sample->body);
}

unsigned char *wire_sample_body(const struct wire_sample *sample, size_t *ret_len)
{
	size_t len = wire_encoded_len(sample->message, sample->body) - FRAME_HEADER_LEN;
	unsigned char *bytes = malloc(len);

	*ret_len = wire_encode_body(sample->message, sample->body, bytes, len);
	return bytes;
}

static bool field_equal(
	const struct wire_field *field, const unsigned char *a, const unsigned char *b)
{
	struct wire_bytes one, other;

	if (field->kind == WIRE_PAD)
		return true;
	if (field->kind != WIRE_STRING && field->kind != WIRE_TAIL)
		return memcmp(a + field->offset, b + field->offset, field->size) == 0;
	memcpy(&one, a + field->offset, sizeof(one));
	memcpy(&other, b + field->offset, sizeof(other));
	return one.len == other.len && (one.len == 0 || memcmp(one.data, other.data, one.len) == 0);
}

const char *wire_difference(const struct wire_message *message, const void *a, const void *b)
{
	for (unsigned i = 0; i < message->field_count; i++) {
		if (!field_equal(&message->fields[i], a, b))
			return message->fields[i].name;
	}
	return NULL;
}

size_t wire_field_offset(const struct wire_message *message, unsigned index)
{
	size_t offset = 0;

	for (unsigned i = 0; i < index; i++) {
		const struct wire_field *field = &message->fields[i];

		if (field->kind == WIRE_STRING)
			offset += 2;
		else if (field->kind != WIRE_TAIL)
			offset += field->size;
	}
	return offset;
}
