/*
 * What becomes of a guest's files when the host's go wrong: errors of the medium, a server that
 * does not answer, a full disk, a directory that vanishes, a file that shrinks, a monitor that is
 * killed. The right errno, nothing lost silently, nothing hung.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/fault_fs.h"
#include "tests/lib/integration.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 30000

static char *mounted; /* HOSTDIR */
static char *mounts[2];

/* A directory of this test, as /m of the guest; and another, which works, as /ok. */
static void make_mounts(void)
{
	char name[32];

	snprintf(name, sizeof(name), "mount-%d", (int)getpid());
	mounted = scratch_subdir(name);
	snprintf(name, sizeof(name), "ok-%d", (int)getpid());
	char *sound = scratch_subdir(name), *file;
	if (asprintf(&mounts[0], "%s:/m:rw", mounted) < 0 ||
		asprintf(&mounts[1], "%s:/ok:rw", sound) < 0 ||
		asprintf(&file, "%s/file", sound) < 0)
		abort();
	file_write(file, "works", 5);
	free(file);
	free(sound);
}

/* Mounts of this test's own, which go with it. False, having said why: not here. */
static bool own_mounts(void)
{
	if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return true;
	printf("skipped: mounting needs root\n");
	return false;
}

static void expect_run(const char *const *actions, const char *says)
{
	struct command monitor;
	int status = guest_run(&monitor, WORDS("--mount", mounts[0], "--mount", mounts[1]),
		"fs_fault", actions, WAIT_MS);
	char *text = file_text(monitor.out, NULL);

	if (status != 0 || strcmp(text, says) != 0)
		ck_abort_msg("status %d, said\n%sinstead of\n%s%s", status, text, says,
			file_tail(monitor.err));
	free(text);
}

static bool start_fault_fs(void)
{
	const char *reason;

	make_mounts();
	if (!own_mounts())
		return false;
	if (!fault_fs_start(mounted, &reason)) {
		printf("skipped: %s\n", reason);
		return false;
	}
	return true;
}

/* ---- errors of the medium */

START_TEST(errors_of_the_medium)
{
	if (!start_fault_fs())
		return;
	expect_run(WORDS("read", "/m/file", "whole", "/m/file", "write", "/m/file", "list", "/m",
			   "stat", "/m/file", "read", "/m/sound"),
		"read 65536\nwhole 1048576\nwrite 0\nlist 2\nstat 1048576\nread 65536\n");
	fault_fs->read = EIO;
	expect_run(WORDS("read", "/m/file", "whole", "/m/file", "read", "/m/sound"),
		"read -5\nwhole -5\nread 65536\n");
	fault_fs->read = ESTALE;
	expect_run(WORDS("read", "/m/file"), "read -116\n");
	fault_fs->read = 0;
	fault_fs->write = EIO;
	expect_run(WORDS("write", "/m/file", "write", "/m/sound"), "write -5\nwrite 0\n");
	fault_fs->write = ENOSPC;
	expect_run(WORDS("write", "/m/file"), "write -28\n");
	fault_fs->write = EDQUOT;
	expect_run(WORDS("write", "/m/file"), "write -122\n");
	fault_fs->write = 0;
	fault_fs->fsync = EIO;
	expect_run(WORDS("write", "/m/file"), "write -5\n");
	fault_fs->open = EIO;
	expect_run(WORDS("open", "/m/file", "whole", "/m/file", "open", "/m/sound"),
		"open -5\nwhole -5\nopen 0\n");
	fault_fs->readdir = EIO;
	fault_fs->getattr = EIO;
	expect_run(WORDS("list", "/m", "stat", "/m/file", "stat", "/m/sound"),
		"list -5\nstat -5\nstat 1048576\n");
	fault_fs_stop();
}
END_TEST

/* A server that does not answer: the deadline passes, and all else goes on, of its mount and of
 * others. */
