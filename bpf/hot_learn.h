// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* hot_learn: which flows become hot, and how: what one packet has become says what the next ones will. */
#ifndef PILOTFISH_HOT_LEARN_H
#define PILOTFISH_HOT_LEARN_H

#include "encap.h"
#include "hot.h"

/* Where things are in headers. */
#define PF_IPV4_TOTAL_LENGTH 2
#define PF_IPV4_PROTOCOL 9
#define PF_IPV4_CHECK 10
#define PF_IPV4_SOURCE 12
#define PF_IPV6_PAYLOAD_LENGTH 4
#define PF_IPV6_NEXT_HEADER 6
#define PF_IPV6_SOURCE 8

/*
 * How the real of a packet was found, as enum pf_hot_kind, or 0 if it may be another one for the next packet of the flow although
 * nothing has changed. A trace tells the slot of a ring, which is not kept: while tracing, rings are asked.
 */
INLINE __u8 hot_kind(const struct packet *p)
{
	__u32 flags = p->vip->flags;

	if (flags & (PF_PAIR | PF_TCP_ID | PF_UDP_STABLE))
		return 0;
	if (p->use == PF_BY_ID)
		return PF_HOT_BY_ID;
	if (flags & (PF_QUIC | PF_QUIC_LB))
		return 0;
	if (p->use == PF_HIT)
		return PF_HOT_CACHED;
	return flags & PF_NO_CACHE && !constants.tracing ? PF_HOT_BY_RING : 0;
}

/* What learn_hot is told beside the frame, in one number. */
INLINE __u64 hot_numbers(const struct packet *p, __u8 kind, __u32 mtu)
{
	__u16 longest = mtu < 0xffff ? mtu : 0xffff;

	return p->vip->number | (__u64)p->real_number << 16 | (__u64)longest << 32 | (__u64)kind << 48 |
	       (__u64)p->family << 56;
}

/*
 * Makes a flow hot by the frame that one of its packets has become: its new start is what the next ones get, and the key is
 * behind it. A place belongs to its flow for as long as it is good, so that two flows do not take it from each other in turns.
 * Apart from the program's body, because a flow is learned once a tick.
 */
APART int learn_hot(struct xdp_md *ctx, __u64 numbers, __u32 now)
{
	const __u8 *frame = frame_start(ctx), *outer = frame + sizeof(struct ethhdr), *ip, *l4;
	const void *data_end = frame_end(ctx);
	__u8 kind = numbers >> 48, family = numbers >> 56;
	__u32 size = sizeof(struct iphdr), header, length, place;
	__u64 addresses[4] = {}, rest, hash, cid = 0;
	struct pf_hot_tags *tags;
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
		kind |= PF_HOT_GUE;
		size += sizeof(struct udphdr);
	}
	ip = outer + size;
	header = family == PF_FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	l4 = ip + header;
	if ((const void *)(l4 + sizeof(struct tcphdr)) > data_end)
		return 0;
	if (family == PF_FAMILY_V4) {
		addresses[0] = *(const __u64 *)(ip + PF_IPV4_SOURCE);
		rest = hot_rest(*(const __u32 *)l4, ip[PF_IPV4_PROTOCOL], family);
		own = *(const __be16 *)(ip + PF_IPV4_TOTAL_LENGTH);
		length = bpf_ntohs(own);
	} else {
		const __u64 *words = (const __u64 *)(ip + PF_IPV6_SOURCE);

		addresses[0] = words[0];
		addresses[1] = words[2];
		addresses[2] = words[1];
		addresses[3] = words[3];
		rest = hot_rest(*(const __u32 *)l4, ip[PF_IPV6_NEXT_HEADER], family);
		own = *(const __be16 *)(ip + PF_IPV6_PAYLOAD_LENGTH);
		length = header + bpf_ntohs(own);
	}
	if (kind & PF_HOT_BY_ID) {
		const __u8 *payload = l4 + sizeof(struct udphdr);

		if (payload[0] & PF_QUIC_LONG)
			return 0;
		cid = *(const __u64 *)(payload + 1);
	}
	hash = hot_hash(addresses[0], addresses[2], rest);
	place = hot_place(hash);
	tags = hot_tags_here();
	hot = hot_flow_at(place);
	if (!tags || !hot)
		return 0;
	rest = with_tick(rest);
	if (hot->changes == now && hot->rest >> 48 == rest >> 48 && (hot->rest != rest || hot->addresses[0] != addresses[0]))
		return 0;
	hot->changes = 0; /* good for nothing until all of it is there */
	for (int i = 0; i < 4; i++)
		hot->addresses[i] = addresses[i];
	hot->rest = rest;
	hot->cid = cid;
	hot->vip = numbers;
	hot->real = numbers >> 16;
	hot->room = (__u16)(numbers >> 32) - size;
	for (__u32 i = 0; i < sizeof(hot->header) / sizeof(__u16); i++)
		((__u16 *)hot->header)[i] = ((const __u16 *)frame)[i];
	if (kind & PF_HOT_OVER_V6) {
		*(__u32 *)(hot->header + sizeof(struct ethhdr)) &= bpf_htonl(~(0xffu << 20));
	} else {
		__u32 varying = own + ((__u32)outer[1] << 8);

		hot->ip_sum = fold_short((__u16)~*(const __u16 *)(outer + PF_IPV4_CHECK) + (__u32)(__u16)~fold_short(varying));
	}
	if (kind & PF_HOT_GUE) {
		const struct udphdr *udp = (const struct udphdr *)(ip - sizeof(*udp));

		if (udp->check) {
			__u64 varying = varying_sum((const __u32 *)ip, family, own);

			kind |= PF_HOT_CHECKSUM;
			hot->udp_sum = fold_short((__u16)~udp->check + (__u32)(__u16)~fold(varying));
			/* Its own sum was not made of what varies. */
			if (ip[family == PF_FAMILY_V4 ? PF_IPV4_PROTOCOL : PF_IPV6_NEXT_HEADER] == IPPROTO_UDP &&
			    !has_checksum((const struct udphdr *)l4, bpf_htons(length - header)))
				return 0;
		}
	}
	hot->kind = kind;
	hot->changes = now;
	tags->tag[place] = hot_tag(hash);
	return 1;
}

/* A flow becomes hot by a packet whose tag its place has seen before: most of a flood, or of a million flows, never do. */
INLINE void note_hot(struct xdp_md *ctx, const struct packet *p, const struct pf_settings *s)
{
	__u8 kind = hot_kind(p);
	__u64 hash = p->hot_hash;
	struct pf_hot_tags *tags;

	if (!constants.hot || !hash || !kind)
		return;
	tags = hot_tags_here();
	if (!tags)
		return;
	if (likely(tags->seen[hot_place(hash)] != hot_tag(hash)))
		tags->seen[hot_place(hash)] = hot_tag(hash);
	else
		learn_hot(ctx, hot_numbers(p, kind, s->mtu), p->changes);
}

/* The flow may have another real from now on. */
INLINE void forget_hot(const struct packet *p)
{
	__u64 hash = hot_hash_of(p);
	struct pf_hot_tags *tags;

	if (!constants.hot)
		return;
	tags = hot_tags_here();
	if (tags && tags->tag[hot_place(hash)] == hot_tag(hash))
		tags->tag[hot_place(hash)] = ~hot_tag(hash);
}

#endif
