// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* count: one counter a reason and an event, traffic by VIP and by real. Counting never changes a verdict. */
#ifndef PILOTFISH_COUNT_H
#define PILOTFISH_COUNT_H

#include "maps.h"
#include "packet.h"
#include "trace.h"

INLINE struct pf_cpu_state *this_cpu(void)
{
	return bpf_map_lookup_elem(&cpu_state, ONLY_KEY);
}

INLINE void count_event(struct pf_cpu_state *cpu, enum pf_event event)
{
	cpu->events[event]++;
	trace_event(event);
}

INLINE void add_hit(void *map, __u32 number, __u32 length)
{
	struct pf_hits *hits = bpf_map_lookup_elem(map, &number);

	if (!hits)
		return;
	hits->bytes += length;
	hits->packets++;
}

INLINE void add_traffic(void *map, __u32 number, __u32 length, __u32 use)
{
	struct pf_traffic *traffic = bpf_map_lookup_elem(map, &number);

	if (!traffic)
		return;
	traffic->bytes += length;
	(&traffic->unused)[use & PF_HIT]++; /* which it is not */
}

/* What went to a real. use: enum pf_use, or PF_BY_ID. */
INLINE void count_traffic(__u32 vip, __u32 real, __u32 length, __u32 use)
{
	if (use == PF_HIT) {
		add_hit(&vip_hits, vip, length);
		add_hit(&real_hits, real, length);
	} else {
		add_traffic(&vip_traffic, vip, length, use);
		add_traffic(&real_traffic, real, length, use);
	}
}

/* Counts the reason, and says what XDP does with the packet. */
INLINE int count(struct pf_cpu_state *cpu, __u32 reason)
{
	__u32 index = reason;

	/* Or else the compiler would compare one register and count by another. */
	if (!__builtin_constant_p(reason))
		asm volatile("" : "+r"(index));
	if (index < PF_REASON_COUNT)
		cpu->reasons[index]++;
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
