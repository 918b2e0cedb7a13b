// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * flow: the flow cache. A set-associative table in a plain array: a packet touches one cache line, no lock is taken
 * and no memory is allocated. Every CPU has buckets of its own, and a CPU runs one packet at a time, so entries need
 * no atomics. An entry whose real has gone on to another generation is void. docs/decisions/0001-flow-cache.md.
 */
#ifndef PILOTFISH_FLOW_H
#define PILOTFISH_FLOW_H

#include "budget.h"
#include "count.h"
#include "maps.h"
#include "packet.h"
#include "tick.h"

#define PF_BUCKET_ENTRIES 8
#define PF_TAG 0x3fffffff

INLINE __u32 entry_tag(__u64 entry)
{
	return entry & PF_TAG;
}

INLINE __u32 entry_time(__u64 entry)
{
	return (entry >> 30) & PF_TICKS;
}

INLINE __u32 entry_real(__u64 entry)
{
	return (__u16)(entry >> 40);
}

INLINE __u8 entry_generation(__u64 entry)
{
	return (__u8)(entry >> 56);
}

INLINE __u64 flow_entry(const struct packet *p, __u32 now)
{
	return (p->hash & PF_TAG) | (__u64)now << 30 | (__u64)p->real_number << 40 | (__u64)p->real->generation << 56;
}

INLINE struct pf_flow_bucket *flow_bucket(const struct packet *p)
{
	__u32 index = bpf_get_smp_processor_id() * (constants.flow_bucket_mask + 1), in_block, number;
	struct pf_flow_block *block;

	index += (__u32)(p->hash >> 32) & constants.flow_bucket_mask;
	in_block = index & (PF_BLOCK_BUCKETS - 1);
	number = index / PF_BLOCK_BUCKETS;
	block = bpf_map_lookup_elem(&flows, &number);
	return block ? (struct pf_flow_bucket *)at_line(block->bytes) + in_block : 0;
}

/* TCP says itself when a flow is over; UDP falls silent. */
INLINE int is_too_old(const struct packet *p, __u64 entry, __u32 now)
{
	return p->protocol != IPPROTO_TCP && ((now - entry_time(entry)) & PF_TICKS) > p->vip->udp_timeout;
}

/* Writes an entry anew, wherever in its bucket it is. */
INLINE void replace_entry(struct pf_flow_bucket *bucket, __u64 before, __u64 now)
{
#pragma clang loop unroll(full)
	for (int i = 0; i < PF_BUCKET_ENTRIES; i++)
		if (bucket->entry[i] == before)
			bucket->entry[i] = now;
}

/*
 * The entry with the flow's tag, or 0. A flow has one at most. Without a branch, for where in its bucket a flow is no CPU
 * can predict. Its value and not its place, which would have the verifier follow eight places through all that comes later.
 */
INLINE __u64 entry_of(const struct packet *p, const struct pf_flow_bucket *bucket)
{
	__u64 found = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < PF_BUCKET_ENTRIES; i++) {
		__u64 entry = bucket->entry[i];
		__s64 is_it = (__s64)(((entry ^ p->hash) & PF_TAG) - 1) >> 63; /* all bits or none */

		/* Or else the compiler would make the branch of it that is to be spared. */
		asm volatile("" : "+r"(is_it));
		found |= entry & is_it;
	}
	return found;
}

/* Sets the packet's real from the cache; 0 if the cache has none that still holds. */
INLINE int find_flow(struct packet *p, struct pf_flow_bucket *bucket)
{
	__u64 entry = entry_of(p, bucket);
	__u16 number = entry_real(entry);
	const struct pf_real *real = &reals[number];
	__u32 now = tick();

	if (!entry || real->generation != entry_generation(entry) || real->encap == PF_ENCAP_NONE)
		return 0;
	if (is_too_old(p, entry, now))
		return 0;
	p->real_number = number;
	p->real = real;
	/* Errors about a flow are no use of it. */
	if (unlikely(entry_time(entry) != now) && !p->icmp)
		replace_entry(bucket, entry, flow_entry(p, now));
	trace_real(p, PF_PATH_CACHE);
	return 1;
}

/* How gladly an entry is given up: its own flow's first, then an empty one, then the longest unused. Without a branch, as in entry_of. */
INLINE __s64 eviction_rank(__u64 entry, __u32 tag, __u32 now)
{
	__u64 is_empty = ((__u64)entry_real(entry) - 1) >> 63, is_own = ((__u64)(entry_tag(entry) ^ tag) - 1) >> 63;

	asm volatile("" : "+r"(is_empty), "+r"(is_own));
	/* Two bits above the ten of the age. */
	return ((now - entry_time(entry)) & PF_TICKS) | is_empty << 10 | (is_own & ~is_empty) << 11;
}

/*
 * The place of the entry to give up. Rank and place are compared as one number, in which the hash turns the places round: among
 * equals, and in a burst all entries of a bucket are of one tick, it is the hash that chooses.
 */
INLINE __u32 place_to_take(const struct packet *p, const struct pf_flow_bucket *bucket, __u32 now)
{
	__s64 turn = p->hash >> 61, best = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < PF_BUCKET_ENTRIES; i++) {
		__s64 rank = eviction_rank(bucket->entry[i], p->hash & PF_TAG, now) * PF_BUCKET_ENTRIES | (i ^ turn);
		__s64 ahead = best - rank, is_behind = ahead >> 63; /* all bits or none */

		asm volatile("" : "+r"(is_behind));
		best -= ahead & is_behind;
	}
	return (best ^ turn) & (PF_BUCKET_ENTRIES - 1);
}

INLINE void remember_flow(struct packet *p, struct pf_flow_bucket *bucket)
{
	__u32 now = tick();

	if (unlikely(!may_remember(&p->cpu->budget))) {
		count_event(p->cpu, PF_EVENT_FLOOD);
		return;
	}
	bucket->entry[place_to_take(p, bucket, now)] = flow_entry(p, now);
}

#endif
