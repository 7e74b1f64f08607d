#include "monitor/fs_cache.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "monitor/io.h"

#define NS_PER_MS       1000000u
#define FILES_OF_LIMIT  16u /* of so many descriptors that the process may have, one */
#define POSITIONS_APART (UINT64_MAX / 2)

/* What searches go through: kept small. */
struct fs_cache_file {
	uint64_t turn; /* of the walk that led here last; 0: of none that serves */
	uint64_t inode;
	uint64_t mount;
	uint64_t ctime_s;
	uint32_t ctime_ns;
	uint32_t mode, uid, gid;
	uint64_t used; /* when last: a count of uses */
	int fd;        /* -1: none, the place is free */
	uint16_t users;
	bool dropped; /* found no more, and closed by the last user */
};

/* The walk that led to the file in the same place. */
struct fs_cache_walk {
	uint64_t seen;
	uint32_t directory;
	char path[FS_CACHE_PATH];
	struct fs_attributes attributes;
};

struct fs_cache {
	struct io *io;
	struct io_timer timer;
	bool ticking; /* 'timer' is in flight */
	bool ended;   /* the stream is gone, the cache goes with the timer */
	unsigned places;
	unsigned count; /* of open files */
	uint64_t uses;
	uint64_t uses_before; /* the last tick */
	struct fs_cache_file file[FS_CACHE_FILES];
	struct fs_cache_walk walk[FS_CACHE_FILES];
};

/* ---- closing */

/* It may be the last of a deleted file, so that closing takes long. */
static void close_file(struct fs_cache *cache, struct fs_cache_file *file)
{
	io_close_file(cache->io, file->fd);
	file->fd = -1;
	file->turn = 0;
	cache->count--;
}

static void drop(struct fs_cache *cache, struct fs_cache_file *file)
{
	file->dropped = true;
	file->turn = 0;
	if (file->users == 0)
		close_file(cache, file);
}

void fs_cache_leave(struct fs_cache *cache, uint32_t place)
{
	struct fs_cache_file *file = &cache->file[place];

	assert(file->users > 0);
	if (--file->users == 0 && file->dropped)
		close_file(cache, file);
}

/* ---- time: a tick while there are files, and none while there are none */

static void tick(struct fs_cache *cache)
{
	cache->ticking = true;
	io_timeout(cache->io, &cache->timer, (uint64_t)FS_CACHE_IDLE_MS * NS_PER_MS);
}

static void close_idle(struct fs_cache *cache)
{
	for (unsigned i = 0; i < cache->places; i++) {
		struct fs_cache_file *file = &cache->file[i];

		if (file->fd >= 0 && file->users == 0 && file->used <= cache->uses_before)
			close_file(cache, file);
	}
	cache->uses_before = cache->uses;
}

static void timer_done(struct io_op *op, int result)
{
	struct fs_cache *cache = io_container(op, struct fs_cache, timer.op);

	cache->ticking = false;
	if (cache->ended) {
		free(cache);
		return;
	}
	close_idle(cache);
	if (cache->count > 0 && result != -ECANCELED)
		tick(cache);
}

/* ---- the whole */

/* Under a low limit connections are to have the descriptors. */
static unsigned places(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
		limit.rlim_cur / FILES_OF_LIMIT > FS_CACHE_FILES)
		return FS_CACHE_FILES;
	return (unsigned)(limit.rlim_cur / FILES_OF_LIMIT);
}

struct fs_cache *fs_cache_new(struct io *io)
{
	struct fs_cache *cache = calloc(1, sizeof(*cache));

	if (cache == NULL)
		return NULL;
	cache->io = io;
	cache->timer.op.done = timer_done;
	cache->places = places();
	for (unsigned i = 0; i < cache->places; i++)
		cache->file[i].fd = -1;
	return cache;
}

void fs_cache_end(struct fs_cache *cache)
{
	if (cache == NULL)
		return;
	for (unsigned i = 0; i < cache->places; i++) {
		assert(cache->file[i].users == 0);
		if (cache->file[i].fd >= 0)
			close_file(cache, &cache->file[i]);
	}
	cache->ended = true;
	if (cache->ticking)
		io_cancel(cache->io, &cache->timer.op);
	else
		free(cache);
}

/* ---- finding */

