// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * hot: flows whose packets come close together have their outer header ready. Such a packet needs no other step: it is
 * compared with the whole key of the flow, and the header goes in front. A place is good for one tick and for as long as user
 * space changes no map, so that it says what all the steps would say. docs/decisions/0007-hot-flows.md.
 */
#ifndef PILOTFISH_HOT_H
#define PILOTFISH_HOT_H

#include "checksum.h"
#include "count.h"
#include "identifier.h"
#include "parse.h"
#include "tick.h"

/* Read before anything else is: what a packet then finds is as old as this, or newer. */
INLINE __u32 changes_so_far(void)
{
	return changes.count;
}

/* 0, but not to the verifier: it would follow packets with a hash and those without one by themselves. */
INLINE __u64 no_hash(void)
{
	return changes.zero;
}

/* What a flow is known by beside its addresses. The tick is in the two bytes left. */
INLINE __u64 hot_rest(__u32 ports, __u8 protocol, __u8 family)
{
	return ports | (__u64)protocol << 32 | (__u64)family << 40;
}

INLINE __u64 with_tick(__u64 rest)
{
	return rest | all_ticks() << 48;
}

/* Its upper bits are the place, those below tell flows of one place apart. source: of IPv6 the lower half, else 0. */
INLINE __u64 hot_hash(__u64 addresses, __u64 source, __u64 rest)
{
	return (addresses ^ source ^ rest << 16) * PF_MIX_1;
}

INLINE __u64 hot_rest_of(const struct packet *p)
{
	return hot_rest(p->ports, p->protocol, p->family);
}

INLINE __u64 hot_hash_of(const struct packet *p)
{
	return hot_hash(p->addresses[0], p->family == PF_FAMILY_V4 ? 0 : p->addresses[2], hot_rest_of(p));
}

INLINE __u16 hot_tag(__u64 hash)
{
	return hash >> 36;
}

INLINE __u32 hot_place(__u64 hash)
{
	return hash >> 52 & (PF_HOT_PLACES - 1);
}

INLINE struct pf_hot_tags *hot_tags_here(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&hot_tags, &first);
}

INLINE struct pf_hot_flow *hot_flow_at(__u32 place)
{
	__u32 index = bpf_get_smp_processor_id() * PF_HOT_PLACES + place;

	return bpf_map_lookup_elem(&hot_flows, &index);
}

/*
 * The sum of what differs between the inner packets of one flow, in the outer UDP checksum: lengths and, of IPv6, the first
 * eight bytes of the header. l4_length: of the segment.
 */
INLINE __u64 varying_sum(const __u32 *ip, __u8 family, __be16 l4_length, __be16 udp_length)
{
	__u64 sum = (__u16)~l4_length + 2ull * udp_length;

	return family == PF_FAMILY_V4 ? sum : sum + ip[0] + ip[1];
}

/* Makes the frame longer by size and writes what is ready of its new start, which it returns; null when the driver has no room. */
INLINE void *push_ready(struct xdp_md *ctx, const struct pf_hot_flow *hot, const int size)
{
	const int bytes = sizeof(struct ethhdr) + size;
	const __u64 *ready = (const __u64 *)hot->header;
	__u64 *frame;

	if (bpf_xdp_adjust_head(ctx, -size))
		return 0;
	/* Or else the compiler would keep the address of data_end, which the verifier refuses. */
	asm volatile("" : "+r"(ctx));
	frame = frame_start(ctx);
	if ((void *)frame + bytes > frame_end(ctx))
		return 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < bytes / 8; i++)
		frame[i] = ready[i];
	if (bytes & 4)
		((__u32 *)frame)[bytes / 4 - 1] = ((const __u32 *)ready)[bytes / 4 - 1];
	if (bytes & 2)
		((__u16 *)frame)[bytes / 2 - 1] = ((const __u16 *)ready)[bytes / 2 - 1];
	return frame;
}

