// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* Passes everything: most drivers send redirected frames only while some XDP program is attached to their interface. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* It looks at no frame, so frames of any size will do: without .frags drivers refuse it beyond an MTU of about 3,500. */
SEC("xdp.frags")
int pilotfish_pass(struct xdp_md *ctx __attribute__((unused)))
{
	return XDP_PASS;
}

char pilotfish_pass_license[] SEC("license") = "Dual BSD/GPL";
