// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * flow: the flow cache. A set-associative table in a plain array: a flow may be in either of two buckets, a cache line each, that
 * are fetched at one time; no lock is taken and no memory is allocated. Every CPU has buckets of its own, and a CPU runs one packet
 * at a time, so entries need no atomics. An entry whose real has gone on to another generation is void.
 * docs/decisions/0001-flow-cache.md.
 */
#ifndef PILOTFISH_FLOW_H
#define PILOTFISH_FLOW_H

#include "budget.h"
#include "count.h"
#include "maps.h"
#include "packet.h"
#include "ring.h"
#include "tick.h"

#define PF_BUCKET_ENTRIES 8
#define PF_TAG 0x7fffffff

/* No pool: its slots cannot be asked whether they are settled. */
#define PF_ANY_SLOT 0xffffffffu

/* The two buckets that a flow may be in, and their numbers; for some flows they are the same one. */
struct flow_buckets {
	struct pf_flow_bucket *first, *second;
	__u32 first_index, second_index;
};

INLINE __u32 entry_time(__u64 entry)
{
	return (entry >> 31) & PF_TICKS;
}

INLINE __u32 entry_real(__u64 entry)
{
	return (__u16)(entry >> 41);
}

INLINE __u8 entry_generation(__u64 entry)
{
	return (__u8)(entry >> 57);
}

INLINE __u64 flow_entry(const struct packet *p, __u32 now)
{
	return (p->hash & PF_TAG) | (__u64)now << 31 | (__u64)p->real_number << 41 | (__u64)p->real->generation << 57;
}

/* Number of a bucket of this CPU by 32 bits of a hash: their share of all that they might be is its share of all buckets. */
INLINE __u32 bucket_index(__u32 cpu, __u32 hash)
{
	return cpu * constants.flow_buckets + (__u32)((__u64)hash * constants.flow_buckets >> 32);
}

INLINE struct pf_flow_bucket *flow_bucket(__u32 index)
{
	__u32 in_block = index & (PF_BLOCK_BUCKETS - 1), number = index / PF_BLOCK_BUCKETS;
	struct pf_flow_block *block = bpf_map_lookup_elem(&flows, &number);

	return block ? (struct pf_flow_bucket *)at_line(block->bytes) + in_block : 0;
}

/* By the half of the hash that the tag is not of, and by the same with its halves changed. */
INLINE struct flow_buckets flow_buckets(__u64 flow_hash)
{
	__u32 cpu = bpf_get_smp_processor_id(), hash = flow_hash >> 32;
	__u32 first = bucket_index(cpu, hash), second = bucket_index(cpu, hash << 16 | hash >> 16);

	return (struct flow_buckets){flow_bucket(first), flow_bucket(second), first, second};
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

/* The entry if it has the flow's tag, else 0. Without a branch, for where in its buckets a flow is no CPU can predict. */
INLINE __u64 if_own(__u64 entry, __u64 hash)
{
	__s64 is_it = (__s64)(((entry ^ hash) & PF_TAG) - 1) >> 63; /* all bits or none */

	/* Or else the compiler would make the branch of it that is to be spared. */
	asm volatile("" : "+r"(is_it));
	return entry & is_it;
}

/*
 * The entry with the flow's tag, or 0. A flow has one at most; two are a false match, whatever their bits make. Its value and not
 * its place, which would have the verifier follow sixteen places through all that comes later. In turns from both buckets, so that
 * both lines are fetched at one time.
 */
INLINE __u64 entry_of(struct flow_buckets buckets, __u64 hash)
{
	__u64 found = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < PF_BUCKET_ENTRIES; i++) {
		found |= if_own(buckets.first->entry[i], hash);
		found |= if_own(buckets.second->entry[i], hash);
	}
	return found;
}

/* Sets the packet's real from the cache; 0 if the cache has none that still holds. */
INLINE int find_flow(struct packet *p, struct flow_buckets buckets)
{
	__u64 entry = entry_of(buckets, p->hash);
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
	if (unlikely(entry_time(entry) != now) && !p->icmp) {
		replace_entry(buckets.first, entry, flow_entry(p, now));
		replace_entry(buckets.second, entry, flow_entry(p, now));
	}
	trace_real(p, PF_PATH_CACHE);
	return 1;
}

/* Two buckets in turns, as in entry_of: places are twice those in a bucket, and 1 more in the second. */
INLINE __u64 entry_at(const struct pf_flow_bucket *first, const struct pf_flow_bucket *second, __u32 place)
{
	return (place % 2 ? second : first)->entry[place / 2];
}

/*
 * How gladly an entry is given up: its own flow's first, then an empty one, then the longest unused. Among equals, and in a burst
 * all entries are of one tick, it is the hash that chooses, which turns the places round, by bits that do not choose the bucket.
 * Of empty ones it is the lowest place: so buckets fill from below, and of the two it is the emptier one that fills (Azar and
 * others, 1994). have_room: may the entry be empty or its own flow's? Nearly always none is.
 */
