/*
 * What cannot be run is said in one sentence with the cause and the remedy; the exit
 * status is 2, and nothing is left.
 */
#include <elf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/boot.h"
#include "tests/lib/client.h"
#include "tests/lib/integration.h"
#include "tests/lib/namespace.h"
#include "tests/lib/peer.h"
#include "tests/lib/scratch.h"

#define WAIT_MS 20000

/* argv is a whole command line behind the monitor's own path. */
static void expect_sentence(const char *const *argv, const char *cause, const char *remedy)
{
	const char *all[32] = {monitor_path()};
	struct command monitor;

	for (size_t i = 0; argv[i] != NULL && i < 30; i++)
		all[i + 1] = argv[i];
	int status = command_run(&monitor, all, WAIT_MS);
	char *err = file_text(monitor.err, NULL), *out = file_text(monitor.out, NULL);
	char *newline = strchr(err, '\n');
	bool one_line = newline != NULL && newline[1] == '\0';
	if (status != 2 || !one_line || strncmp(err, "ferrule: ", 9) != 0 || out[0] != '\0' ||
		strstr(err, cause) == NULL || strstr(err, remedy) == NULL)
		ck_abort_msg("instead of '%s ... %s', status %d and\n%s%s", cause, remedy, status,
			err, out);
	free(err);
	free(out);
	expect_nothing_left();
}

static void expect_refused_image(const char *path, const char *cause, const char *remedy)
{
	expect_sentence(WORDS("run", "--engine", engine, path), cause, remedy);
}

/* ---- images */

/* The bytes of the guest echo, to be spoilt; to be freed. */
static char *load_image(size_t *ret_len)
{
	char *path = guest_path("echo"), *bytes = file_text(path, ret_len);

	free(path);
	return bytes;
}

/* Writes an image under a name of its own. */
static char *put_image(const char *name, const char *bytes, size_t len)
{
	char *path = scratch_path("%s%s", name, engine_is_kvm() ? ".elf" : "");

	file_write(path, bytes, len);
	expect_equal(chmod(path, 0755), 0);
	return path;
}

START_TEST(missing_image)
{
	expect_refused_image("/absent/guest.elf", "no guest image /absent/guest.elf", "path");
	expect_refused_image("/absent/guest", "no guest image /absent/guest", "path");
	expect_refused_image(scratch_dir(), "is not a regular file", "path");
}
END_TEST

START_TEST(not_an_image)
{
	expect_refused_image(put_image("text", "#!/bin/sh\n", 10), "is not an ELF file", "path");
	expect_refused_image(put_image("empty", "", 0), "is not an ELF file", "path");
	expect_refused_image("/dev/null", "is not a regular file", "path");
	expect_refused_image("/bin/true", "is not a Ferrule guest", "link it");
}
END_TEST

START_TEST(other_machine)
{
	size_t len;
	char *bytes = load_image(&len);
	Elf64_Ehdr header;

	memcpy(&header, bytes, sizeof(header));
	header.e_machine = EM_AARCH64;
	memcpy(bytes, &header, sizeof(header));
	expect_refused_image(put_image("machine", bytes, len), "is for another machine", "x86-64");
	header.e_machine = EM_X86_64;
	header.e_ident[EI_CLASS] = ELFCLASS32;
	memcpy(bytes, &header, sizeof(header));
	expect_refused_image(put_image("class", bytes, len), "64-bit", "x86-64");
	free(bytes);
}
END_TEST

/* Where the Ferrule note's boot_note lies in the file. */
static char *find_note(char *bytes, size_t len)
{
	static const char name[] = BOOT_NOTE_NAME;
	const uint32_t head[3] = {sizeof(name), sizeof(struct boot_note), BOOT_NOTE_TYPE};

	for (size_t i = 0; i + 32 < len; i += 4)
		if (memcmp(bytes + i, head, sizeof(head)) == 0 &&
			memcmp(bytes + i + sizeof(head), name, sizeof(name)) == 0)
			return bytes + i + sizeof(head) + sizeof(name);
	ck_abort_msg("the image has no note");
}

START_TEST(other_version)
{
	size_t len;
	char *bytes = load_image(&len), *note = find_note(bytes, len);

	memcpy(note, &(uint32_t){BOOT_ABI_VERSION + 1}, 4);
	expect_refused_image(put_image("version", bytes, len), "ABI version 3", "build");
	memcpy(note, &(uint32_t){0}, 4);
	expect_refused_image(put_image("version0", bytes, len), "ABI version 0", "build");
	free(bytes);
}
END_TEST

