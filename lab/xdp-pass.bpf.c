// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* Does nothing. veth delivers frames of XDP_TX only to a peer that has an XDP program too. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

char lab_license[] SEC("license") = "Dual BSD/GPL";
