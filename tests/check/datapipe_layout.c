/*
 * Compares every table of DATAPIPE.md that describes memory or numbers with the
 * headers, both ways: a row that the code does not have, a field without a row,
 * a gap between two rows, a value that differs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/boot.h"
#include "monitor/arena.h"
#include "pipe/bell.h"
#include "pipe/pipe.h"
#include "tests/lib/document.h"

struct structure {
	const char *name;
	size_t len;
};

struct field {
	const char *structure, *name;
	size_t offset, len;
};

struct constant {
	const char *name;
	uint64_t value;
};

#define STRUCTURE(structure)                                                                       \
	{                                                                                          \
#structure, sizeof(struct structure)                                               \
	}
#define FIELD(structure, field)                                                                    \
	{                                                                                          \
#structure, #field, offsetof(struct structure, field),                             \
			sizeof(((struct structure *)0)->field)                                     \
	}
#define CONSTANT(name)                                                                             \
	{                                                                                          \
#name, (uint64_t)(name)                                                            \
	}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct structure structures[] = {
	STRUCTURE(ring_shared),
	STRUCTURE(pipe_shared),
	STRUCTURE(bell_shared),
	STRUCTURE(boot_info),
	STRUCTURE(boot_note),
	STRUCTURE(boot_crash),
};

static const struct field fields[] = {
	FIELD(ring_shared, written),
	FIELD(ring_shared, room_at),
	FIELD(ring_shared, end),
	FIELD(ring_shared, producer_reserved),
	FIELD(ring_shared, read),
	FIELD(ring_shared, data_at),
	FIELD(ring_shared, gone),
	FIELD(ring_shared, consumer_reserved),
	FIELD(pipe_shared, ring[0]),
	FIELD(pipe_shared, ring[1]),
	FIELD(bell_shared, summary),
	FIELD(bell_shared, summary_reserved),
	FIELD(bell_shared, asleep),
	FIELD(bell_shared, asleep_reserved),
	FIELD(bell_shared, word),
	FIELD(boot_info, magic),
	FIELD(boot_info, abi_version),
	FIELD(boot_info, length),
	FIELD(boot_info, heap),
	FIELD(boot_info, heap_len),
	FIELD(boot_info, stacks),
	FIELD(boot_info, stack_stride),
	FIELD(boot_info, stack_guard),
	FIELD(boot_info, stack_count),
	FIELD(boot_info, arena),
	FIELD(boot_info, arena_len),
	FIELD(boot_info, ring_window),
	FIELD(boot_info, rings_offset),
	FIELD(boot_info, bell_to_host_offset),
	FIELD(boot_info, bell_to_guest_offset),
	FIELD(boot_info, pipes_offset),
	FIELD(boot_info, pipe_slots),
	FIELD(boot_info, control_ring_offset),
	FIELD(boot_info, control_ring_capacity),
	FIELD(boot_info, doorbell),
	FIELD(boot_info, console),
	FIELD(boot_info, crash),
	FIELD(boot_info, tsc_hz),
	FIELD(boot_info, tsc_start),
	FIELD(boot_info, wall_start_ns),
	FIELD(boot_info, argc),
	FIELD(boot_info, args_offset),
	FIELD(boot_info, envc),
	FIELD(boot_info, env_offset),
	FIELD(boot_info, mountc),
	FIELD(boot_info, mounts_offset),
	FIELD(boot_info, random),
	FIELD(boot_info, poll_ns),
	FIELD(boot_info, features),
	FIELD(boot_info, stacks_ready),
	FIELD(boot_info, bundle),
	FIELD(boot_info, bundle_len),
	FIELD(boot_note, abi_version),
	FIELD(boot_note, platform),
	FIELD(boot_crash, r15),
	FIELD(boot_crash, r14),
	FIELD(boot_crash, r13),
	FIELD(boot_crash, r12),
	FIELD(boot_crash, r11),
	FIELD(boot_crash, r10),
	FIELD(boot_crash, r9),
	FIELD(boot_crash, r8),
	FIELD(boot_crash, rbp),
	FIELD(boot_crash, rdi),
	FIELD(boot_crash, rsi),
	FIELD(boot_crash, rdx),
	FIELD(boot_crash, rcx),
	FIELD(boot_crash, rbx),
	FIELD(boot_crash, rax),
	FIELD(boot_crash, vector),
	FIELD(boot_crash, error),
	FIELD(boot_crash, rip),
	FIELD(boot_crash, cs),
	FIELD(boot_crash, rflags),
	FIELD(boot_crash, rsp),
	FIELD(boot_crash, ss),
	FIELD(boot_crash, cr2),
};

static const struct constant constants[] = {
	CONSTANT(RING_OPEN),
	CONSTANT(RING_FINISHED),
	CONSTANT(RING_FAILED),
	CONSTANT(RING_ERRNO_MAX),
	CONSTANT(RING_CAPACITY_MIN),
	CONSTANT(RING_CAPACITY_MAX),
	CONSTANT(RING_LINE),
	CONSTANT(RING_HELD_PART),
	CONSTANT(RING_REWIND_FROM),
	CONSTANT(RING_REWIND_MOST),
	CONSTANT(PIPE_GUEST),
	CONSTANT(PIPE_HOST),
	CONSTANT(BELL_SLOTS),
	CONSTANT(BELL_WORDS),
	CONSTANT(BELL_WORDS_PER_SUMMARY),
	CONSTANT(BOOT_MAGIC),
	CONSTANT(BOOT_ABI_VERSION),
	CONSTANT(BOOT_PAGE),
	CONSTANT(BOOT_FEATURE_MAY_SPIN),
	CONSTANT(BOOT_INTERRUPT_VECTOR),
	CONSTANT(BOOT_TIMER_VECTOR),
	CONSTANT(BOOT_STATUS_PANIC),
	CONSTANT(BOOT_NOTE_TYPE),
	CONSTANT(BOOT_PLATFORM_KVM),
	CONSTANT(BOOT_PLATFORM_PROCESS),
	CONSTANT(BOOT_PF_KERNEL),
	CONSTANT(BOOT_FD),
	CONSTANT(BOOT_FD_ARENA),
	CONSTANT(BOOT_FD_DOORBELL),
	CONSTANT(BOOT_FD_INTERRUPT),
	CONSTANT(BOOT_FD_BUNDLE),
	CONSTANT(BOOT_PORT_CONSOLE_OUT),
	CONSTANT(BOOT_PORT_CONSOLE_ERR),
	CONSTANT(BOOT_PORT_EXIT),
	CONSTANT(BOOT_PORT_PANIC),
};

static bool field_seen[COUNT(fields)];
static bool constant_seen[COUNT(constants)];
static bool structure_seen[COUNT(structures)];
static bool arena_seen;

static bool number(const char *text, uint64_t *ret_value)
{
	char *rest;

	*ret_value = strtoull(text, &rest, 0);
	return rest != text && *rest == 0;
}

/* Offset and length of a row; false, and a complaint, when they are no numbers. */
static bool extent(struct document *document, int line, const struct document_row *row,
	uint64_t *ret_offset, uint64_t *ret_len)
{
	if (row->count >= 3 && number(row->cell[0], ret_offset) && number(row->cell[1], ret_len))
		return true;
	document_complain(document, line, "no row of offset, length and name");
	return false;
}

