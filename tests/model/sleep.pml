/*
 * The sleep, rewind and close protocol of one ring, its bells and its doorbells
 * (DATAPIPE.md sections 3.4, 4, 7 and 8), to be searched completely:
 *
 *  - no lost wake-up: neither side sleeps for ever (an invalid end state);
 *  - no lost tail: who sees the end has had every byte (an assertion);
 *  - no byte skipped or taken twice, whenever the ring is rewound (an assertion);
 *  - the ring never holds more than its capacity (an assertion).
 *
 * Each load and each store of a shared word is a step of its own. Stores pass
 * through a store buffer per side, as on x86: a later load may overtake them
 * until a fence or a locked instruction has drained the buffer. Neither side
 * loads a word that it stores, so nothing has to be forwarded from the buffer.
 *
 * The producer sends LEN bytes in pieces of any size and ends; the consumer
 * takes them in pieces of any size or stops at any moment; both wait for
 * thresholds, and compare after every piece or only before they sleep. A side that
 * wakes up looks at the ring only if the bell names it.
 *
 * Names are those of the C functions. Each BUG_ macro leaves out one thing that
 * the protocol needs; the test expects the search to fail with each of them.
 */
#ifndef CAP
#define CAP 2 /* capacity, bytes */
#endif
#ifndef LEN
#define LEN 3 /* bytes to send */
#endif
#define BASE  CAP /* position of the first byte: room_at lies up to CAP below a position */
#define LAP(position) (((position) / CAP) * CAP)
#define DEPTH 2   /* stores that a buffer holds */

#define GUEST 0 /* produces */
#define HOST  1 /* consumes */

/* The words that are stored plainly, in memory. */
#define WRITTEN 0
#define ROOM_AT 1
#define END     2
#define READ    3
#define DATA_AT 4
#define GONE    5
#define ASLEEP  6 /* + side that sleeps */
byte mem[8];

/* The words that only locked instructions change: the bell that this side posts. */
bool summary[2], word[2];

/* The eventfd that wakes this side. */
byte doorbell[2];

chan buffer[2] = [DEPTH] of { byte, byte };

/* What each waits for at most; together no more than CAP + 1 (section 7.3). */
byte data_max, room_max;

#define store(side, address, value) buffer[side]!address, value
#define drained(side)               empty(buffer[side])
#define fence(side)                 drained(side)
#define crossed(at, from, upto)     (from < at && at <= upto)

proctype drain(byte side)
{
	byte address, value;
end:
	do
	:: d_step { buffer[side]?address, value -> mem[address] = value; address = 0; value = 0 }
	od
}

inline bell_post(side)
{
#ifdef BUG_SUMMARY_BEFORE_WORD
	atomic { drained(side) -> summary[side] = true };
	atomic { drained(side) -> word[side] = true };
#else
	atomic { drained(side) -> word[side] = true };
	atomic { drained(side) -> summary[side] = true };
#endif
}

/* And the doorbell, if it must be rung. */
inline bell_ring(side)
{
	if
	:: mem[ASLEEP + 1 - side] == 0
	:: else ->
		atomic {
			drained(side) ->
			if
			:: mem[ASLEEP + 1 - side] != 0 ->
				mem[ASLEEP + 1 - side] = 0;
				doorbell[1 - side]++
			:: else
			fi
		}
	fi
}

/* bell_sleep, the wait, bell_awake and a scan, until the scan finds the slot. */
inline sleep_until_named(side)
{
	do
	:: store(side, ASLEEP + side, 1);
#ifndef BUG_NO_FENCE_SLEEP
	   fence(side);
#endif
	   if
#ifndef BUG_NO_LOOK_AGAIN_BELL
	   :: summary[1 - side]
	   :: !summary[1 - side] ->
#else
	   :: true ->
#endif
		atomic { doorbell[side] > 0 -> doorbell[side] = 0 }
	   fi;
	   store(side, ASLEEP + side, 0);
	   atomic { drained(side) -> named = summary[1 - side]; summary[1 - side] = false };
	   if
	   :: named -> atomic { drained(side) -> named = word[1 - side]; word[1 - side] = false }
	   :: else
	   fi;
	   if
	   :: named -> named = false; break
	   :: else
	   fi
	od
}

/* ring_wake_consumer and ring_wake_producer: 'upto' is the own position. */
inline compare(side, upto, at_word)
{
	if
	:: upto != compared || untold ->
		if
#ifdef BUG_NO_FENCE_WAKE
		:: true -> skip
#else
		:: fence(side)
#endif
		fi;
		at = mem[at_word];
		if
#ifdef BUG_EXACT_MATCH
		:: untold || at == upto ->
#else
		:: untold || crossed(at, compared, upto) ->
#endif
			compared = upto;
			untold = false;
			bell_post(side);
			bell_ring(side)
		:: else ->
			compared = upto
		fi;
		at = 0
	:: else
	fi
}

/* Any number from 1 to 'most', and at most 'limit'. */
inline choose(number, most, limit)
{
	atomic {
		number = 1;
		do
		:: number < most && number < limit -> number++
		:: break
		od
	}
}

#define ROOM (CAP - (written - read_seen))

