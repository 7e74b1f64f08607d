/*
 * kv_protocol: requests of the Redis protocol (RESP2, and lines as people type
 * them), out of bytes that come in any pieces.
 *
 * Arguments are where they arrived while a request is short: nothing is copied. Of
 * a long one they are moved to the store's memory as they come, and its bytes given
 * back to whom they were read from. https://redis.io/docs/reference/protocol-spec/
 */
#ifndef FERRULE_GUEST_PROGRAMS_KV_PROTOCOL_H
#define FERRULE_GUEST_PROGRAMS_KV_PROTOCOL_H

#include "guest/programs/kv_store.h"

#define KV_INLINE_MOST 65536u /* bytes of a line */
#define KV_ARGS_HERE   32u    /* arguments without memory of their own */
#define KV_ARGS_BLOCK  (KV_BLOCK / (unsigned)sizeof(struct kv_arg))
#define KV_ARGS_MOST   1048576 /* arguments of a request */

struct kv_arg {
	struct kv_bytes bytes;
	size_t at; /* while the request is incomplete: where those lie that have not been moved */
};

enum kv_parsed {
	KV_MORE,    /* it goes on behind these bytes */
	KV_REQUEST, /* it is complete; argc may be 0: there is nothing to answer */
	KV_BROKEN,  /* there is no more to be understood: 'error' says why */
};

struct kv_request {
	struct kv_store *store;
	size_t hold; /* bytes of a request that may stay where they are; as many more have to fit there */
	long argc;
	bool no_memory; /* the arguments could not all be kept: it is to be refused, not carried out */
	size_t taken;   /* bytes that are done with: to be consumed now (KV_MORE), or behind the answer */
	size_t want;    /* KV_MORE: bytes behind those, from where on it is worth to go on; at least 1 */
	char error[64]; /* without "ERR "; KV_BROKEN */

	/* private */
	long left;      /* arguments to come; -1: not known yet */
	int64_t bulk;   /* length of the one that is coming; -1: not known yet */
	size_t at;      /* what has been parsed of the bytes that are there */
	long moved;     /* arguments that lie in the store's memory, the first ones */
	struct kv_value *building; /* the bulk that is moved as it comes */
	bool dropping;             /* it comes, and there is no memory for it */
	struct kv_arg here[KV_ARGS_HERE];
	struct kv_arg **blocks; /* of KV_ARGS_BLOCK further ones each */
};

/* 'capacity': bytes of the buffer that requests arrive in, at least 4096. */
void kv_request_start(struct kv_request *request, struct kv_store *store, size_t capacity);
/*
 * Goes on with the request at the start of 'len' bytes, which are all that has come and was not
 * taken. After KV_MORE it is called again with more of them, which may lie elsewhere.
 */
enum kv_parsed kv_request_parse(struct kv_request *request, const unsigned char *bytes, size_t len);
/* Lets go of the arguments; the next request may begin. Also at the end of a connection. */
void kv_request_done(struct kv_request *request);

static inline struct kv_arg *kv_request_arg(const struct kv_request *request, long index)
{
	size_t i = (size_t)index;

	if (i < KV_ARGS_HERE)
		return (struct kv_arg *)(uintptr_t)&request->here[i];
	i -= KV_ARGS_HERE;
	return &request->blocks[i / KV_ARGS_BLOCK][i % KV_ARGS_BLOCK];
}
static inline const struct kv_bytes *kv_argument(const struct kv_request *request, long index)
{
	return &kv_request_arg(request, index)->bytes;
}

#endif
