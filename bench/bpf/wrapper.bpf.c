// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * Puts a fresh frame before another XDP program, packet after packet, within one BPF_PROG_TEST_RUN: the kernel does not
 * restore the frame between rounds, so a program that encapsulates would see its own output from the second one on.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAME_BYTES 64
#define SOURCE_ADDRESS 26 /* offsets in an Ethernet frame with an IPv4 header without options */
#define DESTINATION_ADDRESS 30
#define SOURCE_PORT 34

/* Set before load, field by field as bench/packet/rig.ts writes it. Numbers are in host byte order. */
struct wrapper_settings {
	__u64 frame[FRAME_BYTES / 8]; /* what every packet begins as */
	__u32 source_address;	      /* of flow 0; the lowest 16 bits are 0 */
	__u32 destination_address;    /* of VIP 0; the lowest bits, as many as vip_mask has, are 0 */
	__u32 source_port;	      /* of flow 0 */
	__u32 flow_mask;	      /* flows less one; they are a power of two */
	__u32 vip_mask;		      /* VIPs less one; they are a power of two */
	__u32 unused;
};
const volatile struct wrapper_settings settings = {};

/* Number of the next packet. User space sets it, so that two programs get the same packets. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} next_packet SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} subject SEC(".maps");

SEC("xdp")
int wrapper(struct xdp_md *ctx)
{
	__u32 first = 0, flow;
	__u64 *next = bpf_map_lookup_elem(&next_packet, &first), number;
	void *data, *data_end;

	if (!next)
		return XDP_ABORTED;
	number = *next;
	flow = (__u32)number & settings.flow_mask;

	/* Also called when nothing is to be undone, so that it costs the same before every program. */
	if (bpf_xdp_adjust_head(ctx, (int)(ctx->data_end - ctx->data) - FRAME_BYTES))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + FRAME_BYTES > data_end)
		return XDP_ABORTED;
#pragma clang loop unroll(full)
	for (int i = 0; i < FRAME_BYTES / 8; i++)
		((__u64 *)data)[i] = settings.frame[i];
	*(__be32 *)(data + SOURCE_ADDRESS) = bpf_htonl(settings.source_address + (flow & 0xffff));
	*(__be32 *)(data + DESTINATION_ADDRESS) = bpf_htonl(settings.destination_address + (flow & settings.vip_mask));
	*(__be16 *)(data + SOURCE_PORT) = bpf_htons((__u16)(settings.source_port + (flow >> 16)));

	/*
	 * A full barrier too: what was just written is in the cache before the program reads it, as a frame from a NIC
	 * is. Without it the program would pay for loads that overlap stores still on their way, and the stub would not.
	 */
	if (__sync_fetch_and_add(next, 1) != number)
		return XDP_ABORTED;
	bpf_tail_call(ctx, &subject, 0);
	return XDP_ABORTED;
}

/* What every program costs that is reached this way and answers. */
SEC("xdp")
int stub(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_TX;
}

char bench_license[] SEC("license") = "Dual BSD/GPL";
