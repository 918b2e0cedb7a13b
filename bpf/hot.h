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
#include "directory.h"
#include "identifier.h"
#include "plain.h"
#include "tick.h"

#define PF_MIX_4 0xd6e8feb86659fd93ULL
#define PF_MIX_5 0xff51afd7ed558ccdULL

/* After so many plain packets in a row of which none was a hot flow's, only one in so many is looked for. Powers of two. */
#define PF_HOT_PATIENCE 64
#define PF_HOT_SAMPLE 64

/* What a flow is known by beside its addresses. */
INLINE __u64 hot_rest(__u32 ports, __u8 protocol, __u8 family)
{
	return ports | (__u64)protocol << 32 | (__u64)family << 40;
}

/*
 * Its upper bits are the place, those below tell flows of one place apart. Words as struct pf_hot_flow has them; 0 costs nothing. One
 * multiplication after the other would keep everything waiting that comes from the place. Not a sum: flows whose addresses and ports are
 * numbered on would then lie in a grid.
 */
INLINE __u64 hot_hash(__u64 first, __u64 second, __u64 third, __u64 fourth, __u64 rest)
{
	return first * PF_MIX_1 ^ second * PF_MIX_2 ^ third * PF_MIX_3 ^ fourth * PF_MIX_4 ^ rest * PF_MIX_5;
}

INLINE __u64 hot_hash_of(const struct packet *p)
{
	__u64 rest = hot_rest(p->ports, p->protocol, p->family);

	if (p->family == PF_FAMILY_V4)
		return hot_hash(p->addresses[0], 0, 0, 0, rest);
	return hot_hash(p->addresses[0], p->addresses[1], p->addresses[2], p->addresses[3], rest);
}

INLINE __u16 hot_tag(__u64 hash)
{
	return hash >> 36;
}

INLINE __u32 hot_place(__u64 hash)
{
	return hash >> 52 & (PF_HOT_PLACES - 1);
}

INLINE struct pf_hot_flow *hot_flow_at(__u32 place)
{
	__u32 index = bpf_get_smp_processor_id() * PF_HOT_PLACES + place;

	return bpf_map_lookup_elem(&hot_flows, &index);
}

/*
 * What differs between the sums of two packets of a flow, as the outer UDP checksum has them. Every length in it is that of the inner header
 * and a constant, they add up to this length once and a constant, and a sum in one's complement does not mind that each is
 * in network byte order (RFC 1071): so it is the length as it stands there and, of IPv6, the rest of the first eight bytes.
 */
INLINE __u64 varying_sum(const __u32 *ip, __u8 family, __be16 length)
{
	return family == PF_FAMILY_V4 ? length : (__u64)length + ip[0] + ip[1];
}

/*
 * Makes the frame longer by size and writes what is ready of its new start, which it returns; null when the driver has no room.
 * header: of the IP packet, which may be read behind it.
 */
