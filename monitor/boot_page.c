#include "monitor/boot_page.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "monitor/start_cpus.h"

static size_t strings_len(char *const *string, int count)
{
	size_t len = 0;

	for (int i = 0; i < count; i++)
		len += strlen(string[i]) + 1;
	return len;
}

size_t boot_page_len(const struct engine_config *config)
{
	return sizeof(struct boot_info) + strings_len(config->argv, config->argc) +
	       strings_len(config->env, config->envc) + strings_len(config->mounts, config->mountc);
}

/* Appends the strings at *at and returns where they began. */
static uint32_t put_strings(unsigned char *page, uint32_t *at, char *const *string, int count)
{
	uint32_t begin = *at;

	for (int i = 0; i < count; i++) {
		size_t len = strlen(string[i]) + 1;

		memcpy(page + *at, string[i], len);
		*at += (uint32_t)len;
	}
	return begin;
}

static uint64_t host_features(const struct engine_config *config)
{
	/* With one CPU a side that polls keeps the other from running. */
	return start_cpus_only_one(config->start_cpus) ? 0 : BOOT_FEATURE_MAY_SPIN;
}

static void put_arena(struct boot_info *info, const struct engine_config *config)
{
	const struct arena *arena = config->arena;

	info->arena_len = arena_len(arena);
	info->rings_offset = arena_rings_offset(arena);
	info->bell_to_host_offset = (uint32_t)arena_bell_offset(arena, PIPE_GUEST);
	info->bell_to_guest_offset = (uint32_t)arena_bell_offset(arena, PIPE_HOST);
	info->pipes_offset = (uint32_t)arena_pipe_offset(arena, 0);
	info->pipe_slots = arena_slots(arena);
	for (int side = 0; side < 2; side++) {
		info->control_ring_offset[side] = config->control_ring[side].offset;
		info->control_ring_capacity[side] = (uint32_t)config->control_ring[side].capacity;
	}
}

static int64_t wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int boot_page_write(
	unsigned char *page, const struct engine_config *config, const struct boot_info *addresses)
{
	struct boot_info info = *addresses;
	uint32_t at = sizeof(info);

	info.magic = BOOT_MAGIC;
	info.abi_version = BOOT_ABI_VERSION;
	put_arena(&info, config);
	info.argc = (uint32_t)config->argc;
	info.args_offset = put_strings(page, &at, config->argv, config->argc);
	info.envc = (uint32_t)config->envc;
	info.env_offset = put_strings(page, &at, config->env, config->envc);
	info.mountc = (uint32_t)config->mountc;
	info.mounts_offset = put_strings(page, &at, config->mounts, config->mountc);
	info.length = at;
	info.poll_ns = config->poll_ns;
	info.bundle_len = config->bundle_len;
	info.features = host_features(config);
	if (getrandom(info.random, sizeof(info.random), 0) != sizeof(info.random))
		return -errno;
	info.wall_start_ns = wall_ns();
	memcpy(page, &info, sizeof(info));
	return 0;
}

void boot_page_set_clock(unsigned char *page, uint64_t tsc_hz, uint64_t tsc_now)
{
	struct boot_info *info = (struct boot_info *)(void *)page;

	info->wall_start_ns = wall_ns();
	info->tsc_hz = tsc_hz;
	info->tsc_start = tsc_now;
}
