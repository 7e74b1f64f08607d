/*
 * Streams are asked for ahead: a fresh one of the default size is given from a
 * stock, and the stock is filled up in batches, so that neither a connect nor
 * an accept waits for a round trip of its own.
 *
 * A request id says which ring sizes were asked for, and answers of one size
 * are alike: whoever waited longest for that size gets the next. So nothing has
 * to be remembered per request, and a caller that gave up leaves its stream to
 * the next one.
 */
#include "guest/stream/control.h"

#include <string.h>

#include "control/boot.h"
#include "guest/platform.h"
#include "guest/stream/fiber.h"
#include "guest/stream/start.h"
#include "guest/stream/stream.h"

#define HELLO_TIMEOUT_MS 10000
#define STOCK_FIRST      2u /* asked for right behind the hello: a listener and its first accept */
#define SHARES           8u /* of the streams that there may be: no use of them ahead takes more than one */
#define STOCK_MOST       32u /* spare streams asked for ahead when many are needed */
#define UNMAPPED_MOST    32u

/* A fiber that waits for a stream of these sizes; lies on its stack. */
struct wish {
	uint32_t to_host_capacity, to_guest_capacity;
	struct stream *stream; /* the answer: one of the two */
	int error;
	struct wait_list waiters;
	struct wish *next;
};

static struct {
	struct stream *stream;
	struct fiber_mutex mutex;    /* of the frames to the monitor */
	bool scarce;                 /* the last request was refused: nothing is asked for ahead */
	struct wait_list given_back; /* who waits for a stream to be closed */
	struct control_hello hello;  /* the monitor's */
	bool greeted;
	struct wait_list greeting;
	struct wish *wishes; /* oldest first */
	struct stream *spare;
	unsigned spare_default; /* of STREAM_CAPACITY in 'spare' */
	unsigned asked_default; /* requests for those under way */
	uint16_t asked;         /* requests made, for their ids */
	unsigned stock;         /* how many spare ones are kept; grows with the need */
	void (*on_spare)(void); /* control_on_spare */

	/* Ids of streams that never were, still to be closed. */
	uint64_t unmapped[UNMAPPED_MOST];
	unsigned unmapped_count;
} control;

/* The half of a request id that says what was asked for; the other half makes it unique. */
static uint16_t sizes_of(uint32_t to_host, uint32_t to_guest)
{
	return (uint16_t)(__builtin_ctz(to_host) << 8 | __builtin_ctz(to_guest));
}

static bool is_default(uint16_t sizes)
{
	return sizes == sizes_of(STREAM_CAPACITY, STREAM_CAPACITY);
}

/* The monitor may give less than was asked for, never more. */
static bool within(const struct control_stream_info *info, uint16_t sizes)
{
	unsigned to_host = sizes >> 8, to_guest = sizes & 0xff;

	return to_host < 32 && info->to_host_capacity <= 1u << to_host && to_guest < 32 &&
	       info->to_guest_capacity <= 1u << to_guest;
}

/* ---- answers; hook of the scheduler */

static void unlink_wish(struct wish *wish)
{
	struct wish **link = &control.wishes;

	while (*link && *link != wish)
		link = &(*link)->next;
	if (*link)
		*link = wish->next;
}

/* The oldest wish for these sizes, taken out of the list. */
static struct wish *take_wish(uint16_t sizes)
{
	for (struct wish *wish = control.wishes; wish; wish = wish->next) {
		if (sizes_of(wish->to_host_capacity, wish->to_guest_capacity) != sizes)
			continue;
		unlink_wish(wish);
		return wish;
	}
	return NULL;
}

void control_keep_spare(struct stream *stream)
{
	stream->next = control.spare;
	control.spare = stream;
	control.spare_default += is_default(stream->asked);
}

static void count_answer(uint16_t sizes)
{
	if (is_default(sizes) && control.asked_default)
		control.asked_default--;
}

/*
 * The monitor has a stream that is of no use here: it gets it back. One more than
 * are remembered stays with the monitor until the guest ends.
 */
static void give_back(uint64_t id)
{
	if (control.unmapped_count < UNMAPPED_MOST)
		control.unmapped[control.unmapped_count++] = id;
}

/* A frame is written in one go once there is room for it, so a hook may write one between two. */
static void send_unmapped(void)
{
	while (control.unmapped_count) {
		struct control_close_stream body = {control.unmapped[control.unmapped_count - 1]};
		struct frame frame = {0};

		if (frame_send_soon(control.stream, &control_messages[CONTROL_CLOSE_STREAM], &frame,
			    &body) == -EAGAIN)
			return;
		control.unmapped_count--;
	}
}

