// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * parse: reads the headers into struct packet. What cannot be for a VIP ends here; what would end only if it is for one
 * has a flaw, which the next step looks at.
 */
#ifndef PILOTFISH_PARSE_H
#define PILOTFISH_PARSE_H

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "directory.h"
#include "frame.h"

#define PF_IP_FRAGMENT 0x3fff /* more fragments, or an offset (RFC 791) */
#define PF_IP_DF 0x4000
#define PF_IPV6_FRAGMENT 0xfff9 /* the same in a fragment header (RFC 8200, section 4.5) */
#define PF_TCP_FLAGS 13	      /* offset of the flags in a TCP header (RFC 9293) */
#define PF_TCP_SYN 0x02
#define PF_TCP_ACK 0x10
#define PF_ICMP_HEADER 8

#define PF_EXTENSIONS 6
#define PF_EXTENSIONS_LENGTH 512

/* What walk_extensions found: protocol, and where its header starts after the IPv6 one. */
#define PF_WALK_LENGTH 0xffff
#define PF_WALK_PROTOCOL(walk) (((walk) >> 16) & 0xff)
#define PF_WALK_FRAGMENT (1u << 24)
#define PF_WALK_BROKEN (1u << 25)

/* Where something is in a packet; the bound is for the verifier, and larger than what walk_extensions allows. */
INLINE void *in_frame(void *frame, const struct packet *p, __u32 offset)
{
	return frame + (p->l3 & 31) + (offset & 1023);
}

INLINE void *at(const struct xdp_md *ctx, const struct packet *p, __u32 offset)
{
	return in_frame(frame_start(ctx), p, offset);
}

INLINE __u8 icmp_of(__u8 family)
{
	return family == PF_FAMILY_V4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
}

/* Opens a TCP connection. */
INLINE int is_syn(const struct packet *p)
{
	return (p->tcp_flags & (PF_TCP_SYN | PF_TCP_ACK)) == PF_TCP_SYN;
}

INLINE int is_extension(__u32 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS ||
	       protocol == IPPROTO_AH || protocol == IPPROTO_FRAGMENT;
}

/* Apart from the program's body, because most packets have none. start: where the first one is in the frame. */
APART __u32 walk_extensions(struct xdp_md *ctx, __u32 start, __u32 protocol)
{
	const void *data = frame_start(ctx), *data_end = frame_end(ctx);
	__u32 length = 0;

	for (int i = 0; i <= PF_EXTENSIONS; i++) {
		const __u8 *header = data + (start & 63) + length;
		__u32 size;

		if (!is_extension(protocol))
			return length | protocol << 16;
		if (i == PF_EXTENSIONS || (const void *)(header + 8) > data_end)
			return PF_WALK_BROKEN;
		if (protocol == IPPROTO_FRAGMENT)
			size = 8;
		else
			size = protocol == IPPROTO_AH ? (header[1] + 2) * 4 : (header[1] + 1) * 8;
		if (length + size > PF_EXTENSIONS_LENGTH || (const void *)(header + size) > data_end)
			return PF_WALK_BROKEN;
		if (protocol == IPPROTO_FRAGMENT && *(const __be16 *)(header + 2) & bpf_htons(PF_IPV6_FRAGMENT))
			return length | (__u32)header[0] << 16 | PF_WALK_FRAGMENT;
		protocol = header[0];
		length += size;
	}
	return PF_WALK_BROKEN;
}

/* DSCP and ECN, as IPv4 has them. */
INLINE __u8 traffic_class(const void *ip, __u8 family)
{
	const struct ipv6hdr *ipv6 = ip;

	return family == PF_FAMILY_V4 ? ((const struct iphdr *)ip)->tos : ipv6->priority << 4 | ipv6->flow_lbl[0] >> 4;
}

/* The same where the first word of an IPv6 header has it. */
INLINE __be32 class_for_ipv6(const void *ip, __u8 family)
{
	if (family == PF_FAMILY_V6)
		return *(const __be32 *)ip & bpf_htonl(0xffu << 20);
	return bpf_htonl((__u32)((const struct iphdr *)ip)->tos << 20);
}

