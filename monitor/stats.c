#include "monitor/stats.h"

#include <inttypes.h>
#include <stddef.h>

#define MIB 1048576.0 /* bytes */

struct stats stats;

struct counter_row {
	const char *name;
	const char *meaning;
	size_t offset; /* in struct stats */
};

#define COUNTER(name, meaning)                                                                     \
	{                                                                                          \
#name, meaning, offsetof(struct stats, name)                                       \
	}

static const struct counter_row counters[] = {
	COUNTER(bytes_to_guest, "bytes received from sockets and files"),
	COUNTER(bytes_to_host, "bytes sent to sockets and files"),
	COUNTER(doorbells, "times that the guest woke the I/O thread"),
	COUNTER(interrupts, "times that the I/O thread woke the guest"),
	COUNTER(bell_scans, "turns that found pending streams, awake or woken"),
	COUNTER(io_enters,
		"calls of io_uring_enter; with --io event of epoll_wait, polling ones too"),
	COUNTER(io_operations, "operations on sockets and files, by io_uring or libevent"),
	COUNTER(sleeps, "times that the I/O thread went to sleep"),
	COUNTER(polls_won, "times that the I/O thread polled and work came"),
	COUNTER(polls_lost, "times that it polled in vain, and slept"),
	COUNTER(placements, "times that I/O thread and guest were put on one CPU, or apart again"),
	COUNTER(streams_opened, "streams made for the guest"),
	COUNTER(streams_closed, "streams given back"),
	COUNTER(streams_refused, "streams answered with an errno"),
	COUNTER(connections_accepted, "connections accepted for the guest"),
	COUNTER(connections_made, "connections made for the guest"),
	COUNTER(datagrams_to_guest, "UDP datagrams given to the guest"),
	COUNTER(datagrams_to_host, "UDP datagrams sent for the guest"),
	COUNTER(datagrams_refused, "UDP datagrams from or to where no option grants it"),
	COUNTER(datagrams_dropped, "UDP datagrams lost because the guest left no room"),
	COUNTER(fs_requests, "file system requests"),
	COUNTER(worker_jobs, "calls that could block, given to worker threads"),
	COUNTER(lookups, "names looked up for the guest"),
	COUNTER(broken_pipes_by_guest, "rules of the shared memory that the guest broke"),
	COUNTER(grants_refused, "attempts to reach what no option grants"),
	COUNTER(streams_at_end, "streams that the guest had not closed at its end"),
	COUNTER(streams_left, "streams that the monitor still had when all was over"),
	COUNTER(ring_bytes_left, "bytes of rings that it still had then"),
	COUNTER(descriptors_left, "descriptors that it still had then"),
	COUNTER(console_exits, "exits to user space that wrote to the console"),
	COUNTER(other_exits, "other exits to user space"),
};
#define COUNTER_COUNT (sizeof(counters) / sizeof(counters[0]))

_Static_assert(COUNTER_COUNT * sizeof(uint64_t) == sizeof(struct stats), "a row for each counter");

static const struct counter_row per_mib[] = {
	{"doorbells_per_mib", "doorbells for each MiB relayed", offsetof(struct stats, doorbells)},
	{"interrupts_per_mib", "interrupts for each MiB relayed",
		offsetof(struct stats, interrupts)},
	{"io_enters_per_mib", "calls of io_uring_enter or epoll_wait for each MiB relayed",
		offsetof(struct stats, io_enters)},
};
#define PER_MIB_COUNT (sizeof(per_mib) / sizeof(per_mib[0]))

static uint64_t value_of(const struct counter_row *row)
{
	return *(const uint64_t *)((const char *)&stats + row->offset);
}

void stats_print(FILE *file)
{
	double mib = (double)(stats.bytes_to_guest + stats.bytes_to_host) / MIB;

	for (size_t i = 0; i < COUNTER_COUNT; i++)
		fprintf(file, "%-22s %14" PRIu64 "  %s\n", counters[i].name, value_of(&counters[i]),
			counters[i].meaning);
	/* Of less than one the ratio would tell of the start, not of the load. */
	for (size_t i = 0; mib >= 1 && i < PER_MIB_COUNT; i++)
		fprintf(file, "%-22s %14.3f  %s\n", per_mib[i].name,
			(double)value_of(&per_mib[i]) / mib, per_mib[i].meaning);
}
