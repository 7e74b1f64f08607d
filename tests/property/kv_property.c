/*
 * Requests to kv in pieces of any size: what is understood does not depend on
 * where the bytes were split, on the buffer, or on memory that runs out; and whatever
 * comes, no memory is lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/kv_talk.h"
#include "tests/lib/suite.h"

#define MB     (1u << 20)
#define ROUNDS 1000

static struct kv_server server;

/* Bytes that grow. */
struct buffer {
	unsigned char *data;
	size_t len, room;
};

static void add(struct buffer *buffer, const void *bytes, size_t len)
{
	while (buffer->len + len > buffer->room) {
		buffer->room = 2 * buffer->room + 1024;
		buffer->data = realloc(buffer->data, buffer->room);
	}
	memcpy(buffer->data + buffer->len, bytes, len);
	buffer->len += len;
}

static void add_text(struct buffer *buffer, const char *text)
{
	add(buffer, text, strlen(text));
}

static void add_bulk(struct buffer *buffer, const void *bytes, size_t len)
{
	char head[32];

	add(buffer, head, (size_t)snprintf(head, sizeof(head), "$%zu\r\n", len));
	add(buffer, bytes, len);
	add_text(buffer, "\r\n");
}

static void add_count(struct buffer *buffer, unsigned count)
{
	char head[32];

	add(buffer, head, (size_t)snprintf(head, sizeof(head), "*%u\r\n", count));
}

static void forget(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}

/* A buffer as small as may be, or larger than most requests. */
static size_t any_capacity(struct random *random)
{
	return 4096u << random_below(random, 7);
}

static size_t any_len(struct random *random)
{
	return random_once_in(random, 20) ? random_len(random, 400000)
					  : random_len(random, 200) - 1;
}

/* ---- requests that are right */

/* ECHO, SET and then GET, MSET and then MGET of binary arguments, and what is to be answered. */
static void add_exchange(struct random *random, struct buffer *requests, struct buffer *answers)
{
	static unsigned char value[400000];
	unsigned kind = (unsigned)random_below(random, 4),
		 count = (unsigned)random_len(random, 300);
	size_t len = any_len(random);
	char key[32];

	pattern_fill(random_next(random), 0, value, len);
	switch (kind) {
	case 0:
		add_count(requests, 2);
		add_bulk(requests, "ECHO", 4);
		add_bulk(requests, value, len);
		add_bulk(answers, value, len);
		break;
	case 1:
		add_count(requests, 3);
		add_bulk(requests, "SET", 3);
		add_bulk(requests, "key", 3);
		add_bulk(requests, value, len);
		add_text(requests, "get \"key\"\r\n");
		add_text(answers, "+OK\r\n");
		add_bulk(answers, value, len);
		break;
	case 2:
		add_count(requests, 1 + 2 * count);
		add_bulk(requests, "MSET", 4);
		for (unsigned i = 0; i < count; i++) {
			add_bulk(requests, key, (size_t)snprintf(key, sizeof(key), "key %u", i));
			add_bulk(requests, value, (len + i) % 300);
		}
		add_text(answers, "+OK\r\n");
		add_count(requests, 1 + count);
		add_count(answers, count);
		add_bulk(requests, "MGET", 4);
		for (unsigned i = 0; i < count; i++) {
			add_bulk(requests, key, (size_t)snprintf(key, sizeof(key), "key %u", i));
			add_bulk(answers, value, (len + i) % 300);
		}
		break;
	default:
		add_text(requests, "*0\r\n\r\nPING\r\n");
		add_text(answers, "+PONG\r\n");
	}
}

START_TEST(answers_do_not_depend_on_pieces)
{
	struct random random = {random_seed()};

	for (int round = 0; round < ROUNDS; round++) {
		struct buffer requests = {0}, answers = {0};
		struct kv_talk talk;

		kv_talk_serve(&server, 32 * MB);
		kv_talk_start(&talk, &server, any_capacity(&random));
		for (uint64_t n = random_len(&random, 20); n > 0; n--)
			add_exchange(&random, &requests, &answers);
		kv_talk_send(&talk, requests.data, requests.len, &random);
		expect_equal(talk.answers_len, answers.len);
		expect_equal(memcmp(talk.answers, answers.data, answers.len), 0);
		expect_equal(talk.pending_len, 0);
		kv_talk_end(&talk);
		kv_talk_stop(&server);
		forget(&requests);
		forget(&answers);
	}
}
END_TEST

