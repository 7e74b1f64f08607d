#include "monitor/choice.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/elf.h"
#include "monitor/log.h"

#define SUFFIX       ".elf" /* of an image for KVM; without it, its hosted guest */
#define SENTENCE_LEN 512
#define JOIN_GROUP   "; for KVM run 'sudo usermod -aG kvm $USER' and log in again"

static int open_image(struct choice *choice, const char *path, char *ret_error, size_t error_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT)
		return log_sentence(ret_error, error_len, ENOENT,
			"there is no guest image %s; check the path, or build it with ninja -C "
			"build",
			path);
	if (fd < 0)
		return log_sentence(ret_error, error_len, errno,
			"%s cannot be opened: %s; check its permissions", path, strerror(errno));
	choice_free(choice);
	choice->fd = fd;
	choice->path = strdup(path);
	return choice->path != NULL ? 0
				    : log_sentence(ret_error, error_len, ENOMEM,
					      "there is no memory for the guest; free some");
}

static int check_image(
	const struct choice *choice, enum boot_platform platform, char *ret_error, size_t error_len)
{
	struct elf_image image;
	return elf_read(choice->fd, choice->path, platform, &image, ret_error, error_len);
}

/* Replaces the KVM image by the hosted guest beside it. 'why' begins the sentence when there is
 * none, and 'more' ends it. */
static int take_hosted(
	struct choice *choice, const char *why, const char *more, char *ret_error, size_t error_len)
{
	char hosted[4096];
	char reason[SENTENCE_LEN];
	size_t len = strlen(choice->path);
	size_t suffix = strlen(SUFFIX);

	if (len <= suffix || strcmp(choice->path + len - suffix, SUFFIX) != 0)
		return log_sentence(ret_error, error_len, ENOENT,
			"%s and %s is not named NAME%s; give the path of its hosted guest", why,
			choice->path, SUFFIX);
	if (len - suffix >= sizeof(hosted))
		return log_sentence(ret_error, error_len, ENAMETOOLONG,
			"the path of the guest image is too long; use a shorter one");
	memcpy(hosted, choice->path, len - suffix);
	hosted[len - suffix] = '\0';
	int error = open_image(choice, hosted, reason, sizeof(reason));
	if (error)
		return log_sentence(ret_error, error_len, -error,
			"%s and there is no hosted guest %s; build it with guest/ferrule-cc -o "
			"%s%s",
			why, hosted, hosted, more);
	choice->ops = &engine_process;
	return check_image(choice, BOOT_PLATFORM_PROCESS, ret_error, error_len);
}

/* What the image was linked for, when it is a good one. */
static int find_platform(const struct choice *choice, enum boot_platform *ret_platform,
	char *ret_error, size_t error_len)
{
	*ret_platform = BOOT_PLATFORM_PROCESS;
	int error = check_image(choice, *ret_platform, ret_error, error_len);
	if (error != -EPROTOTYPE)
		return error;
	*ret_platform = BOOT_PLATFORM_KVM;
	return check_image(choice, *ret_platform, ret_error, error_len);
}

static int choose_kvm(struct choice *choice, char *ret_error, size_t error_len)
{
	choice->ops = &engine_kvm;
	int error = check_image(choice, BOOT_PLATFORM_KVM, ret_error, error_len);
	return error ? error : engine_kvm_usable(ret_error, error_len);
}

static int choose_process(struct choice *choice, char *ret_error, size_t error_len)
{
	enum boot_platform platform;

	choice->ops = &engine_process;
	int error = find_platform(choice, &platform, ret_error, error_len);
	if (error || platform == BOOT_PLATFORM_PROCESS)
		return error;
	return take_hosted(
		choice, "--engine process needs a hosted guest", "", ret_error, error_len);
}

static int choose_any(struct choice *choice, char *ret_error, size_t error_len)
{
	enum boot_platform platform;
	char reason[SENTENCE_LEN];

	int error = find_platform(choice, &platform, ret_error, error_len);
	if (error)
		return error;
	choice->ops = platform == BOOT_PLATFORM_KVM ? &engine_kvm : &engine_process;
	if (platform == BOOT_PLATFORM_PROCESS) {
		/* Not everybody who leaves the end of a name out means that. */
		fprintf(stderr,
			"ferrule: %s is a hosted guest, which is not confined; write %s.elf for "
			"KVM, or "
			"--engine process if it is meant\n",
			choice->path, choice->path);
		return 0;
	}
	int unusable = engine_kvm_usable(reason, sizeof(reason));
	if (unusable == 0)
		return 0;
	/* The sentence is "cause; remedy", and the remedy here is ours. */
	reason[strcspn(reason, ";")] = '\0';
	const char *more = unusable == -EACCES ? JOIN_GROUP : "";
	error = take_hosted(choice, reason, more, ret_error, error_len);
	if (!error)
		fprintf(stderr,
			"ferrule: %s; running %s as a hosted guest, which is not confined%s\n",
			reason, choice->path, more);
	return error;
}

int choice_make(
	const struct config *config, struct choice *ret_choice, char *ret_error, size_t error_len)
{
	*ret_choice = (struct choice){.fd = -1};
	int error = open_image(ret_choice, config->image, ret_error, error_len);
	if (error)
		return error;
	bool kvm = strcmp(config->engine, "kvm") == 0;
	if (kvm && config->wrap != NULL)
		return log_sentence(ret_error, error_len, EINVAL,
			"--wrap is for hosted guests; leave out --engine kvm");
	if (kvm)
		return choose_kvm(ret_choice, ret_error, error_len);
	if (strcmp(config->engine, "process") == 0 || config->wrap != NULL)
		return choose_process(ret_choice, ret_error, error_len);
	return choose_any(ret_choice, ret_error, error_len);
}

void choice_free(struct choice *choice)
{
	if (choice->fd >= 0)
		close(choice->fd);
	free(choice->path);
	*choice = (struct choice){.fd = -1};
}
