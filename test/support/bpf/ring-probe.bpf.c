// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * The program, and beside it one that looks at the ring of pool 0 as a packet would, only at 4,096 slots, and tells
 * whether what it saw was ever of two generations. Slots of generation k all hold k. One run takes many looks: with
 * short runs that the kernel repeats, rings would change only between its calls, which wait for the same grace periods; and a fast CPU is
 * through with one before the next ring is there.
 */
#include "pilotfish.bpf.c"

#define PROBED_SLOTS 4096
#define PROBED_STEP (PF_RING_SLOTS / PROBED_SLOTS)
#define LOOKS 8000

struct probe_counts {
	__u64 looks;
	__u64 mixed;   /* looks that saw slots of two generations */
	__u64 changes; /* looks that saw another generation than the one before them in the same run */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct probe_counts);
} probe SEC(".maps");

struct run {
	struct probe_counts *counts;
	__u32 last;
};

/* Rings are wide: in a narrow one, slots differ by what members say, of all of them at once. */
static __u32 generation_at(const volatile struct pf_ring *ring, __u32 slot)
{
	return ring->near[slot] | ring->far[slot] << 8;
}

static long look(__u32 index __attribute__((unused)), struct run *run)
{
	const volatile struct pf_ring *ring;
	__u32 pool = 0, first = 0, generation, differences = 0;
	void *map;

	map = bpf_map_lookup_elem(&rings, &pool);
	if (!map)
		return 1;
	ring = bpf_map_lookup_elem(map, &first);
	if (!ring)
		return 1;
	generation = generation_at(ring, 0);
	for (__u32 i = 1; i < PROBED_SLOTS; i++)
		differences |= generation_at(ring, i * PROBED_STEP) ^ generation;
	run->counts->looks++;
	if (differences)
		run->counts->mixed++;
	if (run->last && generation != run->last)
		run->counts->changes++;
	run->last = generation;
	return 0;
}

SEC("xdp")
int ring_probe(struct xdp_md *ctx __attribute__((unused)))
{
	__u32 first = 0;
	struct run run = {.counts = bpf_map_lookup_elem(&probe, &first)};

	if (!run.counts)
		return XDP_ABORTED;
	return bpf_loop(LOOKS, look, &run, 0) == LOOKS ? XDP_PASS : XDP_ABORTED;
}
