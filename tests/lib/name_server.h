/*
 * name_server: a DNS server on 127.0.0.1 that answers by rules, some of which lie. Uses Check.
 */
#ifndef FERRULE_TESTS_LIB_NAME_SERVER_H
#define FERRULE_TESTS_LIB_NAME_SERVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_ADDRESSES 20

enum name_behaviour {
	NAME_ANSWERS,        /* with the addresses of the rule, none: there are no such records */
	NAME_DOES_NOT_EXIST,
	NAME_SILENT,
	NAME_FAILS,          /* SERVFAIL */
	/* These send a forged answer with the address 192.0.2.66 (or 2001:db8::66), and then the good one. */
	NAME_WRONG_ID,
	NAME_WRONG_QUESTION, /* of another name */
	NAME_GARBAGE,        /* cut off, with names that lead in circles */
};

struct name_rule {
	const char *name; /* in small letters */
	uint16_t family;  /* ENDPOINT_IPV4 or ENDPOINT_IPV6; 0: both */
	enum name_behaviour behaviour;
	unsigned delay_ms;
	const char *address[NAME_ADDRESSES]; /* of the family that is asked for; others are left out */
};

struct name_server {
	const struct name_rule *rule; /* [rule_count]; a name without a rule does not exist */
	size_t rule_count;
	int fd;
	uint16_t port;
	pthread_t thread;
	atomic_bool ending;
	atomic_uint questions; /* that came */
};

void name_server_start(struct name_server *ret_server, const struct name_rule *rule, size_t rule_count);
void name_server_stop(struct name_server *server);

#endif
