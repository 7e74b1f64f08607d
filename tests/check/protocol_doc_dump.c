/*
 * A dump is a fenced block "```dump MESSAGE [PAYLOAD]" of lines "bytes  name = value", one for
 * each field. The bytes are decoded by the tables, each decoded value is compared with the one
 * that is written beside its bytes, and the whole is encoded again to the same bytes.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/fs.h"
#include "protocol/tcp.h"
#include "tests/check/protocol_doc.h"
#include "tests/lib/messages.h"

#define NOTES_MAX     64
#define BYTES_MAX     1024
#define STRUCT_MAX    128
#define BYTES_COLUMNS 47 /* of 16 bytes; the note comes behind */

struct note {
	int line;
	size_t len; /* bytes that it is about */
	char name[64];
	char value[128];
};

struct dump {
	struct document *document;
	int line; /* of the fence */
	char message[64];
	char payload[64];
	unsigned char bytes[BYTES_MAX];
	size_t len;
	struct note notes[NOTES_MAX];
	int note_count;
	int next;  /* note to be compared */
	size_t at; /* its bytes */
	bool given_up;
};

/* A C struct of any message, and its payload's. */
struct decoded {
	_Alignas(8) unsigned char body[STRUCT_MAX];
	_Alignas(8) unsigned char payload[STRUCT_MAX];
};

static void read_note(struct dump *dump, int line, const char *text)
{
	struct note *note = &dump->notes[dump->note_count];
	int fields = sscanf(text, " %63[^ =] = %127[^\n]", note->name, note->value);

	if (fields != 2 && dump->note_count > 0) { /* bytes alone: more of the field above */
		note[-1].len += note->len;
		note->len = 0;
		return;
	}
	note->line = line;
	if (dump->note_count < NOTES_MAX - 1)
		dump->note_count++;
}

static void read_line(struct dump *dump, int line)
{
	const char *text = dump->document->lines[line];
	struct note *note = &dump->notes[dump->note_count];
	unsigned byte;
	int used;

	for (int column = 0; column < BYTES_COLUMNS && dump->len < BYTES_MAX; column += 3) {
		if (sscanf(text, "%2x%n", &byte, &used) != 1 || used != 2)
			break;
		dump->bytes[dump->len++] = (unsigned char)byte;
		note->len++;
		text += 2;
		if (text[0] != ' ' || !isxdigit((unsigned char)text[1]))
			break;
		text++;
	}
	read_note(dump, line, text);
}

/* Returns the line of the closing fence. */
static int read_dump(struct dump *dump, struct document *document, int line)
{
	*dump = (struct dump){.document = document, .line = line};
	sscanf(document->lines[line], "```dump %63s %63s", dump->message, dump->payload);
	for (line++; line < document->line_count; line++) {
		if (strncmp(document->lines[line], "```", 3) == 0)
			break;
		read_line(dump, line);
	}
	return line;
}

static void complain(struct dump *dump, int line, const char *what, const char *name)
{
	if (!dump->given_up)
		document_complain(
			dump->document, line, "dump of %s: %s %s", dump->message, what, name);
	dump->given_up = true; /* what follows would be out of step */
}

/* The next note, which has to be about these many bytes and this field; NULL: it is not. */
static const struct note *take_note(
	struct dump *dump, const char *prefix, const char *name, size_t len)
{
	const struct note *note = &dump->notes[dump->next];
	char full[128];

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	if (dump->given_up)
		return NULL;
	if (dump->next == dump->note_count) {
		complain(dump, dump->line, "ends before", full);
		return NULL;
	}
	if (strcmp(note->name, full) != 0 || note->len != len) {
		complain(dump, note->line, "this is not", full);
		return NULL;
	}
	dump->next++;
	dump->at += len;
	return note;
}

static void compare_number(
	struct dump *dump, const char *prefix, const char *name, size_t len, uint64_t value)
{
	const struct note *note = take_note(dump, prefix, name, len);
	char *end;

	if (note != NULL && (strtoull(note->value, &end, 0) != value || *end != 0))
		complain(dump, note->line, "another value was decoded for", name);
}

