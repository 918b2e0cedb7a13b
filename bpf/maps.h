// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * The maps, and the constants. Sizes given here are the smallest that load; the agent sets the real ones before it loads the object.
 */
#ifndef PILOTFISH_MAPS_H
#define PILOTFISH_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "packet.h"

/* First bytes of the SHA-256 of layout.h. */
#ifndef PF_LAYOUT_FINGERPRINT
#error "compile with -DPF_LAYOUT_FINGERPRINT, as the Makefile does"
#endif

/* Those of a kernel with 250 ticks a second: whoever loads the object without the agent verifies all of it. */
const volatile struct pf_constants constants = {
	.layout_fingerprint = PF_LAYOUT_FINGERPRINT,
	.flow_buckets = 1,
	.tick_shift = 9,
	.window_shift = 8,
	.new_flows = 500000,
	.too_big_answers = 1000,
	.hot = 1,
};

/* Of an array's only value. On the stack it would have to be written before every look. */
#define ONLY_KEY ((const void *)&constants.only_key)

/*
 * Variables are arrays as well, whose memory the program has at hand: no call, no key on the stack that the look-up waits for, and
 * nothing that might be missing. Each has a section of its own, named after it. Their size is that of what is compiled here.
 */
struct pf_settings settings SEC(".data.settings") = {};

/*
 * The same number, but not to the verifier: it would follow every value that a field may have at this point through all
 * that comes later, one by one.
 */
INLINE __u32 veil(__u32 number)
{
	return number ^ settings.zero;
}

/*
 * Has the VIP this flag? What the compiler does not know is not told the verifier either: it would follow all that comes later by what a VIP asks
 * for, for every combination of it.
 */
INLINE __u32 asks_for(const struct packet *p, __u32 flag)
{
	__u32 asked = p->flags & flag;

	return __builtin_constant_p(asked) ? asked : veil(asked);
}

/* 1 if the number, of less than 64 bits, is 0, else 0. Without a branch: what no CPU can predict, and what the verifier should not follow both ways of. */
INLINE __u64 is_zero(__u64 number)
{
	__u64 is = (number - 1) >> 63;

	asm("" : "+r"(is));
	return is;
}

/* Which addresses may be a VIP's, by a bit of their hash: most packets for others need no more than this. */
struct pf_filter {
	__u64 word[PF_FILTER_WORDS];
};

struct pf_filter address_filter SEC(".data.address_filter") = {};

/* By number; as many as 16 bits can name, so that nobody has to ask. */
struct pf_real reals[PF_NUMBERS] SEC(".data.reals") = {};

/* Volatile, for it may change between any two reads. */
volatile struct pf_changes changes SEC(".data.changes") = {.count = 1};

/* BTF has of what an inner map or a block is full of nothing, unless something else has its type; user space needs all of it. */
struct pf_entry unused_entry __attribute__((unused));
struct pf_server_id unused_server_id __attribute__((unused));
struct pf_flow_bucket unused_bucket __attribute__((unused));
struct pf_ring *unused_ring __attribute__((unused)); /* too large for one to lie about */

/* Made anew for every change of the VIPs: a packet sees all of the old ones or all of the new. One value, as a ring is. */
struct pf_directory_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 3 * sizeof(struct pf_entry) + PF_LINE);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct pf_directory_map);
} directory SEC(".maps");

struct pf_server_id_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 3 * sizeof(struct pf_server_id) + PF_LINE);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct pf_server_id_map);
} server_ids SEC(".maps");

/* VIPs that are prefixes: the value is the number of the prefix. Client prefixes: the value is the pool's number. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pf_prefix_key);
	__type(value, __u32);
} prefixes SEC(".maps");

/* Made anew for every ring; one value so that both lookups are inlined, mappable so that it is filled by plain stores. */
struct pf_ring_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct pf_ring)); /* by size: BTF has only the name of what nothing else holds */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct pf_ring_map);
} rings SEC(".maps");

/* Where the value of an array has its first whole cache line. Values of more than a line have one to spare. */
INLINE void *at_line(void *value)
{
	return value + constants.to_line;
}

/* Buckets of CPU 0, then those of CPU 1, and so on; see flow.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pf_flow_block);
} flows SEC(".maps");

/* Words of CPU 0, then those of CPU 1, and so on, of each first TCP's and then the others'; see note.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} notes SEC(".maps");

/* Places of CPU 0, then those of CPU 1, and so on; see hot.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pf_hot_flow);
} hot_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pf_cpu_state);
} cpu_state SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pf_hits);
} vip_hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pf_traffic);
} vip_traffic SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pf_hits);
} real_hits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pf_traffic);
} real_traffic SEC(".maps");

/* One entry, mapped by whoever traces: reading it costs no call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct pf_decision);
} decisions SEC(".maps");

#endif
