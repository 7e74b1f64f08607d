/*
 * ring_bench [--rounds N] [--ms N] | --probe: the ring alone between two threads on two CPUs,
 * and others of its kind: messages of 64 B, 1 KiB and 64 KiB from memory of the sender into
 * memory of the receiver. The measure for them is memcpy of bytes that another CPU has just
 * written, which is what any ring has to do at the least.
 *
 * Prints one object of JSON for each measurement, rounds interleaved, with the round trip of
 * a cache line between the two CPUs before and after it: the CPUs of a virtual machine are
 * sometimes near and sometimes far. --probe measures only that.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/cpus.h"
#include "tests/bench/ring_peer.h"
#include "tests/lib/clock.h"

#define SIZE_MOST   65536
#define SLOTS_BYTES 4096 /* of the sender's messages: few enough to stay near to its CPU */
#define PROBE_TURNS 20000
#define STATUS_SKIP 77
#define TRIES       3
#define SHARE_LEAST 0.9 /* of two CPUs */

static int cpu[2];

static inline void relax(void)
{
	__builtin_ia32_pause();
}

static void *aligned(size_t len)
{
	void *memory = aligned_alloc(4096, (len + 4095) / 4096 * 4096);

	if (memory == NULL)
		abort();
	memset(memory, 1, len);
	return memory;
}

/* Runs there(argument) on the second CPU, and here(argument) on the first. */
static void run_both(void (*here)(void *), void *(*there)(void *), void *argument)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, there, argument) != 0)
		abort();
	pin_to(cpu[0]);
	here(argument);
	pthread_join(thread, NULL);
}

/* ---- the round trip of a cache line */

struct probe {
	_Alignas(128) atomic_uint line;
	double ns;
};

static void *probe_there(void *argument)
{
	struct probe *probe = argument;

	pin_to(cpu[1]);
	for (unsigned i = 0; i < PROBE_TURNS; i++) {
		while (atomic_load_explicit(&probe->line, memory_order_acquire) != 2 * i + 1)
			;
		atomic_store_explicit(&probe->line, 2 * i + 2, memory_order_release);
	}
	return NULL;
}

static void probe_here(void *argument)
{
	struct probe *probe = argument;
	uint64_t start = 0;

	for (unsigned i = 0; i < PROBE_TURNS; i++) {
		if (i == PROBE_TURNS / 4)
			start = clock_ns();
		atomic_store_explicit(&probe->line, 2 * i + 1, memory_order_release);
		while (atomic_load_explicit(&probe->line, memory_order_acquire) != 2 * i + 2)
			;
	}
	probe->ns = (double)(clock_ns() - start) / (PROBE_TURNS - PROBE_TURNS / 4);
}

static double probe_ns(void)
{
	static struct probe probe;

	atomic_store(&probe.line, 0);
	run_both(probe_here, probe_there, &probe);
	return probe.ns;
}

/* ---- memcpy of another CPU's fresh bytes */

struct fresh {
	_Alignas(128) atomic_uint turn; /* odd: the bytes are the receiver's to copy */
	_Alignas(128) size_t size;
	unsigned pieces; /* of this size, between two turns */
	uint64_t run_ns, copy_ns, bytes;
	char *source, *shared, *target;
	atomic_bool over;
};

/* Turns go round the same bytes as messages in a ring do. */
static char *fresh_place(const struct fresh *fresh, unsigned turn)
{
	return fresh->shared + turn / 2 % (RING_PEER_BYTES / SIZE_MOST) * SIZE_MOST;
}

static void *fresh_there(void *argument)
{
	struct fresh *fresh = argument;

	pin_to(cpu[1]);
	for (unsigned turn = 0;; turn += 2) {
		while (atomic_load_explicit(&fresh->turn, memory_order_acquire) != turn)
			if (atomic_load_explicit(&fresh->over, memory_order_relaxed))
				return NULL;
		memcpy(fresh_place(fresh, turn), fresh->source, fresh->size * fresh->pieces);
		atomic_store_explicit(&fresh->turn, turn + 1, memory_order_release);
	}
}

