// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* count: one counter a reason, traffic by VIP and by real. Counting never changes a verdict. */
#ifndef PILOTFISH_COUNT_H
#define PILOTFISH_COUNT_H

#include "maps.h"
#include "packet.h"

INLINE void add_traffic(void *map, __u32 number, __u32 bytes)
{
	struct pf_traffic *traffic = bpf_map_lookup_elem(map, &number);

	if (!traffic)
		return;
	traffic->packets++;
	traffic->bytes += bytes;
}

INLINE void tell(const struct packet *p, __u32 reason)
{
	__u32 first = 0;
	struct pf_decision *decision = bpf_map_lookup_elem(&decisions, &first);

	if (!decision)
		return;
	decision->reason = reason;
	decision->path = p->path;
	decision->vip = p->vip.number;
	decision->pool = p->vip.pool;
	decision->real = p->real_number;
	decision->slot = p->slot;
	decision->found = p->found;
}

/* Counts the reason and turns it into what XDP does with the packet. */
INLINE int count(const struct packet *p, __u32 reason)
{
	__u64 *counter = bpf_map_lookup_elem(&reasons, &reason);

	if (counter)
		(*counter)++;
	if (constants.tracing)
		tell(p, reason);
	if (reason == PF_FORWARDED) {
		add_traffic(&vip_traffic, p->vip.number, p->length);
		add_traffic(&real_traffic, p->real_number, p->length);
		return XDP_TX;
	}
	return reason <= PF_NOT_VIP ? XDP_PASS : XDP_DROP;
}

#endif
