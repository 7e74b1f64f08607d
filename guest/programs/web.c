/*
 * web [--listen ADDR:PORT] [--write] [DIR]: a web server for the files of a directory.
 *
 * One fiber serves one connection: it waits for a request, parses it where it
 * lies in the ring, answers, and goes on with the next one, pipelined or not.
 */
#include "guest/programs/web.h"

#include <stdio.h>
#include <string.h>

#include "guest/programs/http_types.h"
#include "guest/programs/remedy.h"
#include "guest/programs/service.h"
#include "guest/programs/text.h"
#include "guest/programs/web_directory.h"
#include "protocol/error.h"

#define BODY_MOST  65536u /* bytes of a request's body that are skipped; then 413 */
#define LINGER_MS  2000
#define INDEX_NAME "index.html"

/* ---- answers */

static int send_directory(struct exchange *exchange)
{
	struct text page = {0};
	struct answer answer = {.status = 200, .type = "text/html; charset=utf-8"};
	int error = directory_page(exchange->path, exchange->request.path, &page, web_deadline());

	if (!error) {
		answer.length = page.len;
		if (answer_send(exchange, &answer, page.data))
			error = -ECONNABORTED;
	}
	text_free(&page);
	return error;
}

static int send_index(struct exchange *exchange)
{
	size_t len = strlen(exchange->path);
	int error;

	if (len + sizeof(INDEX_NAME) > sizeof(exchange->path))
		return -ENAMETOOLONG;
	strcpy(exchange->path + len, INDEX_NAME);
	error = web_send_file(exchange, exchange->path);
	exchange->path[len] = 0;
	if (error == -ENOENT || error == -EISDIR)
		error = send_directory(exchange);
	return error;
}

/* To the address that ends in a slash, or the relative links of the page would be wrong. */
static int send_redirect(struct exchange *exchange)
{
	struct text location = {0};
	const struct http_text *query = &exchange->request.query;
	struct answer answer = {.status = 301, .type = "text/html; charset=utf-8"};
	int error = -ENOMEM;

	text_add_url(&location, exchange->request.path);
	text_add(&location, "/");
	if (query->len)
		text_add_bytes(&location, query->data, query->len);
	answer.location = text_string(&location);
	if (answer.location)
		error = answer_send(exchange, &answer, "") ? -ECONNABORTED : 0;
	text_free(&location);
	return error;
}

/* What the request's path means here. False: it is too long. */
static bool find_path(struct exchange *exchange)
{
	const char *path = exchange->request.path;
	size_t root_len = strlen(exchange->root), len = strlen(path);

	if (root_len + len >= sizeof(exchange->path))
		return false;
	memcpy(exchange->path, exchange->root, root_len);
	memcpy(exchange->path + root_len, path, len + 1);
	return true;
}

static int send_path(struct exchange *exchange)
{
	const char *path = exchange->request.path;
	int error;

	if (path[strlen(path) - 1] == '/')
		return send_index(exchange);
	error = web_send_file(exchange, exchange->path);
	return error == -EISDIR ? send_redirect(exchange) : error;
}

/* Is it a request that changes files, where that is allowed? */
static bool may_write(const struct exchange *exchange)
{
	enum http_method method = exchange->request.method;

	return exchange->writable && (method == HTTP_PUT || method == HTTP_DELETE);
}

/* False: the connection is of no use any more. */
static bool answer_request(struct exchange *exchange)
{
	const struct http_request *request = &exchange->request;
	int error;

	if (request->method == HTTP_UNKNOWN)
		return answer_error(exchange, 501) == 0;
	if (request->method > HTTP_HEAD && !may_write(exchange))
		return answer_error(exchange, 405) == 0;
	if (!find_path(exchange))
		return answer_error(exchange, 404) == 0;
	if (request->method > HTTP_HEAD)
		return web_write(exchange);
	if (request->content_length > BODY_MOST)
		return answer_error(exchange, 413) == 0;
	error = send_path(exchange);
	if (error && error != -ECONNABORTED)
		return answer_error(exchange, answer_status(error)) == 0;
	return error == 0;
}

/* ---- connections */

/* The length of the next head, a negative status to refuse it with, or 0: none comes. */
static long read_head(struct exchange *exchange)
{
	deadline until = web_deadline();
	size_t seen = 0;

	for (;;) {
		const unsigned char *data;
		long len = stream_peek(exchange->stream, &data, seen + 1, until), head;

		if (len == -ETIMEDOUT && seen > 0)
			return -408;
		if (len < 0 || (size_t)len <= seen)
			return 0;
		head = http_parse_request((const char *)data, (size_t)len, &exchange->request);
		if (head)
			return head;
		seen = (size_t)len;
	}
}

