#include "tests/lib/name_server.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/tcp.h"
#include "tests/lib/clock.h"
#include "tests/lib/suite.h"

#define MESSAGE_MAX 1024
#define HEADER      12
#define TYPE_A      1
#define TYPE_AAAA   28
#define LATER_MAX   64

struct message {
	unsigned char bytes[MESSAGE_MAX];
	size_t len;
};

/* An answer that waits for its time. */
struct later {
	uint64_t due_ns;
	struct message message;
	struct sockaddr_in to;
};

struct question {
	struct message message; /* as it came */
	size_t end;             /* behind its name, type and class */
	char name[256];         /* in small letters */
	uint16_t type;
	struct sockaddr_in from;
};

static uint16_t read_u16(const unsigned char *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void add_u16(struct message *message, unsigned value)
{
	message->bytes[message->len++] = (unsigned char)(value >> 8);
	message->bytes[message->len++] = (unsigned char)value;
}

static bool parse(struct question *question)
{
	const unsigned char *bytes = question->message.bytes;
	size_t at = HEADER, len = 0;

	while (at < question->message.len && bytes[at] != 0) {
		size_t part = bytes[at++];

		if (part > 63 || at + part >= question->message.len || len + part + 1 >= 256)
			return false;
		if (len > 0)
			question->name[len++] = '.';
		for (size_t i = 0; i < part; i++)
			question->name[len++] = (char)tolower(bytes[at++]);
	}
	question->name[len] = '\0';
	if (at + 5 > question->message.len)
		return false;
	question->type = read_u16(bytes + at + 1);
	question->end = at + 5;
	return true;
}

static const struct name_rule *find_rule(
	const struct name_server *server, const struct question *question)
{
	uint16_t family = question->type == TYPE_A ? ENDPOINT_IPV4 : ENDPOINT_IPV6;

	for (size_t i = 0; i < server->rule_count; i++) {
		const struct name_rule *rule = &server->rule[i];

		if (strcmp(rule->name, question->name) == 0 &&
			(rule->family == 0 || rule->family == family))
			return rule;
	}
	return NULL;
}

/* The head of an answer with this code, and the question. */
static struct message begin_answer(const struct question *question, unsigned code)
{
	struct message answer = {.len = question->end};

	memcpy(answer.bytes, question->message.bytes, question->end);
	answer.bytes[2] = 0x81; /* an answer, recursion was desired */
	answer.bytes[3] = (unsigned char)(0x80 | code);
	memset(answer.bytes + 6, 0, 6);
	return answer;
}

static void add_record(struct message *answer, uint16_t type, const char *address)
{
	unsigned char bytes[16];
	size_t len = type == TYPE_A ? 4 : 16;

	if (inet_pton(type == TYPE_A ? AF_INET : AF_INET6, address, bytes) != 1)
		return;
	add_u16(answer, 0xc000 | HEADER); /* the question's name */
	add_u16(answer, type);
	add_u16(answer, 1);
	add_u16(answer, 0);
	add_u16(answer, 30); /* seconds to live */
	add_u16(answer, (unsigned)len);
	memcpy(answer->bytes + answer->len, bytes, len);
	answer->len += len;
	answer->bytes[7]++;
}

static void send_message(int fd, const struct message *message, const struct sockaddr_in *to)
{
	sendto(fd, message->bytes, message->len, 0, (const struct sockaddr *)to, sizeof(*to));
}

static void send_forged(
	struct name_server *server, const struct question *question, enum name_behaviour behaviour)
{
	struct message forged = begin_answer(question, 0);
	int fd = server->fd;

	if (behaviour == NAME_WRONG_ID)
		forged.bytes[0] ^= 0x55;
	if (behaviour == NAME_WRONG_QUESTION)
		forged.bytes[HEADER + 1] = forged.bytes[HEADER + 1] == 'x' ? 'y' : 'x';
	add_record(
		&forged, question->type, question->type == TYPE_A ? "192.0.2.66" : "2001:db8::66");
	if (behaviour == NAME_GARBAGE) {
		forged.bytes[question->end] = 0xc0; /* a name that is itself */
		forged.bytes[question->end + 1] = (unsigned char)question->end;
		send_message(fd, &forged, &question->from);
		forged.len -= 3;
	}
	send_message(fd, &forged, &question->from);
}

static struct message answer_of(const struct name_rule *rule, const struct question *question)
{
	unsigned code = rule == NULL || rule->behaviour == NAME_DOES_NOT_EXIST ? 3
			: rule->behaviour == NAME_FAILS                        ? 2
									       : 0;
	struct message answer = begin_answer(question, code);

	for (size_t i = 0; code == 0 && i < NAME_ADDRESSES && rule->address[i] != NULL; i++)
		add_record(&answer, question->type, rule->address[i]);
	return answer;
}

static void take_question(struct name_server *server, struct later *later)
{
	struct question question = {.end = 0};
	socklen_t len = sizeof(question.from);
	ssize_t got = recvfrom(server->fd, question.message.bytes, MESSAGE_MAX, 0,
		(struct sockaddr *)&question.from, &len);

	question.message.len = got > 0 ? (size_t)got : 0;
	if (got <= HEADER || !parse(&question))
		return;
	atomic_fetch_add(&server->questions, 1);
	const struct name_rule *rule = find_rule(server, &question);
	if (rule != NULL && rule->behaviour == NAME_SILENT)
		return;
	if (rule != NULL && rule->behaviour >= NAME_WRONG_ID)
		send_forged(server, &question, rule->behaviour);
	for (size_t i = 0; i < LATER_MAX; i++)
		if (later[i].due_ns == 0) {
			later[i].due_ns =
				clock_ns() + (rule != NULL ? rule->delay_ms : 0) * 1000000ull + 1;
			later[i].message = answer_of(rule, &question);
			later[i].to = question.from;
			return;
		}
}

static void *server_main(void *argument)
{
	struct name_server *server = argument;
	struct later *later = calloc(LATER_MAX, sizeof(*later));

	while (!atomic_load(&server->ending)) {
		struct pollfd poll_fd = {.fd = server->fd, .events = POLLIN};

		if (poll(&poll_fd, 1, 2) > 0)
			take_question(server, later);
		for (size_t i = 0; i < LATER_MAX; i++)
			if (later[i].due_ns != 0 && later[i].due_ns <= clock_ns()) {
				send_message(server->fd, &later[i].message, &later[i].to);
				later[i].due_ns = 0;
			}
	}
	free(later);
	return NULL;
}

static int bound(uint16_t *ret_port)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	expect_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	expect_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

void name_server_start(
	struct name_server *ret_server, const struct name_rule *rule, size_t rule_count)
{
	*ret_server = (struct name_server){.rule = rule, .rule_count = rule_count};
	ret_server->fd = bound(&ret_server->port);
	expect_equal(pthread_create(&ret_server->thread, NULL, server_main, ret_server), 0);
}

void name_server_stop(struct name_server *server)
{
	atomic_store(&server->ending, true);
	pthread_join(server->thread, NULL);
	close(server->fd);
}
