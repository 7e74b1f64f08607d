/*
 * kv [--listen ADDR:PORT|unix:PATH] [--max-memory SIZE]: keys and values in memory, over the Redis
 * protocol.
 *
 * One fiber serves one connection. It runs all requests that have come, their
 * answers written side by side into the ring as they are made, and then waits;
 * what an answer has beyond the room of the ring it sends before it goes on, so
 * a client that does not read its answers waits for nobody but itself. One more
 * fiber frees what waits for it and what has expired.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"
#include "guest/programs/kv_session.h"
#include "guest/programs/kv_text.h"
#include "guest/programs/remedy.h"
#include "guest/programs/service.h"

#define SPARE_MOST   (8u << 20)   /* bytes of the heap for streams and fibers */
#define HOSTED_MOST  (1ull << 40) /* a process has as much memory as it is let have */
#define HOSTED_LIMIT (96u << 20)  /* unless it is told otherwise */
#define WORK_STEPS   500u         /* buckets or keys of one turn: a fraction of a millisecond */
#define WORK_TURNS   10u          /* then it rests, when little had expired */
#define WORK_REST_MS 100
#define LINGER_MS    2000

static struct kv_server server;
static struct wait_list idle; /* the fiber that frees, with nothing to do */

static void tick(void)
{
	kv_store_tick(&server.store, clock_wall() / 1000000);
}

/* ---- connections */

/* What an answer has beyond the ring's room. False: nobody reads it. */
static bool send_pieces(struct stream *stream, struct kv_reply *reply)
{
	bool sent = true;

	for (; reply->first; kv_reply_drop_piece(reply)) {
		const struct kv_node *node = reply->first->value->first;
		uint64_t left = reply->first->len;

		/* The value may grow meanwhile, behind what is to be sent. */
		for (; sent && left > 0; node = node->next) {
			size_t part = node->len < left ? node->len : (size_t)left;

			sent = stream_write(stream, node->bytes, part, FOREVER) == (long)part;
			left -= part;
		}
	}
	return sent;
}

/* What has come, or else the next that comes. False: the connection is over. */
static bool serve_some(struct stream *stream, struct kv_client *client, size_t *want)
{
	struct kv_reply *reply = &client->reply;
	const unsigned char *data;
	size_t least = stream_write_capacity(stream) / 4;
	long len = stream_peek(stream, &data, *want, FOREVER), room;

	if (len <= 0 || (size_t)len < *want)
		return false;
	room = stream_reserve(
		stream, &reply->room, least > KV_REPLY_LEAST ? least : KV_REPLY_LEAST, FOREVER);
	if (room < 0)
		return false;
	reply->room_len = (size_t)room;
	reply->used = 0;
	tick();
	stream_consume(stream, kv_session_run(&server, client, data, (size_t)len, want));
	stream_commit(stream, reply->used);
	if (kv_store_has_work(&server.store))
		wait_list_wake(&idle);
	return send_pieces(stream, reply) && !client->quit;
}

static void serve(struct stream *stream, void *argument)
{
	char peer_text[ENDPOINT_TEXT_LEN];
	struct kv_client client = {
		.peer = endpoint_format(stream_peer(stream), peer_text), .local = argument};
	size_t want = 1;

	tick();
	kv_session_begin(&server, &client, stream_read_capacity(stream));
	while (serve_some(stream, &client, &want))
		;
	kv_session_end(&server, &client);
	if (client.quit)
		service_linger(stream, LINGER_MS);
}

/* ---- freeing and expiring */

static void work(void *argument)
{
	(void)argument;
	for (;;) {
		bool more = true;

		while (!kv_store_has_work(&server.store))
			wait_list_wait(&idle, FOREVER);
		for (unsigned turn = 0; turn < WORK_TURNS || more; turn++) {
			tick();
			more = kv_store_work(&server.store, WORK_STEPS);
			/* Unlike fiber_yield this lets the scheduler look at what has come. */
			fiber_sleep(clock_now());
		}
		fiber_sleep(in_milliseconds(WORK_REST_MS));
	}
}

/* ---- the program */

