// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* ring: the Maglev ring of a pool says which real a flow goes to that nobody remembers. */
#ifndef PILOTFISH_RING_H
#define PILOTFISH_RING_H

#include "directory.h"
#include "maps.h"
#include "packet.h"
#include "trace.h"

/* Spreads the upper half of the hash over the slots by multiplication (Lemire, 2019): no division, and the verifier knows the bound. */
INLINE __u32 ring_slot(__u64 hash)
{
	return ((hash >> 32) * PF_RING_SLOTS) >> 32;
}

/* The pool that is asked. The client's address may say which; path is how. */
INLINE __u32 choose_pool(const struct packet *p, __u32 *path)
{
	__s64 pool;

	*path = PF_PATH_RING;
	if (likely(!(p->flags & PF_CLIENTS)))
		return p->vip->pool;
	if (p->family == PF_FAMILY_V4)
		pool = find_prefix(p->vip->clients, PF_FAMILY_V4, (__u32)p->addresses[0], 0);
	else
		pool = find_prefix(p->vip->clients, PF_FAMILY_V6, p->addresses[0], p->addresses[2]);
	if (pool < 0)
		return p->vip->pool;
	*path = PF_PATH_PREFIX;
	return pool;
}

INLINE int find_in_ring(struct packet *p, __u64 hash)
{
	__u64 slot = ring_slot(hash);
	__u32 first = 0, path, pool = choose_pool(p, &path);
	const struct pf_real *real;
	struct pf_ring *ring;
	__u16 number;
	void *map;

	map = bpf_map_lookup_elem(&rings, &pool);
	if (!map)
		return PF_NO_RING;
	ring = bpf_map_lookup_elem(map, &first);
	if (!ring)
		return PF_NO_RING;
	if (slot >= PF_RING_SLOTS) /* cannot be; older verifiers lose the bound */
		return PF_NO_RING;
	trace_slot(pool, slot);
	number = ring->slot[slot];
	if (!number)
		return PF_NO_REAL;
	real = &reals[number];
	if (real->encap == PF_ENCAP_NONE)
		return PF_VOID_REAL;
	p->real_number = number;
	p->real = real;
	trace_real(p, path);
	return PF_NEXT;
}

#endif
