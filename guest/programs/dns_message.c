#include "guest/programs/dns_message.h"

#include <string.h>

#define LABEL_MAX    63u
#define NAME_LEN_MAX 255u

/* In the third byte of a message. */
#define FLAG_ANSWER  0x80u
#define FLAG_OPCODE  0x78u
#define FLAG_DESIRED 0x01u /* recursion */
/* In the fourth. */
#define FLAG_AVAILABLE 0x80u /* recursion */

static unsigned read_u16(const unsigned char *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

/* Where the name ends that begins here, without pointers, which the first name has nowhere to point
 * to; 0: it does not. */
static size_t name_end(const unsigned char *message, size_t at, size_t len)
{
	size_t start = at;

	while (at < len && message[at] != 0) {
		if (message[at] > LABEL_MAX)
			return 0;
		at += 1u + message[at];
	}
	return at < len && at + 1 - start <= NAME_LEN_MAX ? at + 1 : 0;
}

/* Of a standard query, or an answer to one, with one question. */
static size_t question_end(const unsigned char *message, size_t len, unsigned answer)
{
	size_t end;

	if (len < DNS_HEADER_LEN || (message[2] & (FLAG_ANSWER | FLAG_OPCODE)) != answer ||
		read_u16(message + 4) != 1)
		return 0;
	end = name_end(message, DNS_HEADER_LEN, len);
	return end != 0 && len - end >= 4 ? end + 4 : 0;
}

size_t dns_query_end(const unsigned char *message, size_t len)
{
	return question_end(message, len, 0);
}

size_t dns_answer_end(const unsigned char *message, size_t len)
{
	return question_end(message, len, FLAG_ANSWER);
}

bool dns_same_question(
	const unsigned char *one, size_t one_end, const unsigned char *other, size_t other_end)
{
	return one_end == other_end &&
	       memcmp(one + DNS_HEADER_LEN, other + DNS_HEADER_LEN, one_end - DNS_HEADER_LEN) == 0;
}

uint16_t dns_id(const unsigned char *message)
{
	return (uint16_t)read_u16(message);
}

void dns_set_id(unsigned char *message, uint16_t id)
{
	message[0] = (unsigned char)(id >> 8);
	message[1] = (unsigned char)id;
}

void dns_make_failure(const unsigned char *query, size_t query_end, enum dns_code code,
	unsigned char ret_answer[DNS_FAILURE_MAX])
{
	memcpy(ret_answer, query, query_end);
	ret_answer[2] = (unsigned char)(FLAG_ANSWER | (query[2] & FLAG_DESIRED));
	ret_answer[3] = (unsigned char)(FLAG_AVAILABLE | code);
	memset(ret_answer + 6, 0, 6); /* one question, and nothing else */
}