static void got_stream(const struct frame *frame, const unsigned char *body)
{
	uint16_t sizes = (uint16_t)frame->request_id;
	struct control_stream_info info;
	struct stream *stream;
	struct wish *wish;

	if (wire_decode(&control_messages[CONTROL_STREAM_INFO], &info, body,
		    frame->length - FRAME_HEADER_LEN))
		guest_panic("the monitor sent a broken DataStreamInfo");
	control.scarce = false;
	stream = stream_attach(&info);
	if (!stream)
		give_back(info.stream_id);
	if (!within(&info, sizes))
		guest_panic("the monitor made a stream of larger rings than were asked for");
	if (stream)
		stream->asked = sizes;
	count_answer(sizes);
	wish = take_wish(sizes);
	if (wish) {
		wish->stream = stream;
		wish->error = stream ? 0 : -ENOMEM;
		wait_list_wake(&wish->waiters);
	} else if (stream) {
		control_keep_spare(stream);
	}
}

static void got_error(const struct frame *frame)
{
	struct wish *wish;

	if (frame->request_id == 0)
		guest_panic("the monitor refused to close a stream (error %u)", frame->error);
	count_answer((uint16_t)frame->request_id);
	wish = take_wish((uint16_t)frame->request_id);
	control.scarce = true;
	if (!wish)
		return;
	wish->error = frame->error ? -(int)(frame->error & 0xffff) : -EPROTO;
	wait_list_wake(&wish->waiters);
}

static void got_hello(const struct frame *frame, const unsigned char *body)
{
	struct control_hello *hello = &control.hello;

	if (frame->error == EPROTONOSUPPORT)
		guest_refuse("this monitor does not speak version %u.%u of the control protocol: "
			     "build both from the same release",
			CONTROL_VERSION_MAJOR, CONTROL_VERSION_MINOR);
	if (frame->error)
		guest_refuse("the monitor refused this guest's hello with error %u", frame->error);
	if (wire_decode(&control_messages[CONTROL_HELLO], hello, body,
		    frame->length - FRAME_HEADER_LEN) ||
		hello->magic != CONTROL_MAGIC)
		guest_panic("the monitor's hello is none");
	if (hello->version_major != CONTROL_VERSION_MAJOR)
		guest_refuse("the monitor speaks version %u.%u of the control protocol and this "
			     "guest %u.%u: build both from the same release",
			hello->version_major, hello->version_minor, CONTROL_VERSION_MAJOR,
			CONTROL_VERSION_MINOR);
	control.greeted = true;
	wait_list_wake(&control.greeting);
}

static void got_frame(const struct frame *frame, const unsigned char *body)
{
	if (!control.greeted && frame->type != CONTROL_HELLO)
		guest_panic("the monitor's first message is no hello but of type %u", frame->type);
	switch (frame->type) {
	case CONTROL_HELLO:
		got_hello(frame, body);
		break;
	case CONTROL_STREAM_INFO:
		got_stream(frame, body);
		break;
	case CONTROL_STREAM_ERROR:
		got_error(frame);
		break;
	case CONTROL_UNSUPPORTED:
		guest_panic("the monitor does not know one of this guest's messages");
	default:
		frame_refuse(control.stream, frame);
	}
}

static void read_control(struct stream *stream, void *context)
{
	const unsigned char *body;
	struct frame frame;
	int error;

	(void)context;
	while ((error = frame_await_now(stream, &frame, &body)) == 0) {
		got_frame(&frame, body);
		frame_done(stream, &frame);
	}
	if (error != -EAGAIN)
		guest_panic("the control pipe ended or is broken (error %d)", -error);
	send_unmapped();
	if (control.spare_default && control.on_spare)
		control.on_spare();
}

/* ---- requests */

static int send_control(
	enum control_type type, uint32_t request_id, const void *body, deadline until)
{
	struct frame frame = {.request_id = request_id};

	return frame_send(
		control.stream, &control.mutex, &control_messages[type], &frame, body, until);
}

static int ask(uint32_t to_host, uint32_t to_guest, deadline until)
{
	struct control_new_stream body = {to_host, to_guest};
	uint16_t sizes = sizes_of(to_host, to_guest);
	int error;

	/* Counted first: while the request waits for room, others see that it is under way. */
	control.asked_default += is_default(sizes);
	error = send_control(
		CONTROL_NEW_STREAM, (uint32_t)control.asked++ << 16 | sizes, &body, until);
	if (error)
		count_answer(sizes);
	return error;
}

