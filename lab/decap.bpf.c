// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * Takes the outer header off on a real of the lab, at tc ingress, so that the kernel sees the packet as the client
 * sent it. Everything that is not a tunnel packet passes untouched.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAGMENT 0x3fff /* more fragments, or an offset (RFC 791) */

/* The bytes between the Ethernet header and an inner IPv4 packet; 0 if this is no IPIP packet (RFC 2003). */
static __always_inline int ipip_outer_length(struct __sk_buff *skb)
{
	struct iphdr outer;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &outer, sizeof(outer)))
		return 0;
	if (outer.protocol != IPPROTO_IPIP || (outer.frag_off & bpf_htons(FRAGMENT)))
		return 0;
	return outer.ihl * 4;
}

SEC("tc")
int decap(struct __sk_buff *skb)
{
	int outer_length = ipip_outer_length(skb);

	/* A header that will not come off is left on: the kernel then answers it with an ICMP error that can be seen. */
	if (outer_length)
		bpf_skb_adjust_room(skb, -outer_length, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
	return TC_ACT_OK;
}

char lab_license[] SEC("license") = "Dual BSD/GPL";
