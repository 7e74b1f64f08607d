#include "tests/lib/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/suite.h"

static void put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ck_abort_msg("%s: %s", path, strerror(errno));
	close(fd);
}

bool namespace_enter(int kinds)
{
	char map[64];
	uid_t user = getuid();
	gid_t group = getgid();

	if (unshare(CLONE_NEWUSER | kinds) < 0) {
		printf("not tested: no user namespace can be had: %s\n", strerror(errno));
		return false;
	}
	/* Any user but 0: execve then drops every capability. */
	put_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "1000 %u 1", user);
	put_text("/proc/self/uid_map", map);
	snprintf(map, sizeof(map), "1000 %u 1", group);
	put_text("/proc/self/gid_map", map);
	return true;
}

void namespace_bind(const char *what, const char *where)
{
	if (mount(what, where, NULL, MS_BIND | MS_REC, NULL) < 0)
		ck_abort_msg("mount %s on %s: %s", what, where, strerror(errno));
}

void namespace_loopback(bool up)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = (short)(up ? IFF_UP : 0)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	expect_equal(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}
