#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "guest/programs/http_types.h"
#include "guest/programs/http_values.h"
#include "guest/programs/web.h"

struct head {
	char *bytes;
	size_t used, room;
};

__attribute__((format(printf, 2, 3))) static void add(struct head *head, const char *format, ...)
{
	va_list list;
	int len;

	va_start(list, format);
	len = vsnprintf(head->bytes + head->used, head->room - head->used, format, list);
	va_end(list);
	/* At the brim, where every further piece is cut too and the length says that it did not
	 * fit. */
	head->used += (size_t)len;
	if (head->used >= head->room)
		head->used = head->room - 1;
}

/* Made once a second: every answer has it. */
static const char *date_now(void)
{
	static char text[HTTP_DATE_LEN];
	static int64_t made;
	int64_t now = clock_wall() / 1000000000;

	if (now != made)
		http_date_format(now, text);
	made = now;
	return text;
}

char *answer_etag(const struct fs_attributes *attributes, char text[ETAG_LEN])
{
	snprintf(text, ETAG_LEN, "\"%llx-%llx-%x\"", (unsigned long long)attributes->size,
		(unsigned long long)attributes->mtime_s, attributes->mtime_ns);
	return text;
}

static void add_file_fields(struct head *head, const struct answer *answer)
{
	const struct fs_attributes *file = answer->attributes;
	char date[HTTP_DATE_LEN], etag[ETAG_LEN];

	add(head, "Last-Modified: %s\r\nETag: %s\r\nAccept-Ranges: bytes\r\n",
		http_date_format((int64_t)file->mtime_s, date), answer_etag(file, etag));
	if (answer->status == 206)
		add(head, "Content-Range: bytes %llu-%llu/%llu\r\n",
			(unsigned long long)answer->range_first,
			(unsigned long long)(answer->range_first + answer->length - 1),
			(unsigned long long)file->size);
	else if (answer->status == 416)
		add(head, "Content-Range: bytes */%llu\r\n", (unsigned long long)file->size);
}

long answer_format_head(
	const struct exchange *exchange, const struct answer *answer, char *ret_bytes, size_t room)
{
	struct head head = {ret_bytes, 0, room};

	add(&head, "HTTP/1.1 %d %s\r\nServer: ferrule\r\nDate: %s\r\n", answer->status,
		http_reason(answer->status), date_now());
	if (answer->type)
		add(&head, "Content-Type: %s\r\n", answer->type);
	if (answer->status != 304)
		add(&head, "Content-Length: %llu\r\n", (unsigned long long)answer->length);
	if (answer->attributes)
		add_file_fields(&head, answer);
	if (answer->location)
		add(&head, "Location: %s\r\n", answer->location);
	if (answer->status == 405)
		add(&head, "Allow: GET, HEAD\r\n");
	if (!exchange->keep_alive)
		add(&head, "Connection: close\r\n");
	else if (exchange->request.minor == 0)
		add(&head, "Connection: keep-alive\r\n");
	add(&head, "\r\n");
	return head.used < room - 1 ? (long)head.used : -ENOBUFS;
}

int answer_send_head(struct exchange *exchange, const struct answer *answer)
{
	unsigned char *span;
	size_t need = WEB_HEAD_MAX + (answer->location ? strlen(answer->location) : 0);
	long room = stream_reserve(exchange->stream, &span, need, web_deadline());
	long len;

	if (room < 0)
		return (int)room;
	len = answer_format_head(exchange, answer, (char *)span, need);
	if (len < 0)
		return (int)len;
	stream_commit(exchange->stream, (size_t)len);
	return 0;
}

int answer_send(struct exchange *exchange, const struct answer *answer, const char *body)
{
	int error = answer_send_head(exchange, answer);
	long sent;

	if (error || exchange->request.method == HTTP_HEAD)
		return error;
	sent = stream_write(exchange->stream, body, answer->length, web_deadline());
	if (sent < 0)
		return (int)sent;
	return (uint64_t)sent < answer->length ? -ETIMEDOUT : 0;
}

int answer_error(struct exchange *exchange, int status)
{
	char body[512];
	struct answer answer = {.status = status, .type = "text/html; charset=utf-8"};

	answer.length = (uint64_t)snprintf(body, sizeof(body),
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>%d "
		"%s</title></head>\n"
		"<body style=\"font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem "
		"auto\">\n"
		"<h1>%d %s</h1>\n<p>%s</p>\n</body>\n</html>\n",
		status, http_reason(status), status, http_reason(status), http_explanation(status));
	return answer_send(exchange, &answer, body);
}

int answer_status(int error)
{
	switch (error < 0 ? -error : error) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
	case EILSEQ:
		return 404;
	case EACCES:
	case EPERM:
	case EXDEV: /* a link that leads out of the mount */
	case ELOOP:
	case EISDIR:
	case ENXIO: /* neither a file nor a directory */
	case ENODEV:
	case EINVAL:
	case ENOTSUP:
		return 403;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case EAGAIN:
	case ETIMEDOUT:
		return 503;
	default:
		return 500;
	}
}
