#include "guest/programs/web_directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guest/programs/http_values.h"

#define STAT_FIBERS                                                                                \
	8 /* that ask for sizes at the same time, since each request waits for its answer */
#define ENTRIES_MOST 100000 /* more are left out, and the page says so */

struct entry {
	char *name;
	bool known; /* size and time are */
	bool directory;
	uint64_t size; /* bytes */
	int64_t mtime; /* seconds since 1970 */
};

struct listing {
	const char *path;
	struct entry *entry;
	size_t count, room;
	bool cut; /* there are more */
	deadline until;
	size_t next;     /* whose size is to be asked for next */
	unsigned asking; /* fibers at work on that */
	struct wait_list asked;
};

static const char page_head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<style>\n"
	":root{color-scheme:light dark}\n"
	"body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}\n"
	"h1{font-size:1.3rem;font-weight:600;overflow-wrap:anywhere}\n"
	"table{width:100%;border-collapse:collapse}\n"
	"th{text-align:left;font-weight:500;opacity:.65;font-size:.85rem}\n"
	"th,td{padding:.35rem .6rem;border-bottom:1px solid #8884}\n"
	"td:first-child{overflow-wrap:anywhere}\n"
	".n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\n"
	"tr:hover td{background:#8881}\n"
	"a{text-decoration:none;color:#0b62c4}a:hover{text-decoration:underline}\n"
	"@media(prefers-color-scheme:dark){a{color:#7ab8ff}}\n"
	"footer{margin-top:1.5rem;opacity:.6;font-size:.85rem}\n"
	"</style>\n";

/* ---- what is there */

static bool add_entry(struct listing *listing, const char *name, uint16_t type)
{
	struct entry *entry;

	if (listing->count == listing->room) {
		size_t room = listing->room ? 2 * listing->room : 64;

		entry = realloc(listing->entry, room * sizeof(*entry));
		if (!entry)
			return false;
		listing->entry = entry;
		listing->room = room;
	}
	entry = &listing->entry[listing->count];
	*entry = (struct entry){
		.name = malloc(strlen(name) + 1), .directory = type == FILE_TYPE_DIRECTORY};
	if (!entry->name)
		return false;
	strcpy(entry->name, name);
	listing->count++;
	return true;
}

static int read_entries(struct listing *listing)
{
	struct directory *directory;
	const char *name;
	uint16_t type;
	int result = directory_open(&directory, listing->path, listing->until);

	if (result)
		return result;
	while ((result = directory_next(directory, &name, &type, listing->until)) > 0) {
		listing->cut = listing->count == ENTRIES_MOST;
		if (listing->cut)
			break;
		if (!add_entry(listing, name, type)) {
			result = -ENOMEM;
			break;
		}
	}
	directory_close(directory);
	return result < 0 ? result : 0;
}

static void ask_one(const struct listing *listing, struct entry *entry)
{
	char path[FS_PATH_MAX + 1];
	struct fs_attributes attributes;

	if (snprintf(path, sizeof(path), "%s/%s", listing->path, entry->name) >= (int)sizeof(path))
		return;
	if (path_stat(path, &attributes, listing->until))
		return; /* it is gone, or a link that leads out of the mount */
	entry->known = true;
	entry->directory = attributes.mode >> 12 == FILE_TYPE_DIRECTORY;
	entry->size = attributes.size;
	entry->mtime = (int64_t)attributes.mtime_s;
}

static void ask_fiber(void *argument)
{
	struct listing *listing = argument;

	while (listing->next < listing->count)
		ask_one(listing, &listing->entry[listing->next++]);
	if (--listing->asking == 0)
		wait_list_wake(&listing->asked);
}

static void ask_attributes(struct listing *listing)
{
	listing->asking = 1;
	for (unsigned i = 1; i < STAT_FIBERS && i < listing->count; i++)
		listing->asking += fiber_spawn(ask_fiber, listing) == 0;
	ask_fiber(listing); /* without a stack to spare this one does it all */
	while (listing->asking)
		wait_list_wait(&listing->asked, FOREVER);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *left = a, *right = b;

	if (left->directory != right->directory)
		return left->directory ? -1 : 1;
	return strcmp(left->name, right->name);
}

static void free_listing(struct listing *listing)
{
	for (size_t i = 0; i < listing->count; i++)
		free(listing->entry[i].name);
	free(listing->entry);
}

/* ---- the page */

/* "999 B", "1.2 kB", "345 MB". */
static void add_size(struct text *page, uint64_t size)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	uint64_t tenths = size * 10;
	unsigned unit = 0;

	if (size < 1000) {
		text_format(page, "%u B", (unsigned)size);
		return;
	}
	if (size > UINT64_MAX / 10)
		tenths = UINT64_MAX;
	for (; tenths >= 10000 && unit < 6; unit++)
		tenths /= 1000;
	if (tenths < 100)
		text_format(page, "%u.%u %s", (unsigned)tenths / 10, (unsigned)tenths % 10,
			units[unit]);
	else
		text_format(page, "%u %s", (unsigned)tenths / 10, units[unit]);
}

static void add_row(struct text *page, const struct entry *entry)
{
	char date[HTTP_DATE_LEN];
	const char *slash = entry->directory ? "/" : "";

	/* "./" before the name, or "a:b" would be read as a scheme. */
	text_add(page, "<tr><td><a href=\"./");
	text_add_url(page, entry->name);
	text_format(page, "%s\">", slash);
	text_add_html(page, entry->name);
	text_format(page, "%s</a></td><td class=\"n\">", slash);
	if (entry->known && !entry->directory)
		add_size(page, entry->size);
	text_add(page, "</td><td class=\"n\">");
	if (entry->known) {
		http_date_format(entry->mtime, date);
		/* "Sun, 06 Nov 1994 08:49:37 GMT": from the day to the minute. */
		text_format(page, "%.17s", date + 5);
	}
	text_add(page, "</td></tr>\n");
}

static void add_page(struct text *page, const struct listing *listing, const char *shown)
{
	text_add(page, page_head);
	text_add(page, "<title>");
	text_add_html(page, shown);
	text_add(page, "</title>\n</head>\n<body>\n<h1>");
	text_add_html(page, shown);
	text_add(page, "</h1>\n<table>\n<thead><tr><th>Name</th><th class=\"n\">Size</th>"
		       "<th class=\"n\">Modified (UTC)</th></tr></thead>\n<tbody>\n");
	if (strcmp(shown, "/") != 0)
		text_add(page, "<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
	for (size_t i = 0; i < listing->count; i++)
		add_row(page, &listing->entry[i]);
	text_add(page, "</tbody>\n</table>\n");
	text_format(page, "<footer>%s%zu %s, served by Ferrule</footer>\n</body>\n</html>\n",
		listing->cut ? "the first " : "", listing->count,
		listing->count == 1 ? "entry" : "entries");
}

int directory_page(const char *path, const char *shown, struct text *page, deadline until)
{
	struct listing listing = {.path = path, .until = until};
	int error = read_entries(&listing);

	if (!error) {
		ask_attributes(&listing);
		if (listing.count)
			qsort(listing.entry, listing.count, sizeof(struct entry), compare_entries);
		add_page(page, &listing, shown);
		error = page->failed ? -ENOMEM : 0;
	}
	free_listing(&listing);
	return error;
}
