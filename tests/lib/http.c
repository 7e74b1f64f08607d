#include "tests/lib/http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "tests/lib/client.h"
#include "tests/lib/suite.h"

#define BODY_MAX (64u << 20) /* bytes */

/* Byte by byte, so that nothing of the body is taken. */
static void receive_head(int fd, struct http_reply *reply)
{
	size_t len = 0;

	do {
		if (len == sizeof(reply->head) - 1)
			ck_abort_msg("the head of the reply is too long:\n%s", reply->head);
		client_receive(fd, reply->head + len++, 1);
		reply->head[len] = '\0';
	} while (len < 4 || memcmp(reply->head + len - 4, "\r\n\r\n", 4) != 0);
	if (sscanf(reply->head, "HTTP/1.1 %d ", &reply->status) != 1)
		ck_abort_msg("not a status line:\n%s", reply->head);
}

bool http_field(const struct http_reply *reply, const char *name, char *ret_value, size_t room)
{
	size_t len = strlen(name);

	for (const char *line = strstr(reply->head, "\r\n"); line != NULL;
		line = strstr(line, "\r\n")) {
		line += 2;
		if (strncasecmp(line, name, len) != 0 || line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " ");
		snprintf(ret_value, room, "%.*s", (int)strcspn(line, "\r"), line);
		return true;
	}
	return false;
}

static void receive_to_end(int fd, struct http_reply *reply)
{
	size_t room = 1u << 16;

	reply->body = malloc(room + 1);
	for (;;) {
		expect(reply->body != NULL && room <= BODY_MAX);
		ssize_t n = recv(fd, reply->body + reply->body_len, room - reply->body_len, 0);
		if (n < 0)
			ck_abort_msg("receive: %s", strerror(errno));
		reply->body_len += (size_t)n;
		if (n == 0)
			break;
		if (reply->body_len == room)
			reply->body = realloc(reply->body, (room *= 2) + 1);
	}
}

void http_receive(int fd, bool to_head, struct http_reply *ret_reply)
{
	char value[64];

	*ret_reply = (struct http_reply){0};
	receive_head(fd, ret_reply);
	ret_reply->closes = http_field(ret_reply, "Connection", value, sizeof(value)) &&
			    strcasecmp(value, "close") == 0;
	bool has_len = http_field(ret_reply, "Content-Length", value, sizeof(value));
	if (to_head || ret_reply->status == 304) {
		ret_reply->body = calloc(1, 1);
	} else if (has_len) {
		ret_reply->body_len = strtoull(value, NULL, 10);
		expect(ret_reply->body_len <= BODY_MAX);
		ret_reply->body = malloc(ret_reply->body_len + 1);
		expect(ret_reply->body != NULL);
		client_receive(fd, ret_reply->body, ret_reply->body_len);
	} else {
		receive_to_end(fd, ret_reply);
	}
	ret_reply->body[ret_reply->body_len] = '\0';
}

void http_exchange(uint16_t port, const char *request, struct http_reply *ret_reply)
{
	int fd = client_connect(port);

	client_send(fd, request, strlen(request));
	http_receive(fd, strncmp(request, "HEAD ", 5) == 0, ret_reply);
	client_close(fd);
}

void http_get(uint16_t port, const char *target, const char *fields, struct http_reply *ret_reply)
{
	char *request;

	if (asprintf(&request, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", target, fields) < 0)
		abort();
	http_exchange(port, request, ret_reply);
	free(request);
}

void http_reply_free(struct http_reply *reply)
{
	free(reply->body);
	reply->body = NULL;
}
