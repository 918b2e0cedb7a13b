// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * parse: reads a packet for a VIP's address into struct packet. What is for nobody of ours is passed as early as
 * that is certain; what is for a VIP but cannot be balanced is dropped for a stated reason.
 */
#ifndef PILOTFISH_PARSE_H
#define PILOTFISH_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "maps.h"
#include "packet.h"

#define PF_IP_FRAGMENT 0x3fff /* more fragments, or an offset (RFC 791) */
#define PF_TCP_FLAGS 13	      /* offset of the flags in a TCP header (RFC 9293) */
#define PF_TCP_SYN_ACK 0x12
#define PF_TCP_SYN 0x02

/* Which bit of struct pf_address stands for this protocol; 0 for one that no VIP can have. */
INLINE __u32 served_bit(__u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return PF_SERVES_TCP;
	return protocol == IPPROTO_UDP ? PF_SERVES_UDP : 0;
}

/* Does some VIP of the destination address serve this protocol, on whatever port? */
INLINE int address_serves(const struct pf_vip_key *key)
{
	struct pf_address_key address_key = {.family = key->family};
	struct pf_address *address;

	__builtin_memcpy(address_key.address, key->address, sizeof(key->address));
	address = bpf_map_lookup_elem(&vip_addresses, &address_key);
	return address && (address->protocols & served_bit(key->protocol));
}

INLINE int parse_ports(struct packet *p, const void *l4, const void *data_end, __u32 l4_length)
{
	const struct tcphdr *tcp = l4;
	const struct udphdr *udp = l4;

	if (p->key.protocol == IPPROTO_TCP) {
		if (l4_length < sizeof(*tcp) || (const void *)(tcp + 1) > data_end)
			return PF_MALFORMED;
		p->syn = (((const __u8 *)l4)[PF_TCP_FLAGS] & PF_TCP_SYN_ACK) == PF_TCP_SYN;
	} else if (l4_length < sizeof(*udp) || (const void *)(udp + 1) > data_end) {
		return PF_MALFORMED;
	}
	p->ports = *(const __u32 *)l4;
	p->key.port = udp->dest;
	return PF_NEXT;
}

INLINE int parse_ipv4(struct packet *p, const struct iphdr *ip, const void *data_end)
{
	if ((const void *)(ip + 1) > data_end || ip->version != 4)
		return PF_UNREADABLE;

	p->key.family = PF_FAMILY_V4;
	p->key.address[0] = ip->daddr;
	p->key.protocol = ip->protocol;
	if (!address_serves(&p->key))
		return PF_NOT_VIP;

	p->length = bpf_ntohs(ip->tot_len);
	if (ip->ihl < 5 || p->length < ip->ihl * 4u || (const void *)ip + p->length > data_end)
		return PF_MALFORMED;
	if (ip->frag_off & bpf_htons(PF_IP_FRAGMENT))
		return PF_FRAGMENT;
	if (ip->ihl > 5)
		return PF_IP_OPTIONS;

	p->tos = ip->tos;
	p->addresses[0] = *(const __u64 *)&ip->saddr;
	return parse_ports(p, ip + 1, data_end, p->length - sizeof(*ip));
}

/* The header of a fragment (RFC 8200, section 4.5) as far as it is looked at. */
struct fragment_header {
	__u8 next;
};

/*
 * Extension headers are not walked: such a packet passes, as if there were no VIP. A fragment is told by its own
 * header, which names the protocol.
 */
INLINE int parse_ipv6(struct packet *p, const struct ipv6hdr *ip, const void *data_end)
{
	const struct fragment_header *fragment = (const struct fragment_header *)(ip + 1);
	const __u64 *words = (const __u64 *)&ip->saddr;

	if ((const void *)(ip + 1) > data_end || ip->version != 6)
		return PF_UNREADABLE;

	p->key.family = PF_FAMILY_V6;
	__builtin_memcpy(p->key.address, &ip->daddr, sizeof(p->key.address));
	p->key.protocol = ip->nexthdr;
	if (ip->nexthdr == IPPROTO_FRAGMENT && (const void *)(fragment + 1) <= data_end)
		p->key.protocol = fragment->next;
	if (!address_serves(&p->key))
		return PF_NOT_VIP;
	if (ip->nexthdr == IPPROTO_FRAGMENT)
		return PF_FRAGMENT;

	p->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if ((const void *)ip + p->length > data_end)
		return PF_MALFORMED;
	p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	/* Source and destination take turns: docs/reference/flow-hash.md says why. */
	p->addresses[0] = words[0];
	p->addresses[1] = words[2];
	p->addresses[2] = words[1];
	p->addresses[3] = words[3];
	return parse_ports(p, ip + 1, data_end, p->length - sizeof(*ip));
}

INLINE int parse_packet(struct xdp_md *ctx, struct packet *p)
{
	const void *data = (const void *)(long)ctx->data;
	const void *data_end = (const void *)(long)ctx->data_end;
	const struct ethhdr *eth = data;

	if ((const void *)(eth + 1) > data_end)
		return PF_UNREADABLE;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		return parse_ipv4(p, (const struct iphdr *)(eth + 1), data_end);
	if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(p, (const struct ipv6hdr *)(eth + 1), data_end);
	return PF_NOT_IP;
}

#endif