START_TEST(a_server_that_does_not_answer)
{
	struct command monitor;

	if (!start_fault_fs())
		return;
	fault_fs->hang = true;
	guest_start(&monitor, WORDS("--mount", mounts[0], "--mount", mounts[1]), "fs_fault",
		WORDS("late", "/m/file", "late", "/m/file", "late", "/m/file", "read", "/m/sound",
			"stat", "/m/file", "list", "/m", "write", "/m/sound", "read", "/ok/file",
			"write", "/ok/new"));
	free(command_wait_text(&monitor, monitor.out,
		"late -110\nlate -110\nlate -110\nread 65536\nstat 1048576\nlist 2\nwrite 0\nread "
		"5\nwrite 0\n",
		WAIT_MS));
	/* What was asked of the server and is not answered does not keep the monitor. */
	usleep(200000);
	fault_fs->hang = false;
	expect_equal(command_wait(&monitor, WAIT_MS), 0);
	fault_fs_stop();
}
END_TEST

/* ---- full disks */

START_TEST(a_full_disk)
{
	struct stat file;
	char *path;

	make_mounts();
	if (!own_mounts())
		return;
	expect_equal(mount("none", mounted, "tmpfs", 0, "size=1M"), 0);
	expect_run(WORDS("fill", "/m/file", "write", "/m/other", "list", "/m", "stat", "/m/file"),
		"filled 1048576\nfill -28\nwrite -28\nlist 2\nstat 1048576\n");
	/* Every byte that was said to be written is there. */
	if (asprintf(&path, "%s/file", mounted) < 0)
		abort();
	expect_equal(stat(path, &file), 0);
	expect_equal(file.st_size, 1 << 20);
	char *bytes = file_text(path, NULL);
	expect_equal(strspn(bytes, "f"), 1 << 20);
	free(bytes);
	free(path);
}
END_TEST

/* ---- a quota */

/* A btrfs at 'mounted', the file system whose quotas hold for root too. False, having said why: not
 * here. */
static bool mount_with_quota(void)
{
	struct command command;
	char *image = scratch_path("image-%d", (int)getpid());
	int status = command_run(&command,
		WORDS("sh", "-ec",
			"truncate -s 128M \"$1\"; PATH=$PATH:/sbin:/usr/sbin; "
			"mkfs.btrfs -q \"$1\"; mount -o loop \"$1\" \"$2\"; "
			"btrfs quota enable \"$2\"",
			"sh", image, mounted),
		WAIT_MS);
	free(image);
	if (status != 0)
		printf("skipped: no btrfs with a quota can be had: %s\n", file_tail(command.err));
	return status == 0;
}

static void set_quota(const char *limit)
{
	struct command command;

	expect_equal(
		command_run(&command,
			WORDS("sh", "-c", "PATH=$PATH:/sbin:/usr/sbin; btrfs qgroup limit $1 $2",
				"sh", limit, mounted),
			WAIT_MS),
		0);
}

START_TEST(a_quota)
{
	struct command monitor;
	unsigned long filled;
	int used = 0;
	char *file;

	make_mounts();
	if (!own_mounts() || !mount_with_quota())
		return;
	set_quota("4M");
	expect_equal(
		guest_run(&monitor, WORDS("--mount", mounts[0]), "fs_fault",
			WORDS("fill", "/m/file", "write", "/m/other", "read", "/m/file"), WAIT_MS),
		0);
	char *text = file_text(monitor.out, NULL);
	if (sscanf(text, "filled %lu\nfill -122\nwrite -122\nread 65536\n%n", &filled, &used) !=
			1 ||
		used == 0 || text[used] != 0)
		ck_abort_msg("said\n%s", text);
	/* The file system wants some itself. */
	expect(filled > 2 << 20 && filled <= 4 << 20);
	free(text);
	/* Every byte that was said to be written is there. */
	if (asprintf(&file, "%s/file", mounted) < 0)
		abort();
	text = file_text(file, NULL);
	expect_equal(strlen(text), filled);
	expect_equal(strspn(text, "f"), filled);
	free(text);
	free(file);
	set_quota("8M");
	expect_run(WORDS("write", "/m/other", "read", "/m/other"), "write 0\nread 65536\n");
}
END_TEST

