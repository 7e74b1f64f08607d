/*
 * listener: a listening socket of a stream that is spoken on in frames: streams that the guest
 * has posted by Accept, and connections that become them (PROTOCOL.md sections 6.4 to 6.6).
 * Connections are accepted only while streams are posted; the rest wait in the kernel's backlog,
 * as they would for any slow server.
 */
#ifndef FERRULE_MONITOR_LISTENER_H
#define FERRULE_MONITOR_LISTENER_H

#include <stdint.h>
#include <sys/socket.h>

struct frame;
struct stream;

/* What a protocol's connections are like. 'context' is what listener_create was given. */
struct listener_ops {
	/*
	 * Prepares the socket of a connection, and makes of it and the posted stream what carries its bytes. 0, or
	 * -ENOMEM: then both are still the caller's.
	 */
	int (*join)(void *context, struct stream *stream, int fd);
	/*
	 * Answers the Accept by stream_send on the listener's stream, of at most LISTENER_REPLY_MAX bytes, for
	 * which there is room: 'stream' is the connection with 'peer' now.
	 */
	void (*announce)(void *context, struct stream *listener, const struct frame *frame,
			const struct stream *stream, int fd, const struct sockaddr_storage *peer);
	/*
	 * The listener's socket is closed. What else is to be done before the guest is told so is done, and listener_ended
	 * called, at once or later. NULL: nothing is.
	 */
	void (*end)(void *context, struct stream *listener);
};

#define LISTENER_REPLY_MAX 96u /* bytes of a frame */

/*
 * Makes a listener of the stream (being opened) and of its listening socket, which ends by itself. 0, or -ENOMEM: then
 * both are still the caller's. Follow with stream_opened. The protocol's signal() and closed() are the two
 * below.
 */
int listener_create(struct stream *stream, int fd, const struct listener_ops *ops, void *context);
void listener_signal(struct stream *stream);
void listener_closed(struct stream *stream);
/* Tells the guest of the end, and lets go of the stream. */
void listener_ended(struct stream *stream);

#endif
