// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* icmp: answers echo requests for VIPs, and finds the flow that an error is about. */
#ifndef PILOTFISH_ICMP_H
#define PILOTFISH_ICMP_H

#include "checksum.h"
#include "parse.h"
#include "vip.h"

#define PF_QUOTED_LEAST 8 /* bytes after the quoted IP header that every error has (RFC 792) */
#define PF_FRAGMENT_OFFSET 0x1fff

/* RFC 792; the kernel's header for them draws in half of the C library. */
enum icmpv4_type {
	ICMPV4_ECHO_REPLY = 0,
	ICMPV4_UNREACHABLE = 3,
	ICMPV4_ECHO_REQUEST = 8,
	ICMPV4_TIME_EXCEEDED = 11,
	ICMPV4_PARAMETER_PROBLEM = 12
};

enum icmpv4_code { ICMPV4_FRAGMENTATION_NEEDED = 4 };

/* RFC 4443 */
enum icmpv6_type {
	ICMPV6_UNREACHABLE = 1,
	ICMPV6_PACKET_TOO_BIG = 2,
	ICMPV6_PARAMETER_PROBLEM = 4,
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129
};

struct echo {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__u32 rest;
};

/* Addresses a frame back to where it came from. */
INLINE void swap_macs(struct mac_pair *macs)
{
	struct mac destination;

	copy_mac(&destination, &macs->destination);
	copy_mac(&macs->destination, &macs->source);
	copy_mac(&macs->source, &destination);
}

/*
 * Only the type changes, from 8 to 0. What the old checksum leaves open is whether all else is 0, and then, only then,
 * the new one is not 0 but its other form.
 */
INLINE __u16 echo_reply_checksum(struct xdp_md *ctx, const struct packet *p, __u16 check)
{
	const __u32 before_rest = 2 * sizeof(__u16);

	if (unlikely(check == bpf_htons(0xf7ff)) &&
	    !sum_frame(ctx, p->l3 + p->l4 + before_rest, p->length - p->l4 - before_rest))
		return 0xffff;
	return updated_checksum(check, bpf_htons(ICMPV4_ECHO_REQUEST << 8), 0);
}

/*
 * May the sender be answered? Not one that cannot be its address (RFC 1122, section 3.2.2; RFC 4443, section 2.4), nor
 * one that sent the frame from a group address.
 */
INLINE int may_answer(const struct packet *p, const struct mac_pair *macs)
{
	__u8 first = (__u8)p->addresses[0];

	if (is_group(&macs->source))
		return 0;
	if (p->family == PF_FAMILY_V4)
		return first != 0 && first != 127 && first < 224;
	return first != 0xff && (p->addresses[0] | p->addresses[2]);
}

INLINE int is_echo_request(const struct packet *p, const struct echo *icmp)
{
	if (icmp->code)
		return 0;
	/* An IPv6 one with extension headers may have a way to go yet, or to come. */
	return p->family == PF_FAMILY_V4 ? icmp->type == ICMPV4_ECHO_REQUEST :
					   icmp->type == ICMPV6_ECHO_REQUEST && p->l4 == sizeof(struct ipv6hdr);
}

/* Does the frame end before the echo header does? Of a plain packet that is known not to be so. */
INLINE int is_cut(const struct xdp_md *ctx, const struct packet *p, const struct echo *echo)
{
	return !p->plain && (const void *)(echo + 1) > frame_end(ctx);
}

INLINE int answer_echo_ipv4(struct xdp_md *ctx, struct packet *p, struct mac_pair *macs)
{
	struct iphdr *ip = in_frame(macs, p, 0);
	struct echo *echo = (struct echo *)(ip + 1);
	__u16 check;

	if (is_cut(ctx, p, echo))
		return PF_MALFORMED;
	check = echo_reply_checksum(ctx, p, echo->checksum);
	echo->type = ICMPV4_ECHO_REPLY;
	echo->checksum = check;
	*(__u64 *)&ip->saddr = p->addresses[0] << 32 | p->addresses[0] >> 32;
	ip->check = updated_checksum(ip->check, ip->ttl, PF_HOPS);
	ip->ttl = PF_HOPS;
	swap_macs(macs);
	return PF_ECHO_ANSWERED;
}

INLINE int answer_echo_ipv6(struct xdp_md *ctx, struct packet *p, struct mac_pair *macs)
{
	struct ipv6hdr *ip = in_frame(macs, p, 0);
	struct echo *echo = (struct echo *)(ip + 1);
	__u64 *words = (__u64 *)&ip->saddr;

	if (is_cut(ctx, p, echo))
		return PF_MALFORMED;
	echo->type = ICMPV6_ECHO_REPLY;
	echo->checksum = updated_checksum(echo->checksum, ICMPV6_ECHO_REQUEST, ICMPV6_ECHO_REPLY);
	words[0] = p->addresses[1];
	words[1] = p->addresses[3];
	words[2] = p->addresses[0];
	words[3] = p->addresses[2];
	ip->hop_limit = PF_HOPS;
	swap_macs(macs);
	return PF_ECHO_ANSWERED;
}