static void check_field(struct document *document, int line, const char *structure,
	const char *name, uint64_t offset, uint64_t len)
{
	for (size_t i = 0; i < COUNT(fields); i++) {
		const struct field *field = &fields[i];

		if (strcmp(field->structure, structure) != 0 || strcmp(field->name, name) != 0)
			continue;
		if (field->offset != offset || field->len != len || field_seen[i])
			document_complain(document, line, "%s lies at %zu and is %zu bytes long",
				name, field->offset, field->len);
		field_seen[i] = true;
		return;
	}
	document_complain(document, line, "struct %s has no field %s", structure, name);
}

static void check_structure(
	struct document *document, int line, const struct structure *structure, uint64_t len)
{
	uint64_t upto = 0, offset, row_len;
	struct document_row row;

	if (len != structure->len)
		document_complain(document, line, "struct %s is %zu bytes long", structure->name,
			structure->len);
	for (line += 2; document_row(document, line, &row); line++) {
		if (!extent(document, line, &row, &offset, &row_len))
			continue;
		if (offset != upto)
			document_complain(document, line, "the row before ends at %llu",
				(unsigned long long)upto);
		upto = offset + row_len;
		check_field(document, line, structure->name, row.cell[2], offset, row_len);
	}
	if (upto != structure->len)
		document_complain(document, line, "the table ends early");
}

