/* Compares PROTOCOL.md with the code: each function does one kind of table, and complains. */
#ifndef FERRULE_TESTS_CHECK_PROTOCOL_DOC_H
#define FERRULE_TESTS_CHECK_PROTOCOL_DOC_H

#include "tests/lib/document.h"

/* Field tables and the headings above them: names, types, offsets, sizes. */
void check_messages(struct document *document);
/* Tables of constants: each known and of that value, none left out. */
void check_constants(struct document *document);
/* The table of errors, row by row, and every error named anywhere. */
void check_errors(struct document *document);
/* Worked dumps: decoded, compared with what is said beside them, encoded again. */
void check_dumps(struct document *document);

#endif
