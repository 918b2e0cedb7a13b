// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * The program's steps on a frame that has 16 bytes of room in front, as with a driver that leaves little. A test run
 * gives 256, of which the kernel keeps 40 for its own struct xdp_frame.
 */
#include "pilotfish.bpf.c"

#define TEST_RUN_HEADROOM (256 - 40)
#define EATEN (TEST_RUN_HEADROOM - 16)
#define MOVED 64

SEC("xdp")
int tight_headroom(struct xdp_md *ctx)
{
	struct packet p = {};
	__u8 head[MOVED];

	if (bpf_xdp_load_bytes(ctx, 0, head, MOVED) || bpf_xdp_adjust_head(ctx, -EATEN) ||
	    bpf_xdp_store_bytes(ctx, 0, head, MOVED) || bpf_xdp_adjust_tail(ctx, -EATEN))
		return XDP_ABORTED;
	return count(&p, balance(ctx, &p));
}
