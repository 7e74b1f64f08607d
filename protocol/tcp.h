/*
 * tcp: protocol 1 (listener) and protocol 2 (connection), PROTOCOL.md section 6.
 *
 * A listener's stream carries frames: the guest posts Accept with the id of a
 * fresh stream, the monitor answers IncomingConnection and relays that
 * connection on that stream. A connection's stream is raw bytes after Opened
 * (or from the start, for an accepted one) until it ends.
 */
#ifndef FERRULE_PROTOCOL_TCP_H
#define FERRULE_PROTOCOL_TCP_H

#include "protocol/endpoint.h"
#include "protocol/open.h"

enum tcp_type {
	TCP_ACCEPT = STREAM_FIRST, /* guest; monitor's reply is TCP_INCOMING with the same request id. Of UNIX listeners, too */
	TCP_INCOMING,              /* IncomingConnection, or an errno */
	TCP_TYPE_END,
};

enum tcp_option_flag {
	TCP_OPTION_DELAY = 1u << 0,     /* small writes wait for more to send (no TCP_NODELAY) */
	TCP_OPTION_KEEPALIVE = 1u << 1, /* a peer that says nothing is asked whether it is there (SO_KEEPALIVE) */
	TCP_OPTION_KNOWN = (1u << 2) - 1, /* any other bit is refused with EINVAL */
};

/* 32 bytes on the wire, as they lie here (WIRE_FIXED). What is 0 is as the host has it. */
struct tcp_options {
	uint32_t flags;                /* enum tcp_option_flag */
	uint32_t keepalive_s;          /* seconds of silence until the peer is asked (TCP_KEEPIDLE) */
	uint32_t keepalive_interval_s; /* seconds from one question to the next (TCP_KEEPINTVL) */
	uint32_t keepalive_count;      /* questions without an answer after which it is given up (TCP_KEEPCNT) */
	uint32_t receive_buffer;       /* bytes of the host's socket (SO_RCVBUF) */
	uint32_t send_buffer;          /* bytes of the host's socket (SO_SNDBUF) */
	uint32_t unacknowledged_ms;    /* so long may bytes be on their way until ETIMEDOUT (TCP_USER_TIMEOUT) */
	uint32_t idle_ms;              /* so long may no byte move, either way, until ETIMEDOUT; 0: for ever */
};

enum tcp_listen_flag {
	TCP_LISTEN_V6ONLY = 1u << 0,    /* an IPv6 listener takes no IPv4 connections */
	TCP_LISTEN_EXCLUSIVE = 1u << 1, /* not while connections of an earlier listener linger (no SO_REUSEADDR) */
	TCP_LISTEN_KNOWN = (1u << 2) - 1, /* any other bit is refused with EINVAL */
};

struct tcp_listen {            /* payload of Open */
	struct endpoint local;
	uint32_t backlog;      /* 0: the monitor's choice */
	uint32_t flags;        /* enum tcp_listen_flag */
	struct tcp_options options; /* of each connection */
};

struct tcp_listening {         /* payload of Opened */
	struct endpoint local; /* with the port that was really given */
};

struct tcp_connect {           /* payload of Open */
	struct endpoint remote; /* family ENDPOINT_NAME: only its port counts, and 'host' is the name */
	struct endpoint local;  /* this end; family 0: the host's choice, port 0: a free one */
	uint32_t timeout_ms;   /* 0: the system's own */
	struct tcp_options options;
	struct wire_bytes host; /* empty unless ENDPOINT_NAME */
};

struct tcp_connected {         /* payload of Opened */
	struct endpoint local;
	struct endpoint remote;
};

struct tcp_accept {
	uint64_t stream_id;    /* made by NewStreamRequest, never opened */
};

struct tcp_incoming {
	uint64_t stream_id;    /* as posted */
	struct endpoint remote; /* the peer */
	struct endpoint local;
};

extern const struct wire_message tcp_listen_message;
extern const struct wire_message tcp_listening_message;
extern const struct wire_message tcp_connect_message;
extern const struct wire_message tcp_connected_message;
extern const struct wire_message tcp_accept_message;
extern const struct wire_message tcp_incoming_message;
extern const struct wire_message tcp_options_message; /* the structure alone */

#endif
