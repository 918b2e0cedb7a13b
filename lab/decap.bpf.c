// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * Takes the outer headers off on a real of the lab, at tc ingress, so that the kernel sees the packet as the client
 * sent it. Everything that is not a tunnel packet passes untouched.
 */
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAGMENT 0x3fff /* more fragments, or an offset (RFC 791) */

/* UDP ports of GUE: that of IANA, and one for a pool that has another. */
#define GUE_PORT 6080
#define OTHER_GUE_PORT 9886

/* Since Linux 6.3, and so not in every distribution's headers: the packet that is left is of this family. */
#define DECAP_L3_IPV4 (1ULL << 7)
#define DECAP_L3_IPV6 (1ULL << 8)

/* What stands between the Ethernet header and the inner packet. */
struct tunnel {
	int length;    /* bytes of the outer headers; 0 if this is no tunnel packet */
	__u8 protocol; /* of what follows them: IPPROTO_IPIP, IPPROTO_IPV6, or that of something else */
};

/* RFC 2003 and RFC 4213 */
static __always_inline struct tunnel over_ipv4(struct __sk_buff *skb)
{
	struct tunnel none = {}, found;
	struct iphdr outer;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &outer, sizeof(outer)))
		return none;
	if (outer.frag_off & bpf_htons(FRAGMENT))
		return none;
	found.length = outer.ihl * 4;
	found.protocol = outer.protocol;
	return found;
}

/* RFC 2473 */
static __always_inline struct tunnel over_ipv6(struct __sk_buff *skb)
{
	struct tunnel none = {}, found;
	struct ipv6hdr outer;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &outer, sizeof(outer)))
		return none;
	found.length = sizeof(outer);
	found.protocol = outer.nexthdr;
	return found;
}

/* Variant 1 of draft-ietf-intarea-gue: an IP packet follows the UDP header at once, and its version says which. */
static __always_inline struct tunnel over_udp(struct __sk_buff *skb, struct tunnel tunnel)
{
	struct {
		struct udphdr udp;
		__u8 version;
	} __attribute__((packed)) gue;

	if (bpf_skb_load_bytes(skb, ETH_HLEN + tunnel.length, &gue, sizeof(gue)))
		return tunnel;
	if (gue.udp.dest != bpf_htons(GUE_PORT) && gue.udp.dest != bpf_htons(OTHER_GUE_PORT))
		return tunnel;
	if (gue.version >> 4 != 4 && gue.version >> 4 != 6)
		return tunnel;
	tunnel.length += sizeof(gue.udp);
	tunnel.protocol = gue.version >> 4 == 4 ? IPPROTO_IPIP : IPPROTO_IPV6;
	return tunnel;
}

SEC("tc")
int decap(struct __sk_buff *skb)
{
	__be16 outer = skb->protocol, inner;
	struct tunnel tunnel = {};
	__u64 flags = BPF_F_ADJ_ROOM_FIXED_GSO;

	if (outer == bpf_htons(ETH_P_IP))
		tunnel = over_ipv4(skb);
	else if (outer == bpf_htons(ETH_P_IPV6))
		tunnel = over_ipv6(skb);
	if (tunnel.length && tunnel.protocol == IPPROTO_UDP)
		tunnel = over_udp(skb, tunnel);
	if (!tunnel.length || (tunnel.protocol != IPPROTO_IPIP && tunnel.protocol != IPPROTO_IPV6))
		return TC_ACT_OK;

	inner = tunnel.protocol == IPPROTO_IPIP ? bpf_htons(ETH_P_IP) : bpf_htons(ETH_P_IPV6);
	if (inner != outer)
		flags |= inner == bpf_htons(ETH_P_IP) ? DECAP_L3_IPV4 : DECAP_L3_IPV6;
	/* A header that will not come off is left on: the kernel then answers it with an ICMP error that can be seen. */
	if (!bpf_skb_adjust_room(skb, -tunnel.length, BPF_ADJ_ROOM_MAC, flags) && inner != outer)
		bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &inner, sizeof(inner), 0);
	return TC_ACT_OK;
}

char lab_license[] SEC("license") = "Dual BSD/GPL";
