#include <string.h>

#include "guest/programs/http_types.h"
#include "guest/programs/http_values.h"
#include "guest/programs/web.h"

/*
 * A file up to this size is answered by one request to the monitor: it is read
 * into the connection's ring behind room for the head, and moved up to it.
 */
#define SMALL_FILE 16384u

#define BODY_STEP                                                                                  \
	(256u << 10) /* bytes of a body; for a part of them a client has WEB_TIMEOUT_MS            \
		      */

#define GUESSES 256u /* a power of two */

/* ---- which files are large */

/*
 * By a hash of their paths, so that a large file is not asked for twice each time. A guess: what a
 * path names now is seen when it is opened, and either way of answering is right for any file.
 */
static uint32_t large[GUESSES];

/* FNV-1a; never 0. */
static uint32_t hash_of(const char *path)
{
	uint32_t hash = 2166136261u;

	for (; *path; path++)
		hash = (hash ^ (unsigned char)*path) * 16777619u;
	return hash | 1;
}

static bool seems_large(const char *path)
{
	uint32_t hash = hash_of(path);

	return large[(hash >> 1) % GUESSES] == hash;
}

static void note_size(const char *path, bool is_large)
{
	uint32_t hash = hash_of(path), *guess = &large[(hash >> 1) % GUESSES];

	if (is_large)
		*guess = hash;
	else if (*guess == hash)
		*guess = 0;
}

/* ---- small files, without conditions */

static bool is_plain_get(const struct http_request *request)
{
	return request->method == HTTP_GET && !request->range.len && !request->if_none_match.len &&
	       !request->if_modified_since.len && !request->if_match.len &&
	       !request->if_unmodified_since.len;
}

/* As web_send_file; -EFBIG for a file that is too large for it. */
static int send_small(struct exchange *exchange, const char *path)
{
	struct fs_attributes attributes;
	unsigned char *span;
	long room =
		stream_reserve(exchange->stream, &span, WEB_HEAD_MAX + SMALL_FILE, web_deadline());
	long len, head;

	if (room < 0)
		return -ECONNABORTED;
	len = path_read(path, span + WEB_HEAD_MAX, SMALL_FILE, &attributes, web_deadline());
	if (len < 0)
		return (int)len;
	if ((size_t)len == SMALL_FILE && attributes.size != SMALL_FILE)
		return -EFBIG;
	/* What was read counts, whatever the size was when the file was opened. */
	attributes.size = (uint64_t)len;
	struct answer answer = {.status = 200,
		.type = http_content_type(path),
		.length = (uint64_t)len,
		.attributes = &attributes};
	head = answer_format_head(exchange, &answer, (char *)span, WEB_HEAD_MAX);
	if (head < 0)
		return (int)head;
	memmove(span + head, span + WEB_HEAD_MAX, (size_t)len);
	stream_commit(exchange->stream, (size_t)(head + len));
	return 0;
}

/* ---- any file */

/* Sets status, range_first and length. A range means something with GET alone (RFC 9110 section
 * 14.2). */
static void apply_range(const struct http_request *request, const char *etag, struct answer *answer)
{
	struct http_text condition = request->if_range;
	uint64_t first = 0, len = answer->attributes->size;
	int result = 0;

	/* If-Range with anything but the present tag means: if it has changed, send all of it. */
	if (request->method == HTTP_GET &&
		(!condition.len || (condition.len == strlen(etag) &&
					   memcmp(condition.data, etag, condition.len) == 0)))
		result = http_parse_range(request->range, answer->attributes->size, &first, &len);
	if (result < 0) {
		answer->status = 416;
		answer->length = 0;
		return;
	}
	answer->status = result ? 206 : 200;
	answer->range_first = first;
	answer->length = len;
}

