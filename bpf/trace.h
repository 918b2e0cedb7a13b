// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * trace: writes down what is decided about a packet, as soon as it is, so that the packet need not carry it along. Only in an object of
 * its own, compiled with -DPF_TRACING=1: in the one that forwards, nothing of it is left.
 */
#ifndef PILOTFISH_TRACE_H
#define PILOTFISH_TRACE_H

#include "maps.h"
#include "packet.h"

#ifndef PF_TRACING
#define PF_TRACING 0
#endif

INLINE struct pf_decision *decision(void)
{
	return PF_TRACING ? bpf_map_lookup_elem(&decisions, ONLY_KEY) : 0;
}

/* Forgets the packet before. */
INLINE void trace_start(void)
{
	struct pf_decision *d = decision();

	if (d)
		*d = (struct pf_decision){};
}

INLINE void trace_reason(__u32 reason)
{
	struct pf_decision *d = decision();

	if (d)
		d->reason = reason;
}

INLINE void trace_vip(const struct pf_entry *vip)
{
	struct pf_decision *d = decision();

	if (!d)
		return;
	d->found = 1;
	d->vip = vip->number;
	d->pool = vip->pool;
}

INLINE void trace_slot(__u32 pool, __u32 slot)
{
	struct pf_decision *d = decision();

	if (!d)
		return;
	d->pool = pool;
	d->slot = slot + 1;
}

/* Of the real, where another one than the VIP's was found. */
INLINE void trace_pool(__u32 pool)
{
	struct pf_decision *d = decision();

	if (d)
		d->pool = pool;
}

/* An error about a flow has one path, whatever found the flow. */
INLINE void trace_real(const struct packet *p, __u32 path)
{
	struct pf_decision *d = decision();

	if (!d)
		return;
	d->real = p->real_number;
	d->path = p->icmp ? PF_PATH_ICMP : path;
}

INLINE void trace_event(__u32 event)
{
	struct pf_decision *d = decision();

	if (d)
		d->events |= 1 << event;
}

#endif