INLINE __s64 eviction_rank(__u64 entry, __u32 place, __u64 hash, __u32 now, const int have_room)
{
	__u64 age = (now - entry_time(entry)) & PF_TICKS, turned = place ^ (hash & (2 * PF_BUCKET_ENTRIES - 1)), first = 0;

	if (have_room) {
		__u64 is_own = is_zero((entry ^ hash) & PF_TAG), is_empty = is_zero(entry_real(entry));

		first = (is_own & ~is_empty) << 19 | is_empty * (1 << 4 | (2 * PF_BUCKET_ENTRIES - 1 - place)) << 14;
	}
	return (first | age << 4 | turned) << 4 | place;
}

/* Without a branch, which no CPU could predict. */
INLINE __s64 higher(__s64 one, __s64 other)
{
	__s64 ahead = one - other, is_behind = ahead >> 63; /* all bits or none */

	asm volatile("" : "+r"(is_behind));
	return one - (ahead & is_behind);
}

/* The highest rank, with its place. Fours are compared by themselves, or each entry would wait for the one before. */
INLINE __s64 highest_rank(const struct pf_flow_bucket *first, const struct pf_flow_bucket *second, __u64 hash, __u32 now,
			  const int have_room)
{
	__s64 highest = 0, rank[4];

#pragma clang loop unroll(full)
	for (int place = 0; place < 2 * PF_BUCKET_ENTRIES; place += 4) {
#pragma clang loop unroll(full)
		for (int i = 0; i < 4; i++)
			rank[i] = eviction_rank(entry_at(first, second, place + i), place + i, hash, now, have_room);
		highest = higher(highest, higher(higher(rank[0], rank[1]), higher(rank[2], rank[3])));
	}
	return highest;
}

/* Is an entry empty or the flow's own? Buckets fill from below. */
INLINE int have_room(const struct pf_flow_bucket *first, const struct pf_flow_bucket *second, __u64 hash)
{
	const __u32 last = 2 * PF_BUCKET_ENTRIES - 2;
	/* Negative as soon as one of the numbers is 0. */
	__s64 numbers = ((__s64)entry_real(entry_at(first, second, last)) - 1) |
			((__s64)entry_real(entry_at(first, second, last + 1)) - 1);

#pragma clang loop unroll(full)
	for (__u32 place = 0; place < 2 * PF_BUCKET_ENTRIES; place++)
		numbers |= (__s64)((entry_at(first, second, place) ^ hash) & PF_TAG) - 1;
	return numbers < 0;
}

/* The place of the entry to give up. Apart from the program's body, for a new flow waits for memory anyway. */
APART __u32 place_to_take(const struct pf_flow_bucket *first, const struct pf_flow_bucket *second, __u64 hash, __u32 now)
{
	__s64 rank;

	if (!first || !second)
		return 0;
	rank = unlikely(have_room(first, second, hash)) ? highest_rank(first, second, hash, now, 1) :
							   highest_rank(first, second, hash, now, 0);
	return rank & (2 * PF_BUCKET_ENTRIES - 1);
}

/*
 * Writes anew what the cache knows of a flow, which takes no other one's place. 0: nothing, or its slot is settled. What a flow of those is known
 * at was met nowhere for long, and to look for it would have every packet of a flood wait for memory. pool: that of the slot, or PF_ANY_SLOT.
 */
APART int replace_stray(__u64 hash, __u64 entry, __u32 pool, __u64 hash_of_slot)
{
	struct flow_buckets buckets;
	__u64 before;

	if (pool != PF_ANY_SLOT && !has_unsettled_slot(pool, hash_of_slot))
		return 0;
	buckets = flow_buckets(hash);
	if (!buckets.first || !buckets.second) /* cannot be */
		return 0;
	before = entry_of(buckets, hash);
	if (!before)
		return 0;
	replace_entry(buckets.first, before, entry);
	replace_entry(buckets.second, before, entry);
	return 1;
}

/* A flow that is not to be remembered, for new ones are too many. One that is remembered at another real is, or its next packets would go there. */
INLINE void forward_in_flood(struct packet *p, __u32 now)
{
	__u32 pool = p->flags & (PF_CLIENTS | PF_TCP_ID) ? PF_ANY_SLOT : p->vip->pool;

	if (!replace_stray(p->hash, flow_entry(p, now), pool, hash_for_ring(p)))
		count_event(p->cpu, PF_EVENT_FLOOD);
}

INLINE void remember_flow(struct packet *p, struct flow_buckets buckets)
{
	struct pf_flow_bucket *bucket;
	__u32 now = tick(), place, index;

	if (unlikely(!may_remember(&p->cpu->budget))) {
		forward_in_flood(p, now);
		return;
	}
	place = place_to_take(buckets.first, buckets.second, p->hash, now);
	/* The verifier knows nothing of what comes from apart, and the compiler more. */
	asm volatile("" : "+r"(place));
	/* Looked up once more rather than chosen by a branch, which no CPU can predict, and which waits for both buckets. */
	index = buckets.first_index + (buckets.second_index - buckets.first_index) * (place % 2);
	bucket = flow_bucket(index);
	if (bucket)
		bucket->entry[place / 2 % PF_BUCKET_ENTRIES] = flow_entry(p, now);
}

#endif
