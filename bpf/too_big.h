// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * too_big: tells the sender of a packet that does not fit, once encapsulated, how large the next ones may be
 * (RFC 1191, RFC 4443). The frame becomes the answer. The functions stand apart from the program's body: they are long, and rare.
 */
#ifndef PILOTFISH_TOO_BIG_H
#define PILOTFISH_TOO_BIG_H

#include "budget.h"
#include "checksum.h"
#include "icmp.h"

/* Quoted bytes: so that the answer is no longer than every host takes, or the least where the packet is shorter. */
#define PF_QUOTE_IPV4 548
#define PF_QUOTE_IPV4_LEAST 28
#define PF_QUOTE_IPV6 1232
#define PF_QUOTE_IPV6_LEAST 48

struct too_big {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 mtu;
};

struct answer_ipv4 {
	struct iphdr ip;
	struct too_big icmp;
	struct iphdr quoted;
} __attribute__((packed));

struct answer_ipv6 {
	struct ipv6hdr ip;
	struct too_big icmp;
	struct ipv6hdr quoted;
} __attribute__((packed));

/* Puts headers in front of the packet, cuts what is not quoted, and swaps the MAC addresses. 0 when the driver has no room. */
INLINE int make_answer(struct xdp_md *ctx, __u32 l3, int headers, __u32 quoted)
{
	struct frame_head *before, *now;
	__u32 frame = bpf_xdp_get_buff_len(ctx);

	if (bpf_xdp_adjust_head(ctx, -headers))
		return 0;
	now = frame_start(ctx);
	before = (void *)now + headers;
	if ((void *)(before + 1) > frame_end(ctx))
		return 0;
	*now = *before;
	swap_macs(&now->macs);
	return !bpf_xdp_adjust_tail(ctx, (int)(l3 + quoted) - (int)frame);
}

APART int answer_ipv4(struct xdp_md *ctx, __u32 l3, __u32 length, __u32 mtu)
{
	__u32 quoted = length < PF_QUOTE_IPV4 ? PF_QUOTE_IPV4_LEAST : PF_QUOTE_IPV4;
	__u32 headers = sizeof(struct iphdr) + sizeof(struct too_big), sum;
	struct answer_ipv4 *a;

	if (!make_answer(ctx, l3, headers, quoted))
		return PF_NO_HEADROOM;
	a = frame_start(ctx) + (l3 & 31);
	if ((void *)(a + 1) > frame_end(ctx))
		return PF_MALFORMED;
	a->ip = (struct iphdr){
		.version = 4,
		.ihl = sizeof(a->ip) / 4,
		.tot_len = bpf_htons(headers + quoted),
		.frag_off = bpf_htons(PF_IP_DF),
		.ttl = PF_HOPS,
		.protocol = IPPROTO_ICMP,
		.saddr = a->quoted.daddr,
		.daddr = a->quoted.saddr,
	};
	a->ip.check = checksum((__u64)bpf_htons(4 << 12 | 5 << 8) + a->ip.tot_len + a->ip.frag_off +
			       bpf_htons(PF_HOPS << 8 | IPPROTO_ICMP) + a->ip.saddr + a->ip.daddr);
	a->icmp = (struct too_big){.type = ICMPV4_UNREACHABLE, .code = ICMPV4_FRAGMENTATION_NEEDED, .mtu = bpf_htonl(mtu)};
	sum = sum_frame(ctx, l3 + sizeof(struct iphdr), sizeof(struct too_big) + quoted);
	a = frame_start(ctx) + (l3 & 31);
	if ((void *)(a + 1) > frame_end(ctx))
		return PF_MALFORMED;
	a->icmp.checksum = checksum(sum);
	return PF_TOO_BIG_ANSWERED;
}

APART int answer_ipv6(struct xdp_md *ctx, __u32 l3, __u32 length, __u32 mtu)
{
	__u32 quoted = length < PF_QUOTE_IPV6 ? PF_QUOTE_IPV6_LEAST : PF_QUOTE_IPV6;
	__u32 headers = sizeof(struct ipv6hdr) + sizeof(struct too_big), sum;
	struct answer_ipv6 *a;

	if (!make_answer(ctx, l3, headers, quoted))
		return PF_NO_HEADROOM;
	a = frame_start(ctx) + (l3 & 31);
	if ((void *)(a + 1) > frame_end(ctx))
		return PF_MALFORMED;
	a->ip = (struct ipv6hdr){
		.version = 6,
		.payload_len = bpf_htons(sizeof(struct too_big) + quoted),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = PF_HOPS,
	};
	a->ip.saddr = a->quoted.daddr;
	a->ip.daddr = a->quoted.saddr;
	a->icmp = (struct too_big){.type = ICMPV6_PACKET_TOO_BIG, .mtu = bpf_htonl(mtu)};
	/* The pseudo header: the addresses, and what is left of it as one word each (RFC 8200, section 8.1). */
	sum = sum_frame(ctx, l3 + __builtin_offsetof(struct ipv6hdr, saddr),
			2 * sizeof(struct in6_addr) + sizeof(struct too_big) + quoted);
	a = frame_start(ctx) + (l3 & 31);
	if ((void *)(a + 1) > frame_end(ctx))
		return PF_MALFORMED;
	a->icmp.checksum = checksum((__u64)sum + a->ip.payload_len + bpf_htons(IPPROTO_ICMPV6));
	return PF_TOO_BIG_ANSWERED;
}

/* IPv6 has no other packets. */
INLINE int must_stay_whole(const struct xdp_md *ctx, const struct packet *p)
{
	const struct iphdr *ip = at(ctx, p, 0);

	if (p->family != PF_FAMILY_V4)
		return 1;
	return (const void *)(ip + 1) <= frame_end(ctx) && ip->frag_off & bpf_htons(PF_IP_DF);
}

/* mtu: of an IP packet as the sender makes it. */
INLINE int tell_too_big(struct xdp_md *ctx, const struct packet *p, __u32 mtu)
{
	const struct mac_pair *macs = frame_start(ctx);

	if (!must_stay_whole(ctx, p) || p->icmp || p->fragment || (const void *)(macs + 1) > frame_end(ctx) || !may_answer(p, macs))
		return PF_TOO_BIG;
	if (!may_answer_too_big(&p->cpu->budget))
		return PF_TOO_BIG_LIMITED;
	if (p->family == PF_FAMILY_V4)
		return answer_ipv4(ctx, p->l3, p->length, mtu);
	return answer_ipv6(ctx, p->l3, p->length, mtu);
}

#endif