static const char help[] =
	"usage: kv [--listen ADDR:PORT|unix:PATH] [--max-memory SIZE]\n"
	"\n"
	"Keeps keys and values in memory for clients of Redis (RESP2): strings, which may expire.\n"
	"Listens on 127.0.0.1:6379 unless told otherwise. SIZE is in bytes, or with k, kb, m, mb,\n"
	"g or gb behind it; three quarters of the guest's heap unless told otherwise. What would\n"
	"exceed it is refused.\n"
	"\n"
	"It needs the grant --listen ADDR:PORT or --unix PATH:listen, and has as much memory as\n"
	"--memory gives:\n"
	"  ferrule run --listen 127.0.0.1:6379 --memory 1G kv.elf\n";

/* 'what' is wrong with this argument. */
static int usage(const char *argument, const char *what)
{
	fprintf(stderr,
		"kv: '%s' %s; usage: kv [--listen ADDR:PORT|unix:PATH] [--max-memory SIZE]; --help "
		"explains%s\n",
		argument, what, hint_for_option(argument));
	return 2;
}

/*
 * The default limit, and the largest that the heap has room for: the streams need some of it, more
 * the more fibers there can be, and malloc rounds. 0: there is not enough for any.
 */
static uint64_t usual_limit(uint64_t *ret_most)
{
	uint64_t heap = guest_heap_len(), spare = heap / 8 < SPARE_MOST ? heap / 8 : SPARE_MOST;

	*ret_most = heap ? kv_memory_limit_of(heap - heap / 16 - spare) : HOSTED_MOST;
	return heap ? kv_memory_limit_of(heap / 4 * 3) : HOSTED_LIMIT;
}

/* 0, or the exit status after a message. */
static int choose_limit(const char *size, uint64_t *ret_limit)
{
	struct kv_bytes text = {
		.data = (const unsigned char *)size, .len = size ? strlen(size) : 0};

	*ret_limit = usual_limit(&server.most);
	if (*ret_limit == 0) {
		fprintf(stderr, "kv: the guest's heap is too small for any key; give it more with "
				"--memory\n");
		return 1;
	}
	if (!size)
		return 0;
	if (!kv_parse_memory(&text, ret_limit))
		return usage(size, "is no size, as 64mb is one");
	if (*ret_limit < KV_LIMIT_LEAST)
		return usage(size, "is less than 1mb, the least that does");
	if (*ret_limit > server.most) {
		fprintf(stderr,
			"kv: the guest's heap has no room for %s; choose at most %llu, or give it "
			"more "
			"with --memory\n",
			size, (unsigned long long)server.most);
		return 1;
	}
	return 0;
}

static int start(uint64_t limit)
{
	uint8_t secret[KV_HASH_KEY_LEN];

	guest_random(secret, sizeof(secret));
	guest_random(server.run_id, sizeof(server.run_id));
	if (kv_store_start(&server.store, limit, secret)) {
		fprintf(stderr,
			"kv: no memory for an empty table; give the guest more with --memory\n");
		return 1;
	}
	kv_server_start(&server);
	tick();
	server.started = server.store.now;
	if (fiber_spawn(work, NULL)) {
		fprintf(stderr,
			"kv: no fiber is left to free memory; give the guest more with --memory\n");
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct service service = {.name = "kv", .serve = serve};
	static char standard[] = "127.0.0.1:6379";
	char *address = standard;
	const char *size = NULL;
	struct endpoint local;
	uint64_t limit;
	int status;

	if (help_asked(argc, argv, help))
		return 0;
	for (int i = 1; i < argc; i++) {
		bool listen = strcmp(argv[i], "--listen") == 0;

		if (!listen && strcmp(argv[i], "--max-memory") != 0)
			return usage(argv[i], "is no option");
		if (i + 1 == argc)
			return usage(argv[i], "has no value");
		if (listen)
			address = argv[++i];
		else
			size = argv[++i];
	}
	status = choose_limit(size, &limit);
	if (!status)
		status = start(limit);
	if (status)
		return status;
	if (!endpoint_parse(address, &local))
		server.port = local.port;
	return service_run(&service, address, address);
}
