// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* vip: which VIP, address or tunnel a packet is for, and what ends there for a flaw of its own. */
#ifndef PILOTFISH_VIP_H
#define PILOTFISH_VIP_H

#include <linux/in.h>
#include "directory.h"
#include "parse.h"

INLINE int is_tunnel(__u8 protocol)
{
	return protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6;
}

INLINE int is_icmp(const struct packet *p)
{
	return p->protocol == icmp_of(p->family);
}

INLINE int has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
}

/* The last four bytes of the struct pf_key of the packet's destination. */
INLINE __u32 destination_tail(const struct packet *p)
{
	return key_tail(p->ports >> 16, p->protocol, p->family);
}

/* Finds the entry of the packet's destination. */
INLINE int find_vip(const struct packet *p, const struct pf_entry **entry)
{
	if (!p->plain && unlikely(!has_ports(p->protocol) && !is_icmp(p) && !is_tunnel(p->protocol)))
		return PF_NOT_VIP;
	if (!find_destination(p->destination[0], p->destination[1], p->address_hash, destination_tail(p), entry))
		return PF_NOT_VIP;
	if (unlikely(p->flaw != PF_NEXT)) {
		if ((*entry)->flags & PF_OWN)
			return PF_NOT_VIP;
		/* A fragment has no port, so what was found is the sign of its address and protocol. */
		if (p->flaw != PF_FRAGMENT || !((*entry)->flags & PF_FRAGMENTS))
			return p->flaw;
		if (p->family == PF_FAMILY_V4 && p->l4 != sizeof(struct iphdr))
			return PF_IP_OPTIONS;
	}
	return PF_NEXT;
}

/* What asks for more than a look into the flow cache and a ring. */
#define PF_UNUSUAL                                                                                                             \
	(PF_HASH_SOURCE | PF_HASH_PORT | PF_PAIR | PF_QUIC | PF_QUIC_LB | PF_TCP_ID | PF_UDP_STABLE | PF_CLIENTS)

/* Is the entry a VIP for the packet, and not only the sign that its address has one? */
INLINE int is_vip(const struct packet *p, const struct pf_entry *entry)
{
	return (entry->flags & PF_VIP) || (p->fragment && has_ports(p->protocol));
}

#endif
