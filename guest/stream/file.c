/* Open files: their opening and closing, and bytes at an offset. */
#include <stdlib.h>
#include <string.h>

#include "guest/stream/boot.h"
#include "guest/stream/place.h"

#define PIECES 4u /* of one large read or write, under way at once */

/* ---- opening and closing */

static int open_at(struct place *place, struct file *file, uint32_t mode, deadline until)
{
	struct fs_open request = {.directory = place->directory,
		.flags = file->flags,
		.mode = mode,
		.path = place->path};
	struct fs_opened opened;
	struct fs_call call = {.type = FS_OPEN, .request = &request, .reply = &opened};
	int error = place->client ? place_perform(place, &call, until) : boot_open(place, file);

	file->above = place->above;
	if (error || !place->client)
		return error;
	file->client = fs_hold(place->client);
	file->handle = opened.handle;
	file->attributes = opened.attributes;
	return 0;
}

int file_open_at(struct file **ret_file, struct file *directory, const char *path, uint32_t flags,
	uint32_t mode, deadline until)
{
	struct place place;
	struct file *file;
	int error = place_find(&place, directory, path, until);

	if (error)
		return error;
	file = calloc(1, sizeof(*file));
	if (file)
		file->flags = flags;
	error = file ? open_at(&place, file, mode, until) : -ENOMEM;
	place_leave(&place);
	if (error)
		free(file);
	else
		*ret_file = file;
	return error;
}

int file_open(
	struct file **ret_file, const char *path, uint32_t flags, uint32_t mode, deadline until)
{
	return file_open_at(ret_file, NULL, path, flags, mode, until);
}

void file_close(struct file *file)
{
	if (file->client) {
		fs_close_handle(file->client, file->handle);
		fs_release(file->client);
	}
	free(file);
}

const struct fs_attributes *file_attributes(const struct file *file)
{
	return &file->attributes;
}

/* ---- bytes at an offset */

/* A piece of a read or a write, and its answer. */
struct piece {
	struct fs_call call;
	union {
		struct fs_read read;
		struct fs_write write;
	} request;
	struct fs_written written;
	size_t len;
};

/* One read or write of many pieces. */
struct transfer {
	struct file *file;
	bool writes;
	unsigned char *bytes;
	size_t len;
	uint64_t offset;       /* FS_POSITION: pieces one after the other */
	size_t begun;          /* bytes asked for */
	size_t done;           /* bytes that were moved, without a gap */
	unsigned first, count; /* pieces under way */
	struct piece piece[PIECES];
};

static size_t piece_most(const struct transfer *transfer)
{
	return transfer->writes ? fs_most_written(transfer->file->client)
				: fs_most_read(transfer->file->client);
}

static int begin_piece(struct transfer *transfer, deadline until)
{
	struct piece *piece = &transfer->piece[(transfer->first + transfer->count) % PIECES];
	unsigned char *bytes = transfer->bytes + transfer->begun;
	size_t left = transfer->len - transfer->begun, most = piece_most(transfer);
	uint64_t offset =
		transfer->offset == FS_POSITION ? FS_POSITION : transfer->offset + transfer->begun;
	int error;

	piece->len = left < most ? left : most;
	piece->call = (struct fs_call){.request = &piece->request};
	if (transfer->writes) {
		piece->call.type = FS_WRITE;
		piece->call.reply = &piece->written;
		piece->request.write = (struct fs_write){.handle = transfer->file->handle,
			.offset = offset,
			.data = {bytes, piece->len}};
	} else {
		piece->call.type = FS_READ;
		piece->call.bytes = bytes;
		piece->call.room = piece->len;
		piece->request.read = (struct fs_read){.handle = transfer->file->handle,
			.length = (uint32_t)piece->len,
			.offset = offset};
	}
	error = fs_begin(transfer->file->client, &piece->call, until);
	if (error)
		return error;
	transfer->begun += piece->len;
	transfer->count++;
	return 0;
}

/* The bytes that the oldest piece has moved, or an errno. */
static long end_piece(struct transfer *transfer, deadline until)
{
	struct piece *piece = &transfer->piece[transfer->first];
	int error = fs_await(&piece->call, until);
	size_t got = transfer->writes ? piece->written.length : piece->call.len;

	transfer->first = (transfer->first + 1) % PIECES;
	transfer->count--;
	if (error)
		return error;
	return got <= piece->len ? (long)got : -EPROTO;
}

/* Those behind one that came short are of no use. Reads still go to the caller's memory, so they
 * are waited for. */
static void drop_pieces(struct transfer *transfer, deadline until)
{
	while (transfer->count > 0)
		end_piece(transfer, until);
	transfer->begun = transfer->done;
}

/* One piece done, others begun meanwhile. 1: go on; 0: the end; or an errno. */
static long step(struct transfer *transfer, unsigned at_once, deadline until)
{
	size_t wanted;
	long got;

	/* One of no bytes, too. */
	while (transfer->count == 0 ||
		(transfer->begun < transfer->len && transfer->count < at_once)) {
		int error = begin_piece(transfer, until);

		if (error && transfer->count == 0)
			return error;
		if (error)
			break;
	}
	wanted = transfer->piece[transfer->first].len;
	got = end_piece(transfer, until);
	if (got > 0)
		transfer->done += (size_t)got;
	if (got < (long)wanted)
		drop_pieces(transfer, until);
	return got > 0 ? 1 : got;
}

/*
 * What is written at the end of a file, or moves a position, is one piece after the other: one that
 * failed in the middle would leave the others in the wrong place.
 */
static long move(struct transfer *transfer, deadline until)
{
	bool in_order = transfer->offset == FS_POSITION ||
			(transfer->writes && (transfer->file->flags & FS_OPEN_APPEND));
	long more = 1;

	/* Nothing is a request, too: is the file open for this? */
	do
		more = step(transfer, in_order ? 1 : PIECES, until);
	while (more > 0 && transfer->done < transfer->len);
	if (more < 0 && transfer->done == 0)
		return more;
	if (transfer->writes && transfer->done == 0 && transfer->len > 0)
		return -EIO; /* a medium that takes nothing and does not say why */
	return (long)transfer->done;
}

/* The bytes of a write are only read from. */
long file_move(struct file *file, bool writes, const void *bytes, size_t len, uint64_t offset,
	deadline until)
{
	struct transfer transfer = {.file = file,
		.writes = writes,
		.bytes = (unsigned char *)(uintptr_t)bytes,
		.len = len,
		.offset = offset};

	if (!file->client)
		return boot_move(file, writes, transfer.bytes, len, offset);
	return move(&transfer, until);
}

long file_pread(struct file *file, void *ret_bytes, size_t len, uint64_t offset, deadline until)
{
	if (offset > INT64_MAX)
		return -EINVAL;
	return file_move(file, false, ret_bytes, len, offset, until);
}

long file_pwrite(struct file *file, const void *bytes, size_t len, uint64_t offset, deadline until)
{
	if (offset > INT64_MAX)
		return -EINVAL;
	return file_move(file, true, bytes, len, offset, until);
}
