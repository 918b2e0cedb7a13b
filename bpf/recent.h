// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * recent: the VIPs that plain packets on this CPU were for of late. Whether a packet is for the one at its place, a CPU guesses
 * right and goes on with what is there; a look-up in the directory it would have to wait for. docs/decisions/0009-recent-vips.md.
 */
#ifndef PILOTFISH_RECENT_H
#define PILOTFISH_RECENT_H

#include "directory.h"
#include "vip.h"

/* The place of the packet's destination. */
INLINE struct pf_recent_vip *recent_place(const struct packet *p)
{
	__u64 hash = p->address_hash ^ destination_tail(p) * PF_MIX_3;
	struct pf_recent_vip *recent = (struct pf_recent_vip *)p->cpu->recent + (hash >> 32 & (PF_RECENT_VIPS - 1));

	/* Or else the compiler would add it up anew wherever it is used. */
	asm volatile("" : "+r"(recent));
	return recent;
}

/* Is what is there of the packet's destination, and of now? vips: pf_changes.vips, read before anything was looked up. */
INLINE int is_recent(const struct pf_recent_vip *recent, const struct packet *p, __u32 vips)
{
	return recent->vips == vips &&
	       is_entry_of(&recent->entry, p->destination[0], p->destination[1], destination_tail(p));
}

/* Keeps the VIP of a packet; while VIPs change, when vips is 0, for this packet alone: the key is one that no packet has. */
INLINE void keep_recent(struct pf_recent_vip *recent, const struct packet *p, const struct pf_entry *vip, __u32 vips)
{
	struct pf_key *key = &recent->entry.key;
	__u32 tail = vips ? destination_tail(p) : 0;

	recent->entry = *vip;
	__builtin_memcpy(key->address, p->destination, sizeof(key->address));
	__builtin_memcpy(&key->port, &tail, sizeof(tail));
	recent->vips = vips;
}

#endif
