// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* ring: the Maglev ring of the VIP's pool says which real a flow goes to that nobody remembers. */
#ifndef PILOTFISH_RING_H
#define PILOTFISH_RING_H

#include "maps.h"
#include "packet.h"

/* Spreads the upper half of the hash over the slots by multiplication (Lemire, 2019): no division, and the verifier knows the bound. */
INLINE __u32 ring_slot(__u64 hash)
{
	return ((hash >> 32) * PF_RING_SLOTS) >> 32;
}

INLINE int find_in_ring(struct packet *p)
{
	__u32 pool = p->vip.pool, first = 0;
	__u64 slot = ring_slot(p->hash);
	struct pf_real *real;
	struct pf_ring *ring;
	void *map;

	map = bpf_map_lookup_elem(&rings, &pool);
	if (!map)
		return PF_NO_RING;
	ring = bpf_map_lookup_elem(map, &first);
	if (!ring)
		return PF_NO_RING;
	if (slot >= PF_RING_SLOTS) /* cannot be; older verifiers lose the bound */
		return PF_NO_RING;
	p->real_number = ring->slot[slot];
	if (!p->real_number)
		return PF_NO_REAL;
	real = bpf_map_lookup_elem(&reals, &p->real_number);
	if (!real || real->family == PF_FAMILY_NONE)
		return PF_VOID_REAL;
	p->real = *real;
	p->path = PF_PATH_RING;
	p->slot = slot;
	return PF_NEXT;
}

#endif
