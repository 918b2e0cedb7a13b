// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* encap: puts the outer header in front and addresses the frame. Whether it fits was asked before. */
#ifndef PILOTFISH_ENCAP_H
#define PILOTFISH_ENCAP_H

#include "checksum.h"
#include "parse.h"

#define PF_NO_SUM (~0ull) /* no checksum is wanted */
/* 0 in one's complement, and more than the sum of seven 16-bit words: what is taken from it is negated, and need not be folded for that. */
#define PF_NO_WORDS (8 * 0xffff)
#define PF_OUTER_MOST (sizeof(struct ipv6hdr) + sizeof(struct udphdr)) /* bytes of the longest outer header */
#define PF_GUE_PORTS 0xc000 /* source ports: 49152 and above, 14 bits of them */

INLINE int is_unknown(const __u8 mac[ETH_ALEN])
{
	return !(*(const __u32 *)mac | *(const __u16 *)(mac + 4));
}

/* Of an encap with an outer header. */
INLINE __u32 outer_size(const struct pf_real *real, __u8 encap)
{
	__u32 ip = real->family == PF_FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);

	return encap == PF_ENCAP_GUE ? ip + sizeof(struct udphdr) : ip;
}

/* Tags of the frame stay, unless it leaves by another interface. */
INLINE __u32 kept_tags(const struct packet *p)
{
	__u32 tags = p->l3 - sizeof(struct ethhdr);

	return tags && !constants.egress ? tags : 0;
}

/*
 * Makes the frame longer in front and writes all of the Ethernet header but its destination. Returns where the IP
 * header starts, with size bytes that may be written and the first word of the packet's own header behind them; null when the driver has no room.
 */
INLINE void *push_header(struct xdp_md *ctx, const struct packet *p, __be16 ethertype,
			 __u32 size)
{
	__u32 tags = kept_tags(p), dropped = p->l3 - sizeof(struct ethhdr) - tags;
	struct mac_pair *macs;
	void *ip;

	if ((size || dropped) && bpf_xdp_adjust_head(ctx, (int)dropped - (int)size))
		return 0;
	forget_address(ctx);
	macs = frame_start(ctx);
	if (unlikely(tags) && size) {
		const __u64 *before = (void *)(macs + 1) + size;

		if ((const void *)(before + 1) > frame_end(ctx))
			return 0;
		*(__u64 *)(macs + 1) = *before;
	}
	ip = (void *)macs + sizeof(struct ethhdr) + (tags & 15);
	if ((void *)(macs + 1) > frame_end(ctx) || ip + size + sizeof(__u32) > frame_end(ctx))
		return 0;
	copy_macs(macs, (const struct mac_pair *)settings.gateway_mac);
	((__be16 *)ip)[-1] = ethertype;
	return ip;
}

INLINE __u8 inner_protocol(const struct packet *p)
{
	return p->family == PF_FAMILY_V4 ? IPPROTO_IPIP : IPPROTO_IPV6;
}

/* Of a word: no more than two 16-bit words are, so that sums of some stay short. */
INLINE __u32 half_folded(__u32 word)
{
	return (word & 0xffff) + (word >> 16);
}

/* RFC 2003 and RFC 4213, but for the id, which is 0: with DF set it means nothing (RFC 6864). Returns the sum of both addresses. */
INLINE __u32 write_outer_ipv4(__u32 *word, const struct packet *p, __u8 protocol, __u32 size)
{
	__u32 source = settings.outer_v4 | ((__u32)p->hash & settings.outer_v4_host), length = bpf_htons(p->length + size);
	__u32 start = bpf_htonl(0x45000000) | (__u32)traffic_class((void *)word + size, p->family) << 8, ttl = p->hops | (__u32)protocol << 8;
	__u32 addresses = p->real->address_sum + half_folded(source), sum = addresses + start + length + bpf_htons(PF_IP_DF) + ttl;

	word[0] = start | length << 16;
	word[1] = bpf_htonl(PF_IP_DF);
	word[2] = ttl | (__u32)(__u16)~fold_short(sum) << 16;
	word[3] = source;
	word[4] = p->real->address[0];
	return addresses;
}

/* RFC 2473. The flow label tells routers that look no deeper which flow it is (RFC 6438). Returns the sum of both addresses. */
INLINE __u64 write_outer_ipv6(__u32 *word, const struct packet *p, __u8 protocol, __u32 size)
{
	__u32 low = (__u32)p->hash, high = (__u32)(p->hash >> 32);

	word[0] = bpf_htonl(6u << 28 | (high & 0xfffff)) | class_for_ipv6((void *)word + size, p->family);
	word[1] = bpf_htons(p->length + size - sizeof(struct ipv6hdr)) | (__u32)protocol << 16 | (__u32)p->hops << 24;
	word[2] = settings.outer_v6[0];
	word[3] = settings.outer_v6[1];
	word[4] = settings.outer_v6[2] | (high & settings.outer_v6_host[0]);
	word[5] = settings.outer_v6[3] | (low & settings.outer_v6_host[1]);
	__builtin_memcpy(word + 6, p->real->address, sizeof(p->real->address));
	return (__u64)p->real->address_sum + word[2] + word[3] + word[4] + word[5];
}