/* "text", in which \n is a line end. */
static void compare_text(struct dump *dump, const struct note *note, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	const char *text = note->value + 1;

	for (size_t i = 0; i < len; i++, text++) {
		int c = (unsigned char)*text;

		if (c == '\\' && text[1] == 'n') {
			c = '\n';
			text++;
		}
		if (bytes[i] != c) {
			complain(dump, note->line, "another text was decoded for", note->name);
			return;
		}
	}
	if (note->value[0] != '"' || strcmp(text, "\"") != 0)
		complain(dump, note->line, "another length was decoded for", note->name);
}

/* 0, or an IPv4 address. */
static void compare_address(struct dump *dump, const char *prefix, const unsigned char addr[16])
{
	const struct note *note = take_note(dump, prefix, "addr", 16);
	unsigned char expected[16] = {0};

	if (note == NULL)
		return;
	if (strcmp(note->value, "0") != 0 && inet_pton(AF_INET, note->value, expected) != 1)
		complain(dump, note->line, "no IPv4 address:", note->value);
	if (memcmp(addr, expected, sizeof(expected)) != 0)
		complain(dump, note->line, "another address was decoded for", note->name);
}

static void compare_fields(struct dump *dump, const struct wire_message *message,
	const unsigned char *body, const char *prefix, struct decoded *decoded);

static void compare_structure(struct dump *dump, const struct wire_field *field,
	const unsigned char *value, const char *prefix)
{
	const char *name = field->size == sizeof(struct endpoint)      ? "Endpoint"
			   : field->size == sizeof(struct tcp_options) ? "TcpOptions"
								       : "Attributes";
	char inner[128];

	if (field->size == 16) {
		compare_address(dump, prefix, value);
		return;
	}
	snprintf(inner, sizeof(inner), "%s%s.", prefix, field->name);
	compare_fields(dump, message_row_find(name)->message, value, inner, NULL);
}

static void compare_entry(struct dump *dump, const struct fs_entry *entry, size_t len)
{
	size_t padding = len - FS_ENTRY_HEADER_LEN - entry->name.len;
	const struct note *note;

	compare_number(dump, "data.", "inode", 8, entry->inode);
	compare_number(dump, "data.", "cookie", 8, entry->cookie);
	compare_number(dump, "data.", "type", 2, entry->type);
	compare_number(dump, "data.", "name_length", 2, entry->name.len);
	compare_number(dump, "data.", "flags", 4, entry->has_attributes ? FS_ENTRY_ATTRIBUTES : 0);
	note = take_note(dump, "data.", "name", entry->name.len);
	if (note != NULL)
		compare_text(dump, note, entry->name.data, entry->name.len);
	if (padding > 0)
		compare_number(dump, "data.", "padding", padding, 0);
}

/* Compares all entries and encodes them again over themselves: the whole is compared at the end. */
static void compare_entries(struct dump *dump, struct wire_bytes *tail)
{
	static unsigned char again[BYTES_MAX];
	const unsigned char *at = tail->data;
	size_t left = tail->len, made = 0;
	struct fs_entry entry;
	long used;

	while ((used = fs_entry_decode(&entry, at, left)) > 0) {
		compare_entry(dump, &entry, (size_t)used);
		made += fs_entry_encode(&entry, again + made, sizeof(again) - made);
		at += used;
		left -= (size_t)used;
	}
	if (used < 0)
		complain(dump, dump->line, "cannot be decoded:", "entries");
	*tail = (struct wire_bytes){.data = again, .len = made};
}

static void compare_payload(
	struct dump *dump, struct wire_bytes *tail, const char *prefix, struct decoded *decoded)
{
	static unsigned char again[BYTES_MAX];
	const struct message_row *row = message_row_find(dump->payload);
	char inner[128];

	snprintf(inner, sizeof(inner), "%spayload.", prefix);
	if (row == NULL ||
		wire_decode(row->message, decoded->payload, tail->data, tail->len) != 0) {
		complain(dump, dump->line, "cannot be decoded:", dump->payload);
		return;
	}
	compare_fields(dump, row->message, decoded->payload, inner, NULL);
	tail->len = wire_encode_body(row->message, decoded->payload, again, sizeof(again));
	tail->data = again;
}

static void compare_tail(struct dump *dump, const struct wire_field *field, unsigned char *value,
	const char *prefix, struct decoded *decoded)
{
	const struct note *note;
	struct wire_bytes tail;

	memcpy(&tail, value, sizeof(tail));
	if (strcmp(dump->message, "ListReply") == 0) {
		compare_entries(dump, &tail);
	} else if (dump->payload[0] != 0) {
		compare_payload(dump, &tail, prefix, decoded);
	} else {
		note = take_note(dump, prefix, field->name, tail.len);
		if (note != NULL)
			compare_text(dump, note, tail.data, tail.len);
	}
	memcpy(value, &tail, sizeof(tail));
}

