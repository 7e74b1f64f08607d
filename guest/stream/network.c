/*
 * What the host knows of the network. Each call has a stream of its own, so that a name
 * server that takes its time holds up no other call.
 */
#include <string.h>

#include "guest/stream/control.h"
#include "guest/stream/fiber.h"
#include "guest/stream/stream.h"

#define NETWORK_CAPACITY 4096u /* bytes of each ring: one question, one answer */

/* Asks on a stream of its own and waits; *ret_stream has the answer's frame then, and is to be
 * closed. */
static int ask(struct stream *stream, const struct wire_message *message, const void *request,
	struct frame *ret_frame, const unsigned char **ret_body, deadline until)
{
	struct frame frame = {.request_id = 2};
	int error = stream_send_open(stream, PROTOCOL_NETWORK, &network_open_message, NULL, until);

	if (!error)
		error = frame_send(stream, NULL, message, &frame, request, until);
	if (!error)
		error = stream_await_opened(stream, &network_open_message, NULL, until);
	if (!error)
		error = frame_await(stream, ret_frame, ret_body, until);
	if (error)
		return error == -EPIPE ? -EIO : error;
	if (ret_frame->error)
		return -(int)(ret_frame->error & 0xffff);
	return ret_frame->type == message->type ? 0 : -EPROTO;
}

/* ---- names */

static int take_addresses(const struct frame *frame, const unsigned char *body,
	struct endpoint *ret_addresses, int most, uint32_t *ret_ttl_s)
{
	struct network_resolved answer;
	int error = wire_decode(
		&network_resolved_message, &answer, body, frame->length - FRAME_HEADER_LEN);

	if (error)
		return error;
	size_t count = answer.addresses.len / sizeof(*ret_addresses);
	if (count > (size_t)most)
		count = (size_t)most;
	memcpy(ret_addresses, answer.addresses.data, count * sizeof(*ret_addresses));
	if (ret_ttl_s)
		*ret_ttl_s = answer.ttl_s;
	return (int)count;
}

int name_resolve(const char *name, struct endpoint *ret_addresses, int most, uint32_t *ret_ttl_s,
	deadline until)
{
	struct network_resolve request = {
		.timeout_ms = stream_timeout_ms(until), .host = {name, strlen(name)}};
	const unsigned char *body;
	struct stream *stream;
	struct frame frame;
	int result;

	if (request.host.len == 0 || request.host.len > ENDPOINT_HOST_MAX)
		return -EINVAL;
	result = control_new_stream(NETWORK_CAPACITY, NETWORK_CAPACITY, &stream, until);
	if (result)
		return result;
	result = ask(stream, &network_resolve_message, &request, &frame, &body, until);
	if (!result)
		result = take_addresses(&frame, body, ret_addresses, most, ret_ttl_s);
	stream_close(stream);
	return result;
}

/* ---- interfaces */

/* One reply. The number of elements in it, at most 'room', or an errno. */
static int take_interfaces(const struct frame *frame, const unsigned char *body,
	struct network_interface *ret_interfaces, int room, int *ret_total)
{
	struct network_interfaces_reply answer;
	int error = wire_decode(
		&network_interfaces_reply_message, &answer, body, frame->length - FRAME_HEADER_LEN);

	if (error)
		return error;
	size_t count = answer.interfaces.len / sizeof(*ret_interfaces);
	if (count > (size_t)room)
		count = (size_t)room;
	memcpy(ret_interfaces, answer.interfaces.data, count * sizeof(*ret_interfaces));
	for (size_t i = 0; i < count; i++)
		ret_interfaces[i].name[NETWORK_NAME_MAX - 1] = '\0';
	*ret_total = answer.total < INT32_MAX ? (int)answer.total : INT32_MAX;
	return (int)count;
}

static int ask_interfaces(uint32_t first, struct network_interface *ret_interfaces, int room,
	int *ret_total, deadline until)
{
	struct network_interfaces request = {.first = first};
	const unsigned char *body;
	struct stream *stream;
	struct frame frame;
	int result = control_new_stream(NETWORK_CAPACITY, NETWORK_CAPACITY, &stream, until);

	if (result)
		return result;
	result = ask(stream, &network_interfaces_message, &request, &frame, &body, until);
	if (!result)
		result = take_interfaces(&frame, body, ret_interfaces, room, ret_total);
	stream_close(stream);
	return result;
}

int network_list(struct network_interface *ret_interfaces, int most, deadline until)
{
	int taken = 0, total = 0, count;

	do {
		count = ask_interfaces(
			(uint32_t)taken, ret_interfaces + taken, most - taken, &total, until);
		if (count < 0)
			return count;
		taken += count;
	} while (count > 0 && taken < total && taken < most);
	return total;
}
