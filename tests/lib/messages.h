/* Every message of PROTOCOL.md that has a table, under the name that its heading there has. */
#ifndef FERRULE_TESTS_LIB_MESSAGES_H
#define FERRULE_TESTS_LIB_MESSAGES_H

#include "control/wire.h"

enum message_kind {
	MESSAGE_FRAME,     /* has a type */
	MESSAGE_PAYLOAD,   /* rides in Open or Opened */
	MESSAGE_STRUCTURE, /* part of other messages */
};

struct message_row {
	enum message_kind kind;
	const char *name;
	const struct wire_message *message;
	bool tabulated_elsewhere; /* PROTOCOL.md names the structure that is its body */
};

extern const struct message_row message_rows[];
extern const unsigned message_row_count;

/* NULL: there is none. */
const struct message_row *message_row_find(const char *name);

#endif