/* RFC 9110 section 13.2.2: tags go before dates. */
static bool is_unchanged(const struct http_request *request, const struct fs_attributes *attributes,
	const char *etag)
{
	int64_t since;

	if (request->if_none_match.len)
		return http_etag_listed(request->if_none_match, etag);
	return request->if_modified_since.len &&
	       http_date_parse(request->if_modified_since, &since) &&
	       (int64_t)attributes->mtime_s <= since;
}

/* RFC 9110 section 13.2.2 again; a tag is compared strongly, and ours are strong. */
bool web_precondition(const struct http_request *request, const struct fs_attributes *attributes)
{
	char etag[ETAG_LEN];
	int64_t since;

	if (request->if_match.len)
		return attributes &&
		       http_etag_listed(request->if_match, answer_etag(attributes, etag));
	return !request->if_unmodified_since.len || !attributes ||
	       !http_date_parse(request->if_unmodified_since, &since) ||
	       (int64_t)attributes->mtime_s <= since;
}

static void decide(const struct exchange *exchange, const char *path, struct answer *answer)
{
	char etag[ETAG_LEN];

	answer_etag(answer->attributes, etag);
	if (!web_precondition(&exchange->request, answer->attributes)) {
		answer->status = 412;
		answer->length = 0;
		return;
	}
	if (is_unchanged(&exchange->request, answer->attributes, etag)) {
		answer->status = 304;
		return;
	}
	answer->type = http_content_type(path);
	apply_range(&exchange->request, etag, answer);
	if (answer->status == 416)
		answer->type = NULL;
}

/*
 * The head leaves with the first bytes of the body, so a file that cannot be read is still answered
 * by an error. Then the length is promised: when the file turns out to be shorter, or cannot be
 * read any more, the connection is reset, so that nobody takes the part for the whole.
 */
static int send_whole(struct exchange *exchange, struct answer *answer, struct file *file)
{
	struct stream *stream = exchange->stream;
	size_t worthwhile = stream_write_capacity(stream) / 4;
	uint64_t done = 0;
	unsigned char *span;
	long head, len;

	if (answer->length < worthwhile)
		worthwhile = (size_t)answer->length;
	len = stream_reserve(stream, &span, WEB_HEAD_MAX + worthwhile, web_deadline());
	if (len < 0)
		return -ECONNABORTED;
	head = answer_format_head(exchange, answer, (char *)span, WEB_HEAD_MAX);
	if (head < 0)
		return (int)head;
	do {
		uint64_t left = answer->length - done;

		len = stream_send_file(stream, done ? 0 : (size_t)head, file,
			answer->range_first + done, left < BODY_STEP ? (size_t)left : BODY_STEP,
			web_deadline());
		if (len > 0)
			done += (uint64_t)len;
	} while (len > 0 && done < answer->length);
	if (len < 0 && done == 0)
		return (int)len;
	if (done == answer->length)
		return 0;
	stream_fail(stream, ECONNRESET);
	return -ECONNABORTED;
}

static int send_opened(struct exchange *exchange, const char *path, struct file *file)
{
	struct answer answer = {.attributes = file_attributes(file)};

	if (answer.attributes->mode >> 12 == FILE_TYPE_DIRECTORY)
		return -EISDIR;
	decide(exchange, path, &answer);
	if (exchange->request.method != HTTP_HEAD && answer.status != 304 && answer.length > 0)
		return send_whole(exchange, &answer, file);
	return answer_send_head(exchange, &answer) ? -ECONNABORTED : 0;
}

int web_send_file(struct exchange *exchange, const char *path)
{
	struct file *file;
	int error = -EFBIG;

	if (is_plain_get(&exchange->request) && !seems_large(path))
		error = send_small(exchange, path);
	if (error != -EFBIG)
		return error;
	error = file_open(&file, path, FS_OPEN_READ, 0, web_deadline());
	if (error)
		return error;
	note_size(path, file_attributes(file)->size > SMALL_FILE);
	error = send_opened(exchange, path, file);
	file_close(file);
	return error;
}
