// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* ring: the Maglev ring of a pool says which real a flow goes to that nobody remembers. */
#ifndef PILOTFISH_RING_H
#define PILOTFISH_RING_H

#include "directory.h"
#include "hash.h"
#include "maps.h"
#include "packet.h"
#include "trace.h"

/* Spreads the upper half of the hash over the slots by multiplication (Lemire, 2019): no division, and the verifier knows the bound. */
INLINE __u32 ring_slot(__u64 hash)
{
	return ((hash >> 32) * PF_RING_SLOTS) >> 32;
}

INLINE void take_real(struct packet *p, const struct ring_place *place, __u32 path)
{
	p->real_number = place->real_number;
	p->real = place->real;
	trace_real(p, path);
}

INLINE __u64 slot_bit(__u32 slot)
{
	return 1ULL << (slot % 64);
}

/* The ring that is asked, or null. */
INLINE struct pf_ring *ring_of(__u32 pool)
{
	void *map = bpf_map_lookup_elem(&rings, &pool);

	return map ? bpf_map_lookup_elem(map, ONLY_KEY) : 0;
}

/* The number of the real in a slot of a ring with a few. The 16 bits that have those of the slot may begin at any byte. */
INLINE __u32 number_of_few(const struct pf_ring *ring, __u64 slot)
{
	__u64 bit = slot * PF_FEW_BITS;

	return ring->few[*(const __u16 *)(ring->near + bit / 8) >> bit % 8 & (PF_RING_FEW - 1)];
}

/* The same in one with more. Without a branch, as most of look_in_ring. */
INLINE __u32 number_of_many(const struct pf_ring *ring, __u64 slot)
{
	return ring->members[ring->near[slot]] + ring->far[slot & ring->far_mask] * PF_RING_MEMBERS;
}

/* Not 0: the slot is not settled. Where all of a ring are, as most of the time, nothing is looked at that is not near. */
INLINE __u64 is_unsettled(const struct pf_ring *ring, __u64 slot)
{
	return ring->unsettled[(slot / 64 + 1) & ring->unsettled_mask] & slot_bit(slot);
}

/* What the ring of a pool has for the packet. No branch tells the verifier what it was: it would follow each through all that comes later. */
INLINE struct ring_place look_in_ring(const struct packet *p, __u32 pool, __u32 path)
{
	__u64 slot = ring_slot(hash_for_ring(p));
	struct ring_place place = {.pool = pool, .slot = slot, .path = path, .unsettled = 1};
	struct pf_ring *ring;
	__u32 number = 0;

	ring = ring_of(pool);
	if (ring && slot < PF_RING_SLOTS) { /* surely; older verifiers lose the bound */
		place.unsettled = is_unsettled(ring, slot);
		/* The one question that is worth a branch: the CPU guesses the kind of the ring, and need not wait for it. */
		number = likely(ring->is_small) ? number_of_few(ring, slot) : number_of_many(ring, slot);
	}
	place.real_number = (__u16)veil(number);
	place.real = &reals[place.real_number];
	/* Or else the compiler would find it anew for whoever goes on with it. */
	asm volatile("" : "+r"(place.real));
	place.is_void = is_zero(place.real->encap); /* PF_ENCAP_NONE */
	place.unsettled |= place.is_void;
	return place;
}

/* The same, where the client's address says which pool is asked. */
INLINE struct ring_place look_for_client(const struct packet *p)
{
	__s64 pool;

	if (p->family == PF_FAMILY_V4)
		pool = find_prefix(p->vip->clients, PF_FAMILY_V4, (__u32)p->addresses[0], 0);
	else
		pool = find_prefix(p->vip->clients, PF_FAMILY_V6, p->addresses[0], p->addresses[2]);
	return look_in_ring(p, pool < 0 ? p->vip->pool : pool, pool < 0 ? PF_PATH_RING : PF_PATH_PREFIX);
}

/* The ring decides: sets the packet's real. place: in the ring of the VIP's own pool. */
INLINE int go_by_ring(struct packet *p, struct ring_place *place)
{
	if (unlikely(asks_for(p, PF_CLIENTS)))
		*place = look_for_client(p);
	if (unlikely(place->is_void && !ring_of(place->pool)))
		return PF_NO_RING;
	trace_slot(place->pool, place->slot);
	if (unlikely(place->is_void))
		return place->real_number ? PF_VOID_REAL : PF_NO_REAL;
	take_real(p, place, place->path);
	return PF_NEXT;
}

/* Not 0: the slot that this hash says is not settled. For where it is seldom asked. */
INLINE __u64 has_unsettled_slot(__u32 pool, __u64 hash)
{
	const struct pf_ring *ring = ring_of(pool);
	__u32 slot = ring_slot(hash);

	return ring && slot < PF_RING_SLOTS ? is_unsettled(ring, slot) : 0;
}

/*
 * Marks the slot of a flow that is at another real. Apart from the program's body, and by a ring that is looked up again: it may be a newer one,
 * whose bit stays as good.
 */
APART int mark_stray(__u32 pool, __u64 hash)
{
	struct pf_ring *ring = ring_of(pool);
	__u32 slot = ring_slot(hash);
	__u64 *strays;

	if (!ring || slot >= PF_RING_SLOTS)
		return 0;
	strays = &ring->strays[slot / 64];
	if (!(*strays & slot_bit(slot)))
		__sync_fetch_and_or(strays, slot_bit(slot));
	return 1;
}

#endif
