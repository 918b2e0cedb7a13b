// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * The least that can stand in for an LB: every TCP packet for 192.0.2.0/24 goes to the one real 10.77.11.2. It shares
 * no code with the real program, so that the lab can be tested without it.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define VIP_PREFIX 0xc0000200
#define VIP_MASK 0xffffff00
#define OUTER_SOURCE 0xac100001 /* 172.16.0.1 */
#define REAL 0x0a4d0b02

static __always_inline __u16 checksum(const struct iphdr *ip)
{
	const __u16 *half = (const __u16 *)ip;
	__u32 sum = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < (int)sizeof(*ip) / 2; i++)
		sum += half[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~((sum & 0xffff) + (sum >> 16));
}

SEC("xdp")
int encap(struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;
	struct iphdr *ip = (void *)(eth + 1);
	void *data_end = (void *)(long)ctx->data_end;
	struct ethhdr back;
	__u16 length;

	if ((void *)(ip + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != IPPROTO_TCP ||
	    (ip->daddr & bpf_htonl(VIP_MASK)) != bpf_htonl(VIP_PREFIX))
		return XDP_PASS;

	length = bpf_ntohs(ip->tot_len);
	__builtin_memcpy(back.h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(back.h_source, eth->h_dest, ETH_ALEN);
	back.h_proto = eth->h_proto;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*ip)))
		return XDP_ABORTED;

	eth = (void *)(long)ctx->data;
	ip = (void *)(eth + 1);
	data_end = (void *)(long)ctx->data_end;
	if ((void *)(ip + 1) > data_end)
		return XDP_ABORTED;
	*eth = back;
	__builtin_memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tot_len = bpf_htons(length + sizeof(*ip));
	ip->ttl = 64;
	ip->protocol = IPPROTO_IPIP;
	ip->saddr = bpf_htonl(OUTER_SOURCE);
	ip->daddr = bpf_htonl(REAL);
	ip->check = checksum(ip);
	return XDP_TX;
}

char lab_license[] SEC("license") = "Dual BSD/GPL";
