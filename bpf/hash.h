// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* hash: the flow hash. Public contract: docs/reference/flow-hash.md defines it and gives test vectors. */
#ifndef PILOTFISH_HASH_H
#define PILOTFISH_HASH_H

#include "packet.h"

INLINE __u64 hash_word(__u64 hash, __u64 word, __u64 key)
{
	hash = (hash ^ word) * key;
	return hash ^ (hash >> 32);
}

INLINE void hash_flow(struct packet *p, const struct pf_settings *s)
{
	__u64 last = p->ports | (__u64)p->key.protocol << 32;
	__u64 hash = hash_word(s->hash_key[0], p->addresses[0], s->hash_key[1]);

	if (p->key.family == PF_FAMILY_V4) {
		hash = hash_word(hash, last, s->hash_key[2]);
	} else {
		hash = hash_word(hash, p->addresses[1], s->hash_key[2]);
		hash = hash_word(hash, p->addresses[2], s->hash_key[3]);
		hash = hash_word(hash, p->addresses[3], s->hash_key[4]);
		hash = hash_word(hash, last, s->hash_key[5]);
	}
	p->hash = hash_word(hash, 0, s->hash_key[6]);
}

#endif