/* A consumer that has not looked since the rewind is at its start and means its end. */
inline look_for_room()
{
	gone = mem[GONE];
	read_seen = mem[READ];
#ifndef BUG_REWIND_FORGOTTEN
	if
	:: read_seen == rewound_from -> read_seen = rewound_to
	:: else
	fi
#endif
}

/* ring_commit_rewind; where in the area a real one does it is not the model's affair. */
inline rewind()
{
#ifdef BUG_REWIND_WITH_BYTES
	if
	:: true ->
#else
	if
	:: written == read_seen ->
#endif
		d_step {
			rewound_from = written;
#ifdef BUG_REWIND_TOO_SHORT
			rewound_to = LAP(written) + CAP;
#else
			rewound_to = LAP(written) + 2 * CAP;
#endif
			goal = goal + rewound_to - rewound_from;
			written = rewound_to;
			read_seen = rewound_to
		}
	:: true
	fi
}

proctype producer()
{
	byte written = BASE, read_seen = BASE, compared = BASE, need, at;
	byte rewound_from = BASE, rewound_to = BASE, goal = BASE + LEN;
	bool gone, untold, named;

	do
	:: written == goal || gone -> break
	:: else ->
		choose(need, room_max, goal - written);
		look_for_room();
		if
		:: !gone && ROOM < need ->
			/* ring_await_room */
			store(GUEST, ROOM_AT, written + need - CAP);
#ifndef BUG_NO_FENCE_AWAIT_ROOM
			fence(GUEST);
#endif
#ifndef BUG_NO_LOOK_AGAIN_ROOM
			look_for_room();
#endif
			if
			:: !gone && ROOM < need ->
#ifndef BUG_NO_COMPARE_BEFORE_SLEEP
				compare(GUEST, written, DATA_AT);
#endif
				need = 0;
				sleep_until_named(GUEST)
			:: else
			fi
		:: !gone && ROOM >= need ->
			/* ring_commit of any part of it, or ring_commit_rewind */
			choose(need, ROOM, goal - written);
			rewind();
			d_step { written = written + need; need = 0 };
#ifdef BUG_END_BEFORE_WRITTEN
			if
			:: written == goal -> store(GUEST, END, 1)
			:: else
			fi;
#endif
			store(GUEST, WRITTEN, written);
			if
			:: compare(GUEST, written, DATA_AT)
			:: true /* later */
			fi
		:: else /* gone */
		fi
	od;
	/* ring_finish */
	store(GUEST, END, 1);
#ifndef BUG_END_WAKES_NOBODY
	untold = true;
#endif
	compare(GUEST, written, DATA_AT)
}

#define BYTES (written_seen - read)

/* What was announced for the old lap is announced for the new one, and the look is repeated. */
inline follow_rewind()
{
	if
	:: read == written_seen && new > read + CAP ->
		read = LAP(new - 1);
#ifndef BUG_REWIND_NOT_ANNOUNCED
		if
		:: announced ->
			store(HOST, DATA_AT, read + need);
#ifndef BUG_NO_FENCE_REWIND
			fence(HOST);
#endif
			ended = mem[END];
			new = mem[WRITTEN]
		:: else
		fi
#endif
	:: else
	fi
}

/* Once the end is seen nothing is looked at any more. */
inline look_for_data()
{
	if
	:: !ended ->
#ifdef BUG_END_AFTER_POSITION
		new = mem[WRITTEN];
		ended = mem[END];
#else
		ended = mem[END];
		new = mem[WRITTEN];
#endif
		follow_rewind();
		written_seen = new;
		new = 0;
		assert(BYTES <= CAP)
	:: else
	fi
}

proctype consumer()
{
	byte read = BASE, written_seen = BASE, compared = BASE, need, at, new, got;
	bool ended, untold, named, announced;

	do
	:: true ->
		choose(need, data_max, CAP);
		look_for_data();
		if
		:: ended && BYTES == 0 ->
			assert(got == LEN);
			break
		:: !ended && BYTES < need ->
			/* ring_await_data */
			store(HOST, DATA_AT, read + need);
#ifndef BUG_NO_FENCE_AWAIT_DATA
			fence(HOST);
#endif
#ifndef BUG_NO_LOOK_AGAIN_DATA
			announced = true;
			look_for_data();
			announced = false;
#endif
			if
			:: !ended && BYTES < need ->
#ifndef BUG_NO_COMPARE_BEFORE_SLEEP
				compare(HOST, read, ROOM_AT);
#endif
				need = 0;
				sleep_until_named(HOST)
			:: else
			fi
		:: else ->
			/* ring_consume of any part of it */
			choose(need, BYTES, CAP);
			d_step { read = read + need; got = got + need; need = 0 };
			store(HOST, READ, read);
			if
			:: compare(HOST, read, ROOM_AT)
			:: true /* later */
			fi
		fi
	:: true ->
		/* ring_stop */
		store(HOST, GONE, 1);
#ifndef BUG_STOP_WAKES_NOBODY
		untold = true;
#endif
		break
	od;
	compare(HOST, read, ROOM_AT)
}

init {
	atomic {
		mem[WRITTEN] = BASE;
		mem[ROOM_AT] = BASE;
		mem[READ] = BASE;
		mem[DATA_AT] = BASE;
		choose(data_max, CAP, CAP);
		choose(room_max, CAP + 1 - data_max, CAP);
		run drain(GUEST);
		run drain(HOST);
		run producer();
		run consumer()
	}
}
