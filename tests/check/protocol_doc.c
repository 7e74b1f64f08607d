#include "tests/check/protocol_doc.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/error.h"

static void check_error_row(struct document *document, int line, unsigned index)
{
	struct document_row row;

	document_row(document, line, &row);
	if (index >= wire_error_count)
		document_complain(document, line, "the code has no error in this row");
	else if (row.count != 3 || atoi(row.cell[0]) != wire_errors[index].number ||
		 strcmp(row.cell[1], wire_errors[index].name) != 0 ||
		 strcmp(row.cell[2], wire_errors[index].text) != 0)
		document_complain(document, line, "the code has: | %u | %s | %s |",
			wire_errors[index].number, wire_errors[index].name,
			wire_errors[index].text);
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool is_error_name(const char *word, size_t len)
{
	for (unsigned i = 0; i < wire_error_count; i++) {
		if (strlen(wire_errors[i].name) == len &&
			memcmp(wire_errors[i].name, word, len) == 0)
			return true;
	}
	return false;
}

/* Every word of capitals that begins with E is an error. */
static void check_error_names(struct document *document, int line)
{
	const char *at = document->lines[line];

	while (*at != 0) {
		size_t len = 0, capitals = 0;

		while (is_word(at[len])) {
			capitals +=
				isupper((unsigned char)at[len]) || isdigit((unsigned char)at[len]);
			len++;
		}
		if (at[0] == 'E' && len > 2 && capitals == len && !is_error_name(at, len))
			document_complain(document, line, "%.*s is no error", (int)len, at);
		at += len > 0 ? len : 1;
	}
}

void check_errors(struct document *document)
{
	unsigned rows = 0;

	for (int line = 0; line < document->line_count; line++) {
		struct document_row row;

		check_error_names(document, line);
		if (!document_table(document, line, "number|name|meaning"))
			continue;
		for (int i = line + 2; document_row(document, i, &row); i++)
			check_error_row(document, i, rows++);
	}
	if (rows != wire_error_count)
		document_complain(
			document, -1, "%u errors, the code has %u", rows, wire_error_count);
}

int main(int argc, char **argv)
{
	struct document document;
	int complaints;

	if (argc != 2) {
		fprintf(stderr, "usage: protocol_doc PROTOCOL.md\n");
		return EXIT_FAILURE;
	}
	document_read(&document, argv[1]);
	check_messages(&document);
	check_constants(&document);
	check_errors(&document);
	check_dumps(&document);
	complaints = document.complaints;
	document_free(&document);
	return complaints == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
