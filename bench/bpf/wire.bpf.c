// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * What stands around the program under test when it is attached to one end of a veth: a source of frames at the other
 * end and a sink for what comes back there, and the two simplest programs that can be in its place.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define FRAME_BYTES 64
#define SOURCE_OFFSET (ETH_HLEN + 12) /* of the source address in IPv4 */
#define PORT_OFFSET (ETH_HLEN + 20)   /* of the source port, behind an IPv4 header without options */
#define IPIP_BYTES 20
#define GUE_BYTES 28

/* Set before load, field by field as bench/wire/programs.ts writes them. Numbers are in host byte order. */
struct wire_settings {
	__u64 frame[FRAME_BYTES / 8]; /* what every frame is but for the source */
	__u64 ipip[5];		      /* Ethernet and outer header of bare_ipip: 34 bytes of it */
	__u64 gue[6];		      /* the same of bare_gue: 42 bytes */
	__u32 flows;		      /* they take turns */
	__u32 source;		      /* IPv4 address of flow 0; the lowest 16 bits are 0 */
	__u32 port;		      /* source port of flow 0 */
	__u32 spare;
};
const volatile struct wire_settings settings = {};

/* Number of the next frame, so that a run begins where the one before ended. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} next_frame SEC(".maps");

struct arrived {
	__u64 frames;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct arrived);
} arrived SEC(".maps");

/* For live frames: their pages are used again and again, and hold what the programs made of them the last time. */
SEC("xdp")
int source(struct xdp_md *ctx)
{
	__u64 *frame = (void *)(long)ctx->data, *next;
	__u32 first = 0, flow;

	next = bpf_map_lookup_elem(&next_frame, &first);
	if (!next || (void *)frame + FRAME_BYTES > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	flow = (__u32)((*next)++ % settings.flows);
#pragma clang loop unroll(full)
	for (int i = 0; i < FRAME_BYTES / 8; i++)
		frame[i] = settings.frame[i];
	*(__be32 *)((void *)frame + SOURCE_OFFSET) = bpf_htonl(settings.source + (flow & 0xffff));
	*(__be16 *)((void *)frame + PORT_OFFSET) = bpf_htons((__u16)(settings.port + (flow >> 16)));
	return XDP_TX;
}

SEC("xdp")
int sink(struct xdp_md *ctx)
{
	__u32 first = 0;
	struct arrived *a = bpf_map_lookup_elem(&arrived, &first);

	if (a) {
		a->frames++;
		a->bytes += ctx->data_end - ctx->data;
	}
	return XDP_DROP;
}

SEC("xdp")
int drop(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_DROP;
}

/* Encapsulation and nothing else: whatever comes goes to the same place, in a header that was made before. */
static __always_inline int encapsulate(struct xdp_md *ctx, const volatile __u64 *header, int bytes)
{
	const int words = (ETH_HLEN + bytes) / 8;
	__u64 *frame;

	if (bpf_xdp_adjust_head(ctx, -bytes))
		return XDP_ABORTED;
	frame = (void *)(long)ctx->data;
	if ((void *)frame + ETH_HLEN + bytes > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
#pragma clang loop unroll(full)
	for (int i = 0; i < words; i++)
		frame[i] = header[i];
	*(__u16 *)(frame + words) = (__u16)header[words];
	return XDP_TX;
}

SEC("xdp")
int bare_ipip(struct xdp_md *ctx)
{
	return encapsulate(ctx, settings.ipip, IPIP_BYTES);
}

SEC("xdp")
int bare_gue(struct xdp_md *ctx)
{
	return encapsulate(ctx, settings.gue, GUE_BYTES);
}

char bench_license[] SEC("license") = "Dual BSD/GPL";
