/* sha256sum: hashes of files, as coreutils' sha256sum prints them, and with -c looks whether they
 * are still right. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "guest/ferrule.h"
#include "guest/programs/remedy.h"
#include "guest/programs/sha256.h"

#define HEX_LEN (2 * SHA256_LEN)

static int add(
	void *argument, const struct fs_attributes *attributes, const void *bytes, size_t len)
{
	(void)attributes;
	sha256_add(argument, bytes, len);
	return 0;
}

/* 0 or an errno. */
static int hash_file(const char *path, char ret_hex[HEX_LEN + 1])
{
	unsigned char bytes[SHA256_LEN];
	struct sha256 hash;
	int error;

	sha256_begin(&hash);
	error = file_read_whole(path, 0, UINT64_MAX, add, &hash, FOREVER);
	sha256_end(&hash, bytes);
	for (unsigned i = 0; i < SHA256_LEN; i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", bytes[i]);
	return error;
}

static int print_hash(const char *path)
{
	char hex[HEX_LEN + 1];
	int error = hash_file(path, hex);

	if (error)
		return cannot_file("sha256sum", "read", path, error);
	printf("%s  %s\n", hex, path);
	return 0;
}

/* ---- -c */

/* One line, "HASH  PATH". */
static int check_line(char *line, const char *list)
{
	char hex[HEX_LEN + 1];
	char *path = line + HEX_LEN + 2;
	int error;

	if (strlen(line) < HEX_LEN + 3 || line[HEX_LEN] != ' ') {
		fprintf(stderr, "sha256sum: %s: '%.80s' is no line of a list of hashes\n", list,
			line);
		return 1;
	}
	error = hash_file(path, hex);
	if (error)
		return cannot_file("sha256sum", "read", path, error);
	bool same = strncasecmp(hex, line, HEX_LEN) == 0;
	printf("%s: %s\n", path, same ? "OK" : "FAILED");
	return same ? 0 : 1;
}

static int check_list(const char *list)
{
	struct fs_attributes attributes;
	int status = 0, error = path_stat(list, &attributes, FOREVER);
	char *text, *line, *end;
	long len;

	if (error)
		return cannot_file("sha256sum", "read", list, error);
	text = malloc((size_t)attributes.size + 1);
	len = text ? path_read(list, text, (size_t)attributes.size, &attributes, FOREVER) : -ENOMEM;
	if (len < 0) {
		free(text);
		return cannot_file("sha256sum", "read", list, (int)len);
	}
	text[len] = 0;
	if (len == 0 || strlen(text) != (size_t)len) {
		fprintf(stderr, "sha256sum: %s has no list of hashes; name one\n", list);
		status = 1;
	}
	for (line = text; *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = 0;
		status |= check_line(line, list);
	}
	free(text);
	return status;
}

static const char usage[] = "usage: sha256sum PATH...\n"
			    "       sha256sum -c LIST...\n"
			    "Prints the SHA-256 of files, or looks whether those in a LIST are "
			    "still right. Grants: --mount HOSTDIR:GUESTDIR,\n"
			    "with each PATH below a GUESTDIR.\n"
			    "  ferrule run --mount .:/here sha256sum.elf /here/README.md\n";

int main(int argc, char **argv)
{
	bool check = argc > 1 && strcmp(argv[1], "-c") == 0;
	int status = 0;

	if (help_asked(argc, argv, usage))
		return 0;
	if (argc < 2 + check) {
		fputs(usage, stderr);
		return 2;
	}
	for (int i = 1 + check; i < argc; i++)
		status |= check ? check_list(argv[i]) : print_hash(argv[i]);
	return status;
}
