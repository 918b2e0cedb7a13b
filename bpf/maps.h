// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * The maps, and the constants. Sizes given here are the smallest that load; the agent sets the real ones before it loads the object.
 */
#ifndef PILOTFISH_MAPS_H
#define PILOTFISH_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "layout.h"

/* First bytes of the SHA-256 of layout.h. */
#ifndef PF_LAYOUT_FINGERPRINT
#error "compile with -DPF_LAYOUT_FINGERPRINT, as the Makefile does"
#endif

const volatile struct pf_constants constants = {.layout_fingerprint = PF_LAYOUT_FINGERPRINT};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pf_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct pf_address_key);
	__type(value, struct pf_address);
} vip_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct pf_vip_key);
	__type(value, struct pf_vip);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pf_real);
} reals SEC(".maps");

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

/* Buckets of CPU 0, then those of CPU 1, and so on; see flow.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pf_flow_bucket);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PF_REASON_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} reasons SEC(".maps");

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
