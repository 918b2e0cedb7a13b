// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* encap: puts the outer header in front and addresses the frame to the gateway. The only step that moves the head. */
#ifndef PILOTFISH_ENCAP_H
#define PILOTFISH_ENCAP_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include "maps.h"
#include "packet.h"

#define PF_IP_DF 0x4000
#define PF_OUTER_TTL 64

INLINE int has_gateway(const struct pf_settings *s)
{
	__u8 any = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < ETH_ALEN; i++)
		any |= s->gateway_mac[i];
	return any != 0;
}

/* RFC 1071, over a header without options whose checksum field is 0. */
INLINE __u16 ipv4_checksum(const struct iphdr *ip)
{
	const __u16 *half = (const __u16 *)ip;
	__u32 sum = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += half[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

INLINE __u8 inner_protocol(const struct packet *p)
{
	return p->key.family == PF_FAMILY_V4 ? IPPROTO_IPIP : IPPROTO_IPV6;
}

/* RFC 2003 and RFC 4213, but for the id, which is 0: with DF set it means nothing (RFC 6864). */
INLINE void write_outer_ipv4(struct iphdr *ip, const struct packet *p, const struct pf_settings *s)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tos = p->tos;
	ip->tot_len = bpf_htons((__u16)(p->length + sizeof(*ip)));
	ip->frag_off = bpf_htons(PF_IP_DF);
	ip->ttl = PF_OUTER_TTL;
	ip->protocol = inner_protocol(p);
	ip->saddr = s->outer_v4 | ((__u32)p->hash & s->outer_v4_host);
	ip->daddr = p->real.address[0];
	ip->check = ipv4_checksum(ip);
}

/* RFC 2473. The flow label tells routers that look no deeper which flow it is (RFC 6438). */
INLINE void write_outer_ipv6(struct ipv6hdr *ip, const struct packet *p, const struct pf_settings *s)
{
	__u32 low = (__u32)p->hash, high = (__u32)(p->hash >> 32);

	*(__be32 *)ip = bpf_htonl(6u << 28 | (__u32)p->tos << 20 | (high & 0xfffff));
	ip->payload_len = bpf_htons((__u16)p->length);
	ip->nexthdr = inner_protocol(p);
	ip->hop_limit = PF_OUTER_TTL;
	__builtin_memcpy(&ip->saddr, s->outer_v6, sizeof(ip->saddr));
	ip->saddr.in6_u.u6_addr32[2] |= high & s->outer_v6_host[0];
	ip->saddr.in6_u.u6_addr32[3] |= low & s->outer_v6_host[1];
	__builtin_memcpy(&ip->daddr, p->real.address, sizeof(ip->daddr));
}

/* Grows the frame in front by an outer header of this size. Null when the driver has no room. */
INLINE void *push_outer(struct xdp_md *ctx, const struct pf_settings *s, __be16 ethertype, int size)
{
	struct ethhdr *eth;

	if (bpf_xdp_adjust_head(ctx, -size))
		return 0;
	eth = (void *)(long)ctx->data;
	/* Cannot fail: the frame was longer than this before it grew. */
	if ((void *)(eth + 1) + size > (void *)(long)ctx->data_end)
		return 0;
	__builtin_memcpy(eth->h_dest, s->gateway_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, s->own_mac, ETH_ALEN);
	eth->h_proto = ethertype;
	return eth + 1;
}

INLINE int encap_packet(struct xdp_md *ctx, const struct packet *p, const struct pf_settings *s)
{
	int over_ipv4 = p->real.family == PF_FAMILY_V4;
	int size = over_ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	void *outer;

	if (!has_gateway(s))
		return PF_NO_GATEWAY;
	if (p->length + size > s->mtu)
		return PF_TOO_BIG;
	if (over_ipv4) {
		outer = push_outer(ctx, s, bpf_htons(ETH_P_IP), sizeof(struct iphdr));
		if (!outer)
			return PF_NO_HEADROOM;
		write_outer_ipv4(outer, p, s);
	} else {
		outer = push_outer(ctx, s, bpf_htons(ETH_P_IPV6), sizeof(struct ipv6hdr));
		if (!outer)
			return PF_NO_HEADROOM;
		write_outer_ipv6(outer, p, s);
	}
	return PF_FORWARDED;
}

#endif