static uint32_t use(struct fs_cache *cache, struct fs_cache_file *file)
{
	file->users++;
	file->used = ++cache->uses;
	return (uint32_t)(file - cache->file);
}

/* Positions may wrap around; both are of one ring, so they are never far apart. */
static bool serves(const struct fs_cache_walk *walk, const struct fs_cache_asked *asked)
{
	return walk->seen - asked->end <= POSITIONS_APART && walk->directory == asked->directory &&
	       strcmp(walk->path, asked->path) == 0;
}

uint32_t fs_cache_recall(struct fs_cache *cache, const struct fs_cache_asked *asked,
	struct fs_attributes *ret_attributes)
{
	for (unsigned i = 0; i < cache->places; i++) {
		struct fs_cache_file *file = &cache->file[i];

		if (file->turn == asked->turn && serves(&cache->walk[i], asked)) {
			*ret_attributes = cache->walk[i].attributes;
			return use(cache, file);
		}
	}
	return FS_CACHE_NONE;
}

static bool is_unchanged(const struct fs_cache_file *file, const struct fs_attributes *now)
{
	return file->ctime_s == now->ctime_s && file->ctime_ns == now->ctime_ns &&
	       file->mode == now->mode && file->uid == now->uid && file->gid == now->gid;
}

uint32_t fs_cache_find(struct fs_cache *cache, const struct fs_walked *walked)
{
	const struct fs_attributes *now = &walked->attributes;

	for (unsigned i = 0; i < cache->places; i++) {
		struct fs_cache_file *file = &cache->file[i];

		if (file->inode != now->inode || file->fd < 0 || file->dropped ||
			file->mount != walked->mount)
			continue;
		if (is_unchanged(file, now))
			return use(cache, file);
		drop(cache, file);
	}
	return FS_CACHE_NONE;
}

/* ---- adding */

/* Whatever changes the file from now on gives it another ctime. */
static bool is_settled(const struct fs_attributes *attributes)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	int64_t ms = (now.tv_sec - (int64_t)attributes->ctime_s) * 1000 +
		     (now.tv_nsec - (int64_t)attributes->ctime_ns) / NS_PER_MS;
	return ms >= FS_CACHE_SETTLE_MS;
}

/* A free place, of what was used longest ago if need be; NULL when all are in use. */
static struct fs_cache_file *make_place(struct fs_cache *cache)
{
	struct fs_cache_file *oldest = NULL;

	for (unsigned i = 0; i < cache->places; i++) {
		struct fs_cache_file *file = &cache->file[i];

		if (file->fd < 0)
			return file;
		if (file->users == 0 && (oldest == NULL || file->used < oldest->used))
			oldest = file;
	}
	if (oldest != NULL)
		close_file(cache, oldest);
	return oldest;
}

uint32_t fs_cache_add(struct fs_cache *cache, const struct fs_walked *walked, int fd)
{
	const struct fs_attributes *attributes = &walked->attributes;

	if (!S_ISREG(attributes->mode) || attributes->size > FS_CACHE_SIZE ||
		!is_settled(attributes))
		return FS_CACHE_NONE;
	struct fs_cache_file *file = make_place(cache);
	if (file == NULL)
		return FS_CACHE_NONE;
	*file = (struct fs_cache_file){
		.inode = attributes->inode,
		.mount = walked->mount,
		.ctime_s = attributes->ctime_s,
		.ctime_ns = attributes->ctime_ns,
		.mode = attributes->mode,
		.uid = attributes->uid,
		.gid = attributes->gid,
		.fd = fd,
	};
	cache->count++;
	if (!cache->ticking)
		tick(cache);
	return use(cache, file);
}

void fs_cache_note(struct fs_cache *cache, uint32_t place, const struct fs_cache_asked *asked,
	uint64_t seen, const struct fs_attributes *attributes)
{
	struct fs_cache_walk *walk = &cache->walk[place];
	size_t len = strlen(asked->path);

	if (len >= FS_CACHE_PATH)
		return;
	memcpy(walk->path, asked->path, len + 1);
	walk->seen = seen;
	walk->directory = asked->directory;
	walk->attributes = *attributes;
	cache->file[place].turn = asked->turn;
}

int fs_cache_fd(const struct fs_cache *cache, uint32_t place)
{
	assert(cache->file[place].users > 0);
	return cache->file[place].fd;
}
