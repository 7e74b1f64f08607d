/*
 * TLS through the guest program relay, which knows nothing of it: openssl behind it and in front of
 * it, by TCP and by UNIX sockets.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/integration.h"
#include "tests/lib/random.h"
#include "tests/lib/scratch.h"

#define WAIT_MS  20000
#define FILE_LEN (3u << 20) /* bytes */

static char *key, *certificate;

static void make_certificate(void)
{
	struct command openssl;

	key = scratch_path("key.pem");
	certificate = scratch_path("certificate.pem");
	if (command_run(&openssl,
		    WORDS("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
			    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out",
			    certificate, "-subj", "/CN=localhost", "-days", "2"),
		    WAIT_MS) != 0)
		ck_abort_msg("openssl req: %s", file_tail(openssl.err));
}

/* The client sends these words, and is told the answer. */
static void expect_answer(const char *to, const char *words, const char *answer)
{
	struct command client;
	char *line;

	/* It ends with its input, which stays until the answer has come. */
	if (asprintf(&line,
		    "(printf '%s'; sleep 3) | timeout 10 openssl s_client %s -quiet "
		    "-verify_return_error -CAfile %s",
		    words, to, certificate) < 0)
		abort();
	command_start(&client, WORDS("sh", "-c", line));
	free(command_wait_text(&client, client.out, answer, WAIT_MS));
	command_stop(&client, SIGTERM);
	free(line);
}

/* The server turns each line round. */
START_TEST(tls_passes_by_tcp)
{
	struct command server, monitor;
	char to[64], target[32];

	make_certificate();
	command_start(&server, WORDS("openssl", "s_server", "-accept", "127.0.0.1:0", "-key", key,
				       "-cert", certificate, "-rev"));
	char *where = command_wait_text(&server, server.out, "ACCEPT 127.0.0.1:", WAIT_MS);
	snprintf(target, sizeof(target), "127.0.0.1:%d", atoi(where));
	uint16_t port = guest_serve(&monitor, WORDS("--listen", ANY_PORT, "--connect", target),
		"relay", WORDS(ANY_PORT, target));
	snprintf(to, sizeof(to), "-connect 127.0.0.1:%u", port);
	expect_answer(to, "hello, guest\\n", "tseug ,olleh");
	command_stop(&server, SIGTERM);
	guest_stop(&monitor, port);
}
END_TEST

/* UNIX sockets on both sides, and a file that takes many records. */
START_TEST(tls_passes_by_unix_sockets)
{
	struct command server, monitor, client;
	char *site = scratch_subdir("tls"), *file = scratch_path("tls/file"), *line;
	char *back = scratch_path("tls/b.sock"), *front = scratch_path("front.sock"), *unix_back,
	     *unix_front;

	make_certificate();
	file_write_pattern(file, random_seed(), FILE_LEN);
	if (asprintf(&unix_back, "unix:%s", back) < 0 ||
		asprintf(&unix_front, "unix:%s", front) < 0)
		abort();
	/* openssl itself fails to print a path that is much longer. */
	if (asprintf(&line, "cd %s && exec openssl s_server -unix b.sock -key %s -cert %s -WWW",
		    site, key, certificate) < 0)
		abort();
	command_start(&server, WORDS("sh", "-c", line));
	for (int wait = 0; access(back, F_OK) != 0 && wait < WAIT_MS; wait++)
		sleep_ms(1);
	guest_start(
		&monitor, WORDS("--unix", scratch_dir()), "relay", WORDS(unix_front, unix_back));
	free(command_wait_text(&monitor, monitor.out, "listening on unix:", WAIT_MS));
	if (asprintf(&line,
		    "printf 'GET /file HTTP/1.0\\r\\n\\r\\n' | timeout 20 openssl s_client -unix "
		    "%s "
		    "-quiet -verify_return_error -CAfile %s | tail -c %u > %s.copy",
		    front, certificate, FILE_LEN, file) < 0)
		abort();
	command_run(&client, WORDS("sh", "-c", line), WAIT_MS);
	char *copy = scratch_path("tls/file.copy");
	expect_same_file(copy, file);
	command_stop(&server, SIGTERM);
	guest_stop(&monitor, 0);
}
END_TEST

static const struct integration_test tests[] = {
	{&tls_passes_by_tcp, 60},
	{&tls_passes_by_unix_sockets, 60},
};

INTEGRATION_MAIN("tls", tests, "openssl")
