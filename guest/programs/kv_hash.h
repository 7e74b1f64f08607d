/*
 * kv_hash: SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012):
 * who does not know the key cannot make keys that fall into one bucket.
 */
#ifndef FERRULE_GUEST_PROGRAMS_KV_HASH_H
#define FERRULE_GUEST_PROGRAMS_KV_HASH_H

#include <stddef.h>
#include <stdint.h>

#define KV_HASH_KEY_LEN 16

uint64_t kv_hash(const uint8_t key[KV_HASH_KEY_LEN], const void *bytes, size_t len);

#endif
