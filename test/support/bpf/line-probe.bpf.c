// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* Writes into each value of an array where in memory it is. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define VALUES 4

struct value {
	void *address;
	__u8 rest[248];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, VALUES);
	__type(key, __u32);
	__type(value, struct value);
} values SEC(".maps");

SEC("xdp")
int line_probe(struct xdp_md *ctx __attribute__((unused)))
{
#pragma clang loop unroll(full)
	for (int i = 0; i < VALUES; i++) {
		__u32 key = i;
		struct value *value = bpf_map_lookup_elem(&values, &key);

		if (value)
			value->address = value;
	}
	return XDP_PASS;
}

char line_probe_license[] SEC("license") = "Dual BSD/GPL";
