// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * The program on a frame that has 16 bytes of room in front, as with a driver that leaves little. A test run gives 256,
 * of which the kernel keeps 40 for its own struct xdp_frame.
 */
#define PF_TRACING 1
#include "pilotfish.bpf.c"

#define TEST_RUN_HEADROOM (256 - 40)
#define EATEN (TEST_RUN_HEADROOM - 16)
#define MOVED 64

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct xdp_md *));
} next SEC(".maps") = {
	.values = {[0] = (void *)&pilotfish},
};

SEC("xdp")
int tight_headroom(struct xdp_md *ctx)
{
	__u8 head[MOVED];

	if (bpf_xdp_load_bytes(ctx, 0, head, MOVED) || bpf_xdp_adjust_head(ctx, -EATEN) ||
	    bpf_xdp_store_bytes(ctx, 0, head, MOVED) || bpf_xdp_adjust_tail(ctx, -EATEN))
		return XDP_ABORTED;
	bpf_tail_call(ctx, &next, 0);
	return XDP_ABORTED;
}
