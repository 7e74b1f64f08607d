/*
 * client: connections of a test by TCP to 127.0.0.1, or to UNIX sockets, with blocking calls that fail the
 * test when they take longer than CLIENT_WAIT_MS or meet an error that was not asked for.
 */
#ifndef FERRULE_TESTS_LIB_CLIENT_H
#define FERRULE_TESTS_LIB_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_WAIT_MS 20000

int client_connect(uint16_t port);
/* Of SOCK_STREAM or SOCK_SEQPACKET. */
int client_connect_unix(const char *path, int type);
/* The same from 127.0.0.SOURCE: each such address has ports of its own, for many connections. With
 * a receive buffer of so many bytes; 0: the system's choice. */
int client_connect_from(unsigned source, int receive_buffer, uint16_t port);
void client_send(int fd, const void *bytes, size_t len);
void client_receive(int fd, void *ret_bytes, size_t len);
/* The same, of stream 'key' of the pattern (tests/lib/random.h), from 'position' on. */
void client_send_pattern(int fd, uint64_t key, uint64_t position, uint64_t len);
void client_expect_pattern(int fd, uint64_t key, uint64_t position, uint64_t len);
/* FIN: no byte follows. */
void client_finish(int fd);
/* Reads the end of the stream and not one more byte. */
void client_expect_end(int fd);
/* Reads up to an error, which has to be this one. */
void client_expect_error(int fd, int error);
void client_close(int fd);
/* Closes with RST. */
void client_reset(int fd);

/* How many bytes more come before the end. */
uint64_t client_count_to_end(int fd);
/* Whether bytes, the end or an error can be read within that time. */
bool client_readable(int fd, int timeout_ms);

/* A port that nobody uses now. */
uint16_t free_port(void);
/* Fails the test when somebody listens on the port, or will not stop to. */
void expect_no_listener(uint16_t port);

/* Runs work(argument, i) for i below 'count' on a thread each, to their ends. */
void in_threads(unsigned count, void (*work)(void *argument, unsigned index), void *argument);

#endif
