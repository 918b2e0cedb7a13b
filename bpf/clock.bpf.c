// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* Tells the kernel's clock by test runs: how long its ticks are has to be known before the real program is loaded. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int pilotfish_clock(struct xdp_md *ctx __attribute__((unused)))
{
	return (int)bpf_jiffies64();
}

char pilotfish_clock_license[] SEC("license") = "Dual BSD/GPL";
