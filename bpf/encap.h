// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* encap: puts the outer header in front and addresses the frame to the gateway. The only step that moves the head. */
#ifndef PILOTFISH_ENCAP_H
#define PILOTFISH_ENCAP_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
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

/* RFC 2003, but for the id, which is 0: with DF set it means nothing (RFC 6864). */
INLINE void write_outer_ipv4(struct iphdr *ip, const struct packet *p, const struct pf_settings *s)
{
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tos = p->tos;
	ip->tot_len = bpf_htons((__u16)(p->length + sizeof(*ip)));
	ip->frag_off = bpf_htons(PF_IP_DF);
	ip->ttl = PF_OUTER_TTL;
	ip->protocol = IPPROTO_IPIP;
	ip->saddr = s->outer_v4 | ((__u32)p->hash & s->outer_v4_host);
	ip->daddr = p->real.address[0];
	ip->check = ipv4_checksum(ip);
}

INLINE int encap_packet(struct xdp_md *ctx, const struct packet *p, const struct pf_settings *s)
{
	struct ethhdr *eth;
	struct iphdr *ip;
	void *data_end;

	if (!has_gateway(s))
		return PF_NO_GATEWAY;
	if (p->length + sizeof(*ip) > s->mtu)
		return PF_TOO_BIG;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return PF_NO_HEADROOM;

	eth = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	ip = (struct iphdr *)(eth + 1);
	if ((void *)(ip + 1) > data_end) /* cannot be: the frame was longer than this before it grew */
		return PF_NO_HEADROOM;
	__builtin_memcpy(eth->h_dest, s->gateway_mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, s->own_mac, ETH_ALEN);
	eth->h_proto = bpf_htons(ETH_P_IP);
	write_outer_ipv4(ip, p, s);
	return PF_FORWARDED;
}

#endif
