/* boost::lockfree::spsc_queue, messages by value. */
#include <boost/lockfree/spsc_queue.hpp>

#include "tests/bench/ring_peer.h"

namespace
{

template <size_t bytes> struct message {
	char data[bytes];
};

/* The capacity that is known when it is compiled is the faster of the two forms. */
template <size_t bytes>
using queue = boost::lockfree::spsc_queue<message<bytes>,
	boost::lockfree::capacity<RING_PEER_BYTES / bytes>>;

void *create(size_t size)
{
	switch (size) {
	case 64:
		return new queue<64>;
	case 1024:
		return new queue<1024>;
	case 65536:
		return new queue<65536>;
	}
	return nullptr;
}

/* Process-long: a queue does not know its size any more when it is given back. */
void destroy(void *)
{
}

template <size_t bytes> bool put_one(void *opaque, const void *bytes_of_it)
{
	return static_cast<queue<bytes> *>(opaque)->push(
		*static_cast<const message<bytes> *>(bytes_of_it));
}

template <size_t bytes> bool get_one(void *opaque, void *ret_bytes)
{
	return static_cast<queue<bytes> *>(opaque)->pop(*static_cast<message<bytes> *>(ret_bytes));
}

bool put(void *opaque, const void *bytes, size_t size)
{
	return size == 64     ? put_one<64>(opaque, bytes)
	       : size == 1024 ? put_one<1024>(opaque, bytes)
			      : put_one<65536>(opaque, bytes);
}

bool get(void *opaque, void *ret_bytes, size_t size)
{
	return size == 64     ? get_one<64>(opaque, ret_bytes)
	       : size == 1024 ? get_one<1024>(opaque, ret_bytes)
			      : get_one<65536>(opaque, ret_bytes);
}

} // namespace

const ring_peer ring_peer_boost = {"boost_spsc", create, destroy, put, get, nullptr};