/*
 * The sum of the whole inner packet, without a look at its payload: a segment with its pseudo header sums up to 0, and
 * so does an IPv4 header. What has no checksum that covers all of it is summed up.
 */
INLINE __u64 inner_sum(struct xdp_md *ctx, const struct packet *p)
{
	const __u32 *ip = at(ctx, p, 0);
	const struct udphdr *udp = at(ctx, p, p->l4);
	__be16 length = bpf_htons(p->length - p->l4);
	__u32 pseudo = length + ((__u32)p->protocol << 8);

	if ((const void *)(ip + 5) > frame_end(ctx) || (const void *)(udp + 1) > frame_end(ctx) || p->icmp || p->fragment ||
	    (p->protocol == IPPROTO_UDP && !has_checksum(udp, length)))
		return sum_frame(ctx, p->l3, p->length);
	if (p->family == PF_FAMILY_V4)
		return PF_NO_WORDS - pseudo - half_folded(p->addresses[0]) - half_folded(p->addresses[0] >> 32);
	if (p->l4 != sizeof(struct ipv6hdr))
		return sum_frame(ctx, p->l3, p->length);
	return (__u64)(PF_NO_WORDS - pseudo) + ip[0] + ip[1];
}

/* Variant 1: the packet itself follows the UDP header. addresses: their sum; inner: that of the packet, or PF_NO_SUM. */
INLINE void write_gue(struct udphdr *udp, const struct packet *p, __u64 addresses, __u64 inner)
{
	__be16 length = bpf_htons(p->length + sizeof(*udp)), source = bpf_htons(PF_GUE_PORTS | ((p->hash >> 48) & 0x3fff));
	__u16 check = 0;

	if (inner != PF_NO_SUM) {
		check = checksum(addresses + inner + ((__u32)IPPROTO_UDP << 8) + 2ull * length + source + p->real->gue_port);
		if (!check)
			check = 0xffff;
	}
	udp->source = source;
	udp->dest = p->real->gue_port;
	udp->len = length;
	udp->check = check;
}

INLINE int encap_over_ipv4(struct xdp_md *ctx, const struct packet *p, int is_gue, __u64 inner)
{
	__u32 size = sizeof(struct iphdr) + (is_gue ? sizeof(struct udphdr) : 0);
	__u32 *ip = push_header(ctx, p, bpf_htons(ETH_P_IP), size);
	__u64 addresses;

	if (!ip)
		return PF_NO_HEADROOM;
	addresses = write_outer_ipv4(ip, p, is_gue ? IPPROTO_UDP : inner_protocol(p), size);
	if (is_gue)
		write_gue((struct udphdr *)(ip + sizeof(struct iphdr) / 4), p, addresses, inner);
	return PF_FORWARDED;
}

INLINE int encap_over_ipv6(struct xdp_md *ctx, const struct packet *p, int is_gue, __u64 inner)
{
	__u32 size = sizeof(struct ipv6hdr) + (is_gue ? sizeof(struct udphdr) : 0);
	__u32 *ip = push_header(ctx, p, bpf_htons(ETH_P_IPV6), size);
	__u64 addresses;

	if (!ip)
		return PF_NO_HEADROOM;
	addresses = write_outer_ipv6(ip, p, is_gue ? IPPROTO_UDP : inner_protocol(p), size);
	if (is_gue)
		write_gue((struct udphdr *)(ip + sizeof(struct ipv6hdr) / 4), p, addresses, inner);
	return PF_FORWARDED;
}

/* No outer header: the real is on the same segment. */
INLINE int address_frame(struct xdp_md *ctx, const struct packet *p)
{
	__be16 ethertype = p->family == PF_FAMILY_V4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	struct mac_pair *macs;

	if (!push_header(ctx, p, ethertype, 0))
		return PF_NO_HEADROOM;
	macs = frame_start(ctx);
	if ((void *)(macs + 1) > frame_end(ctx))
		return PF_NO_HEADROOM;
	copy_mac(&macs->destination, (const struct mac *)p->real->mac);
	return PF_FORWARDED;
}

/* encap: one with an outer header; read once, for the real may be given another one meanwhile. */
INLINE int encap_packet(struct xdp_md *ctx, const struct packet *p, __u8 encap)
{
	int is_gue = encap == PF_ENCAP_GUE;
	__u64 inner = PF_NO_SUM;

	if (is_gue && p->real->gue_checksum)
		inner = inner_sum(ctx, p);
	if (p->real->family == PF_FAMILY_V4)
		return is_gue ? encap_over_ipv4(ctx, p, 1, inner) : encap_over_ipv4(ctx, p, 0, 0);
	return is_gue ? encap_over_ipv6(ctx, p, 1, inner) : encap_over_ipv6(ctx, p, 0, 0);
}

#endif