INLINE void finish_ipv4(void *frame, const struct pf_hot_flow *hot, __u32 length, __u8 tos)
{
	void *ip = frame + sizeof(struct ethhdr);
	__be16 total = bpf_htons(length);

	*(__u8 *)(ip + 1) = tos;
	*(__be16 *)(ip + 2) = total;
	*(__u16 *)(ip + 10) = ~fold_short((__u32)hot->ip_sum + total + ((__u32)tos << 8));
}

INLINE void finish_ipv6(void *frame, const struct pf_hot_flow *hot, __u32 length, __u8 tos)
{
	const __u32 *ready = (const __u32 *)(hot->header + sizeof(struct ethhdr));
	__u32 *ip = frame + sizeof(struct ethhdr);

	/* Not from the frame: a CPU waits for what it has just written there in other pieces. */
	ip[0] = *ready | bpf_htonl((__u32)tos << 20);
	*(__be16 *)(ip + 1) = bpf_htons(length - sizeof(struct ipv6hdr));
}

/* size: of the outer IP header. */
INLINE void finish_gue(void *frame, const struct pf_hot_flow *hot, const __u32 size, __be16 udp_length, __u64 varying)
{
	struct udphdr *udp = frame + sizeof(struct ethhdr) + size;
	__u16 check;

	udp->len = udp_length;
	if (!(hot->kind & PF_HOT_CHECKSUM))
		return;
	check = checksum(hot->udp_sum + varying);
	udp->check = check ? check : 0xffff;
}

/*
 * Encapsulates by what is ready; 0 when the driver has no room. length: of the IP packet; udp_length: with a UDP header before
 * it. After this the frame is another one.
 */
INLINE int send_ready(struct xdp_md *ctx, const struct pf_hot_flow *hot, __u32 length, __be16 udp_length, __u8 tos,
		      __u64 varying)
{
	const __u32 ipv4 = sizeof(struct iphdr), ipv6 = sizeof(struct ipv6hdr), gue = sizeof(struct udphdr);
	void *frame;

	switch (hot->kind & (PF_HOT_OVER_V6 | PF_HOT_GUE)) {
	case 0:
		frame = push_ready(ctx, hot, ipv4);
		if (!frame)
			return 0;
		finish_ipv4(frame, hot, length + ipv4, tos);
		return 1;
	case PF_HOT_GUE:
		frame = push_ready(ctx, hot, ipv4 + gue);
		if (!frame)
			return 0;
		finish_ipv4(frame, hot, length + ipv4 + gue, tos);
		finish_gue(frame, hot, ipv4, udp_length, varying);
		return 1;
	case PF_HOT_OVER_V6:
		frame = push_ready(ctx, hot, ipv6);
		if (!frame)
			return 0;
		finish_ipv6(frame, hot, length + ipv6, tos);
		return 1;
	default:
		frame = push_ready(ctx, hot, ipv6 + gue);
		if (!frame)
			return 0;
		finish_ipv6(frame, hot, length + ipv6 + gue, tos);
		finish_gue(frame, hot, ipv6, udp_length, varying);
		return 1;
	}
}

INLINE void trace_hot(const struct pf_hot_flow *hot)
{
	struct pf_decision *d = decision();

	if (!d)
		return;
	trace_start();
	d->found = 1;
	d->vip = hot->vip;
	d->real = hot->real;
	d->path = hot->kind & PF_HOT_BY_ID ? PF_PATH_QUIC : PF_PATH_CACHE;
}

/* Is the payload of a QUIC packet such that the id in it is that of the flow? */
INLINE int is_same_id(const struct pf_hot_flow *hot, const struct udphdr *udp, __u32 length)
{
	const __u8 *payload = (const __u8 *)(udp + 1);

	return length >= sizeof(*udp) + 1 + PF_QUIC_CID_LEAST && !(payload[0] & PF_QUIC_LONG) &&
	       *(const __u64 *)(payload + 1) == hot->cid;
}

/*
 * Treats a packet of one family, or answers PF_NEXT: then all the steps have to. now: changes_so_far. hash is set if packets
 * like this one may be of a hot flow.
 */
