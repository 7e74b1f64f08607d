/*
 * What a refusal says is made to be pasted behind `ferrule run`, and the guest has a say in it:
 * what a shell could take for more than a word is quoted.
 */
#include "monitor/grants.h"

#include <string.h>

#include "monitor/log.h"
#include "monitor/stats.h"

#define WHAT_MAX                                                                                   \
	300           /* bytes of what was asked for; with a value both fit into a line of the log \
		       */
#define VALUE_MAX 600 /* bytes of an option's value, quotes included; a longer one is left out */

static bool is_plain(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c != '\0' && strchr("-_./:,+@%", c) != NULL);
}

/* As one word of a shell. False: it does not fit, or has bytes in it that the log does not show. */
static bool quote(const char *value, char word[VALUE_MAX])
{
	size_t used = 0, plain = 0;

	while (is_plain(value[plain]))
		plain++;
	bool bare = value[plain] == '\0';
	if (!bare)
		word[used++] = '\'';
	for (; *value != '\0'; value++) {
		if (*value < ' ' || *value > '~' || used + 4 >= VALUE_MAX - 1)
			return false;
		if (*value == '\'') {
			memcpy(word + used, "'\\''", 4);
			used += 4;
		} else {
			word[used++] = *value;
		}
	}
	if (!bare)
		word[used++] = '\'';
	word[used] = '\0';
	return true;
}

void grants_refused(const char *what, const char *option, const char *value)
{
	char word[VALUE_MAX];

	stats.grants_refused++;
	if (value == NULL)
		log_guest(LOG_WARNING, "refused to the guest: %.*s; no %s can allow it", WHAT_MAX,
			what, option);
	else if (quote(value, word))
		log_guest(LOG_WARNING, "refused to the guest: %.*s; %s %s would allow it", WHAT_MAX,
			what, option, word);
	else
		log_guest(LOG_WARNING, "refused to the guest: %.*s; %s would allow it", WHAT_MAX,
			what, option);
}
