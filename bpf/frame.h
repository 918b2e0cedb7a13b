// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* frame: Ethernet with up to two VLAN tags, and finding one's way in a frame. */
#ifndef PILOTFISH_FRAME_H
#define PILOTFISH_FRAME_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include "packet.h"

/* TTL or hop limit of what is made here. */
#define PF_HOPS 64

struct vlan_tag {
	__be16 control;
	__be16 ethertype; /* of what follows */
};

/* An Ethernet address, and both of a frame. */
struct mac {
	__u16 part[ETH_ALEN / 2];
};

struct mac_pair {
	struct mac destination;
	struct mac source;
};

/* In two moves, not in the three that its alignment has the compiler make; no architecture of ours minds. */
INLINE void copy_mac(struct mac *to, const struct mac *from)
{
	*(__u32 *)to = *(const __u32 *)from;
	to->part[2] = from->part[2];
}

/* Broadcast or multicast. */
INLINE int is_group(const struct mac *mac)
{
	return mac->part[0] & 1;
}

INLINE int is_same_mac(const struct mac *a, const struct mac *b)
{
	return a->part[0] == b->part[0] && a->part[1] == b->part[1] && a->part[2] == b->part[2];
}

INLINE void copy_macs(struct mac_pair *to, const struct mac_pair *from)
{
	for (int i = 0; i < 3; i++)
		((__u32 *)to)[i] = ((const __u32 *)from)[i];
}

/* An Ethernet header with two tags, the ethertype included; with fewer of them its end is of the IP header. */
struct frame_head {
	struct mac_pair macs;
	__u16 tags[5];
};

/* Or else the compiler would keep the address of data_end through a call, which the verifier refuses. */
#define forget_address(ctx) asm volatile("" : "+r"(ctx))

INLINE void *frame_start(const struct xdp_md *ctx)
{
	return (void *)(long)ctx->data;
}

INLINE void *frame_end(const struct xdp_md *ctx)
{
	return (void *)(long)ctx->data_end;
}

INLINE int is_vlan(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

/* Where the IP header starts in a frame with a tag, and the ethertype before it in the upper half; 0 when the frame is too short. */
APART __u32 skip_tags(struct xdp_md *ctx)
{
	const struct vlan_tag *tag = frame_start(ctx) + sizeof(struct ethhdr);
	const void *data_end = frame_end(ctx);

	if ((const void *)(tag + 1) > data_end)
		return 0;
	if (!is_vlan(tag->ethertype))
		return (sizeof(struct ethhdr) + sizeof(*tag)) | (__u32)tag->ethertype << 16;
	if ((const void *)(tag + 2) > data_end)
		return 0;
	return (sizeof(struct ethhdr) + 2 * sizeof(*tag)) | (__u32)tag[1].ethertype << 16;
}

/* Where the IP header starts; 0 when the frame is too short. */
INLINE __u32 skip_ethernet(struct xdp_md *ctx, __be16 *ethertype)
{
	const __be16 *type = frame_start(ctx) + sizeof(struct mac_pair);
	__u32 skipped;

	if ((const void *)(type + 1) > frame_end(ctx))
		return 0;
	*ethertype = *type;
	if (likely(!is_vlan(*ethertype)))
		return sizeof(struct ethhdr);
	skipped = skip_tags(ctx);
	*ethertype = skipped >> 16;
	return skipped & 31;
}

INLINE int is_to_group(struct xdp_md *ctx)
{
	const struct mac_pair *macs = frame_start(ctx);

	return (const void *)(macs + 1) > frame_end(ctx) || is_group(&macs->destination);
}

#endif