/* ---- what others do to the files meanwhile */

START_TEST(a_directory_that_vanishes)
{
	struct command monitor;
	char *file;

	make_mounts();
	if (asprintf(&file, "%s/file", mounted) < 0)
		abort();
	file_write(file, "text", 4);
	guest_start(&monitor, WORDS("--mount", mounts[0], "--mount", mounts[1]), "fs_fault",
		WORDS("read", "/m/file", "wait", "wait", "read", "/m/file", "write", "/m/new",
			"list", "/m", "read", "/ok/file"));
	free(command_wait_text(&monitor, monitor.out, "read 4\n", WAIT_MS));
	expect_equal(unlink(file), 0);
	expect_equal(rmdir(mounted), 0);
	expect_equal(command_wait(&monitor, WAIT_MS), 0);
	char *text = file_text(monitor.out, NULL);
	ck_assert_str_eq(text, "read 4\nread -2\nwrite -2\nlist -2\nread 5\n");
	free(text);
	free(file);
}
END_TEST

/* It ends where the file does by then, and says so by how much came. */
START_TEST(a_file_that_shrinks_while_it_is_streamed)
{
	struct command monitor;
	char *file;
	long got;

	make_mounts();
	if (asprintf(&file, "%s/file", mounted) < 0)
		abort();
	file_write_pattern(file, 3, 8u << 20);
	guest_start(&monitor, WORDS("--mount", mounts[0]), "fs_fault", WORDS("slow", "/m/file"));
	usleep(400000);
	expect_equal(truncate(file, 3u << 20), 0);
	expect_equal(command_wait(&monitor, WAIT_MS), 0);
	char *text = file_text(monitor.out, NULL);
	expect_equal(sscanf(text, "slow %ld", &got), 1);
	expect(got >= 1 << 20 && got < 8 << 20);
	free(text);
	free(file);
}
END_TEST

/* ---- the monitor is killed */

/* Each line that the guest has printed is of a record that was synced. */
static void expect_records(const char *file, const char *printed)
{
	char *on_disk = file_text(file, NULL), *told = file_text(printed, NULL);
	char *end = strrchr(told, '\n');

	if (end != NULL)
		end[1] = 0;
	if (strncmp(on_disk, told, end != NULL ? strlen(told) : 0) != 0)
		ck_abort_msg("the file does not begin with what was told:\n%s", told);
	expect(end != NULL);
	free(on_disk);
	free(told);
}

START_TEST(synced_records_survive_sigkill)
{
	char *file;

	make_mounts();
	if (asprintf(&file, "%s/records", mounted) < 0)
		abort();
	for (unsigned round = 0; round < scale(5, 20); round++) {
		struct command monitor;
		unlink(file);
		guest_start(&monitor, WORDS("--mount", mounts[0]), "fs_fault",
			WORDS("records", "/m/records"));
		free(command_wait_text(&monitor, monitor.out, "record 3\n", WAIT_MS));
		usleep(round * 7919 % 50000);
		command_stop(&monitor, SIGKILL);
		usleep(50000); /* a hosted guest's last line */
		expect_records(file, monitor.out);
	}
	free(file);
}
END_TEST

static const struct integration_test tests[] = {
	{&errors_of_the_medium, 120},
	{&a_server_that_does_not_answer, 60},
	{&a_full_disk, 60},
	{&a_quota, 60},
	{&a_directory_that_vanishes, 60},
	{&a_file_that_shrinks_while_it_is_streamed, 60},
	{&synced_records_survive_sigkill, 120},
};

INTEGRATION_MAIN("fs_fault", tests, NULL)
