/*
 * What the guest does to a connection is seen on the wire (PROTOCOL.md section 6.9): a packet
 * socket on the loopback of a network of the test's own counts the bytes of each direction and sees
 * how it ends. Each case runs on a connection that was accepted and on one that was made.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/clock.h"
#include "tests/lib/namespace.h"
#include "tests/lib/random.h"
#include "tests/lib/suite.h"
#include "tests/lib/tcp_guest.h"

#define WAIT_MS   5000
#define SETTLE_MS 50    /* in which loopback carries what is still to come */
#define TAIL      5000u /* bytes that have to arrive */
#define LINGER_MS 2000  /* of section 6.9: for what a peer still sends */

static bool in_namespace;

/* ---- the wire */

/* One direction. Sequence numbers count from the byte behind the SYN. */
struct way {
	uint32_t first; /* sequence number of that byte */
	bool begun;
	uint32_t bytes;  /* that were seen: the end of the farthest segment */
	uint32_t fin_at; /* bytes in front of the FIN */
	uint32_t acked;  /* of the other direction, its FIN counting for one */
	bool fin, rst;
	bool rst_overtook; /* it came before the other side had acknowledged the FIN */
};

/* The starts of packets, in memory that the kernel fills (packet(7), PACKET_RX_RING): as a socket's
 * queue has them, whole, few would be too many. */
#define TAP_FRAME  256u
#define TAP_FRAMES 65536u
#define TAP_BLOCK  65536u

static struct tap {
	int fd;
	unsigned char *frames;
	unsigned next;
	uint16_t port; /* the monitor's end */
	struct way monitor, peer;
} tap;

static void tap_open(void)
{
	struct sockaddr_ll any = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP)};
	const struct tpacket_req ring = {
		TAP_BLOCK, TAP_FRAMES / (TAP_BLOCK / TAP_FRAME), TAP_FRAME, TAP_FRAMES};
	const int version = TPACKET_V2;

	tap = (struct tap){.fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
	expect(tap.fd >= 0);
	expect_equal(setsockopt(tap.fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)), 0);
	expect_equal(setsockopt(tap.fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)), 0);
	tap.frames = mmap(NULL, (size_t)TAP_FRAME * TAP_FRAMES, PROT_READ | PROT_WRITE, MAP_SHARED,
		tap.fd, 0);
	expect(tap.frames != MAP_FAILED);
	expect_equal(bind(tap.fd, (struct sockaddr *)&any, sizeof(any)), 0);
}

static void tap_close(void)
{
	munmap(tap.frames, (size_t)TAP_FRAME * TAP_FRAMES);
	close(tap.fd);
}

static void way_see(struct way *way, const struct way *other, const struct tcphdr *tcp, size_t len)
{
	if (tcp->syn) {
		way->first = ntohl(tcp->seq) + 1;
		way->begun = true;
	}
	if (!way->begun)
		return;
	uint32_t end = ntohl(tcp->seq) + tcp->syn - way->first + (uint32_t)len;
	if (!tcp->rst && end > way->bytes)
		way->bytes = end;
	if (tcp->ack && !tcp->rst && other->begun)
		way->acked = ntohl(tcp->ack_seq) - other->first;
	if (tcp->fin) {
		way->fin = true;
		way->fin_at = end;
	}
	if (tcp->rst) {
		way->rst_overtook |= !way->rst && (!way->fin || other->acked <= way->fin_at);
		way->rst = true;
	}
}

static void tap_see(const unsigned char *packet)
{
	struct iphdr ip;
	struct tcphdr tcp;

	memcpy(&ip, packet, sizeof(ip));
	if (ip.protocol != IPPROTO_TCP)
		return;
	memcpy(&tcp, packet + ip.ihl * 4u, sizeof(tcp));
	size_t len = ntohs(ip.tot_len) - ip.ihl * 4u - tcp.doff * 4u;
	if (ntohs(tcp.source) == tap.port)
		way_see(&tap.monitor, &tap.peer, &tcp, len);
	else if (ntohs(tcp.dest) == tap.port)
		way_see(&tap.peer, &tap.monitor, &tcp, len);
}