/* The end of what the program needs of its file. */
static size_t loaded_len(const char *bytes)
{
	Elf64_Ehdr header;
	Elf64_Phdr program;
	size_t end = 0;

	memcpy(&header, bytes, sizeof(header));
	for (unsigned i = 0; i < header.e_phnum; i++) {
		memcpy(&program, bytes + header.e_phoff + i * sizeof(program), sizeof(program));
		if (program.p_type == PT_LOAD && program.p_offset + program.p_filesz > end)
			end = program.p_offset + program.p_filesz;
	}
	return end;
}

START_TEST(truncated_image)
{
	size_t len;
	char *bytes = load_image(&len);
	size_t loaded = loaded_len(bytes);
	const size_t lens[] = {
		4, 16, 63, 64, 100, 300, 4096, loaded / 2, loaded - 4096, loaded - 1};

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		char name[32];
		snprintf(name, sizeof(name), "cut-%zu", lens[i]);
		char *path = put_image(name, bytes, lens[i]);
		expect_refused_image(path, "truncated", "again");
		free(path);
	}
	free(bytes);
}
END_TEST

START_TEST(too_little_memory)
{
	if (!engine_is_kvm())
		return; /* a process takes the memory that it uses */
	char *echo = guest_path("echo");
	/* The two sentences that one can get do not contradict each other. */
	expect_sentence(WORDS("run", "--engine", "kvm", "--memory", "1000k", echo),
		"less than any guest needs", "for example 64M");
	expect_sentence(WORDS("run", "--engine", "kvm", "--memory", "1M", echo),
		"the guest needs at least", "give --memory");
	expect_sentence(
		WORDS("run", "--engine", "kvm", "--memory", "1000G", echo), "memory", "--memory");
	free(echo);
}
END_TEST

/* ---- options */

