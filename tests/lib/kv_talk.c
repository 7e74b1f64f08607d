#include "tests/lib/kv_talk.h"

#include <stdlib.h>
#include <string.h>

#include "tests/lib/suite.h"

#define ROOM 16384u /* bytes for answers; what is longer comes in pieces */

void kv_talk_serve(struct kv_server *server, uint64_t limit)
{
	static const uint8_t secret[KV_HASH_KEY_LEN] = {7};

	*server = (struct kv_server){.most = 1u << 30, .port = 6379};
	expect_equal(kv_store_start(&server->store, limit, secret), 0);
	kv_server_start(server);
	kv_store_tick(&server->store, KV_TALK_NOW);
	server->started = KV_TALK_NOW;
}

void kv_talk_start(struct kv_talk *talk, struct kv_server *server, size_t capacity)
{
	*talk = (struct kv_talk){.server = server, .capacity = capacity, .want = 1};
	talk->client.peer = "127.0.0.1:1";
	talk->client.local = "127.0.0.1:6379";
	kv_session_begin(server, &talk->client, capacity);
	kv_talk_forget_answers(talk);
}

void kv_talk_end(struct kv_talk *talk)
{
	kv_session_end(talk->server, &talk->client);
	free(talk->pending);
	free(talk->answers);
}

void kv_talk_stop(struct kv_server *server)
{
	expect_equal(server->client_count, 0);
	kv_store_clear(&server->store);
	while (kv_store_work(&server->store, 1000))
		;
	expect_equal(server->store.memory.objects, 1); /* the table */
	expect_equal(
		server->store.memory.blocks, 3); /* that, its directory and its first segment */
	kv_store_end(&server->store);
}

void kv_talk_forget_answers(struct kv_talk *talk)
{
	free(talk->answers);
	talk->answers = calloc(1, 1);
	talk->answers_len = 0;
}

static void add_answer(struct kv_talk *talk, const void *bytes, size_t len)
{
	talk->answers = realloc(talk->answers, talk->answers_len + len + 1);
	memcpy(talk->answers + talk->answers_len, bytes, len);
	talk->answers_len += len;
	talk->answers[talk->answers_len] = 0;
}

static void take_answers(struct kv_talk *talk)
{
	struct kv_reply *reply = &talk->client.reply;

	add_answer(talk, reply->room, reply->used);
	for (; reply->first; kv_reply_drop_piece(reply)) {
		uint64_t left = reply->first->len;

		for (struct kv_node *node = reply->first->value->first; left > 0;
			node = node->next) {
			size_t part = node->len < left ? node->len : (size_t)left;

			add_answer(talk, node->bytes, part);
			left -= part;
		}
	}
}

/* The bytes are moved each time, and nothing may be read behind them: the sanitizers see to that.
 */
static size_t run_once(struct kv_talk *talk)
{
	struct kv_reply *reply = &talk->client.reply;
	unsigned char *bytes = malloc(talk->pending_len ? talk->pending_len : 1);
	size_t done;

	memcpy(bytes, talk->pending, talk->pending_len);
	reply->room = malloc(ROOM);
	reply->room_len = ROOM;
	reply->used = 0;
	done = kv_session_run(talk->server, &talk->client, bytes, talk->pending_len, &talk->want);
	expect(done <= talk->pending_len && talk->want > 0 && talk->want <= talk->capacity);
	take_answers(talk);
	free(reply->room);
	free(bytes);
	talk->pending_len -= done;
	memmove(talk->pending, talk->pending + done, talk->pending_len);
	return done;
}

void kv_talk_send(struct kv_talk *talk, const void *bytes, size_t len, struct random *splits)
{
	const unsigned char *from = bytes;

	if (!talk->pending)
		talk->pending = malloc(talk->capacity);
	while (len > 0 && !talk->client.quit) {
		size_t room = talk->capacity - talk->pending_len, part = len < room ? len : room;

		expect(room > 0);
		if (splits)
			part = random_len(splits, part);
		memcpy(talk->pending + talk->pending_len, from, part);
		talk->pending_len += part;
		from += part;
		len -= part;
		while (talk->pending_len >= talk->want && !talk->client.quit)
			if (run_once(talk) == 0 && talk->pending_len >= talk->want &&
				!talk->client.quit)
				ck_abort_msg(
					"%zu bytes are there, %zu were wanted, and nothing is done",
					talk->pending_len, talk->want);
	}
}

const char *kv_talk_line(struct kv_talk *talk, const char *line)
{
	kv_talk_forget_answers(talk);
	kv_talk_send(talk, line, strlen(line), NULL);
	kv_talk_send(talk, "\r\n", 2, NULL);
	return (const char *)talk->answers;
}
