#include "tests/integration/web_site.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/integration.h"
#include "tests/lib/scratch.h"

const char *const hard_names[] = {
	"plain.txt",
	"two words.txt",
	" leading and trailing ",
	"gr\303\274\303\237e \xe2\x82\xac.html",
	"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e",
	"single'quote",
	"double\"quote",
	"<b>&amp;<i>",
	"100%",
	"%41 is not A",
	"a+b",
	"question?mark=1&x#y",
	"semi;colon:colon",
	"back\\slash",
	"..almost",
	"...",
	".hidden",
	"not utf-8 \xff\xfe",
	"tab\there",
	"new\nline",
	"~user",
	"[brackets]{braces}|^`",
};
const size_t hard_name_count = sizeof(hard_names) / sizeof(hard_names[0]);

static char *in(const char *directory, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		abort();
	return path;
}

static void put_text(const char *directory, const char *name, const char *text)
{
	char *path = in(directory, name);

	file_write(path, text, strlen(text));
	free(path);
}

static void put_hard_names(const char *root)
{
	char *text;

	for (size_t i = 0; i < hard_name_count; i++) {
		if (asprintf(&text, WEB_MESSAGE "%s", hard_names[i]) < 0)
			abort();
		put_text(root, hard_names[i], text);
		free(text);
	}
}

static void put_directories(const char *root)
{
	char *sub = in(root, "sub"), *deep = in(root, "sub/deep");

	expect_equal(mkdir(sub, 0755), 0);
	expect_equal(mkdir(deep, 0755), 0);
	put_text(deep, "file.txt", DEEP_TEXT);
	free(sub);
	free(deep);
}

static void put_link(const char *root, const char *name, const char *target)
{
	char *path = in(root, name);

	expect_equal(symlink(target, path), 0);
	free(path);
}

static void put_links(const char *root)
{
	char *secret = in(scratch_dir(), "secret"), *fifo = in(root, "fifo");

	put_text(scratch_dir(), "secret", SECRET);
	put_link(root, "inner", "letters.txt");
	put_link(root, "out_relative", "../secret");
	put_link(root, "out_absolute", secret);
	put_link(root, "out_directory", "..");
	expect_equal(mkfifo(fifo, 0644), 0);
	free(secret);
	free(fifo);
}

static void make_site(const char *root)
{
	put_hard_names(root);
	put_text(root, "letters.txt", LETTERS);
	put_text(root, "empty", "");
	put_directories(root);
	put_links(root);
}

void web_serve(struct web *ret_web, const char *root)
{
	char *mount;

	ret_web->root = strdup(root);
	if (ret_web->root == NULL || asprintf(&mount, "%s:/www", root) < 0)
		abort();
	ret_web->port =
		guest_serve(&ret_web->monitor, WORDS("--listen", ANY_PORT, "--mount", mount), "web",
			WORDS("--listen", ANY_PORT, "/www"));
	free(mount);
}

void web_start(struct web *ret_web)
{
	char *name, *root;

	if (asprintf(&name, "www-%d", (int)getpid()) < 0)
		abort();
	root = scratch_subdir(name);
	make_site(root);
	web_serve(ret_web, root);
	free(root);
	free(name);
}

void web_stop(struct web *web)
{
	guest_stop(&web->monitor, web->port);
	free(web->root);
}

char *percent_encode(const char *name)
{
	char *encoded = malloc(strlen(name) * 3 + 1), *at = encoded;

	if (encoded == NULL)
		abort();
	for (; *name != '\0'; name++)
		if (isalnum((unsigned char)*name) || *name == '/')
			*at++ = *name;
		else
			at += sprintf(at, "%%%02X", (unsigned char)*name);
	*at = '\0';
	return encoded;
}
