/* What dns-forward knows of DNS messages. */
#include <stdlib.h>
#include <string.h>

#include "guest/programs/dns_message.h"
#include "tests/lib/suite.h"
#include "tests/lib/wire_sample.h"

static const unsigned char query[] = "\x12\x34\x01\x20\0\1\0\0\0\0\0\1"
				     "\3www\7example\3org\0\0\1\0\1"
				     "\0\0\x29\4\xd0\0\0\0\0\0\0"; /* EDNS */
#define QUERY_LEN (sizeof(query) - 1)
#define QUERY_END (DNS_HEADER_LEN + 17 + 4)

/* In memory of exactly its length. */
static size_t end_of(const unsigned char *message, size_t len, bool answer)
{
	unsigned char *copy = exact_copy(message, len);
	size_t end = answer ? dns_answer_end(copy, len) : dns_query_end(copy, len);

	free(copy);
	return end;
}

START_TEST(queries_and_answers_are_told_apart)
{
	unsigned char message[QUERY_LEN];

	memcpy(message, query, QUERY_LEN);
	expect_equal(end_of(message, QUERY_LEN, false), QUERY_END);
	expect_equal(end_of(message, QUERY_LEN, true), 0);
	message[2] |= 0x80;
	expect_equal(end_of(message, QUERY_LEN, false), 0);
	expect_equal(end_of(message, QUERY_LEN, true), QUERY_END);
	message[2] |= 0x02; /* cut off: an answer all the same */
	expect_equal(end_of(message, QUERY_LEN, true), QUERY_END);
}
END_TEST

START_TEST(malformed_messages)
{
	unsigned char message[400] = {0};

	for (size_t len = 0; len < QUERY_LEN; len++)
		expect_equal(end_of(query, len, false), len < QUERY_END ? 0 : QUERY_END);
	/* Of another kind; with no question, or two. */
	memcpy(message, query, QUERY_LEN);
	message[2] = 0x28;
	expect_equal(end_of(message, QUERY_LEN, false), 0);
	message[2] = 1;
	for (unsigned count = 0; count < 600; count++) {
		message[4] = (unsigned char)(count >> 8);
		message[5] = (unsigned char)count;
		expect_equal(end_of(message, QUERY_LEN, false), count == 1 ? QUERY_END : 0);
	}
	/* Labels that are too long, and pointers. */
	message[4] = 0;
	message[5] = 1;
	for (unsigned label = 64; label < 256; label++) {
		message[DNS_HEADER_LEN] = (unsigned char)label;
		expect_equal(end_of(message, sizeof(message), false), 0);
	}
}
END_TEST

START_TEST(the_longest_name)
{
	unsigned char message[DNS_HEADER_LEN + 300] = {0};
	unsigned char *at = message + DNS_HEADER_LEN;

	message[5] = 1;
	for (int i = 0; i < 3; i++, at += 64)
		*at = 63;
	at[0] = 61; /* 3 * 64 + 62 + 1: 255 */
	expect_equal(end_of(message, DNS_HEADER_LEN + 259, false), DNS_HEADER_LEN + 259);
	expect_equal(end_of(message, DNS_HEADER_LEN + 258, false), 0);
	at[0] = 62;
	expect_equal(end_of(message, DNS_HEADER_LEN + 260, false), 0);
	/* The root. */
	memset(message + DNS_HEADER_LEN, 0, 300);
	expect_equal(end_of(message, DNS_HEADER_LEN + 5, false), DNS_HEADER_LEN + 5);
}
END_TEST

START_TEST(questions_are_compared)
{
	unsigned char other[QUERY_LEN];

	memcpy(other, query, QUERY_LEN);
	dns_set_id(other, 0xbeef);
	expect_equal(dns_id(other), 0xbeef);
	expect_equal(dns_id(query), 0x1234);
	expect(dns_same_question(query, QUERY_END, other, QUERY_END));
	expect(!dns_same_question(query, QUERY_END, other, QUERY_END - 1));
	for (size_t i = DNS_HEADER_LEN; i < QUERY_END; i++) {
		other[i] ^= 0x20;
		expect(!dns_same_question(query, QUERY_END, other, QUERY_END));
		other[i] ^= 0x20;
	}
}
END_TEST

START_TEST(failures)
{
	unsigned char answer[DNS_FAILURE_MAX];

	dns_make_failure(query, QUERY_END, DNS_SERVER_FAILURE, answer);
	expect_equal(dns_answer_end(answer, QUERY_END), QUERY_END);
	expect(dns_same_question(query, QUERY_END, answer, QUERY_END));
	expect(memcmp(answer, "\x12\x34\x81\x82\0\1\0\0\0\0\0\0", DNS_HEADER_LEN) == 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dns");
	TCase *tcase = tcase_create("dns");

	tcase_add_test(tcase, queries_and_answers_are_told_apart);
	tcase_add_test(tcase, malformed_messages);
	tcase_add_test(tcase, the_longest_name);
	tcase_add_test(tcase, questions_are_compared);
	tcase_add_test(tcase, failures);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