int control_retry(deadline until)
{
	return control.spare_default + control.asked_default == 0
		       ? ask(STREAM_CAPACITY, STREAM_CAPACITY, until)
		       : 0;
}

void control_await_given_back(deadline until)
{
	wait_list_wait(&control.given_back, until);
}

int control_prepare(unsigned count, deadline until)
{
	int error = 0;

	while (!error && !control.scarce && control.spare_default + control.asked_default < count)
		error = ask(STREAM_CAPACITY, STREAM_CAPACITY, until);
	return error;
}

static struct stream *take_spare(uint16_t sizes)
{
	struct stream **link = &control.spare, *stream;

	while (*link && (*link)->asked != sizes)
		link = &(*link)->next;
	stream = *link;
	if (!stream)
		return NULL;
	*link = stream->next;
	stream->next = NULL;
	control.spare_default -= is_default(sizes);
	return stream;
}

void control_on_spare(void (*hook)(void))
{
	control.on_spare = hook;
}

struct stream *control_spare_stream(void)
{
	if (!control.spare_default)
		return NULL;
	return take_spare(sizes_of(STREAM_CAPACITY, STREAM_CAPACITY));
}

unsigned control_share(unsigned most)
{
	unsigned share = control.hello.max_streams / SHARES;

	return share == 0 ? 1 : share < most ? share : most;
}

/* Nothing was spare: ask for one, and for default ones ahead of the next need. */
static int ask_for(uint32_t to_host, uint32_t to_guest, deadline until)
{
	if (!is_default(sizes_of(to_host, to_guest)))
		return ask(to_host, to_guest, until);
	control.stock = control.stock ? 2 * control.stock : 2;
	if (control.stock > control_share(STOCK_MOST))
		control.stock = control_share(STOCK_MOST);
	/* Each of those under way has a wish or will be spare. One more is for this one. */
	int error = ask(to_host, to_guest, until);
	return error ? error : control_prepare(control.stock, until);
}

int control_new_stream(uint32_t to_host_capacity, uint32_t to_guest_capacity,
	struct stream **ret_stream, deadline until)
{
	struct wish wish = {to_host_capacity, to_guest_capacity};
	struct wish **link = &control.wishes;
	int error;

	if (!ring_capacity_valid(to_host_capacity) || !ring_capacity_valid(to_guest_capacity))
		return -EINVAL;
	*ret_stream = take_spare(sizes_of(to_host_capacity, to_guest_capacity));
	if (*ret_stream)
		return 0;
	while (*link)
		link = &(*link)->next;
	*link = &wish;
	error = ask_for(to_host_capacity, to_guest_capacity, until);
	while (!error && !wish.stream && !wish.error)
		error = wait_list_wait(&wish.waiters, until);
	if (wish.stream) {
		*ret_stream = wish.stream;
		return 0;
	}
	unlink_wish(&wish);
	return wish.error ? wish.error : error;
}

/* ---- beginning and end */

void control_start(void)
{
	struct control_hello hello = {
		.magic = CONTROL_MAGIC,
		.version_major = CONTROL_VERSION_MAJOR,
		.version_minor = CONTROL_VERSION_MINOR,
		.min_ring = RING_CAPACITY_MIN,
		.max_ring = RING_CAPACITY_MAX,
	};
	deadline until = in_milliseconds(HELLO_TIMEOUT_MS);

	control.stream = stream_attach_control();
	control.stream->hook = read_control;
	/* One wake of the monitor for all of it. */
	if (send_control(CONTROL_HELLO, 0, &hello, until) || control_prepare(STOCK_FIRST, until))
		guest_refuse(
			"the monitor does not listen: it serves one start of the guest; end it "
			"and start ferrule run again");
	read_control(control.stream, NULL);
	while (!control.greeted) {
		if (wait_list_wait(&control.greeting, until) && !control.greeted)
			guest_refuse(
				"the monitor did not answer within %d s", HELLO_TIMEOUT_MS / 1000);
	}
}

void stream_close(struct stream *stream)
{
	struct control_close_stream body = {stream->id};

	/* First the end of the stream, then the word that the pipe is not touched again: see
	 * PROTOCOL.md. */
	stream_detach(stream);
	send_control(CONTROL_CLOSE_STREAM, 0, &body, FOREVER);
	control.scarce = false;
	wait_list_wake(&control.given_back);
}
