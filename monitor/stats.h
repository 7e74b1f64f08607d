/*
 * stats: counters of one monitor. Each is written by one thread, without locks, and
 * read when printed; the table in stats.c gives names and meanings (--stats, README).
 */
#ifndef FERRULE_MONITOR_STATS_H
#define FERRULE_MONITOR_STATS_H

#include <stdint.h>
#include <stdio.h>

struct stats {
	/* I/O thread */
	uint64_t bytes_to_guest;      /* received from sockets and files */
	uint64_t bytes_to_host;       /* sent to sockets and files */
	uint64_t doorbells;           /* times that the guest woke the I/O thread */
	uint64_t interrupts;          /* times that the I/O thread woke the guest */
	uint64_t bell_scans;          /* turns that found pending slots, awake or woken */
	uint64_t io_enters;           /* io_uring_enter or epoll_wait calls */
	uint64_t io_operations;
	uint64_t sleeps;              /* times that the I/O thread went to sleep */
	uint64_t polls_won;           /* spins that work ended */
	uint64_t polls_lost;          /* spins that ended in a sleep */
	uint64_t placements;          /* times that the I/O thread and the guest were put on one CPU, or apart again */
	uint64_t streams_opened;
	uint64_t streams_closed;
	uint64_t streams_refused;     /* NewStreamRequest or Open answered with an errno */
	uint64_t connections_accepted;
	uint64_t connections_made;
	uint64_t datagrams_to_guest;
	uint64_t datagrams_to_host;
	uint64_t datagrams_refused;   /* sent or received, that no option grants */
	uint64_t datagrams_dropped;   /* by the host, because the guest left no room */
	uint64_t fs_requests;
	uint64_t worker_jobs;
	uint64_t lookups;
	uint64_t broken_pipes_by_guest; /* rules of DATAPIPE.md or PROTOCOL.md that the guest broke */
	uint64_t grants_refused;
	uint64_t streams_at_end;      /* that the guest had not closed when it ended, or was stopped */
	/* At the end, when all is over. More than 0 of one of these is an error of the monitor. */
	uint64_t streams_left;        /* that were not given back */
	uint64_t ring_bytes_left;     /* of rings that were not */
	uint64_t descriptors_left;
	/* engine */
	uint64_t console_exits;
	uint64_t other_exits;
};

extern struct stats stats;

/* One "name value" line each, zero counters too; the ratios per MiB once a MiB was relayed. */
void stats_print(FILE *file);

#endif
