// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* tunnel: opens a packet of a tunnel that ends here, so that what is in it can be treated. */
#ifndef PILOTFISH_TUNNEL_H
#define PILOTFISH_TUNNEL_H

#include "frame.h"
#include "parse.h"

/* Where they are in the headers. */
#define PF_IPV4_TTL 8
#define PF_IPV6_HOP_LIMIT 7

/* Not a reason: the frame is another one now, and is treated from the start. */
#define PF_AGAIN (-2)

/* The IP version in the tunnel, or 0 if that is not what the outer protocol announces. */
INLINE __u32 version_inside(const struct packet *p, const __u8 *inner, const void *data_end)
{
	__u32 version;

	if ((const void *)(inner + sizeof(struct iphdr)) > data_end)
		return 0;
	version = inner[0] >> 4;
	if (p->protocol != IPPROTO_UDP)
		return version == (p->protocol == IPPROTO_IPIP ? 4 : 6) ? version : 0;
	return version == 4 || version == 6 ? version : 0;
}

/* Sets hops to what is left of the outer packet's for going on; a packet must not circle between tunnels for ever. */
INLINE int open_tunnel(struct xdp_md *ctx, const struct packet *p, __u8 *hops)
{
	__u32 size = p->l4 + (p->protocol == IPPROTO_UDP ? sizeof(struct udphdr) : 0);
	__u32 version = version_inside(p, at(ctx, p, size), frame_end(ctx));
	__u32 least = version == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	const __u8 *outer = at(ctx, p, 0);
	struct frame_head *now, head;
	__be16 *ethertype;
	__s32 padding;

	if (!version || size + least > p->length || (const void *)(outer + sizeof(struct iphdr)) > frame_end(ctx))
		return PF_MALFORMED;
	*hops = outer[p->family == PF_FAMILY_V4 ? PF_IPV4_TTL : PF_IPV6_HOP_LIMIT];
	*hops = *hops ? *hops - 1 : 0;
	*hops = *hops < PF_HOPS ? *hops : PF_HOPS;
	now = frame_start(ctx);
	if ((void *)(now + 1) > frame_end(ctx))
		return PF_MALFORMED;
	head = *now;
	/* What follows the outer packet is not the inner one's either, whatever that says of its length. */
	padding = (__s32)bpf_xdp_get_buff_len(ctx) - (__s32)(p->l3 + p->length);
	if (padding && bpf_xdp_adjust_tail(ctx, -padding))
		return PF_MALFORMED;
	if (bpf_xdp_adjust_head(ctx, size))
		return PF_MALFORMED;
	now = frame_start(ctx);
	ethertype = (void *)now->tags + ((p->l3 - sizeof(struct ethhdr)) & 15);
	if ((void *)(now + 1) > frame_end(ctx) || (void *)(ethertype + 1) > frame_end(ctx))
		return PF_MALFORMED;
	now->macs = head.macs;
	for (int i = 0; i < 4; i++)
		if (sizeof(struct ethhdr) + 2 * i < p->l3)
			now->tags[i] = head.tags[i];
	*ethertype = version == 4 ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	return PF_AGAIN;
}

#endif
