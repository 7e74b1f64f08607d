/*
 * What the sanitizers have to be told about a switch of stacks. Nothing at all
 * in an ordinary build.
 */
#ifndef FERRULE_GUEST_STREAM_SANITIZER_H
#define FERRULE_GUEST_STREAM_SANITIZER_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZER_ADDRESS 1
#endif
#if __has_feature(thread_sanitizer)
#define SANITIZER_THREAD 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZER_ADDRESS 1
#endif
#ifdef __SANITIZE_THREAD__
#define SANITIZER_THREAD 1
#endif

#ifdef SANITIZER_ADDRESS
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef SANITIZER_THREAD
#include <sanitizer/tsan_interface.h>
#endif

/* Before a switch to the stack [stack, stack + len). keep NULL: the running context ends here. */
static inline void sanitizer_leave(void **keep, const void *stack, size_t len, void *fiber)
{
#ifdef SANITIZER_ADDRESS
	__sanitizer_start_switch_fiber(keep, stack, len);
#endif
#ifdef SANITIZER_THREAD
	__tsan_switch_to_fiber(fiber, 0);
#endif
	(void)keep, (void)stack, (void)len, (void)fiber;
}

/* The first thing after a switch. The outputs, of the stack that was left, may be NULL. */
static inline void sanitizer_arrive(void *kept, const void **ret_stack, size_t *ret_len)
{
#ifdef SANITIZER_ADDRESS
	__sanitizer_finish_switch_fiber(kept, ret_stack, ret_len);
#endif
	(void)kept, (void)ret_stack, (void)ret_len;
}

static inline void *sanitizer_this_fiber(void)
{
#ifdef SANITIZER_THREAD
	return __tsan_get_current_fiber();
#else
	return NULL;
#endif
}

static inline void *sanitizer_new_fiber(void)
{
#ifdef SANITIZER_THREAD
	return __tsan_create_fiber(0);
#else
	return NULL;
#endif
}

static inline void sanitizer_free_fiber(void *fiber)
{
#ifdef SANITIZER_THREAD
	__tsan_destroy_fiber(fiber);
#endif
	(void)fiber;
}

/* A stack that an ended fiber left is good for the next one: no red zones remain. */
static inline void sanitizer_clean_stack(void *stack, size_t len)
{
#ifdef SANITIZER_ADDRESS
	__asan_unpoison_memory_region(stack, len);
#endif
	(void)stack, (void)len;
}

#endif