/* ---- memory that runs out */

/* The answers are the right ones or -OOM, each request has one, and nothing is half done. */
static void check_short_answers(const struct kv_talk *talk, unsigned requests)
{
	const unsigned char *at = talk->answers, *end = at + talk->answers_len;
	unsigned answers = 0;

	for (; at < end; answers++) {
		const unsigned char *line = memchr(at, '\n', (size_t)(end - at));

		expect(line != NULL &&
			(*at == '+' || *at == '$' || *at == ':' || memcmp(at, "-OOM ", 5) == 0));
		if (*at == '$' && at[1] != '-')
			line += atoi((const char *)at + 1) + 2;
		at = line + 1;
	}
	expect(at == end);
	expect_equal(answers, requests);
}

START_TEST(short_of_memory)
{
	static const char *const words[] = {"SET", "APPEND", "GETSET", "GET", "DEL", "MSET"};
	static unsigned char value[600000];
	struct random random = {random_seed()};

	for (int round = 0; round < ROUNDS / 3; round++) {
		struct buffer requests = {0};
		struct kv_talk talk;
		unsigned count = 50;

		kv_talk_serve(&server, MB + MB / 4);
		kv_talk_start(&talk, &server, any_capacity(&random));
		for (unsigned i = 0; i < count; i++) {
			const char *word = words[random_below(&random, 6)];
			char key[16];
			int len = snprintf(
				key, sizeof(key), "k%u", (unsigned)random_below(&random, 10));
			bool one = word[0] == 'D' || strcmp(word, "GET") == 0;

			add_count(&requests, one ? 2 : 3);
			add_bulk(&requests, word, strlen(word));
			add_bulk(&requests, key, (size_t)len);
			if (!one)
				add_bulk(&requests, value, random_len(&random, sizeof(value)));
		}
		kv_talk_send(&talk, requests.data, requests.len, &random);
		expect_equal(talk.client.quit, false);
		check_short_answers(&talk, count);
		kv_talk_end(&talk);
		kv_talk_stop(&server);
		forget(&requests);
	}
}
END_TEST

/* ---- requests that are wrong */

static void damage(struct random *random, struct buffer *requests)
{
	if (random_once_in(random, 4)) /* cut off */
		requests->len = random_len(random, requests->len);
	for (uint64_t n = random_len(random, 10); n > 0; n--) {
		size_t at = random_below(random, requests->len);

		if (random_once_in(random, 2))
			requests->data[at] = (unsigned char)random_next(random);
		else
			requests->data[at] =
				(unsigned char)"*$\r\n\"'\\ 0159-"[random_below(random, 13)];
	}
}

/* The answers to all of it, to be freed. */
static unsigned char *answers_to(
	const struct buffer *requests, size_t capacity, struct random *splits, size_t *ret_len)
{
	struct kv_talk talk;
	unsigned char *answers;

	kv_talk_serve(&server, 32 * MB);
	kv_talk_start(&talk, &server, capacity);
	kv_talk_send(&talk, requests->data, requests->len, splits);
	answers = talk.answers;
	talk.answers = NULL;
	*ret_len = talk.answers_len;
	kv_talk_end(&talk);
	kv_talk_stop(&server);
	return answers;
}

/* Damaged ones are answered in pieces as they are whole, and a connection that ends leaves nothing.
 */
START_TEST(damage_does_no_harm)
{
	struct random random = {random_seed()};

	for (int round = 0; round < ROUNDS; round++) {
		struct buffer requests = {0}, right = {0};
		unsigned char *whole, *pieces;
		size_t whole_len, pieces_len;

		for (uint64_t n = random_len(&random, 10); n > 0; n--)
			add_exchange(&random, &requests, &right);
		damage(&random, &requests);
		whole = answers_to(&requests, 1u << 20, NULL, &whole_len);
		pieces = answers_to(&requests, 1u << 18, &random, &pieces_len);
		expect_equal(whole_len, pieces_len);
		expect_equal(memcmp(whole, pieces, whole_len), 0);
		free(whole);
		free(pieces);
		forget(&requests);
		forget(&right);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("kv_property");
	TCase *all = tcase_create("all");

	tcase_set_timeout(all, 250);
	tcase_add_test(all, answers_do_not_depend_on_pieces);
	tcase_add_test(all, short_of_memory);
	tcase_add_test(all, damage_does_no_harm);
	suite_add_tcase(suite, all);
	return suite_run(suite);
}
