/*
 * exchange ADDR:PORT: its part of what each client asks for (tests/lib/plan.h), and an account of
 * it. Two fibers a connection: this guest is to read and write at once, as the client does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/ferrule.h"
#include "tests/lib/plan.h"

static struct plan_report report;

struct session {
	struct stream *stream;
	struct plan_request request;
	struct plan plan;

	uint64_t read; /* bytes, all of them right */
	long read_end; /* 0, or the errno */
	bool read_over;
	int write_error;
	bool write_over;
	bool mismatch;
	struct wait_list changed; /* one of the two is over */
};

static void pause_for(unsigned ms)
{
	if (ms != 0)
		fiber_sleep(in_milliseconds(ms));
}

/* ---- reading */

static void read_to_the_end(struct session *session)
{
	struct random random = {session->request.seed + 1};
	const unsigned char *data;
	long len;

	while ((len = stream_peek(session->stream, &data, 1, FOREVER)) > 0) {
		size_t piece = plan_piece(&session->plan, &random, (uint64_t)len);
		size_t right = pattern_match(
			session->plan.way[PLAN_CLIENT].key, session->read, data, piece);
		session->mismatch |= right != piece;
		session->read += piece;
		stream_consume(session->stream, piece);
		pause_for(plan_pause(&session->plan, &random));
	}
	session->read_end = len;
	session->read_over = true;
	wait_list_wake(&session->changed);
}

/* ---- writing */

static void write_pattern(struct session *session)
{
	const struct plan_way *way = &session->plan.way[PLAN_GUEST];
	struct random random = {session->request.seed + 2};
	unsigned char *room;

	for (uint64_t done = 0; done < way->len;) {
		uint64_t piece = plan_piece(&session->plan, &random, way->len - done);
		long space = stream_reserve(session->stream, &room, 1, FOREVER);
		if (space < 0) {
			session->write_error = (int)space;
			return;
		}
		if (piece > (uint64_t)space)
			piece = (uint64_t)space;
		pattern_fill(way->key, done, room, (size_t)piece);
		stream_commit(session->stream, (size_t)piece);
		done += piece;
		pause_for(plan_pause(&session->plan, &random));
	}
}

/* A fiber. */
static void write_and_end(void *argument)
{
	struct session *session = argument;
	const struct plan_way *way = &session->plan.way[PLAN_GUEST];

	while (way->waits && !session->read_over)
		wait_list_wait(&session->changed, FOREVER);
	if (!way->waits || session->read_end == 0)
		write_pattern(session);
	if (way->end == PLAN_RESET)
		stream_fail(session->stream, ECONNRESET);
	else
		stream_finish(session->stream);
	session->write_over = true;
	wait_list_wake(&session->changed);
}

/* ---- the account */

static bool is_as_planned(const struct session *session)
{
	uint64_t len = session->plan.way[PLAN_CLIENT].len;
	bool all = session->read_end == 0 && session->read == len;
	bool some = session->read <= len;

	if (session->mismatch)
		return false;
	switch (plan_class(&session->plan)) {
	case PLAN_WHOLE:
		return all && session->write_error == 0;
	case PLAN_GUEST_CLOSES:
		return session->write_error == 0;
	case PLAN_GUEST_RESETS:
		return session->write_error == 0 &&
		       (all || (some && session->read_end == -ECONNABORTED));
	case PLAN_CLIENT_RESETS:
		return some && session->read_end == -ECONNRESET;
	default:
		return false;
	}
}

static void account(const struct session *session)
{
	enum plan_class class = plan_class(&session->plan);

	report.count[class]++;
	if (class == PLAN_WHOLE)
		report.whole_bytes += session->read;
	if (is_as_planned(session))
		return;
	report.wrong++;
	fprintf(stderr,
		"exchange: kind %u, seed 0x%llx (class %u): read %llu of %llu, then %ld; writing: "
		"%d%s\n",
		(unsigned)session->request.kind, (unsigned long long)session->request.seed,
		(unsigned)class, (unsigned long long)session->read,
		(unsigned long long)session->plan.way[PLAN_CLIENT].len, session->read_end,
		session->write_error, session->mismatch ? "; bytes are wrong" : "");
}

static void run_plan(struct session *session)
{
	plan_draw(&session->plan, &session->request);
	if (session->plan.way[PLAN_GUEST].end == PLAN_CLOSE) {
		write_pattern(session);
	} else {
		while (fiber_spawn(write_and_end, session) == -EAGAIN)
			fiber_yield();
		read_to_the_end(session);
		while (!session->write_over)
			wait_list_wait(&session->changed, FOREVER);
	}
	account(session);
}

static void serve(struct stream *stream, const struct endpoint *peer, void *argument)
{
	struct session session = {.stream = stream};
	const unsigned char *data;
	long len = stream_peek(stream, &data, sizeof(session.request), FOREVER);

	(void)peer, (void)argument;
	if (len < (long)sizeof(session.request)) {
		report.headless++;
		return;
	}
	memcpy(&session.request, data, sizeof(session.request));
	stream_consume(stream, sizeof(session.request));
	switch (session.request.kind) {
	case PLAN_TAILS:
	case PLAN_SOAK:
		run_plan(&session);
		break;
	case PLAN_REPORT:
		stream_write(stream, &report, sizeof(report), FOREVER);
		break;
	case PLAN_QUIT:
		stream_close(stream);
		guest_exit(report.wrong == 0 ? 0 : 1);
	default:
		report.wrong++;
	}
}

int main(int argc, char **argv)
{
	char text[ENDPOINT_TEXT_LEN];
	struct endpoint local;
	struct listener *listener;

	if (argc != 2 || endpoint_parse(argv[1], &local) != 0 ||
		tcp_listen(&local, &listener, FOREVER) != 0) {
		fprintf(stderr, "exchange: cannot listen\n");
		return 2;
	}
	printf("exchange: listening on %s\n", endpoint_format(listener_local(listener), text));
	tcp_serve(listener, serve, NULL);
	return 1;
}
