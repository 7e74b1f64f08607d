#include "tests/lib/document.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void document_read(struct document *ret_document, const char *path)
{
	FILE *file = fopen(path, "r");
	char line[4096];

	if (file == NULL) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(EXIT_FAILURE);
	}
	*ret_document = (struct document){.path = path};
	while (fgets(line, sizeof(line), file) != NULL) {
		int count = ret_document->line_count++;

		line[strcspn(line, "\n")] = 0;
		ret_document->lines =
			realloc(ret_document->lines, (size_t)(count + 1) * sizeof(char *));
		ret_document->lines[count] = strdup(line);
	}
	fclose(file);
}

void document_free(struct document *document)
{
	for (int i = 0; i < document->line_count; i++)
		free(document->lines[i]);
	free(document->lines);
}

void document_complain(struct document *document, int line, const char *format, ...)
{
	va_list arguments;

	document->complaints++;
	if (line < 0)
		fprintf(stderr, "%s: ", document->path);
	else
		fprintf(stderr, "%s:%d: ", document->path, line + 1);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

static char *trim(char *text)
{
	char *end;

	text += strspn(text, " ");
	for (end = text + strlen(text); end > text && end[-1] == ' '; end--)
		end[-1] = 0;
	return text;
}

bool document_row(const struct document *document, int line, struct document_row *ret_row)
{
	char *rest, *cell;

	if (line >= document->line_count || document->lines[line][0] != '|')
		return false;
	snprintf(ret_row->text, sizeof(ret_row->text), "%s", document->lines[line] + 1);
	ret_row->count = 0;
	rest = ret_row->text;
	while (ret_row->count < DOCUMENT_CELLS && strchr(rest, '|') != NULL) {
		cell = strsep(&rest, "|");
		ret_row->cell[ret_row->count++] = trim(cell);
	}
	return true;
}

bool document_table(const struct document *document, int line, const char *columns)
{
	char head[256] = "";
	struct document_row row;

	if (!document_row(document, line, &row))
		return false;
	for (int i = 0; i < row.count; i++) {
		size_t len = strlen(head);

		snprintf(head + len, sizeof(head) - len, "%s%s", i > 0 ? "|" : "", row.cell[i]);
	}
	return strcmp(head, columns) == 0;
}
