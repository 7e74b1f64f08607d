/*
 * kv_text: numbers, names and patterns as Redis reads and writes them.
 */
#ifndef FERRULE_GUEST_PROGRAMS_KV_TEXT_H
#define FERRULE_GUEST_PROGRAMS_KV_TEXT_H

#include "guest/programs/kv_value.h"

#define KV_NUMBER_LEN 21 /* bytes of the longest, with the 0 byte */

/* A whole number in its one plain form: no '+', no blank, no leading zero. */
bool kv_parse_number(const struct kv_bytes *bytes, int64_t *ret_number);
/* With k, kb, m, mb, g or gb behind it (k: 1000, kb: 1024). */
bool kv_parse_memory(const struct kv_bytes *bytes, uint64_t *ret_len);
/* Ended by a 0 byte; its length. */
size_t kv_format_number(int64_t number, char ret_text[KV_NUMBER_LEN]);
/* As people read it: "1.50M". */
char *kv_format_memory(uint64_t len, char ret_text[KV_NUMBER_LEN]);

/* Equal to a word in lower case but for the case of ASCII letters. */
bool kv_is(const struct kv_bytes *bytes, const char *lower_case);

/*
 * Redis's glob: * ? [a-z] [^a] and \ before what is to be itself. Its time is bounded by the product of
 * the lengths, whatever the pattern.
 */
bool kv_glob(const struct kv_bytes *pattern, const unsigned char *text, size_t len, bool ignore_case);

#endif