INLINE int treat_hot_of(struct xdp_md *ctx, __u8 family, __u32 now, __u64 *hash)
{
	const __u32 header = family == PF_FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	const void *frame = frame_start(ctx), *data_end = frame_end(ctx);
	const void *ip = frame + sizeof(struct ethhdr), *l4 = ip + header;
	const struct mac_pair *macs = frame;
	const struct iphdr *ipv4 = ip;
	const struct ipv6hdr *ipv6 = ip;
	const __u64 *words = (const __u64 *)&ipv6->saddr;
	__u64 addresses, source = 0, rest, varying;
	const struct pf_hot_tags *tags = hot_tags_here();
	const struct pf_hot_flow *hot;
	__u8 protocol, tos, kind;
	__be16 udp_length;
	__u32 length, place;

	/* Room for a TCP header: even the shortest frame of Ethernet has it. */
	if (l4 + sizeof(struct tcphdr) > data_end || is_group(&macs->destination))
		return PF_NEXT;
	if (family == PF_FAMILY_V4) {
		if (*(const __u8 *)ip != 0x45 || ipv4->frag_off & bpf_htons(PF_IP_FRAGMENT))
			return PF_NEXT;
		protocol = ipv4->protocol;
		tos = ipv4->tos;
		length = bpf_ntohs(ipv4->tot_len);
		addresses = *(const __u64 *)&ipv4->saddr;
	} else {
		if ((*(const __u8 *)ip & 0xf0) != 0x60)
			return PF_NEXT;
		protocol = ipv6->nexthdr;
		tos = ipv6->priority << 4 | ipv6->flow_lbl[0] >> 4;
		length = sizeof(*ipv6) + bpf_ntohs(ipv6->payload_len);
		addresses = words[0];
		source = words[1];
	}
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return PF_NEXT;
	rest = hot_rest(*(const __u32 *)l4, protocol, family);
	*hash = hot_hash(addresses, source, rest);
	place = hot_place(*hash);
	if (!tags || tags->tag[place] != hot_tag(*hash))
		return PF_NEXT;
	hot = hot_flow_at(place);
	if (!hot || hot->addresses[0] != addresses || hot->rest != with_tick(rest) || hot->changes != now)
		return PF_NEXT;
	if (family == PF_FAMILY_V6 &&
	    (hot->addresses[1] != words[2] || hot->addresses[2] != words[1] || hot->addresses[3] != words[3]))
		return PF_NEXT;
	if (length > hot->room || ip + length > data_end)
		return PF_NEXT;
	kind = hot->kind;
	if (protocol == IPPROTO_TCP) {
		if (length < header + sizeof(struct tcphdr) || ((const __u8 *)l4)[PF_TCP_FLAGS] & PF_TCP_SYN)
			return PF_NEXT;
	} else {
		if (length < header + sizeof(struct udphdr) || (kind & PF_HOT_BY_ID && !is_same_id(hot, l4, length - header)))
			return PF_NEXT;
		if (kind & PF_HOT_CHECKSUM && !has_checksum(l4, bpf_htons(length - header)))
			return PF_NEXT;
	}
	udp_length = bpf_htons(length + sizeof(struct udphdr));
	varying = varying_sum(ip, family, bpf_htons(length - header), udp_length);
	if (!send_ready(ctx, hot, length, udp_length, tos, varying))
		return PF_NEXT;
	trace_hot(hot);
	count_hot(hot, length);
	return count(PF_FORWARDED);
}

/* Treats an untagged frame of a hot flow and answers what XDP does with it, or PF_NEXT. */
INLINE int treat_hot(struct xdp_md *ctx, __u32 now, __u64 *hash)
{
	const __be16 *type = frame_start(ctx) + sizeof(struct mac_pair);

	if (!constants.hot || (const void *)(type + 1) > frame_end(ctx))
		return PF_NEXT;
	if (*type == bpf_htons(ETH_P_IP))
		return treat_hot_of(ctx, PF_FAMILY_V4, now, hash);
	return *type == bpf_htons(ETH_P_IPV6) ? treat_hot_of(ctx, PF_FAMILY_V6, now, hash) : PF_NEXT;
}

#endif