/* Turns the quoted packet round: addresses and ports of the packet become those of the flow from the client's side. */
INLINE void turn_round(struct packet *p, __u8 protocol, __u32 ports)
{
	p->icmp = 1;
	p->tcp_flags = 0;
	p->protocol = protocol;
	p->ports = ports >> 16 | ports << 16;
}

INLINE int read_quoted_ipv4(struct xdp_md *ctx, struct packet *p)
{
	__u32 start = p->l4 + PF_ICMP_HEADER, size;
	const struct iphdr *quoted = at(ctx, p, start);
	const __u32 *ports;

	if ((const void *)(quoted + 1) > frame_end(ctx) || quoted->version != 4 || quoted->ihl < 5)
		return 0;
	size = quoted->ihl * 4;
	ports = at(ctx, p, start + size);
	if (start + size + PF_QUOTED_LEAST > p->length || (const void *)(ports + 2) > frame_end(ctx))
		return 0;
	if (!has_ports(quoted->protocol) || quoted->frag_off & bpf_htons(PF_FRAGMENT_OFFSET) ||
	    quoted->saddr != (__be32)p->destination[0])
		return 0;
	p->addresses[0] = quoted->daddr | (__u64)quoted->saddr << 32;
	turn_round(p, quoted->protocol, *ports);
	return 1;
}

INLINE int read_quoted_ipv6(struct xdp_md *ctx, struct packet *p)
{
	__u32 start = p->l4 + PF_ICMP_HEADER;
	const struct ipv6hdr *quoted = at(ctx, p, start);
	const __u32 *ports = (const __u32 *)(quoted + 1);
	const __u64 *words = (const __u64 *)&quoted->saddr;

	if (start + sizeof(*quoted) + PF_QUOTED_LEAST > p->length || (const void *)(ports + 2) > frame_end(ctx))
		return 0;
	if (quoted->version != 6 || !has_ports(quoted->nexthdr) || words[0] != p->destination[0] ||
	    words[1] != p->destination[1])
		return 0;
	p->addresses[0] = words[2];
	p->addresses[1] = words[0];
	p->addresses[2] = words[3];
	p->addresses[3] = words[1];
	turn_round(p, quoted->nexthdr, *ports);
	return 1;
}

INLINE int is_error(const struct packet *p, __u8 type)
{
	if (p->family == PF_FAMILY_V6)
		return type >= ICMPV6_UNREACHABLE && type <= ICMPV6_PARAMETER_PROBLEM;
	return type == ICMPV4_UNREACHABLE || type == ICMPV4_TIME_EXCEEDED || type == ICMPV4_PARAMETER_PROBLEM;
}

/* address: the entry for ICMP of the packet's destination; macs: the start of the frame. PF_NEXT: it is not a request that is answered. */
INLINE int answer_echo(struct xdp_md *ctx, struct packet *p, const struct pf_entry *address, struct mac_pair *macs)
{
	const struct echo *icmp = in_frame(macs, p, p->l4);

	if (is_cut(ctx, p, icmp))
		return PF_MALFORMED;
	if (!is_echo_request(p, icmp) || !(address->flags & PF_ECHO) || !may_answer(p, macs))
		return PF_NEXT;
	return p->family == PF_FAMILY_V4 ? answer_echo_ipv4(ctx, p, macs) : answer_echo_ipv6(ctx, p, macs);
}

/* entry: for ICMP, of the packet's destination. Sets it to the VIP of the flow that the packet is about. */
INLINE int treat_icmp(struct xdp_md *ctx, struct packet *p, const struct pf_entry **entry)
{
	const struct echo *icmp = at(ctx, p, p->l4);
	struct mac_pair *macs = frame_start(ctx);
	int is_v4 = p->family == PF_FAMILY_V4, verdict;

	if ((const void *)(macs + 1) > frame_end(ctx))
		return PF_MALFORMED;
	verdict = answer_echo(ctx, p, *entry, macs);
	if (verdict != PF_NEXT)
		return verdict;
	if ((const void *)(icmp + 1) > frame_end(ctx))
		return PF_MALFORMED;
	if (!is_error(p, icmp->type) || !(is_v4 ? read_quoted_ipv4(ctx, p) : read_quoted_ipv6(ctx, p)))
		return PF_ICMP_OTHER;
	return find_destination(p->destination[0], p->destination[1], p->address_hash, destination_tail(p), entry) &&
			       is_vip(p, *entry) ?
		       PF_NEXT :
		       PF_ICMP_OTHER;
}

#endif
