#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/fs.h"
#include "protocol/tcp.h"
#include "tests/check/protocol_doc.h"
#include "tests/lib/messages.h"
#include "tests/lib/wire_sample.h"

#define ROWS_MAX 128

static void expected_cells(
	const struct wire_message *message, unsigned i, char *offset, char *size, size_t room)
{
	const struct wire_field *field = &message->fields[i];

	snprintf(offset, room, "%zu", wire_field_offset(message, i));
	snprintf(size, room, "%zu", field->size);
	if (i > 0 && message->fields[i - 1].kind == WIRE_STRING)
		snprintf(offset, room, "-");
	if (field->kind == WIRE_STRING)
		snprintf(size, room, "2+n");
	if (field->kind == WIRE_TAIL)
		snprintf(size, room, "rest");
}

/* What is said about a field has to name its limit or the structure that it is. */
static void check_meaning(
	struct document *document, int line, const struct wire_field *field, const char *meaning)
{
	static const struct {
		enum wire_kind kind;
		size_t size;
		const char *words;
	} demands[] = {
		{WIRE_STRING, FS_PATH_MAX, "at most FS_PATH_MAX bytes"},
		{WIRE_STRING, FS_NAME_MAX, "at most FS_NAME_MAX bytes"},
		{WIRE_STRING, ENDPOINT_HOST_MAX, "at most ENDPOINT_HOST_MAX bytes"},
		{WIRE_FIXED, sizeof(struct endpoint), "structure Endpoint"},
		{WIRE_FIXED, sizeof(struct fs_attributes), "structure Attributes"},
		{WIRE_FIXED, sizeof(struct tcp_options), "structure TcpOptions"},
	};
	bool known = field->kind != WIRE_STRING;

	for (unsigned i = 0; i < sizeof(demands) / sizeof(demands[0]); i++) {
		if (field->kind != demands[i].kind || field->size != demands[i].size)
			continue;
		known = true;
		if (strstr(meaning, demands[i].words) == NULL)
			document_complain(document, line, "does not say \"%s\"", demands[i].words);
	}
	if (!known)
		document_complain(
			document, line, "no words for a string of %zu bytes", field->size);
}

static void check_field_row(
	struct document *document, int line, const struct wire_message *message, unsigned i)
{
	char offset[24], size[24];
	struct document_row row;

	document_row(document, line, &row);
	if (row.count != 4 || i >= message->field_count) {
		document_complain(document, line, "the code has no such field");
		return;
	}
	expected_cells(message, i, offset, size, sizeof(offset));
	if (strcmp(row.cell[0], offset) != 0 || strcmp(row.cell[1], size) != 0 ||
		strcmp(row.cell[2], message->fields[i].name) != 0)
		document_complain(document, line, "the code has: | %s | %s | %s |", offset, size,
			message->fields[i].name);
	check_meaning(document, line, &message->fields[i], row.cell[3]);
}

static void check_field_table(
	struct document *document, int line, const struct wire_message *message)
{
	struct document_row row;
	unsigned count = 0;

	for (int i = line + 2; document_row(document, i, &row); i++)
		check_field_row(document, i, message, count++);
	if (count < message->field_count)
		document_complain(document, line, "the code has another field: %s",
			message->fields[count].name);
}

/* "### 3.1 Hello (type 1)": the name, and what is in the parentheses. False for other headings. */
static bool split_heading(const char *line, char *ret_name, char *ret_what, size_t room)
{
	const char *open = strrchr(line, '('), *name;

	line += strspn(line, "#");
	name = line + strspn(line, " .0123456789");
	if (open == NULL || open - name < 2)
		return false;
	snprintf(ret_name, room, "%.*s", (int)(open - 1 - name), name);
	snprintf(ret_what, room, "%.*s", (int)strcspn(open + 1, ")"), open + 1);
	return strpbrk(ret_name, " ") == NULL;
}

static void check_heading(
	struct document *document, int line, const struct message_row *row, const char *what)
{
	static const char *const kinds[] = {
		[MESSAGE_FRAME] = "type ",
		[MESSAGE_PAYLOAD] = "payload of Open",
		[MESSAGE_STRUCTURE] = "structure",
	};
	const char *type = strstr(what, "type ");

	if (strstr(what, kinds[row->kind]) == NULL)
		document_complain(document, line, "%s is a %s", row->name, kinds[row->kind]);
	else if (row->kind == MESSAGE_FRAME && atoi(type + 5) != row->message->type)
		document_complain(document, line, "%s is type %u", row->name, row->message->type);
}

/* Does the code expect a table below this message's heading? */
static bool has_table(const struct message_row *row)
{
	return row->message->field_count > 0 && !row->tabulated_elsewhere;
}

struct seen {
	bool heading[ROWS_MAX];
	bool table[ROWS_MAX];
};

static const struct message_row *take_heading(
	struct document *document, int line, struct seen *seen)
{
	char name[256], what[256];
	const struct message_row *row;

	if (!split_heading(document->lines[line], name, what, sizeof(name)))
		return NULL;
	row = message_row_find(name);
	if (row == NULL) {
		document_complain(document, line, "the code has no %s", name);
		return NULL;
	}
	if (seen->heading[row - message_rows])
		document_complain(document, line, "%s for the second time", name);
	seen->heading[row - message_rows] = true;
	check_heading(document, line, row, what);
	return row;
}

static void take_table(
	struct document *document, int line, const struct message_row *row, struct seen *seen)
{
	if (row == NULL || !has_table(row) || seen->table[row - message_rows]) {
		document_complain(document, line, "a table of fields that belongs to no message");
		return;
	}
	seen->table[row - message_rows] = true;
	check_field_table(document, line, row->message);
}

void check_messages(struct document *document)
{
	const struct message_row *row = NULL;
	struct seen seen = {{false}, {false}};

	if (message_row_count > ROWS_MAX)
		document_complain(document, -1, "ROWS_MAX is too small");
	for (int line = 0; line < document->line_count; line++) {
		if (strncmp(document->lines[line], "##", 2) == 0)
			row = take_heading(document, line, &seen);
		else if (document_table(document, line, "offset|size|field|meaning"))
			take_table(document, line, row, &seen);
	}
	for (unsigned i = 0; i < message_row_count; i++) {
		if (!seen.heading[i])
			document_complain(document, -1, "no heading for %s", message_rows[i].name);
		else if (has_table(&message_rows[i]) && !seen.table[i])
			document_complain(document, -1, "no table for %s", message_rows[i].name);
	}
}
