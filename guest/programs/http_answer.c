#include "guest/programs/http_answer.h"

#include <string.h>

#include "guest/programs/http_text.h"

#define CHUNK_LINE_MAX 1024 /* bytes of a chunk's size and extensions, or of a trailer's field */
#define HEAD_MAX       32768

/* "HTTP/1.1 200 OK" */
static bool parse_status(struct http_text line, int *ret_status)
{
	uint64_t status;

	if (line.len < 12 || memcmp(line.data, "HTTP/1.", 7) != 0 || line.data[8] != ' ' ||
		!http_parse_number(http_slice(line.data + 9, line.data + 12), &status))
		return false;
	*ret_status = (int)status;
	return status >= 100 && (line.len == 12 || line.data[12] == ' ');
}

/* Chunks go before a length, and either before the connection's end. */
static bool take_field(struct http_text line, struct http_body *body)
{
	const char *colon = memchr(line.data, ':', line.len);
	struct http_text name, value;

	if (!colon)
		return false;
	name = http_slice(line.data, colon);
	value = http_trim(http_slice(colon + 1, line.data + line.len));
	if (http_text_is(name, "transfer-encoding")) {
		body->form = HTTP_BODY_CHUNKED;
		return http_text_is(value, "chunked");
	}
	if (http_text_is(name, "content-length") && body->form != HTTP_BODY_CHUNKED) {
		body->form = HTTP_BODY_LENGTH;
		return http_parse_number(value, &body->left);
	}
	return true;
}

static long parse_one(const char *bytes, size_t len, size_t at, struct http_answer *answer)
{
	struct http_text line;

	*answer = (struct http_answer){.body = {.form = HTTP_BODY_TO_END}};
	if (!http_next_line(bytes, len, &at, &line))
		return 0;
	if (!parse_status(line, &answer->status))
		return -1;
	while (http_next_line(bytes, len, &at, &line)) {
		if (line.len && !take_field(line, &answer->body))
			return -1;
		if (!line.len)
			return (long)at;
	}
	return 0;
}

long http_parse_answer(const char *bytes, size_t len, struct http_answer *ret_answer)
{
	long at = 0;

	do
		at = parse_one(bytes, len, (size_t)at, ret_answer);
	while (at > 0 && ret_answer->status < 200);
	if (at == 0)
		return len >= HEAD_MAX ? -1 : 0;
	if (ret_answer->status == 204 || ret_answer->status == 304)
		ret_answer->body.done = true;
	else if (ret_answer->body.form == HTTP_BODY_LENGTH)
		ret_answer->body.done = ret_answer->body.left == 0;
	return at;
}

/* "1f4;extension" */
static bool parse_chunk_size(struct http_text line, uint64_t *ret_size)
{
	size_t i = 0;

	*ret_size = 0;
	for (; i < line.len && http_hex_value(line.data[i]) >= 0; i++) {
		if (i == 15)
			return false;
		*ret_size = *ret_size << 4 | (uint64_t)http_hex_value(line.data[i]);
	}
	return i > 0 && (i == line.len || line.data[i] == ';' || line.data[i] == ' ' ||
				line.data[i] == '\t');
}

/* Lines between chunks: the end of one, the size of the next, and the trailer behind the last. */
static struct http_piece next_framing(
	struct http_body *body, const unsigned char *bytes, size_t len)
{
	struct http_text line;
	size_t at = 0;

	if (!http_next_line((const char *)bytes, len, &at, &line))
		return (struct http_piece){.error = len > CHUNK_LINE_MAX};
	if (body->trailer) {
		body->done = line.len == 0;
		return (struct http_piece){.skip = at};
	}
	if (body->in_chunk) { /* its bytes are all there: only the line's end is missing */
		body->in_chunk = false;
		return (struct http_piece){.skip = at, .error = line.len != 0};
	}
	if (!parse_chunk_size(line, &body->left))
		return (struct http_piece){.error = true};
	body->in_chunk = body->left > 0;
	body->trailer = body->left == 0;
	return (struct http_piece){.skip = at};
}

struct http_piece http_body_next(struct http_body *body, const unsigned char *bytes, size_t len)
{
	if (body->form == HTTP_BODY_TO_END)
		return (struct http_piece){.len = len};
	if (body->form == HTTP_BODY_CHUNKED && (!body->in_chunk || body->left == 0))
		return next_framing(body, bytes, len);
	if (len > body->left)
		len = (size_t)body->left;
	body->left -= len;
	if (body->form == HTTP_BODY_LENGTH)
		body->done = body->left == 0;
	return (struct http_piece){.len = len};
}

bool http_body_end(struct http_body *body)
{
	return body->done || body->form == HTTP_BODY_TO_END;
}
