// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * plain: nearly all packets are an untagged TCP segment, UDP datagram or ICMP message, whole, without options and extensions. What the
 * others may have is then a constant to the compiler, and it leaves out of every step what asks for that.
 */
#ifndef PILOTFISH_PLAIN_H
#define PILOTFISH_PLAIN_H

#include "parse.h"

/* Bytes of the shortest frame that may be plain: IPv4 with room for a TCP header. */
#define PF_PLAIN_LEAST (sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr))

INLINE __be16 own_length(const void *ip, __u8 family)
{
	return family == PF_FAMILY_V4 ? ((const struct iphdr *)ip)->tot_len : ((const struct ipv6hdr *)ip)->payload_len;
}

INLINE __u32 whole_length(__be16 own, __u8 family)
{
	return bpf_ntohs(own) + (family == PF_FAMILY_V4 ? 0 : sizeof(struct ipv6hdr));
}

INLINE __u8 plain_protocol(const void *ip, __u8 family)
{
	return family == PF_FAMILY_V4 ? ((const struct iphdr *)ip)->protocol : ((const struct ipv6hdr *)ip)->nexthdr;
}

/* The packet before anything is known of it. */
INLINE struct packet plain_packet(__u8 family, struct pf_cpu_state *cpu)
{
	return (struct packet){
		.l3 = sizeof(struct ethhdr),
		.l4 = family == PF_FAMILY_V4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr),
		.family = family,
		.hops = PF_HOPS,
		.flaw = PF_NEXT,
		.plain = PLAIN,
		.cpu = cpu,
	};
}

/*
 * Lets the compiler read the frame anew: what it has read before it would keep on the stack, which costs a store beside the load. The frame
 * is as it was, whoever asks.
 */
#define read_anew(frame) asm volatile("" : "+r"(frame))

/* Reads what the flow hash takes of a frame that is plain. Source and destination take turns, as they do in parse_ipv6. */
INLINE void read_flow(struct packet *p, const void *frame)
{
	/* By their place in the frame: of addresses in a header the compiler would read every half by itself. */
	const __u64 *words = frame + sizeof(struct ethhdr) + __builtin_offsetof(struct ipv6hdr, saddr);

	p->ports = p->plain == PLAIN_ICMP ? 0 : *(const __u32 *)(frame + sizeof(struct ethhdr) + p->l4);
	p->protocol = plain_protocol(frame + sizeof(struct ethhdr), p->family);
	if (p->family == PF_FAMILY_V4) {
		p->addresses[0] = *(const __u64 *)(frame + sizeof(struct ethhdr) + __builtin_offsetof(struct iphdr, saddr));
		return;
	}
	p->addresses[0] = words[0];
	p->addresses[1] = words[2];
	p->addresses[2] = words[1];
	p->addresses[3] = words[3];
}

/* Is the frame plain? Reads what tells. Not for lengths that are for all the steps to judge; ICMP is, but for its ports. */
INLINE enum plain read_plain(struct packet *p, const void *frame, const void *data_end)
{
	const void *ip = frame + sizeof(struct ethhdr), *l4 = ip + p->l4;
	const struct mac_pair *macs = frame;
	const struct iphdr *ipv4 = ip;
	__u8 protocol;

	/* Room for a TCP header. A shorter datagram is not plain. */
	if (l4 + sizeof(struct tcphdr) > data_end || is_group(&macs->destination))
		return NOT_PLAIN;
	if (p->family == PF_FAMILY_V4 ? *(const __u8 *)ip != 0x45 || ipv4->frag_off & bpf_htons(PF_IP_FRAGMENT) :
					(*(const __u8 *)ip & 0xf0) != 0x60)
		return NOT_PLAIN;
	protocol = plain_protocol(ip, p->family);
	p->length = whole_length(own_length(ip, p->family), p->family);
	if (ip + p->length > data_end)
		return NOT_PLAIN;
	if (protocol == IPPROTO_TCP) {
		p->tcp_flags = ((const __u8 *)l4)[PF_TCP_FLAGS];
		return p->length >= p->l4 + sizeof(struct tcphdr) ? PLAIN : NOT_PLAIN;
	}
	if (protocol == IPPROTO_UDP)
		return p->length >= p->l4 + sizeof(struct udphdr) ? PLAIN : NOT_PLAIN;
	if (protocol == icmp_of(p->family))
		return p->length >= p->l4 + PF_ICMP_HEADER ? PLAIN_ICMP : NOT_PLAIN;
	return NOT_PLAIN;
}

/* Reads what only those steps ask for that no hot flow takes. */
INLINE void read_more(struct packet *p, const void *frame)
{
	const struct iphdr *ip = frame + sizeof(struct ethhdr);

	read_flow(p, frame);
	if (p->family == PF_FAMILY_V4) {
		/* By itself: whatever comes from it would wait for the source, too. */
		p->destination[0] = ip->daddr;
		p->address_hash = hash_ipv4(p->destination[0]);
	} else {
		p->destination[0] = p->addresses[1];
		p->destination[1] = p->addresses[3];
		p->address_hash = hash_ipv6(p->destination[0], p->destination[1]);
	}
}

#endif