/* One deadline for all of it: a byte now and then does not hold a connection. */
static bool skip(struct stream *stream, uint64_t left)
{
	deadline until = web_deadline();

	while (left > 0) {
		const unsigned char *data;
		long len = stream_peek(stream, &data, 1, until);

		if (len <= 0)
			return false;
		if ((uint64_t)len > left)
			len = (long)left;
		stream_consume(stream, (size_t)len);
		left -= (uint64_t)len;
	}
	return true;
}

/* A body is skipped only behind an answer that did not refuse it. */
static bool can_go_on(const struct exchange *exchange)
{
	const struct http_request *request = &exchange->request;

	if (may_write(exchange) && request->method == HTTP_PUT)
		return request->keep_alive && !request->chunked;
	return request->keep_alive && !request->chunked && request->content_length <= BODY_MOST &&
	       (request->method <= HTTP_HEAD || may_write(exchange));
}

/* One request. False: it was the last. */
static bool serve_one(struct exchange *exchange)
{
	long head = read_head(exchange);

	if (head == 0)
		return false;
	exchange->keep_alive = head > 0 && can_go_on(exchange);
	if (head < 0) {
		/* Whatever the method was to be: the page is sent. */
		exchange->request.method = HTTP_GET;
		answer_error(exchange, (int)-head);
		service_linger(exchange->stream, LINGER_MS);
		return false;
	}
	exchange->head = (size_t)head;
	if (!answer_request(exchange))
		return false;
	stream_consume(exchange->stream, exchange->head);
	if (exchange->keep_alive)
		return skip(exchange->stream, exchange->request.content_length);
	service_linger(exchange->stream, LINGER_MS);
	return false;
}

static bool server_writable; /* --write */

static void serve(struct stream *stream, const struct endpoint *peer, void *argument)
{
	struct exchange exchange = {
		.stream = stream, .root = argument, .writable = server_writable};

	(void)peer;
	while (serve_one(&exchange))
		;
}

/* ---- the program */

static const char help[] =
	"usage: web [--listen ADDR:PORT] [--write] [DIR]\n"
	"\n"
	"Serves the files of the guest's directory DIR (/srv) at http://ADDR:PORT/\n"
	"(127.0.0.1:8080). With --write, and :rw behind the mount, PUT and DELETE change them,\n"
	"for everyone who can connect.\n"
	"\n"
	"It needs the grants --listen ADDR:PORT and --mount HOSTDIR:DIR:\n"
	"  ferrule run --listen 127.0.0.1:8080 --mount .:/srv web.elf\n";

/* 'what' is wrong with this argument. */
static int usage(const char *argument, const char *what)
{
	fprintf(stderr,
		"web: '%s' %s; usage: web [--listen ADDR:PORT] [--write] [DIR]; --help "
		"explains%s\n",
		argument, what, hint_for_option(argument));
	return 2;
}

static int cannot_serve(const char *directory, int error)
{
	const char *remedy = "ferrule's own warning says what would allow it";

	if (error == -ENOTDIR || error == -ENOENT)
		remedy = "name a directory that is there";
	if (error == -EMFILE || error == -ENOBUFS)
		remedy = "raise the --limit of ferrule run, or take it away";
	fprintf(stderr, "web: cannot serve %s (%s): %s\n", directory, wire_error_name(-error),
		remedy);
	return 1;
}

static int serve_directory(const char *address, char *root)
{
	const char *shown = *root ? root : "/";
	char text[ENDPOINT_TEXT_LEN];
	struct fs_attributes attributes;
	struct endpoint local;
	struct listener *listener;
	int error = endpoint_parse(address, &local);

	if (error)
		return usage(address, "is no address, as 127.0.0.1:8080 is one");
	error = path_stat(shown, &attributes, FOREVER);
	if (!error && attributes.mode >> 12 != FILE_TYPE_DIRECTORY)
		error = -ENOTDIR;
	if (error)
		return cannot_serve(shown, error);
	error = tcp_listen(&local, &listener, FOREVER);
	if (error)
		return cannot_listen("web", address, error);
	printf("web: serving %s at http://%s/\n", shown,
		endpoint_format(listener_local(listener), text));
	error = tcp_serve(listener, serve, root);
	fprintf(stderr, "web: the listener failed (%s)\n", wire_error_name(-error));
	return 1;
}

int main(int argc, char **argv)
{
	static char top[] = "/srv";
	const char *address = "127.0.0.1:8080";
	char *root = NULL;

	if (help_asked(argc, argv, help))
		return 0;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--listen") == 0 && i + 1 < argc)
			address = argv[++i];
		else if (strcmp(argv[i], "--listen") == 0)
			return usage(argv[i], "has no value");
		else if (strcmp(argv[i], "--write") == 0)
			server_writable = true;
		else if (argv[i][0] == '-')
			return usage(argv[i], "is no option");
		else if (root)
			return usage(argv[i], "is a second directory");
		else
			root = argv[i];
	}
	if (root && *root && root[strlen(root) - 1] == '/')
		root[strlen(root) - 1] = 0; /* request paths begin with one */
	return serve_directory(address, root ? root : top);
}
