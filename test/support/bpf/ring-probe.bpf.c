// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * The program, and beside it one that reads a ring as a packet would, only at 4,096 slots: it tells whether what one
 * packet can see is ever of two generations. Slots of generation k all hold k.
 */
#include "pilotfish.bpf.c"

#define PROBED_SLOTS 4096
#define PROBED_STEP (PF_RING_SLOTS / PROBED_SLOTS)

enum probe_count { PROBE_RUNS = 0, PROBE_MIXED, PROBE_CHANGES, PROBE_LAST, PROBE_COUNT };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PROBE_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} probe SEC(".maps");

INLINE __u64 *probe_entry(__u32 index)
{
	return bpf_map_lookup_elem(&probe, &index);
}

SEC("xdp")
int ring_probe(struct xdp_md *ctx __attribute__((unused)))
{
	__u64 *runs = probe_entry(PROBE_RUNS), *mixed = probe_entry(PROBE_MIXED);
	__u64 *changes = probe_entry(PROBE_CHANGES), *last = probe_entry(PROBE_LAST);
	const volatile struct pf_ring *ring;
	__u32 pool = 0, first = 0, generation, differences = 0;
	void *map;

	map = bpf_map_lookup_elem(&rings, &pool);
	if (!map || !runs || !mixed || !changes || !last)
		return XDP_ABORTED;
	ring = bpf_map_lookup_elem(map, &first);
	if (!ring)
		return XDP_ABORTED;
	generation = ring->slot[0];
	for (__u32 i = 1; i < PROBED_SLOTS; i++)
		differences |= ring->slot[i * PROBED_STEP] ^ generation;
	(*runs)++;
	if (differences)
		(*mixed)++;
	if (generation != *last)
		(*changes)++;
	*last = generation;
	return XDP_PASS;
}
