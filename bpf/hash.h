// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* hash: the flow hash. Public contract: docs/reference/flow-hash.md defines it and gives test vectors. */
#ifndef PILOTFISH_HASH_H
#define PILOTFISH_HASH_H

#include "maps.h"
#include "packet.h"

enum hash_mode { HASH_5_TUPLE = 0, HASH_SOURCE = 1, HASH_PORT = 2, HASH_PAIR = 3 };

INLINE __u64 hash_word(__u64 hash, __u64 word, __u64 key)
{
	hash = (hash ^ word) * key;
	return hash ^ (hash >> 32);
}

/* Modes 5-tuple and address pair, which has no ports. */
INLINE __u64 hash_flow(const struct packet *p, __u64 mode)
{
	__u64 last = (mode == HASH_PAIR ? 0 : p->ports) | (__u64)p->protocol << 32;
	__u64 hash = hash_word(settings.hash_key[0] ^ mode, p->addresses[0], settings.hash_key[1]);

	if (p->family == PF_FAMILY_V4) {
		hash = hash_word(hash, last, settings.hash_key[2]);
	} else {
		hash = hash_word(hash, p->addresses[1], settings.hash_key[2]);
		hash = hash_word(hash, p->addresses[2], settings.hash_key[3]);
		hash = hash_word(hash, p->addresses[3], settings.hash_key[4]);
		hash = hash_word(hash, last, settings.hash_key[5]);
	}
	return hash_word(hash, 0, settings.hash_key[6]);
}

/* By the 5-tuple, before anything is asked of the VIP, which nearly always says so: bucket and ring slot wait for it. */
INLINE __u64 hash_early(const struct packet *p)
{
	__u64 hash = hash_flow(p, HASH_5_TUPLE);

	/* Or else the compiler would put it off until it is needed. IPv6 is slower by it: there is more to keep meanwhile. */
	if (p->family == PF_FAMILY_V4)
		asm volatile("" : "+r"(hash));
	return hash;
}

INLINE __u64 hash_source(const struct packet *p)
{
	__u64 hash = settings.hash_key[0] ^ HASH_SOURCE;

	if (p->family == PF_FAMILY_V4) {
		hash = hash_word(hash, (__u32)p->addresses[0], settings.hash_key[1]);
	} else {
		hash = hash_word(hash, p->addresses[0], settings.hash_key[1]);
		hash = hash_word(hash, p->addresses[2], settings.hash_key[2]);
		hash = hash_word(hash, 0, settings.hash_key[3]); /* else the last bytes take part in too little */
	}
	return hash_word(hash, 0, settings.hash_key[6]);
}

INLINE __u64 hash_port(const struct packet *p)
{
	__u64 word = p->ports >> 16 | (__u64)p->protocol << 32;
	__u64 hash = hash_word(settings.hash_key[0] ^ HASH_PORT, word, settings.hash_key[1]);

	return hash_word(hash, 0, settings.hash_key[6]);
}

/* The hash that chooses the ring slot: the flow's own, unless the VIP asks for less. */
INLINE __u64 hash_for_ring(const struct packet *p)
{
	if (unlikely(asks_for(p, PF_HASH_SOURCE)))
		return hash_source(p);
	if (unlikely(asks_for(p, PF_HASH_PORT)))
		return hash_port(p);
	return p->hash;
}

#endif
