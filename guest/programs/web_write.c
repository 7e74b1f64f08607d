/*
 * PUT and DELETE. What is put goes to a file of another name in the same directory first, and gets
 * its own name when all of it is there: nobody reads half of it, and of a client that breaks off
 * nothing is left.
 */
#include <stdio.h>
#include <string.h>

#include "guest/programs/http_values.h"
#include "guest/programs/web.h"

#define SKIP_MOST 65536u /* bytes of a body that was refused and may still come */

/* A client that waits for a 100 may now send its body or not: nobody knows where the next request
 * is. */
static bool refuse(struct exchange *exchange, int status)
{
	const struct http_request *request = &exchange->request;

	if (exchange->head && (request->expects_continue || request->content_length > SKIP_MOST))
		exchange->keep_alive = false;
	return answer_error(exchange, status) == 0;
}

static bool refuse_error(struct exchange *exchange, int error)
{
	/* What is missing is the directory that it was to be in. */
	return refuse(exchange, error == -ENOENT || error == -ENOTDIR ? 409 : answer_status(error));
}

static bool done(struct exchange *exchange, int status, const struct fs_attributes *attributes)
{
	struct answer answer = {.status = status, .attributes = attributes};

	return answer_send_head(exchange, &answer) == 0;
}

/* Do the conditions hold for what is there now? 0, or the status to refuse it with. */
static int check_conditions(struct exchange *exchange, bool *ret_exists)
{
	const struct http_request *request = &exchange->request;
	struct fs_attributes attributes;
	char etag[ETAG_LEN];
	int error = path_stat(exchange->path, &attributes, web_deadline());

	*ret_exists = !error;
	if (error && error != -ENOENT)
		return answer_status(error);
	if (!error && attributes.mode >> 12 == FILE_TYPE_DIRECTORY && request->method == HTTP_PUT)
		return 409;
	if (!web_precondition(request, error ? NULL : &attributes))
		return 412;
	if (!error && request->if_none_match.len &&
		http_etag_listed(request->if_none_match, answer_etag(&attributes, etag)))
		return 412;
	return 0;
}

/* ---- PUT */

/* Whatever is not the request's any more, since it lay in the stream. */
static void consume_head(struct exchange *exchange)
{
	struct http_request *request = &exchange->request;
	const struct http_text none = {NULL, 0};

	stream_consume(exchange->stream, exchange->head);
	exchange->head = 0;
	request->range = request->if_range = request->query = none;
	request->if_match = request->if_none_match = none;
	request->if_modified_since = request->if_unmodified_since = none;
}

/* The body, into the file. 0, -ECONNABORTED when the client broke off, or an errno of the file. */
static int take_body(struct exchange *exchange, struct file *file)
{
	uint64_t *left = &exchange->request.content_length;
	uint64_t at = 0;

	while (*left > 0) {
		const unsigned char *data;
		long len = stream_peek(exchange->stream, &data, 1, web_deadline()), put;

		if (len <= 0)
			return -ECONNABORTED;
		if ((uint64_t)len > *left)
			len = (long)*left;
		put = file_pwrite(file, data, (size_t)len, at, web_deadline());
		if (put < len)
			return put < 0 ? (int)put : -ENOSPC;
		stream_consume(exchange->stream, (size_t)len);
		at += (uint64_t)len;
		*left -= (uint64_t)len;
	}
	return 0;
}

static int open_temporary(
	struct exchange *exchange, struct file **ret_file, char path[sizeof(exchange->path)])
{
	const char *slash = strrchr(exchange->path, '/');
	uint64_t number;
	int len;

	guest_random(&number, sizeof(number));
	len = snprintf(path, sizeof(exchange->path), "%.*s/.ferrule-put-%016llx",
		(int)(slash - exchange->path), exchange->path, (unsigned long long)number);
	if (len < 0 || (size_t)len >= sizeof(exchange->path))
		return -ENAMETOOLONG;
	return file_open(ret_file, path, FS_OPEN_WRITE | FS_OPEN_CREATE | FS_OPEN_EXCLUSIVE, 0666,
		web_deadline());
}

/* All of it under the other name, then under its own. */
static int put_file(struct exchange *exchange, struct fs_attributes *ret_attributes)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	char path[sizeof(exchange->path)];
	struct file *file;
	int error = open_temporary(exchange, &file, path);

	if (error)
		return error;
	consume_head(exchange);
	if (exchange->request.expects_continue && exchange->request.content_length > 0)
		stream_write(exchange->stream, go_on, sizeof(go_on) - 1, web_deadline());
	error = take_body(exchange, file);
	if (!error)
		error = file_sync(file, web_deadline());
	if (!error)
		error = file_stat(file, ret_attributes, web_deadline());
	file_close(file);
	if (!error)
		error = path_rename(path, exchange->path, web_deadline());
	if (error)
		path_unlink(path, in_milliseconds(WEB_TIMEOUT_MS));
	return error;
}

static bool put(struct exchange *exchange)
{
	struct fs_attributes attributes;
	bool exists;
	int error, status;

	if (exchange->request.chunked)
		return refuse(exchange, 411);
	status = check_conditions(exchange, &exists);
	if (status)
		return refuse(exchange, status);
	error = put_file(exchange, &attributes);
	if (error == -ECONNABORTED)
		return false;
	/* Begun to be read, the rest of the body stands where the next request would. */
	if (error && exchange->head == 0 && exchange->request.content_length > 0)
		exchange->keep_alive = false;
	return error ? refuse_error(exchange, error)
		     : done(exchange, exists ? 204 : 201, &attributes);
}

/* ---- DELETE */

static bool delete (struct exchange *exchange)
{
	bool exists;
	int status = check_conditions(exchange, &exists), error;

	if (status)
		return refuse(exchange, status);
	error = path_unlink(exchange->path, web_deadline());
	if (error == -EISDIR)
		error = path_rmdir(exchange->path, web_deadline());
	return error ? refuse(exchange, answer_status(error)) : done(exchange, 204, NULL);
}

bool web_write(struct exchange *exchange)
{
	size_t len = strlen(exchange->path);

	if (exchange->request.method == HTTP_DELETE)
		return delete (exchange);
	/* A directory's address, and the top's. */
	return exchange->path[len - 1] == '/' ? refuse(exchange, 409) : put(exchange);
}
