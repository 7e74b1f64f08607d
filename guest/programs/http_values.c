#include "guest/programs/http_values.h"

#include <string.h>

/* ---- hosts */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* RFC 3986 section 3.2.2; a '%' stands for what it encodes. */
static bool is_host_char(char c)
{
	char lower = http_lower(c);

	return is_digit(c) || (lower >= 'a' && lower <= 'z') ||
	       (c && strchr("-._~!$&'()*+,;=%", c));
}

bool http_host_valid(struct http_text host)
{
	bool literal = host.len && host.data[0] == '[';
	size_t at = literal;

	while (at < host.len && (is_host_char(host.data[at]) || (literal && host.data[at] == ':')))
		at++;
	if (literal && (at == host.len || host.data[at++] != ']'))
		return false;
	if (at < host.len && host.data[at++] != ':')
		return false;
	while (at < host.len && is_digit(host.data[at]))
		at++;
	return at == host.len;
}

/* ---- ranges and tags */

/* "first-last", "first-" or "-suffix". */
static int parse_one_range(
	struct http_text spec, uint64_t size, uint64_t *ret_first, uint64_t *ret_len)
{
	const char *dash = memchr(spec.data, '-', spec.len);
	struct http_text before, after;
	uint64_t first, last;

	if (!dash)
		return 0;
	before = http_trim(http_slice(spec.data, dash));
	after = http_trim(http_slice(dash + 1, spec.data + spec.len));
	if (!before.len) {
		if (!http_parse_number(after, &last))
			return 0;
		first = last < size ? size - last : 0;
		last = last ? UINT64_MAX : 0;
		if (last == 0 || size == 0)
			return -416;
	} else {
		if (!http_parse_number(before, &first))
			return 0;
		last = UINT64_MAX;
		if (after.len && (!http_parse_number(after, &last) || last < first))
			return 0;
		if (first >= size)
			return -416;
	}
	*ret_first = first;
	*ret_len = last < size - 1 ? last - first + 1 : size - first;
	return 1;
}

int http_parse_range(struct http_text range, uint64_t size, uint64_t *ret_first, uint64_t *ret_len)
{
	const char *equals = range.len ? memchr(range.data, '=', range.len) : NULL;
	struct http_text specs, spec;

	if (!equals || !http_text_is(http_trim(http_slice(range.data, equals)), "bytes"))
		return 0;
	specs = http_slice(equals + 1, range.data + range.len);
	if (!http_next_element(&specs, &spec) || !spec.len || specs.data)
		return 0;
	return parse_one_range(spec, size, ret_first, ret_len);
}

bool http_etag_listed(struct http_text list, const char *etag)
{
	struct http_text tag;

	if (http_text_is(http_trim(list), "*"))
		return true;
	while (http_next_element(&list, &tag)) {
		if (tag.len > 2 && memcmp(tag.data, "W/", 2) == 0)
			tag = (struct http_text){tag.data + 2, tag.len - 2};
		if (tag.len == strlen(etag) && memcmp(tag.data, etag, tag.len) == 0)
			return true;
	}
	return false;
}

/* ---- dates */

#define SECONDS_PER_DAY 86400

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {
	"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/*
 * Days since 1970-01-01 in the Gregorian calendar. The year is taken to begin
 * in March, so that the leap day is its last and months have a regular length.
 */
static int64_t days_of(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = y / 400, year_of_era = y % 400;
	int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

/* The inverse of days_of. */
static void date_of(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
	int64_t shifted = days + 719468, era = shifted / 146097, day_of_era = shifted % 146097;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int month = (int)((5 * day_of_year + 2) / 153);

	*ret_day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
	*ret_month = month < 10 ? month + 3 : month - 9;
	*ret_year = (int)(era * 400 + year_of_era + (*ret_month <= 2));
}

/* Decimal with leading zeros; where the next character belongs. */
static char *put_digits(char *at, unsigned value, int digits)
{
	for (int i = digits - 1; i >= 0; i--, value /= 10)
		at[i] = (char)('0' + value % 10);
	return at + digits;
}

/* The first three letters of a name, and what follows them. */
static char *put_name(char *at, const char *name, char next)
{
	memcpy(at, name, 3);
	at[3] = next;
	return at + 4;
}

/* By hand: it is in each answer, and printf takes long. */
char *http_date_format(int64_t seconds, char text[HTTP_DATE_LEN])
{
	const int64_t first = days_of(1, 1, 1) * SECONDS_PER_DAY,
		      end = days_of(10000, 1, 1) * SECONDS_PER_DAY;
	int year, month, day, second;
	char *at = text;
	int64_t days;

	seconds = seconds < first ? first : seconds >= end ? end - 1 : seconds;
	second = (int)(((seconds % SECONDS_PER_DAY) + SECONDS_PER_DAY) % SECONDS_PER_DAY);
	days = (seconds - second) / SECONDS_PER_DAY;
	date_of(days, &year, &month, &day);
	/* 1970-01-01 was a Thursday. */
	at = put_name(at, day_names[((days + 4) % 7 + 7) % 7], ',');
	*at++ = ' ';
	at = put_digits(at, (unsigned)day, 2);
	*at++ = ' ';
	at = put_name(at, month_names[month - 1], ' ');
	at = put_digits(at, (unsigned)year, 4);
	*at++ = ' ';
	at = put_digits(at, (unsigned)second / 3600, 2);
	*at++ = ':';
	at = put_digits(at, (unsigned)second / 60 % 60, 2);
	*at++ = ':';
	at = put_digits(at, (unsigned)second % 60, 2);
	memcpy(at, " GMT", sizeof(" GMT"));
	return text;
}

static int two_digits(const char *at)
{
	if (at[0] < '0' || at[0] > '9' || at[1] < '0' || at[1] > '9')
		return -1;
	return (at[0] - '0') * 10 + at[1] - '0';
}

static int month_of(const char *name)
{
	for (int i = 0; i < 12; i++) {
		if (memcmp(name, month_names[i], 3) == 0)
			return i + 1;
	}
	return -1;
}

bool http_date_parse(struct http_text text, int64_t *ret_seconds)
{
	/* Where the letters and signs are that do not change; the day's name is not looked at. */
	static const char form[] = "   , 00 xxx 0000 00:00:00 GMT";
	const char *at = text.data;
	int day, month, century, year, hour, minute, second;

	if (text.len != sizeof(form) - 1)
		return false;
	for (size_t i = 3; i < text.len; i++) {
		if (form[i] != '0' && form[i] != 'x' && at[i] != form[i])
			return false;
	}
	day = two_digits(at + 5);
	month = month_of(at + 8);
	century = two_digits(at + 12);
	year = two_digits(at + 14);
	hour = two_digits(at + 17);
	minute = two_digits(at + 20);
	second = two_digits(at + 23);
	if (day < 1 || day > 31 || month < 1 || century < 0 || year < 0 || century + year == 0 ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
		return false;
	*ret_seconds = days_of(century * 100 + year, month, day) * SECONDS_PER_DAY + hour * 3600 +
		       minute * 60 + second;
	return true;
}