static void fresh_here(void *argument)
{
	struct fresh *fresh = argument;
	uint64_t begin = clock_ns(), now = begin;

	for (unsigned turn = 1; now < begin + fresh->run_ns; turn += 2) {
		while (atomic_load_explicit(&fresh->turn, memory_order_acquire) != turn)
			relax();
		const char *place = fresh_place(fresh, turn - 1);
		uint64_t start = clock_ns();
		for (unsigned i = 0; i < fresh->pieces; i++) {
			memcpy(fresh->target, place + i * fresh->size, fresh->size);
			__asm__ volatile("" : : "r"(fresh->target) : "memory");
		}
		now = clock_ns();
		fresh->copy_ns += now - start;
		fresh->bytes += fresh->size * fresh->pieces;
		atomic_store_explicit(&fresh->turn, turn + 1, memory_order_release);
	}
	atomic_store(&fresh->over, true);
}

/* GB/s of the copying alone. */
static double fresh_gbps(size_t size, unsigned ms)
{
	struct fresh fresh = {.size = size, .pieces = (unsigned)(SIZE_MOST / size)};

	fresh.run_ns = ms * 1000000ull;
	fresh.source = aligned(SIZE_MOST);
	fresh.shared = aligned(RING_PEER_BYTES);
	fresh.target = aligned(SIZE_MOST);
	run_both(fresh_here, fresh_there, &fresh);
	free(fresh.source);
	free(fresh.shared);
	free(fresh.target);
	return (double)fresh.bytes / (double)fresh.copy_ns;
}

/* ---- rings */

struct transfer {
	const struct ring_peer *peer;
	void *ring;
	size_t size;
	uint64_t slots; /* of the sender, for one message each; a power of two */
	uint64_t run_ns;
	uint64_t messages, ns;
	char *source, *target;
	atomic_bool over;
};

static char *slot_of(const struct transfer *transfer, uint64_t number)
{
	return transfer->source + (number & (transfer->slots - 1)) * transfer->size;
}

/*
 * The sender's messages lie in a few slots and are numbered half of them ahead. Numbered at once
 * before it is sent, a message could not be copied until the processor has made every earlier store
 * visible: that would measure the wait for its store buffer, with any ring.
 */
static void number_message(const struct transfer *transfer, uint64_t number)
{
	char *message = slot_of(transfer, number);

	memcpy(message, &number, sizeof(number));
	memcpy(message + transfer->size - sizeof(number), &number, sizeof(number));
}

static void *transfer_there(void *argument)
{
	struct transfer *transfer = argument;
	const struct ring_peer *peer = transfer->peer;
	uint64_t number = 0, numbered = 0;

	pin_to(cpu[1]);
	while (!atomic_load_explicit(&transfer->over, memory_order_relaxed)) {
		while (numbered <= number + transfer->slots / 2)
			number_message(transfer, numbered++);
		if (peer->put(transfer->ring, slot_of(transfer, number), transfer->size))
			number++;
		else
			relax();
	}
	if (peer->stop != NULL)
		peer->stop(transfer->ring);
	return NULL;
}

static void receive_one(struct transfer *transfer, uint64_t number)
{
	uint64_t first, last;

	while (!transfer->peer->get(transfer->ring, transfer->target, transfer->size))
		relax();
	memcpy(&first, transfer->target, sizeof(first));
	memcpy(&last, transfer->target + transfer->size - sizeof(last), sizeof(last));
	if (first != number || last != number) {
		fprintf(stderr, "ring_bench: %s lost a message\n", transfer->peer->name);
		exit(1);
	}
}

static void transfer_here(void *argument)
{
	struct transfer *transfer = argument;
	uint64_t batch = transfer->size < 4096 ? 256 : 8, number = 0, warm = 0;
	uint64_t begin = clock_ns(), start = begin, now = begin;

	while (now < begin + transfer->run_ns) {
		for (uint64_t i = 0; i < batch; i++)
			receive_one(transfer, number++);
		now = clock_ns();
		if (start == begin && now > begin + transfer->run_ns / 8) {
			warm = number;
			start = now;
		}
	}
	transfer->messages = number - warm;
	transfer->ns = now - start;
	atomic_store(&transfer->over, true);
	/* A sender that sleeps in a full pipe wakes for the room. */
	while (transfer->peer->stop != NULL &&
		transfer->peer->get(transfer->ring, transfer->target, transfer->size))
		;
}

