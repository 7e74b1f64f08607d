/*
 * leak: fibers keep pointers on stacks that no sanitizer's leak check knows of.
 */
#ifndef FERRULE_GUEST_HOSTED_LEAK_H
#define FERRULE_GUEST_HOSTED_LEAK_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOSTED_LEAK_CHECK 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define HOSTED_LEAK_CHECK 1
#endif
#ifdef HOSTED_LEAK_CHECK
#include <sanitizer/lsan_interface.h>
#endif

/* What lies in the area keeps what it points to from counting as leaked. */
static inline void leak_register(const void *area, size_t len)
{
#ifdef HOSTED_LEAK_CHECK
	__lsan_register_root_region(area, len);
#endif
	(void)area, (void)len;
}

#endif
