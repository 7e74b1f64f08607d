/* A Markdown document as lines, table rows and complaints; for the tests that compare one with the
 * code. */
#ifndef FERRULE_TESTS_LIB_DOCUMENT_H
#define FERRULE_TESTS_LIB_DOCUMENT_H

#include <stdbool.h>

#define DOCUMENT_CELLS 8

struct document {
	const char *path;
	char **lines; /* without line ends */
	int line_count;
	int complaints;
};

/* The cells of one row, without the blanks around them. */
struct document_row {
	char text[1024];
	char *cell[DOCUMENT_CELLS];
	int count;
};

/* Exits with a sentence when the file cannot be read. */
void document_read(struct document *ret_document, const char *path);
void document_free(struct document *document);

/* Prints "path:line: ..." and counts it; 'line' counts from 0, -1: the document as a whole. */
__attribute__((format(printf, 3, 4))) void document_complain(
	struct document *document, int line, const char *format, ...);

/* False when the line is no table row. */
bool document_row(const struct document *document, int line, struct document_row *ret_row);
/* Is this line the head of a table with exactly these columns, "a|b|c"? */
bool document_table(const struct document *document, int line, const char *columns);

#endif
