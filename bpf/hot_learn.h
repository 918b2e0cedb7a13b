// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* hot_learn: which flows become hot, and how: what one packet has become says what the next ones will. */
#ifndef PILOTFISH_HOT_LEARN_H
#define PILOTFISH_HOT_LEARN_H

#include "encap.h"
#include "hot.h"

/* Where things are in headers. */
#define PF_IPV4_PROTOCOL 9
#define PF_IPV4_SOURCE 12
#define PF_IPV6_NEXT_HEADER 6
#define PF_IPV6_SOURCE 8

/*
 * How the real of a packet was found, as enum pf_hot_kind, or 0 if it may be another one for the next packet of the flow although
 * nothing has changed. A trace tells the slot of a ring, which is not kept: while tracing, rings are asked.
 */
INLINE __u8 hot_kind(const struct packet *p)
{
	__u32 flags = p->flags;

	if (flags & (PF_PAIR | PF_TCP_ID | PF_UDP_STABLE))
		return 0;
	if (p->use == PF_BY_ID)
		return PF_HOT_BY_ID;
	if (flags & (PF_QUIC | PF_QUIC_LB))
		return 0;
	if (p->use == PF_HIT)
		return PF_HOT_CACHED;
	return flags & PF_NO_CACHE && !PF_TRACING ? PF_HOT_BY_RING : 0;
}

/* What learn_hot is told beside the frame, in one number. */
INLINE __u64 hot_numbers(const struct packet *p, __u8 kind, __u32 mtu)
{
	__u16 longest = mtu < 0xffff ? mtu : 0xffff;

	return p->vip->number | (__u64)p->real_number << 16 | (__u64)longest << 32 | (__u64)kind << 48 |
	       (__u64)p->family << 56;
}

/* The sum that a checksum was made of, less a part of it (RFC 1624). */
INLINE __u16 without(__u16 check, __u64 part)
{
	return fold_short((__u32)(__u16)~check + (__u16)~fold(part));
}

/* Has the frame what a flow of this kind can be learned from? udp: of the packet, which may be TCP's. */
INLINE int can_be_learned(__u8 kind, __u8 protocol, const struct udphdr *udp, __be16 length)
{
	const __u8 *payload = (const __u8 *)(udp + 1);

	if (protocol != IPPROTO_UDP)
		return 1;
	/* Else the outer checksum was not made of what varies. */
	if (kind & PF_HOT_CHECKSUM && !has_checksum(udp, length))
		return 0;
	return !(kind & PF_HOT_BY_ID) || !(payload[0] & PF_QUIC_LONG);
}

/*
 * Makes a flow hot by the frame that one of its packets has become: its new start is what the next ones get, and the key is
 * behind it. Apart from the program's body, because a place is given once in a moment.
 */
APART int learn_hot(struct xdp_md *ctx, __u64 numbers, __u64 moment)
{
	const __u8 *frame = frame_start(ctx), *outer = frame + sizeof(struct ethhdr), *ip, *l4;
	const void *data_end = frame_end(ctx);
	__u8 kind = numbers >> 48, family = numbers >> 56, protocol;
	__u32 size = sizeof(struct iphdr), header, place;
	__u64 addresses[4] = {}, rest, hash;
	struct pf_cpu_state *cpu = this_cpu();
	struct pf_hot_flow *hot;
	__be16 own;

	/* The shortest frame, encapsulated, is longer than the longest start. */
	if ((const void *)(frame + sizeof(hot->header)) > data_end)
		return 0;
	if (outer[0] >> 4 == 6) {
		kind |= PF_HOT_OVER_V6;
		size = sizeof(struct ipv6hdr);
	}
	if (outer[size == sizeof(struct iphdr) ? PF_IPV4_PROTOCOL : PF_IPV6_NEXT_HEADER] == IPPROTO_UDP) {
		const struct udphdr *udp = (const struct udphdr *)(outer + size);

		kind |= udp->check ? PF_HOT_GUE | PF_HOT_CHECKSUM : PF_HOT_GUE;
		size += sizeof(*udp);
	}
	ip = outer + size;
	header = family == PF_FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	l4 = ip + header;
	if ((const void *)(l4 + sizeof(struct tcphdr)) > data_end)
		return 0;
	if (family == PF_FAMILY_V4) {
		addresses[0] = *(const __u64 *)(ip + PF_IPV4_SOURCE);
		protocol = ip[PF_IPV4_PROTOCOL];
	} else {
		const __u64 *words = (const __u64 *)(ip + PF_IPV6_SOURCE);

		addresses[0] = words[0];
		addresses[1] = words[2];
		addresses[2] = words[1];
		addresses[3] = words[3];
		protocol = ip[PF_IPV6_NEXT_HEADER];
	}
	own = own_length(ip, family);
	if (!can_be_learned(kind, protocol, (const struct udphdr *)l4, bpf_htons(whole_length(own, family) - header)))
		return 0;
	rest = hot_rest(*(const __u32 *)l4, protocol, family);
	hash = hot_hash(addresses[0], addresses[1], addresses[2], addresses[3], rest);
	place = hot_place(hash);
	hot = hot_flow_at(place);
	if (!cpu || !hot)
		return 0;
	for (int i = 0; i < 4; i++)
		hot->addresses[i] = addresses[i];
	hot->rest = rest;
	hot->moment = moment;
	if (kind & PF_HOT_BY_ID)
		hot->cid = *(const __u64 *)(l4 + sizeof(struct udphdr) + 1);
	hot->vip = numbers;
	hot->real = numbers >> 16;
	hot->room = (__u16)(numbers >> 32) - size;
	hot->kind = protocol == IPPROTO_UDP ? kind | PF_HOT_UDP : kind;
	hot->use = kind & PF_HOT_CACHED ? PF_HIT : PF_UNUSED;
	for (__u32 i = 0; i < sizeof(hot->header) / sizeof(__u16); i++)
		((__u16 *)hot->header)[i] = ((const __u16 *)frame)[i];
	if (kind & PF_HOT_OVER_V6) {
		*(__u32 *)(hot->header + sizeof(struct ethhdr)) &= bpf_htonl(~(0xffu << 20));
	} else {
		__u32 varying = own + ((__u32)outer[1] << 8);

		*ready_ip_sum(hot) = without(*ready_ip_sum(hot), varying);
	}
	if (kind & PF_HOT_CHECKSUM) {
		__u16 *sum = ready_udp_sum(hot, size - sizeof(struct udphdr));

		*sum = without(*sum, varying_sum((const __u32 *)ip, family, own));
	}
	cpu->owners[place] = hot_tag(hash) | (__u32)stamp_of(moment) << 16;
	return 1;
}

/* Has the flow become hot, if its place is free or its own: a QUIC connection may have another id now. */
INLINE void note_hot(struct xdp_md *ctx, const struct packet *p)
{
	__u8 kind;

	if (likely(!p->may_be_hot))
		return;
	kind = hot_kind(p);
	if (kind)
		learn_hot(ctx, hot_numbers(p, kind, settings.mtu), p->moment);
}

/* The flow may have another real from now on: its place is free. */
INLINE void forget_hot(const struct packet *p)
{
	__u64 hash = hot_hash_of(p);
	__u32 *owner = &p->cpu->owners[hot_place(hash)];

	if (constants.hot && (__u16)*owner == hot_tag(hash))
		*owner = (__u16)~hot_tag(hash) | (__u32)(__u16)~stamp_of(p->moment) << 16;
}

#endif
