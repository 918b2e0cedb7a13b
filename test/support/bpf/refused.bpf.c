// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* Reads the frame without comparing with its end first, which no verifier lets pass. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp") int unchecked(struct xdp_md *ctx)
{
	const __u8 *data = (void *)(long)ctx->data;

	return data[13];
}

char _license[] SEC("license") = "Dual BSD/GPL";