START_TEST(bad_options)
{
	static const struct {
		const char *words[4];
		const char *cause, *remedy;
	} cases[] = {
		{{"--no-such-option"}, "--no-such-option", "--help"},
		{{"--lisen", "127.0.0.1:0"}, "--lisen", "did you mean --listen"},
		{{"--listen"}, "--listen has no value", "HOST:PORTS"},
		{{"--listen", "8080"}, "8080", "127.0.0.1:8080"},
		{{"--listen", "127.0.0.1:99999"}, "99999", "65535"},
		{{"--listen", "::1:80"}, "::1:80", "[::1]:8080"},
		{{"--connect", "host"}, "host", "write"},
		{{"--connect", "http://example.org/"}, "URL", "write --connect example.org:80"},
		{{"--publish", "8080"}, "8080", "[ADDR:]PORT:GUESTPORT"},
		{{"--memory", "much"}, "much", "256M"},
		{{"--memory", "1"}, "'1'", "64M"},
		{{"--engine", "warp"}, "warp", "kvm, process or auto"},
		{{"--env", "=x"}, "=x", "NAME=VALUE"},
		{{"--log-level", "loud"}, "loud", "debug"},
		{{"--mount", "nowhere"}, "nowhere", "HOSTDIR:GUESTDIR"},
		{{"--mount", "/absent:/data"}, "/absent", "create"},
		{{"--mount", "/etc/passwd:/data"}, "is not a directory", "directory"},
		{{"--mount", "/tmp:data"}, "/tmp:data", "/GUESTDIR"},
		{{"--mount", "/tmp:/x", "--mount", "/etc:/x/"}, "second time", "own"},
		{{"--stats=yes"}, "no value", "yes"},
		{{NULL}, "no guest image is given", "GUEST.elf"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *words[8] = {"run"};
		for (size_t k = 0; k < 4 && cases[i].words[k] != NULL; k++)
			words[k + 1] = cases[i].words[k];
		expect_sentence(words, cases[i].cause, cases[i].remedy);
	}
	expect_sentence(WORDS("runn"), "no command runn", "ferrule run");
}
END_TEST

START_TEST(port_in_use)
{
	struct peer server = {.serve = peer_echo};
	char address[32], cause[64], *echo = guest_path("echo");

	peer_start(&server);
	snprintf(address, sizeof(address), "127.0.0.1:%u", server.port);
	snprintf(cause, sizeof(cause), "port %u of 127.0.0.1 is in use", server.port);
	expect_sentence(WORDS("run", "--engine", engine, "--listen", address, echo, address), cause,
		"choose another port");
	peer_stop(&server);

	/* Two monitors do not share one either. */
	struct command first;
	uint16_t port = guest_serve(&first, WORDS("--listen", ANY_PORT), "echo", WORDS(ANY_PORT));
	struct command second;
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	expect_equal(
		command_run(&second,
			WORDS(monitor_path(), "run", "--listen", address, echo, address), WAIT_MS),
		2);
	command_expect_error(&second, "is in use");
	guest_stop(&first, port);
	free(echo);
}
END_TEST

START_TEST(few_descriptors)
{
	static const char *const limits[] = {
		"ulimit -n 5; exec \"$@\"", "ulimit -n 12; exec \"$@\""};
	char *echo = guest_path("echo");
	struct command monitor;

	/* Of the first limit KVM itself is a victim already. */
	for (unsigned i = engine_is_kvm() ? 1 : 0; i < 2; i++) {
		expect_equal(command_run(&monitor,
				     WORDS("sh", "-c", limits[i], "sh", monitor_path(), "run",
					     "--engine", engine, echo),
				     WAIT_MS),
			2);
		command_expect_error(&monitor, "(ulimit -n)");
		expect_nothing_left();
	}
	free(echo);
}
END_TEST

/* 192.0.2.0/24 is for documents: no machine has an address of it. */
START_TEST(foreign_address)
{
	char *echo = guest_path("echo");

	expect_sentence(WORDS("run", "--engine", engine, "--listen", "192.0.2.1:80", echo),
		"192.0.2.1", "choose an address of this machine");
	free(echo);
}
END_TEST

/* The end of a name left out is a guest without walls: whoever has not asked for one is told. */
START_TEST(hosted_guest_by_its_name)
{
	struct command monitor;
	char *kvm = guest_path("echo");
	size_t len = strlen(kvm);
	char *name = strndup(kvm, len > 4 && strcmp(kvm + len - 4, ".elf") == 0 ? len - 4 : len);
	expect_equal(
		command_run(&monitor, WORDS(monitor_path(), "run", name, "--help"), WAIT_MS), 0);
	command_expect_error(&monitor, "is a hosted guest, which is not confined; write");
	expect_equal(command_run(&monitor,
			     WORDS(monitor_path(), "run", "--engine", "process", name, "--help"),
			     WAIT_MS),
		0);
	char *err = file_text(monitor.err, NULL);
	expect(strstr(err, "confined") == NULL);
	free(err);
	free(kvm);
	free(name);
}
END_TEST

/* ---- no KVM: in a mount namespace of the test's own */

/* Automatic choice goes on without KVM, and says so in one line. */
static void expect_hosted(const char *cause)
{
	struct command monitor;
	char *outcome = guest_path("outcome");

	expect_equal(
		command_run(&monitor, WORDS(monitor_path(), "run", outcome, "exit", "9"), WAIT_MS),
		9);
	command_expect_error(&monitor, cause);
	command_expect_error(&monitor, "as a hosted guest, which is not confined");
	char *err = file_text(monitor.err, NULL), *newline = strchr(err, '\n');
	expect(newline != NULL && newline[1] == '\0');
	free(err);
	free(outcome);
	expect_nothing_left();
}

START_TEST(kvm_not_permitted)
{
	char *echo = guest_path("echo"), *closed = scratch_path("closed");

	if (!engine_is_kvm() || !namespace_enter(CLONE_NEWNS))
		return;
	file_write(closed, "", 0);
	expect_equal(chmod(closed, 0), 0);
	namespace_bind(closed, "/dev/kvm");
	expect_sentence(
		WORDS("run", "--engine", "kvm", echo), "/dev/kvm", "sudo usermod -aG kvm $USER");
	expect_hosted("sudo usermod -aG kvm $USER");
}
END_TEST

START_TEST(kvm_is_something_else)
{
	char *echo = guest_path("echo");

	if (!engine_is_kvm() || !namespace_enter(CLONE_NEWNS))
		return;
	namespace_bind("/dev/null", "/dev/kvm");
	expect_sentence(WORDS("run", "--engine", "kvm", echo), "/dev/kvm", "--engine process");
	expect_hosted("/dev/kvm");
}
END_TEST

START_TEST(kvm_absent)
{
	char *echo = guest_path("echo"), *devices = scratch_subdir("devices"),
	     *null = scratch_path("devices/null");

	if (!engine_is_kvm() || !namespace_enter(CLONE_NEWNS))
		return;
	file_write(null, "", 0);
	namespace_bind("/dev/null", null);
	namespace_bind(devices, "/dev");
	expect_sentence(WORDS("run", "--engine", "kvm", echo), "/dev/kvm", "--engine process");
	expect_hosted("/dev/kvm");
}
END_TEST

static const struct integration_test tests[] = {
	{&missing_image, 30},
	{&not_an_image, 30},
	{&other_machine, 30},
	{&other_version, 30},
	{&truncated_image, 60},
	{&too_little_memory, 30},
	{&bad_options, 60},
	{&port_in_use, 30},
	{&foreign_address, 30},
	{&hosted_guest_by_its_name, 30},
	{&few_descriptors, 30},
	{&kvm_not_permitted, 30},
	{&kvm_is_something_else, 30},
	{&kvm_absent, 30},
};

INTEGRATION_MAIN("error", tests, NULL)
