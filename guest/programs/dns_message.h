/*
 * dns_message: what a forwarder has to know of DNS messages (RFC 1035 section 4): the header, and where the question ends.
 */
#ifndef FERRULE_GUEST_PROGRAMS_DNS_MESSAGE_H
#define FERRULE_GUEST_PROGRAMS_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DNS_HEADER_LEN   12u
#define DNS_QUESTION_MAX 259u /* bytes: a name of 255, type and class */

enum dns_code {
	DNS_SERVER_FAILURE = 2,
};

/* A standard query with one question that is whole: bytes of the message up to the end of that. Else 0. */
size_t dns_query_end(const unsigned char *message, size_t len);
/* The same of an answer to such a query. */
size_t dns_answer_end(const unsigned char *message, size_t len);
/* Do two messages ask the same? Both are whole up to their ends. */
bool dns_same_question(const unsigned char *one, size_t one_end, const unsigned char *other, size_t other_end);

uint16_t dns_id(const unsigned char *message);
void dns_set_id(unsigned char *message, uint16_t id);

#define DNS_FAILURE_MAX (DNS_HEADER_LEN + DNS_QUESTION_MAX)
/* The answer that there is none: its bytes, dns_query_end's number of them. */
void dns_make_failure(const unsigned char *query, size_t query_end, enum dns_code code,
		unsigned char ret_answer[DNS_FAILURE_MAX]);

#endif
