#include "guest/programs/http_types.h"

#include <stddef.h>
#include <string.h>

#include "guest/programs/http_text.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *extension; /* lower case */
	const char *type;
} types[] = {
	{"html", "text/html; charset=utf-8"},
	{"htm", "text/html; charset=utf-8"},
	{"xhtml", "application/xhtml+xml"},
	{"css", "text/css; charset=utf-8"},
	{"js", "text/javascript; charset=utf-8"},
	{"mjs", "text/javascript; charset=utf-8"},
	{"json", "application/json"},
	{"map", "application/json"},
	{"webmanifest", "application/manifest+json"},
	{"xml", "application/xml"},
	{"wasm", "application/wasm"},
	{"txt", "text/plain; charset=utf-8"},
	{"text", "text/plain; charset=utf-8"},
	{"log", "text/plain; charset=utf-8"},
	{"md", "text/plain; charset=utf-8"},
	{"c", "text/plain; charset=utf-8"},
	{"h", "text/plain; charset=utf-8"},
	{"s", "text/plain; charset=utf-8"},
	{"py", "text/plain; charset=utf-8"},
	{"sh", "text/plain; charset=utf-8"},
	{"rs", "text/plain; charset=utf-8"},
	{"go", "text/plain; charset=utf-8"},
	{"conf", "text/plain; charset=utf-8"},
	{"build", "text/plain; charset=utf-8"},
	{"toml", "text/plain; charset=utf-8"},
	{"yaml", "text/plain; charset=utf-8"},
	{"yml", "text/plain; charset=utf-8"},
	{"csv", "text/csv; charset=utf-8"},
	{"png", "image/png"},
	{"jpg", "image/jpeg"},
	{"jpeg", "image/jpeg"},
	{"gif", "image/gif"},
	{"webp", "image/webp"},
	{"avif", "image/avif"},
	{"svg", "image/svg+xml"},
	{"ico", "image/x-icon"},
	{"bmp", "image/bmp"},
	{"tif", "image/tiff"},
	{"tiff", "image/tiff"},
	{"mp3", "audio/mpeg"},
	{"ogg", "audio/ogg"},
	{"opus", "audio/ogg"},
	{"wav", "audio/wav"},
	{"flac", "audio/flac"},
	{"m4a", "audio/mp4"},
	{"mp4", "video/mp4"},
	{"webm", "video/webm"},
	{"mov", "video/quicktime"},
	{"mkv", "video/x-matroska"},
	{"woff", "font/woff"},
	{"woff2", "font/woff2"},
	{"ttf", "font/ttf"},
	{"otf", "font/otf"},
	{"pdf", "application/pdf"},
	{"zip", "application/zip"},
	{"gz", "application/gzip"},
	{"tgz", "application/gzip"},
	{"xz", "application/x-xz"},
	{"zst", "application/zstd"},
	{"bz2", "application/x-bzip2"},
	{"tar", "application/x-tar"},
	{"7z", "application/x-7z-compressed"},
	{"iso", "application/x-iso9660-image"},
	{"deb", "application/vnd.debian.binary-package"},
};

static const struct {
	int status;
	const char *reason;
	const char *explanation;
} statuses[] = {
	{200, "OK", ""},
	{201, "Created", ""},
	{204, "No Content", ""},
	{206, "Partial Content", ""},
	{301, "Moved Permanently", "This directory's address ends in a slash."},
	{304, "Not Modified", ""},
	{400, "Bad Request", "The request is not one that HTTP/1.1 allows."},
	{403, "Forbidden", "This may not be read, or not be written."},
	{404, "Not Found", "There is nothing at this address."},
	{405, "Method Not Allowed",
		"Files can be read with GET and HEAD; PUT and DELETE need a server that was "
		"started with --write."},
	{408, "Request Timeout", "The request did not come in time."},
	{409, "Conflict",
		"The directory that it is to be in is not there, or it is a directory, or one that "
		"is not empty."},
	{411, "Length Required", "What is to be written needs a Content-Length."},
	{412, "Precondition Failed", "The file is not as the request demands."},
	{413, "Content Too Large", "A request for a file has no use for a body of this size."},
	{414, "URI Too Long", "The address is too long."},
	{416, "Range Not Satisfiable", "The file has none of the bytes that were asked for."},
	{431, "Request Header Fields Too Large", "The head of the request is too long."},
	{500, "Internal Server Error", "The file could not be read."},
	{501, "Not Implemented", "This method or transfer coding is not known here."},
	{503, "Service Unavailable", "There is too much to do just now; try again."},
	{507, "Insufficient Storage", "The disk is full."},
	{505, "HTTP Version Not Supported", "Only HTTP/1.0 and HTTP/1.1 are spoken here."},
};

const char *http_content_type(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash ? slash : path, '.');

	for (size_t i = 0; dot && i < COUNT_OF(types); i++) {
		if (http_text_is((struct http_text){dot + 1, strlen(dot + 1)}, types[i].extension))
			return types[i].type;
	}
	return "application/octet-stream";
}

const char *http_reason(int status)
{
	for (size_t i = 0; i < COUNT_OF(statuses); i++) {
		if (statuses[i].status == status)
			return statuses[i].reason;
	}
	return "Error";
}

const char *http_explanation(int status)
{
	for (size_t i = 0; i < COUNT_OF(statuses); i++) {
		if (statuses[i].status == status)
			return statuses[i].explanation;
	}
	return "";
}
