// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * Puts a fresh frame before another XDP program, packet after packet, within one BPF_PROG_TEST_RUN: the kernel does not
 * restore the frame between rounds, so a program that encapsulates would see its own output from the second one on.
 *
 * WRAPPER_SECTION says which programs it can stand before: the kernel lets "xdp" and "xdp.frags" not call one another.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* What is restored: more than any program writes to without growing the frame. */
#define RESTORED_BYTES 64

/* Set before load, field by field as bench/packet/rig.ts writes it. Numbers are in host byte order. */
struct wrapper_settings {
	__u64 frame[RESTORED_BYTES / 8]; /* what every packet begins with */
	__u32 frame_bytes;		 /* length of the whole frame, at least RESTORED_BYTES */
	__u32 source_offset;		 /* of the last 4 bytes of the source address; all offsets are below RESTORED_BYTES */
	__u32 destination_offset;	 /* of the last 4 bytes of the destination address */
	__u32 port_offset;		 /* of the source port */
	__u32 id_offset;		 /* of the last byte of the server id; 0: there is none */
	__u32 source;			 /* of flow 0; the lowest 16 bits are 0 */
	__u32 destination;		 /* of VIP 0; the lowest bits, as many as vip_mask has, are 0 */
	__u32 port;			 /* of flow 0 */
	__u32 id;			 /* of flow 0 */
	__u32 flow_mask;		 /* flows less one; they are a power of two */
	__u32 vip_mask;			 /* VIPs less one; they are a power of two */
	__u32 id_mask;			 /* server ids less one; they are a power of two */
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

SEC(WRAPPER_SECTION)
int wrapper(struct xdp_md *ctx)
{
	__u32 first = 0, flow;
	__u64 *next = bpf_map_lookup_elem(&next_packet, &first), number;
	void *data, *data_end;
	int length = (int)(ctx->data_end - ctx->data);

	/* Else the compiler would add to a pointer in 32 bits first, which the verifier refuses. */
	asm volatile("" : "+r"(length));
	if (!next)
		return XDP_ABORTED;
	number = *next;
	flow = (__u32)number & settings.flow_mask;

	/* Also called when nothing is to be undone, so that it costs the same before every program. */
	if (bpf_xdp_adjust_head(ctx, length - (int)settings.frame_bytes))
		return XDP_ABORTED;
	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (data + RESTORED_BYTES > data_end)
		return XDP_ABORTED;
#pragma clang loop unroll(full)
	for (int i = 0; i < RESTORED_BYTES / 8; i++)
		((__u64 *)data)[i] = settings.frame[i];
	*(__be32 *)(data + settings.source_offset) = bpf_htonl(settings.source + (flow & 0xffff));
	*(__be32 *)(data + settings.destination_offset) = bpf_htonl(settings.destination + (flow & settings.vip_mask));
	*(__be16 *)(data + settings.port_offset) = bpf_htons((__u16)(settings.port + (flow >> 16)));
	if (settings.id_offset)
		*(__u8 *)(data + settings.id_offset) = (__u8)(settings.id + (flow & settings.id_mask));

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
SEC(WRAPPER_SECTION)
int stub(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_TX;
}

char bench_license[] SEC("license") = "Dual BSD/GPL";