INLINE int parse_ipv4(struct packet *p, const struct iphdr *ip, const void *data_end)
{
	if ((const void *)(ip + 1) > data_end || ip->version != 4)
		return PF_UNREADABLE;
	p->destination[0] = ip->daddr;
	p->address_hash = hash_ipv4(ip->daddr);
	if (!may_be_ours(p->address_hash))
		return PF_NOT_VIP;

	p->protocol = ip->protocol;
	p->addresses[0] = *(const __u64 *)&ip->saddr;
	p->length = bpf_ntohs(ip->tot_len);
	p->l4 = ip->ihl * 4;
	p->fragment = ip->frag_off & bpf_htons(PF_IP_FRAGMENT);
	if (ip->ihl < 5 || p->length < ip->ihl * 4u || (const void *)ip + p->length > data_end)
		p->flaw = PF_MALFORMED;
	else if (p->fragment)
		p->flaw = PF_FRAGMENT;
	else if (ip->ihl > 5)
		p->flaw = PF_IP_OPTIONS;
	return PF_NEXT;
}

INLINE int parse_ipv6(struct xdp_md *ctx, struct packet *p, const struct ipv6hdr *ip, const void *data_end)
{
	const __u64 *words = (const __u64 *)&ip->saddr;

	if ((const void *)(ip + 1) > data_end || ip->version != 6)
		return PF_UNREADABLE;
	p->destination[0] = words[2];
	p->destination[1] = words[3];
	p->address_hash = hash_ipv6(words[2], words[3]);
	if (!may_be_ours(p->address_hash))
		return PF_NOT_VIP;

	p->protocol = ip->nexthdr;
	/* Source and destination take turns: docs/reference/flow-hash.md says why. */
	p->addresses[0] = words[0];
	p->addresses[1] = words[2];
	p->addresses[2] = words[1];
	p->addresses[3] = words[3];
	p->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	p->l4 = sizeof(*ip);
	if ((const void *)ip + p->length > data_end)
		p->flaw = PF_MALFORMED;
	if (unlikely(is_extension(ip->nexthdr))) {
		__u32 walk = walk_extensions(ctx, p->l3 + sizeof(*ip), ip->nexthdr);

		p->l4 += walk & PF_WALK_LENGTH;
		p->protocol = PF_WALK_PROTOCOL(walk);
		if (walk & PF_WALK_BROKEN) {
			p->protocol = IPPROTO_ICMPV6; /* which every address of a VIP has */
			p->flaw = PF_MALFORMED;
		} else if (walk & PF_WALK_FRAGMENT) {
			p->fragment = 1;
			if (p->flaw == PF_NEXT)
				p->flaw = PF_FRAGMENT;
		}
	}
	return PF_NEXT;
}

/* Ports, and whether the transport header is whole. */
INLINE void parse_transport(struct packet *p, const void *l4, const void *data_end)
{
	if (p->protocol == IPPROTO_TCP) {
		if (p->l4 + sizeof(struct tcphdr) > p->length || l4 + sizeof(struct tcphdr) > data_end) {
			p->flaw = PF_MALFORMED;
			return;
		}
		p->tcp_flags = ((const __u8 *)l4)[PF_TCP_FLAGS];
		p->ports = *(const __u32 *)l4;
	} else if (p->protocol == IPPROTO_UDP) {
		if (p->l4 + sizeof(struct udphdr) > p->length || l4 + sizeof(struct udphdr) > data_end) {
			p->flaw = PF_MALFORMED;
			return;
		}
		p->ports = *(const __u32 *)l4;
	} else if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6) {
		if (p->l4 + PF_ICMP_HEADER > p->length)
			p->flaw = PF_MALFORMED;
	}
}

INLINE int parse_packet(struct xdp_md *ctx, struct packet *p)
{
	const void *ip = at(ctx, p, 0);
	int verdict = p->family == PF_FAMILY_V4 ? parse_ipv4(p, ip, frame_end(ctx)) : parse_ipv6(ctx, p, ip, frame_end(ctx));

	if (verdict == PF_NEXT && likely(p->flaw == PF_NEXT))
		parse_transport(p, at(ctx, p, p->l4), frame_end(ctx));
	return verdict;
}

#endif
