#include "monitor/descriptors.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/resource.h>

#include "monitor/log.h"

/* A connection is a descriptor; the usual soft limit of 1,024 is there for users of select. */
uint64_t descriptors_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return UINT64_MAX;
	uint64_t before = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_cur != before && setrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit.rlim_cur = before;
	log_debug("open files: at most %" PRIu64 " (ulimit -n was %" PRIu64 ")",
		(uint64_t)limit.rlim_cur, before);
	return limit.rlim_cur;
}

long descriptors_open(void)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	long count = -1; /* the directory's own is none */

	if (directory == NULL)
		return -1;
	while ((entry = readdir(directory)) != NULL)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}
