// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* A map of every kind that the addon treats differently, and one tiny program for each thing a test wants to see. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define RING_SLOTS 65537
#define ABSENT 9999

const volatile __u32 answer = 7;
const volatile __u32 other = 8;

struct pair {
	__u32 a;
	__u16 b;
};

struct lpm_key {
	__u32 bits;
	__u8 address[4];
};

struct ring {
	__u16 slots[RING_SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, struct pair);
	__type(value, __u32);
} small_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 40000);
	__type(key, __u32);
	__type(value, __u32);
} big_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u32);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 20000);
	__type(key, __u32);
	__type(value, __u32);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 100);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct lpm_key);
	__type(value, __u32);
} prefixes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} jumps SEC(".maps");

struct ring_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct ring));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 64);
	__type(key, __u32);
	__array(values, struct ring_map);
} rings SEC(".maps");

/* The first byte of the frame. */
static __always_inline __u32 selector(struct xdp_md *ctx)
{
	const __u8 *data = (void *)(long)ctx->data;
	const void *end = (void *)(long)ctx->data_end;

	return (void *)(data + 1) > end ? 0 : *data;
}

SEC("xdp") int give_answer(struct xdp_md *ctx)
{
	return answer;
}

SEC("xdp") int give_cpu(struct xdp_md *ctx)
{
	return bpf_get_smp_processor_id();
}

SEC("xdp") int give_ifindex(struct xdp_md *ctx)
{
	return ctx->ingress_ifindex;
}

SEC("xdp") int give_number(struct xdp_md *ctx)
{
	__u32 key = selector(ctx);
	const __u32 *value = bpf_map_lookup_elem(&numbers, &key);

	return value ? *value : ABSENT;
}

SEC("xdp") int give_last_slot(struct xdp_md *ctx)
{
	__u32 key = selector(ctx), zero = 0;
	void *inner = bpf_map_lookup_elem(&rings, &key);
	const struct ring *ring = inner ? bpf_map_lookup_elem(inner, &zero) : 0;

	return ring ? ring->slots[RING_SLOTS - 1] : ABSENT;
}

SEC("xdp") int jump(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &jumps, selector(ctx));
	return ABSENT;
}

SEC("xdp") int count_and_drop(struct xdp_md *ctx)
{
	__u32 key = 0;
	__u32 *count = bpf_map_lookup_elem(&counters, &key);

	if (count)
		*count += 1;
	return XDP_DROP;
}

SEC("xdp") int pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp") int grow(struct xdp_md *ctx)
{
	return bpf_xdp_adjust_head(ctx, -20) ? XDP_ABORTED : XDP_TX;
}

/* Keys of the upper half come and go. */
SEC("xdp") int churn(struct xdp_md *ctx)
{
	__u32 key = bpf_get_prandom_u32() | 1u << 31, gone = bpf_get_prandom_u32() | 1u << 31;

	key &= 0x80000fff;
	gone &= 0x80000fff;
	bpf_map_update_elem(&big_hash, &key, &key, BPF_ANY);
	bpf_map_delete_elem(&big_hash, &gone);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