INLINE void *push_ready(struct xdp_md *ctx, const struct pf_hot_flow *hot, const int size, const int header)
{
	const int bytes = sizeof(struct ethhdr) + size;
	const __u64 *ready = (const __u64 *)hot->header;
	__u64 *frame;

	if (bpf_xdp_adjust_head(ctx, -size))
		return 0;
	forget_address(ctx);
	frame = frame_start(ctx);
	if ((void *)frame + bytes + header > frame_end(ctx))
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

/* Where the sums are of what does not vary. size: of the outer IP header. */
INLINE __u16 *ready_ip_sum(const struct pf_hot_flow *hot)
{
	return (__u16 *)(hot->header + sizeof(struct ethhdr) + __builtin_offsetof(struct iphdr, check));
}

INLINE __u16 *ready_udp_sum(const struct pf_hot_flow *hot, __u32 size)
{
	return (__u16 *)(hot->header + sizeof(struct ethhdr) + size + __builtin_offsetof(struct udphdr, check));
}

/* own: the length that the inner header has, which differs from the outer one by a constant. */
INLINE void finish_ipv4(void *ip, const struct pf_hot_flow *hot, __u32 length, __be16 own, __u8 tos)
{
	*(__u8 *)(ip + 1) = tos;
	*(__be16 *)(ip + 2) = bpf_htons(length);
	*(__u16 *)(ip + 10) = ~fold_short((__u32)*ready_ip_sum(hot) + own + ((__u32)tos << 8));
}

/* class: DSCP and ECN, where they are in the first word. */
INLINE void finish_ipv6(__u32 *ip, const struct pf_hot_flow *hot, __u32 length, __be32 class)
{
	/* Not from the frame: a CPU waits for what it has just written there in other pieces. */
	ip[0] = *(const __u32 *)(hot->header + sizeof(struct ethhdr)) | class;
	*(__be16 *)(ip + 1) = bpf_htons(length - sizeof(struct ipv6hdr));
}

/* outer: size of the IP header before it. */
INLINE void finish_gue(struct udphdr *udp, const struct pf_hot_flow *hot, const int outer, __u32 length, __u64 varying)
{
	__u16 check;

	udp->len = bpf_htons(length);
	if (!(hot->kind & PF_HOT_CHECKSUM))
		return;
	check = checksum(*ready_udp_sum(hot, outer) + varying);
	udp->check = check ? check : 0xffff;
}

/* Encapsulates by one kind of outer header. Returns the length of the IP packet, or 0 when the driver has no room. */
INLINE __u32 send_as(struct xdp_md *ctx, const struct pf_hot_flow *hot, __u8 family, const int is_v6, const int is_gue)
{
	const int outer = is_v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	const int size = outer + (is_gue ? sizeof(struct udphdr) : 0);
	const int header = family == PF_FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	void *frame = push_ready(ctx, hot, size, header), *ip;
	__u32 length;
	__be16 own;

	if (!frame)
		return 0;
	ip = frame + sizeof(struct ethhdr);
	/* Read here and not before, so that nothing of it has to be kept through the call. */
	own = own_length(ip + size, family);
	length = whole_length(own, family);
	if (is_v6)
		finish_ipv6(ip, hot, length + size, class_for_ipv6(ip + size, family));
	else
		finish_ipv4(ip, hot, length + size, own, traffic_class(ip + size, family));
	if (is_gue)
		finish_gue(ip + outer, hot, outer, length + sizeof(struct udphdr), varying_sum(ip + size, family, own));
	return length;
}

INLINE __u32 send_ready(struct xdp_md *ctx, const struct pf_hot_flow *hot, __u8 family)
{
	switch (hot->kind & (PF_HOT_OVER_V6 | PF_HOT_GUE)) {
	case 0:
		return send_as(ctx, hot, family, 0, 0);
	case PF_HOT_GUE:
		return send_as(ctx, hot, family, 0, 1);
	case PF_HOT_OVER_V6:
		return send_as(ctx, hot, family, 1, 0);
	default:
		return send_as(ctx, hot, family, 1, 1);
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

/* Has a QUIC packet the connection id of the flow? length: of the UDP datagram. */
INLINE int is_same_id(const struct pf_hot_flow *hot, const struct udphdr *udp, __u32 length)
{
	const __u8 *payload = (const __u8 *)(udp + 1);

	return length >= sizeof(*udp) + 1 + PF_QUIC_CID_LEAST && !(payload[0] & PF_QUIC_LONG) &&
	       *(const __u64 *)(payload + 1) == hot->cid;
}

/* Is a packet of the flow like those that the header is ready for? */
INLINE int is_like_it(const struct pf_hot_flow *hot, const struct packet *p, const void *frame)
{
	const struct udphdr *udp = frame + sizeof(struct ethhdr) + p->l4;
	__u32 length = p->length - p->l4;

	if (p->length > hot->room || p->tcp_flags & PF_TCP_SYN)
		return 0;
	if (likely(!(hot->kind & PF_HOT_UDP)))
		return 1;
	if (hot->kind & PF_HOT_BY_ID && !is_same_id(hot, udp, length))
		return 0;
	return !(hot->kind & PF_HOT_CHECKSUM) || has_checksum(udp, bpf_htons(length));
}

/* Has a hot flow the key of the packet? */
INLINE int is_of(const struct pf_hot_flow *hot, const struct packet *p, __u64 rest)
{
	if (hot->addresses[0] != p->addresses[0] || hot->rest != rest)
		return 0;
	return p->family == PF_FAMILY_V4 || (hot->addresses[1] == p->addresses[1] && hot->addresses[2] == p->addresses[2] &&
					     hot->addresses[3] == p->addresses[3]);
}

/* Is it in vain to look for the packet's flow? A look costs, and of a million flows in turns hardly one is ever hot. */
INLINE int is_in_vain(struct pf_cpu_state *cpu)
{
	__u64 before = cpu->in_vain;

	if (likely(before < PF_HOT_PATIENCE) || !(before % PF_HOT_SAMPLE))
		return 0;
	cpu->in_vain = before + 1;
	return 1;
}

/*
 * Treats a plain packet of a hot flow and answers what XDP does with it, or PF_NEXT: then the steps have to. A place is its flow's until
 * the moment is over, or two flows would take it from each other in turns. So no more than all places are given in a moment, however
 * many flows there are, and first come those whose packets come most often.
 */
INLINE int treat_hot(struct xdp_md *ctx, struct packet *p, const void *frame)
{
	const struct pf_hot_flow *hot = 0;
	__u32 length, place, owner;
	__u64 rest, hash;

	if (!constants.hot)
		return PF_NEXT;
	if (unlikely(is_in_vain(p->cpu))) {
		/* Or else the verifier would follow all that comes with these noughts, and again with what a look finds. */
		p->may_be_hot = veil(0);
		p->moment = p->may_be_hot;
		return PF_NEXT;
	}
	p->moment = this_moment();
	read_anew(frame);
	read_flow(p, frame);
	rest = hot_rest(p->ports, p->protocol, p->family);
	hash = hot_hash(p->addresses[0], p->addresses[1], p->addresses[2], p->addresses[3], rest);
	place = hot_place(hash);
	owner = p->cpu->owners[place];
	p->may_be_hot = owner >> 16 ^ stamp_of(p->moment);
	if ((__u16)owner == hot_tag(hash))
		hot = hot_flow_at(place);
	read_anew(frame);
	read_flow(p, frame);
	if (!hot || !is_of(hot, p, rest)) {
		p->cpu->in_vain++;
		return PF_NEXT;
	}
	if (hot->moment != p->moment) {
		p->may_be_hot = veil(1);
		return PF_NEXT;
	}
	if (!is_like_it(hot, p, frame)) {
		p->may_be_hot = hot->kind & PF_HOT_BY_ID;
		return PF_NEXT;
	}
	p->cpu->in_vain = 0;
	length = send_ready(ctx, hot, p->family);
	trace_hot(hot);
	if (!length)
		return count(p->cpu, PF_NO_HEADROOM);
	count_traffic(hot->vip, hot->real, length, hot->use);
	return count(p->cpu, PF_FORWARDED);
}

#endif