/* GB/s; 0: not to be had. */
static double transfer_gbps(const struct ring_peer *peer, size_t size, unsigned ms)
{
	struct transfer transfer = {.peer = peer, .size = size, .run_ns = ms * 1000000ull};

	transfer.slots = size < SLOTS_BYTES ? SLOTS_BYTES / size : 1;
	transfer.ring = peer->create(size);
	if (transfer.ring == NULL)
		return 0;
	transfer.source = aligned(SIZE_MOST);
	transfer.target = aligned(SIZE_MOST);
	run_both(transfer_here, transfer_there, &transfer);
	peer->destroy(transfer.ring);
	free(transfer.source);
	free(transfer.target);
	return (double)(transfer.messages * size) / (double)transfer.ns;
}

/* ---- all of it */

static const struct ring_peer *const peers[] = {
	&ring_peer_ferrule,
#ifdef HAVE_CK_RING
	&ring_peer_ck,
#endif
#ifdef HAVE_RTE_RING
	&ring_peer_rte,
#endif
#ifdef HAVE_BOOST_SPSC
	&ring_peer_boost,
#endif
	&ring_peer_pipe,
	&ring_peer_socketpair,
};
#define PEER_COUNT (sizeof(peers) / sizeof(peers[0]))

/* How much of two CPUs this process had; less than all of it when others were in the way. */
struct share {
	uint64_t wall_ns;
	struct timespec cpu;
};

static struct share share_begin(void)
{
	struct share share = {.wall_ns = clock_ns()};

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &share.cpu);
	return share;
}

static double share_end(const struct share *share)
{
	struct timespec now;
	double wall = (double)(clock_ns() - share->wall_ns);

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return ((double)(now.tv_sec - share->cpu.tv_sec) * 1e9 +
		       (double)(now.tv_nsec - share->cpu.tv_nsec)) /
	       wall / 2;
}

/* peer NULL: memcpy. Where both sides spin, a try that others took CPUs from is made again. */
static void measure(unsigned round, size_t size, const struct ring_peer *peer, unsigned ms)
{
	double before = probe_ns(), gbps = 0, had = 0;

	for (int try = 0; try < TRIES && had < SHARE_LEAST; try++) {
		struct share share = share_begin();
		gbps = peer != NULL ? transfer_gbps(peer, size, ms) : fresh_gbps(size, ms);
		had = share_end(&share);
		if (peer != NULL && peer->stop != NULL)
			break;
	}
	double after = probe_ns();

	printf("{\"round\": %u, \"size\": %zu, \"peer\": \"%s\", \"gbps\": %.4f, "
	       "\"messages_per_second\": %.0f, \"line_before_ns\": %.0f, "
	       "\"line_after_ns\": %.0f, \"cpu_share\": %.2f}\n",
		round, size, peer != NULL ? peer->name : "memcpy", gbps, gbps * 1e9 / (double)size,
		before, after, had);
	fflush(stdout);
}

static void measure_all(unsigned rounds, unsigned ms)
{
	static const size_t sizes[] = {64, 1024, 65536};

	for (unsigned round = 1; round <= rounds; round++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			measure(round, sizes[i], NULL, ms);
			for (size_t j = 0; j < PEER_COUNT; j++)
				measure(round, sizes[i], peers[j], ms);
		}
}

int main(int argc, char **argv)
{
	unsigned rounds = 5, ms = 150;
	bool probe = false;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--probe") == 0)
			probe = true;
		else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
			rounds = (unsigned)strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--ms") == 0 && i + 1 < argc)
			ms = (unsigned)strtoul(argv[++i], NULL, 10);
		else {
			fprintf(stderr, "usage: ring_bench [--rounds N] [--ms N] | --probe\n");
			return 2;
		}
	}
	if (!two_cpus(cpu)) {
		printf("skipped: there is one CPU only\n");
		return STATUS_SKIP;
	}
	if (probe)
		printf("{\"line_ns\": %.0f}\n", probe_ns());
	else
		measure_all(rounds, ms);
	return 0;
}
