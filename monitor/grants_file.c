/*
 * A grants file: one grant in a line, the option's name without its dashes, blanks, and its value.
 * What follows a '#' at the start of a line or behind a blank is a comment; empty lines are
 * nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/grants.h"
#include "monitor/log.h"

#define BLANKS " \t\r\n\f\v"

typedef int add_grant(struct grants *grants, const char *value, char *ret_error, size_t error_len);

static const struct {
	const char *word;
	add_grant *add;
} words[] = {
	{"listen", grants_add_listen},
	{"connect", grants_add_connect},
	{"udp", grants_add_udp},
	{"publish", grants_add_publish},
	{"mount", grants_add_mount},
	{"unix", grants_add_unix},
};

static add_grant *find_word(const char *word)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].word, word) == 0)
			return words[i].add;
	return NULL;
}

/* Ends the line where a comment begins, and behind its last word. */
static void strip(char *line)
{
	char *hash = line;

	while ((hash = strchr(hash, '#')) != NULL && hash != line &&
		strchr(BLANKS, hash[-1]) == NULL)
		hash++;
	if (hash != NULL)
		*hash = '\0';
	size_t len = strlen(line);
	while (len > 0 && strchr(BLANKS, line[len - 1]) != NULL)
		line[--len] = '\0';
}

/* 0, or a negative errno with a sentence that does not yet say where. */
static int add_line(struct grants *grants, char *line, char *ret_error, size_t error_len)
{
	strip(line);
	char *word = line + strspn(line, BLANKS);
	if (*word == '\0')
		return 0;
	char *end = word + strcspn(word, BLANKS);
	char *value = end + strspn(end, BLANKS);
	bool alone = *value == '\0';
	*end = '\0';
	if (strncmp(word, "--", 2) == 0)
		word += 2;
	add_grant *add = find_word(word);
	if (add == NULL)
		return log_sentence(ret_error, error_len, EINVAL,
			"there is no grant '%s'; write listen, connect, udp, publish, mount or "
			"unix",
			word);
	if (alone)
		return log_sentence(ret_error, error_len, EINVAL,
			"%s has no value; write it behind the word", word);
	return add(grants, value, ret_error, error_len);
}

static int add_lines(
	struct grants *grants, FILE *file, const char *path, char *ret_error, size_t error_len)
{
	char *line = NULL, sentence[512];
	size_t room = 0;
	int error = 0;
	ssize_t len;

	for (unsigned number = 1; !error && (len = getline(&line, &room, file)) >= 0; number++) {
		if (strlen(line) != (size_t)len)
			error = log_sentence(sentence, sizeof(sentence), EINVAL,
				"there is a 0 byte in the line; this is no text");
		else
			error = add_line(grants, line, sentence, sizeof(sentence));
		if (error)
			log_sentence(ret_error, error_len, -error, "%s line %u: %s", path, number,
				sentence);
	}
	if (!error && ferror(file))
		error = log_sentence(ret_error, error_len, EIO,
			"--grants '%s' cannot be read; is it a directory?", path);
	free(line);
	return error;
}

int grants_add_file(struct grants *grants, const char *path, char *ret_error, size_t error_len)
{
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return log_sentence(ret_error, error_len, errno,
			"--grants '%s' cannot be opened (%s); correct the path or its permissions",
			path, strerrorname_np(errno));
	int error = add_lines(grants, file, path, ret_error, error_len);
	fclose(file);
	return error;
}
