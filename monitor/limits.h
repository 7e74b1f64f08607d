/* limits: how much of the host a guest may use, --limit. */
#ifndef FERRULE_MONITOR_LIMITS_H
#define FERRULE_MONITOR_LIMITS_H

#include "monitor/rate.h"

/* 0: no limit but those that there always are. */
struct limits_config {
	uint64_t streams;        /* that exist at once; then EMFILE */
	uint64_t accepts;        /* streams posted to listeners at once; then ENOBUFS */
	uint64_t in_flight;      /* bytes of all rings together, so that no more can be on their way; then ENOBUFS */
	uint64_t datagram_queue; /* bytes of each UDP socket's receive buffer on the host */
	uint64_t connect_rate;   /* connections made in a second, TCP and UNIX; then EAGAIN */
	uint64_t accept_rate;    /* connections accepted in a second; the others wait in the backlog */
	uint64_t send_rate;      /* bytes sent to sockets in a second; then they wait in the rings */
	uint64_t receive_rate;   /* bytes received from sockets in a second; then they wait on the host */
};

/* Reads "NAME=N". 0, or a negative errno with a sentence in ret_error. */
int limits_add(struct limits_config *config, const char *value, char *ret_error, size_t error_len);

/* What is measured while the guest runs. */
struct limits {
	struct rate connects, accepts, sends, receives;
	uint64_t posted; /* streams that are posted to listeners now */
};

void limits_init(struct limits *limits, struct io *io, const struct limits_config *config);
/* Warns that the guest has met this limit (log_guest: a few times a second at most). */
void limits_reached(const char *name, uint64_t limit);
/* May another connection be made in this second? Then it is counted. */
bool limits_take_connect(struct limits *limits);

#endif
