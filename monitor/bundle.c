#include "monitor/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/log.h"

#define BUNDLE_MAX                                                                                 \
	(512ull << 20) /* bytes: its window of a KVM guest's addresses ends behind that */
#define MAGIC_LEN 6u

static int look(int fd, const char *path, uint64_t *ret_len, char *ret_error, size_t error_len)
{
	char magic[MAGIC_LEN];
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return log_sentence(ret_error, error_len, errno,
			"--bundle %s cannot be looked at: %s; check the file", path,
			strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return log_sentence(ret_error, error_len, EINVAL,
			"--bundle %s is no file; make one of a directory by "
			"'find . | cpio -o -H newc > FILE' in it",
			path);
	if ((uint64_t)stat.st_size > BUNDLE_MAX)
		return log_sentence(ret_error, error_len, EFBIG,
			"--bundle %s has more than %llu MiB; give what is large with --mount", path,
			BUNDLE_MAX >> 20);
	if (pread(fd, magic, sizeof(magic), 0) != sizeof(magic) ||
		(memcmp(magic, "070701", MAGIC_LEN) != 0 &&
			memcmp(magic, "070702", MAGIC_LEN) != 0))
		return log_sentence(ret_error, error_len, EINVAL,
			"--bundle %s is no cpio archive of the form newc; make one by "
			"'find . | cpio -o -H newc > FILE'",
			path);
	*ret_len = (uint64_t)stat.st_size;
	return 0;
}

int bundle_open(const char *path, uint64_t *ret_len, char *ret_error, size_t error_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return log_sentence(ret_error, error_len, errno,
			"--bundle %s cannot be opened: %s; correct the path", path,
			strerror(errno));
	int error = look(fd, path, ret_len, ret_error, error_len);
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}
