// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * note: which flows the flow cache was asked for in this moment and has at their slot's real. Where no flow of a slot can be anywhere
 * else, the next packets of such a flow go by the ring, which is near, and not by the cache, which no CPU has near when flows
 * are many. Several flows may share a note: all that comes of it is that the cache is not asked for one of them until the moment
 * is over. docs/decisions/0010-settled-slots.md.
 */
#ifndef PILOTFISH_NOTE_H
#define PILOTFISH_NOTE_H

#include "maps.h"
#include "packet.h"
#include "tick.h"
#include "trace.h"

#define PF_NOTE_BITS 48 /* of a word; above them is the stamp of the moment that they hold for */

/* Flows of TCP are forgotten only for others, so of them the cache need not know to the tick when they were last alive. */
INLINE __u64 is_aging(const struct packet *p)
{
	return 1 - is_zero(p->protocol ^ IPPROTO_TCP);
}

/*
 * Differs from one moment to the next. A moment is several ticks, for of slow flows, too, most packets should find a note; it is one where the
 * flow cache has to know better: of flows that age, and where new ones are so many that in the course of several ticks they would push out what looks silent.
 */
INLINE __u16 note_stamp(const struct packet *p)
{
	__u64 ticks = all_ticks(), is_one = is_aging(p) | is_zero(ticks / PF_NOTE_TICKS ^ p->cpu->budget.many_flows);

	return changes.count + (ticks & ~((PF_NOTE_TICKS - 1) * (1 - is_one)));
}

/*
 * What chooses the note, from its highest bit. By another factor in each moment, so that flows which share a note in one do not in the next:
 * else the slower one of two would hardly ever be looked for.
 */
INLINE __u64 noted_by(const struct packet *p, __u16 stamp)
{
	return p->hash * (2 * (__u64)stamp + 1);
}

/* The word of this CPU that has the note of the packet's flow. Flows that age have words of their own: their moments are others. */
INLINE __u64 *notes_of(const struct packet *p, __u16 stamp)
{
	__u32 mask = constants.note_mask, part = 2 * bpf_get_smp_processor_id() + is_aging(p);
	__u32 index = part * (mask + 1) + (noted_by(p, stamp) >> 48 & mask);

	return bpf_map_lookup_elem(&notes, &index);
}

INLINE __u64 note_of(const struct packet *p, __u16 stamp)
{
	return 1ULL << ((noted_by(p, stamp) >> 32 & 0xffff) * PF_NOTE_BITS >> 16);
}

/*
 * 0 if the flow has a note that holds. Without a branch, for the verifier would follow both ways through all that comes later. A trace tells whether
 * the cache knows the flow, and not one that shares its note: while tracing, the cache is asked.
 */
INLINE __u64 lacks_note(const struct packet *p)
{
	__u16 stamp = note_stamp(p);
	const __u64 *word = notes_of(p, stamp);

	if (PF_TRACING || !word) /* the latter cannot be */
		return 1;
	return (*word >> PF_NOTE_BITS ^ stamp) | (~*word & note_of(p, stamp));
}

INLINE void note(const struct packet *p)
{
	__u16 stamp = note_stamp(p);
	__u64 *word = notes_of(p, stamp);

	if (word)
		*word = (*word >> PF_NOTE_BITS == stamp ? *word : (__u64)stamp << PF_NOTE_BITS) | note_of(p, stamp);
}

#endif