/* All packets that are there. */
static void tap_read(void)
{
	for (;;) {
		unsigned char *frame = tap.frames + (size_t)(tap.next % TAP_FRAMES) * TAP_FRAME;
		struct tpacket2_hdr *header = (void *)frame;
		/* Acquire, and release when it is given back: partners of the kernel's own. */
		if ((__atomic_load_n(&header->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) == 0)
			return;
		tap_see(frame + header->tp_net);
		__atomic_store_n(&header->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		tap.next++;
	}
}

/* Until it has been seen; whatever came with it is seen, too. */
static void tap_await(const bool *seen)
{
	uint64_t until = clock_ms() + WAIT_MS;
	struct pollfd packets = {.fd = tap.fd, .events = POLLIN};

	for (tap_read(); !*seen; tap_read()) {
		if (clock_ms() > until)
			ck_abort_msg("it does not come: monitor %u bytes%s%s, peer %u bytes%s%s",
				tap.monitor.bytes, tap.monitor.fin ? " FIN" : "",
				tap.monitor.rst ? " RST" : "", tap.peer.bytes,
				tap.peer.fin ? " FIN" : "", tap.peer.rst ? " RST" : "");
		poll(&packets, 1, 100);
	}
}

/* Nothing was dropped, so what was not seen was not there. */
static void tap_settle(void)
{
	struct tpacket_stats stats;
	socklen_t len = sizeof(stats);

	sleep_ms(SETTLE_MS);
	tap_read();
	expect_equal(getsockopt(tap.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len), 0);
	expect_equal(stats.tp_drops, 0);
}

static void expect_fin(const struct way *way, uint32_t bytes)
{
	tap_await(&way->fin);
	expect_equal(way->fin_at, bytes);
	expect_equal(way->bytes, bytes);
	expect(!way->rst);
}

static void expect_rst(const struct way *way)
{
	tap_await(&way->rst);
	tap_settle();
	expect(!way->fin);
}

static void expect_no_rst(void)
{
	tap_settle();
	expect(!tap.monitor.rst && !tap.peer.rst);
}

/* ---- a connection, made in one way or the other */

enum made { ACCEPTED, CONNECTED, MADE_COUNT };

struct pair {
	struct guest_stream listener, stream;
	int fd; /* the peer */
};

static void setup(void)
{
	in_namespace = namespace_enter(CLONE_NEWNET);
	if (!in_namespace)
		return;
	namespace_loopback(true);
	tcp_guest_setup();
	tap_open();
}

static void teardown(void)
{
	if (!in_namespace)
		return;
	tcp_guest_teardown();
	tap_close();
}

/* The tap must know the port before the first packet. */
static void accept_one(struct pair *pair, const struct tcp_options *options)
{
	struct tcp_listen wanted = {.local = loopback(0), .options = *options};
	struct tcp_listening answer;

	pair->listener = new_stream();
	expect_equal(guest_stream_open(&pair->listener, PROTOCOL_TCP_LISTEN, &tcp_listen_message,
			     &wanted, &tcp_listening_message, &answer),
		0);
	tap.port = answer.local.port;
	pair->fd = another_pair(&pair->listener, tap.port, &pair->stream);
}

static void connect_one(struct pair *pair, const struct tcp_options *options)
{
	struct tcp_connect wanted = {.options = *options, .local = loopback(0)};
	struct timeval limit = {.tv_sec = WAIT_MS / 1000};
	uint16_t port;
	int server = native_listen(&port), free_port = native_listen(&tap.port);

	close(free_port);
	wanted.remote = loopback(port);
	wanted.local.port = tap.port;
	pair->stream = new_stream();
	expect_equal(guest_stream_open(&pair->stream, PROTOCOL_TCP_CONNECT, &tcp_connect_message,
			     &wanted, NULL, NULL),
		0);
	pair->fd = accept(server, NULL, NULL);
	expect(pair->fd >= 0);
	setsockopt(pair->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	close(server);
}

/* False: there is no network to look at. */
static bool make_with(struct pair *pair, enum made made, const struct tcp_options *options)
{
	if (!in_namespace)
		return false;
	if (made == ACCEPTED)
		accept_one(pair, options);
	else
		connect_one(pair, options);
	return true;
}

static bool make(struct pair *pair, enum made made)
{
	return make_with(pair, made, &(struct tcp_options){0});
}

/* ---- the bytes: pattern 1 from the guest, 2 from the peer */

static unsigned char bytes[200000];

static void guest_writes(struct pair *pair, size_t len)
{
	pattern_fill(1, 0, bytes, len);
	write_all(&pair->stream, bytes, len);
}

static void guest_reads(struct pair *pair, size_t len)
{
	for (size_t done = 0; done < len;) {
		long n = read_some(&pair->stream, bytes, len - done);
		expect(n > 0);
		expect_equal(pattern_match(2, done, bytes, (size_t)n), n);
		done += (size_t)n;
	}
}

static void peer_sends(const struct pair *pair, size_t len)
{
	pattern_fill(2, 0, bytes, len);
	for (size_t done = 0; done < len;) {
		ssize_t n = send(pair->fd, bytes + done, len - done, MSG_NOSIGNAL);
		expect(n > 0);
		done += (size_t)n;
	}
}

static void peer_receives(const struct pair *pair, size_t len)
{
	expect_equal(recv(pair->fd, bytes, len, MSG_WAITALL), len);
	expect_equal(pattern_match(1, 0, bytes, len), len);
}

/* The other side has acknowledged all that the peer sent. */
static void await_acknowledged(const struct pair *pair)
{
	int left = 1;

	for (int i = 0; left != 0 && i < WAIT_MS; i++) {
		expect_equal(ioctl(pair->fd, SIOCOUTQ, &left), 0);
		sleep_ms(1);
	}
	expect_equal(left, 0);
}

/* ---- what the guest does */

START_TEST(finish_is_a_fin_behind_all_bytes)
{
	struct pair pair;

	if (!make(&pair, (enum made)_i))
		return;
	guest_writes(&pair, 150000);
	finish(&pair.stream);
	peer_receives(&pair, 150000);
	expect_equal(recv(pair.fd, bytes, 1, 0), 0);
	expect_fin(&tap.monitor, 150000);
	/* The other direction goes on, to its own end. */
	peer_sends(&pair, 1000);
	guest_reads(&pair, 1000);
	expect(!tap.peer.fin);
	close(pair.fd);
	expect_fin(&tap.peer, 1000);
	expect_equal(read_some(&pair.stream, bytes, 1), 0);
	guest_stream_close(&pair.stream);
	expect_no_rst();
}
END_TEST

START_TEST(close_is_a_fin_behind_all_bytes)
{
	struct pair pair;

	if (!make(&pair, (enum made)_i))
		return;
	guest_writes(&pair, TAIL);
	guest_stream_close(&pair.stream);
	peer_receives(&pair, TAIL);
	expect_equal(recv(pair.fd, bytes, 1, 0), 0);
	expect_fin(&tap.monitor, TAIL);
	close(pair.fd);
	expect_no_rst();
}
END_TEST

START_TEST(fail_is_a_rst_and_no_fin)
{
	struct pair pair;

	if (!make(&pair, (enum made)_i))
		return;
	guest_writes(&pair, 1000);
	ring_fail(&pair.stream.pipe.out, EIO);
	guest_flush(&guest, &pair.stream.pipe, pair.stream.slot);
	expect_rst(&tap.monitor);
	expect_equal(read_some(&pair.stream, bytes, 1), -ECONNABORTED);
	while (recv(pair.fd, bytes, sizeof(bytes), 0) > 0)
		;
	expect_equal(errno, ECONNRESET);
	close(pair.fd);
}
END_TEST

/* The peer has sent more than was read, and still sends: no RST overtakes what the guest said last.
 */
START_TEST(close_while_the_peer_sends)
{
	struct pair pair;

	if (!make(&pair, (enum made)_i))
		return;
	fcntl(pair.fd, F_SETFL, O_NONBLOCK);
	for (int idle = 0; idle < 20; idle++) {
		if (send(pair.fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
			idle = 0;
		sleep_ms(1);
	}
	guest_writes(&pair, TAIL);
	finish(&pair.stream);
	guest_stream_close(&pair.stream);
	while (send(pair.fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0 || errno == EAGAIN) {
		tap_read();
		if (tap.monitor.fin && tap.peer.acked > tap.monitor.fin_at)
			break;
	}
	fcntl(pair.fd, F_SETFL, 0);
	peer_receives(&pair, TAIL);
	expect_equal(recv(pair.fd, bytes, 1, 0), 0);
	tap_await(&tap.monitor.fin);
	expect_equal(tap.monitor.fin_at, TAIL);
	close(pair.fd);
	tap_settle();
	expect(!tap.monitor.rst_overtook);
}
END_TEST

/* One that never ends has all that it was told before it is reset: as soon as nothing of it is
 * unread, and at the latest when the time for lingering is over. */
START_TEST(close_while_the_peer_sends_for_ever)
{
	struct pair pair;
	uint64_t start = clock_ms();

	if (!make(&pair, (enum made)_i))
		return;
	peer_sends(&pair, sizeof(bytes));
	guest_writes(&pair, TAIL);
	guest_stream_close(&pair.stream);
	while (send(pair.fd, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		expect(clock_ms() - start < 2 * LINGER_MS + WAIT_MS);
	expect(errno == ECONNRESET || errno == EPIPE);
	peer_receives(&pair, TAIL);
	tap_await(&tap.monitor.rst);
	expect_equal(tap.monitor.fin_at, TAIL);
	expect(!tap.monitor.rst_overtook);
	close(pair.fd);
}
END_TEST

static const struct tcp_options silence = {.idle_ms = 200};

START_TEST(idle_is_a_rst_and_no_fin)
{
	struct pair pair;

	if (!make_with(&pair, (enum made)_i, &silence))
		return;
	guest_writes(&pair, 100);
	expect_rst(&tap.monitor);
	expect_equal(tap.monitor.bytes, 100);
	expect_equal(read_some(&pair.stream, bytes, 1), -ETIMEDOUT);
	close(pair.fd);
}
END_TEST

/* ---- what the peer does */

START_TEST(peers_fin_is_the_end_behind_all_bytes)
{
	struct pair pair;

	if (!make(&pair, (enum made)_i))
		return;
	peer_sends(&pair, 100000);
	expect_equal(shutdown(pair.fd, SHUT_WR), 0);
	expect_fin(&tap.peer, 100000);
	guest_reads(&pair, 100000);
	expect_equal(read_some(&pair.stream, bytes, 1), 0);
	guest_writes(&pair, 1000);
	finish(&pair.stream);
	peer_receives(&pair, 1000);
	expect_equal(recv(pair.fd, bytes, 1, 0), 0);
	expect_fin(&tap.monitor, 1000);
	close(pair.fd);
	expect_no_rst();
}
END_TEST

/* More bytes than the ring holds: those that wait in the socket are read, too. */
START_TEST(peers_rst_is_econnreset_behind_all_bytes)
{
	struct linger now = {.l_onoff = 1};
	struct pair pair;

	if (!make(&pair, (enum made)_i))
		return;
	peer_sends(&pair, RING + 30000);
	await_acknowledged(&pair);
	setsockopt(pair.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(pair.fd);
	expect_rst(&tap.peer);
	guest_reads(&pair, RING + 30000);
	expect_equal(read_some(&pair.stream, bytes, 1), -ECONNRESET);
	tap_settle();
	expect(!tap.monitor.fin && !tap.monitor.rst);
}
END_TEST

int main(void)
{
	static const TTest *const *const tests[] = {
		&finish_is_a_fin_behind_all_bytes,
		&close_is_a_fin_behind_all_bytes,
		&fail_is_a_rst_and_no_fin,
		&close_while_the_peer_sends,
		&close_while_the_peer_sends_for_ever,
		&idle_is_a_rst_and_no_fin,
		&peers_fin_is_the_end_behind_all_bytes,
		&peers_rst_is_econnreset_behind_all_bytes,
	};
	Suite *suite = suite_create("tcp wire");
	TCase *wire = tcase_create("wire");

	tcase_add_checked_fixture(wire, setup, teardown);
	tcase_set_timeout(wire, 30);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_loop_test(wire, *tests[i], 0, MADE_COUNT);
	suite_add_tcase(suite, wire);
	return suite_run(suite);
}
