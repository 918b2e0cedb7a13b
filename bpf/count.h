// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* count: one counter a reason and an event, traffic by VIP and by real. Counting never changes a verdict. */
#ifndef PILOTFISH_COUNT_H
#define PILOTFISH_COUNT_H

#include "maps.h"
#include "packet.h"
#include "trace.h"

INLINE void add_one(void *map, __u32 index)
{
	__u64 *counter = bpf_map_lookup_elem(map, &index);

	if (counter)
		(*counter)++;
}

INLINE void count_event(__u32 event)
{
	add_one(&events, event);
	trace_event(event);
}

INLINE void add_traffic(void *map, __u32 number, __u32 length, enum pf_use use)
{
	struct pf_traffic *traffic = bpf_map_lookup_elem(map, &number);

	if (!traffic)
		return;
	traffic->packets++;
	traffic->bytes += length;
	if (likely(use == PF_HIT))
		traffic->hits++;
	else if (use == PF_NEW_FLOW)
		traffic->new_flows++;
	else if (use == PF_MISS)
		traffic->misses++;
}

/* What went to a real. */
INLINE void count_traffic(const struct packet *p)
{
	add_traffic(&vip_traffic, p->vip->number, p->length, p->use);
	add_traffic(&real_traffic, p->real_number, p->length, p->use);
}

INLINE void count_hot(const struct pf_hot_flow *hot, __u32 length)
{
	enum pf_use use = hot->kind & PF_HOT_CACHED ? PF_HIT : PF_UNUSED;

	add_traffic(&vip_traffic, hot->vip, length, use);
	add_traffic(&real_traffic, hot->real, length, use);
}

/* Counts the reason, and says what XDP does with the packet. */
INLINE int count(__u32 reason)
{
	add_one(&reasons, reason);
	trace_reason(reason);
	if (unlikely(constants.egress && reason == PF_FORWARDED)) {
		bpf_redirect(constants.egress, 0);
		return XDP_REDIRECT; /* all that the call returns, as the verifier does not know */
	}
	if (likely(reason >= PF_FORWARDED))
		return XDP_TX;
	return reason < PF_FRAGMENT ? XDP_PASS : XDP_DROP;
}

#endif