/* The heading above a table says "(struct NAME, LEN bytes)". */
static void check_structure_table(struct document *document, int line, const char *heading)
{
	unsigned long len;
	char name[64];

	if (sscanf(heading, "%*[^(](struct %63[a-z_], %lu bytes)", name, &len) != 2) {
		document_complain(document, line, "the heading names no struct and length");
		return;
	}
	for (size_t i = 0; i < COUNT(structures); i++) {
		if (strcmp(structures[i].name, name) == 0 && !structure_seen[i]) {
			structure_seen[i] = true;
			check_structure(document, line, &structures[i], len);
			return;
		}
	}
	document_complain(document, line, "there is no struct %s, or it has a table already", name);
}

static void check_constant(struct document *document, int line, const struct document_row *row)
{
	uint64_t value;

	if (row->count != 3 || !number(row->cell[0], &value)) {
		document_complain(document, line, "no row of value, name and meaning");
		return;
	}
	for (size_t i = 0; i < COUNT(constants); i++) {
		if (strcmp(constants[i].name, row->cell[1]) != 0)
			continue;
		if (constants[i].value != value || constant_seen[i])
			document_complain(document, line, "%s is %llu", row->cell[1],
				(unsigned long long)constants[i].value);
		constant_seen[i] = true;
		return;
	}
	document_complain(document, line, "the code has no %s", row->cell[1]);
}

/* What the monitor's arena begins with: each part reaches up to the next. */
static void check_arena(struct document *document, int line, const struct arena *arena)
{
	static const char *const names[] = {"bell to host", "bell to guest", "pipe 0", "pipe 1"};
	const uint64_t offsets[] = {
		arena_bell_offset(arena, PIPE_GUEST),
		arena_bell_offset(arena, PIPE_HOST),
		arena_pipe_offset(arena, 0),
		arena_pipe_offset(arena, 1),
		arena_pipe_offset(arena, 2),
	};
	struct document_row row;
	uint64_t offset, len;

	for (size_t i = 0; i < COUNT(names); i++, line++) {
		if (!document_row(document, line, &row) || strcmp(row.cell[2], names[i]) != 0)
			document_complain(document, line, "no row for %s", names[i]);
		else if (extent(document, line, &row, &offset, &len) &&
			 (offset != offsets[i] || len != offsets[i + 1] - offset))
			document_complain(document, line, "%s lies at %llu", names[i],
				(unsigned long long)offsets[i]);
	}
}

static void check_arena_table(struct document *document, int line)
{
	struct arena *arena;

	arena_seen = true;
	if (arena_create(&arena, 1 << 20, 3) != 0) {
		document_complain(document, line, "cannot make an arena to compare with");
		return;
	}
	check_arena(document, line + 2, arena);
	arena_destroy(arena);
}

static void check_tables(struct document *document)
{
	const char *heading = "";
	struct document_row row;

	for (int line = 0; line < document->line_count; line++) {
		if (document->lines[line][0] == '#') {
			heading = document->lines[line];
		} else if (document_table(document, line, "offset|length|name|writer|meaning")) {
			check_structure_table(document, line, heading);
		} else if (document_table(document, line, "offset|length|name|meaning")) {
			check_arena_table(document, line);
		} else if (document_table(document, line, "value|name|meaning")) {
			for (int at = line + 2; document_row(document, at, &row); at++)
				check_constant(document, at, &row);
		}
	}
}

static void check_nothing_missing(struct document *document)
{
	for (size_t i = 0; i < COUNT(fields); i++)
		if (!field_seen[i])
			document_complain(document, -1, "no row for struct %s, field %s",
				fields[i].structure, fields[i].name);
	for (size_t i = 0; i < COUNT(constants); i++)
		if (!constant_seen[i])
			document_complain(document, -1, "no row for %s", constants[i].name);
	if (!arena_seen)
		document_complain(document, -1, "no table of the arena");
}

int main(int argc, char **argv)
{
	struct document document;
	int complaints;

	if (argc != 2) {
		fprintf(stderr, "usage: datapipe_layout DATAPIPE.md\n");
		return EXIT_FAILURE;
	}
	document_read(&document, argv[1]);
	check_tables(&document);
	check_nothing_missing(&document);
	complaints = document.complaints;
	document_free(&document);
	printf("%zu fields, %zu constants, %d complaints\n", COUNT(fields), COUNT(constants),
		complaints);
	return complaints == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