static void compare_string(
	struct dump *dump, const struct wire_field *field, const void *value, const char *prefix)
{
	const struct note *note;
	struct wire_bytes string;

	memcpy(&string, value, sizeof(string));
	note = take_note(dump, prefix, field->name, 2 + string.len);
	if (note != NULL)
		compare_text(dump, note, string.data, string.len);
}

static void compare_fields(struct dump *dump, const struct wire_message *message,
	const unsigned char *body, const char *prefix, struct decoded *decoded)
{
	for (unsigned i = 0; i < message->field_count; i++) {
		const struct wire_field *field = &message->fields[i];
		const unsigned char *value = body + field->offset;
		uint64_t number = 0;

		if (field->kind == WIRE_FIXED) {
			compare_structure(dump, field, value, prefix);
		} else if (field->kind == WIRE_STRING) {
			compare_string(dump, field, value, prefix);
		} else if (field->kind == WIRE_TAIL) {
			compare_tail(dump, field, decoded->body + field->offset, prefix, decoded);
		} else {
			if (field->kind != WIRE_PAD)
				memcpy(&number, value, field->size);
			compare_number(dump, prefix, field->name, field->size, number);
		}
	}
}

static void compare_header(struct dump *dump, const struct frame *frame)
{
	const struct message_row *row = message_row_find("Header");

	compare_fields(dump, row->message, (const unsigned char *)frame, "", NULL);
	if (frame->length != dump->len)
		complain(dump, dump->line, "another number of bytes than", "length");
}

static void compare_again(struct dump *dump, const struct wire_message *message,
	const struct frame *frame, const void *body)
{
	static unsigned char again[BYTES_MAX];
	size_t len = wire_encode(message, frame, body, again, sizeof(again));

	if (len != dump->len || memcmp(again, dump->bytes, len) != 0)
		complain(dump, dump->line, "encoded again, other bytes:", dump->message);
}

static void check_dump(struct dump *dump)
{
	const struct message_row *row = message_row_find(dump->message);
	const unsigned char *body = dump->bytes + FRAME_HEADER_LEN;
	struct decoded decoded;
	struct frame frame;

	if (frame_decode(&frame, dump->bytes, dump->len) != 1 || row == NULL ||
		row->kind != MESSAGE_FRAME) {
		complain(dump, dump->line, "no frame, or no", "message");
		return;
	}
	compare_header(dump, &frame);
	if (frame.type != row->message->type)
		complain(dump, dump->line, "this is not the type of", row->name);
	if (frame.error == 0 &&
		wire_decode(row->message, decoded.body, body, dump->len - FRAME_HEADER_LEN) != 0)
		complain(dump, dump->line, "cannot be decoded:", row->name);
	if (dump->given_up)
		return;
	if (frame.error == 0)
		compare_fields(dump, row->message, decoded.body, "", &decoded);
	if (dump->next != dump->note_count || dump->at != dump->len)
		complain(dump, dump->line, "goes on behind", "the last field");
	compare_again(dump, row->message, &frame, decoded.body);
}

/* A type that no message has. */
static void check_unknown(struct dump *dump)
{
	struct frame frame;

	if (frame_decode(&frame, dump->bytes, dump->len) != 1) {
		complain(dump, dump->line, "no", "frame");
		return;
	}
	compare_header(dump, &frame);
	for (unsigned i = 0; i < message_row_count; i++) {
		if (message_rows[i].kind == MESSAGE_FRAME &&
			message_rows[i].message->type == frame.type)
			complain(dump, dump->line, "this is the type of", message_rows[i].name);
	}
}

void check_dumps(struct document *document)
{
	static struct dump dump;
	int count = 0;

	for (int line = 0; line < document->line_count; line++) {
		if (strncmp(document->lines[line], "```dump ", 8) != 0)
			continue;
		line = read_dump(&dump, document, line);
		if (strcmp(dump.message, "Unknown") == 0)
			check_unknown(&dump);
		else
			check_dump(&dump);
		count++;
	}
	if (count < 20)
		document_complain(document, -1, "only %d dumps were found", count);
}
