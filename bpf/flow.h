// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * flow: the flow cache. A set-associative table in a plain array: a packet touches one cache line, no lock is taken
 * and no memory is allocated. Every CPU has buckets of its own, and a CPU runs one packet at a time, so entries need
 * no atomics. An entry whose real has gone on to another generation is void.
 */
#ifndef PILOTFISH_FLOW_H
#define PILOTFISH_FLOW_H

#include "maps.h"
#include "packet.h"

#define PF_BUCKET_ENTRIES 8

/* A few hundred milliseconds to seconds a tick, by the kernel's HZ: only the order of two stamps matters. */
INLINE __u8 flow_time(void)
{
	return (__u8)(bpf_jiffies64() >> 8);
}

INLINE __u64 flow_entry(const struct packet *p, __u8 now)
{
	return (__u32)p->hash | (__u64)p->real_number << 32 | (__u64)p->real.generation << 48 | (__u64)now << 56;
}

INLINE __u32 entry_tag(__u64 entry)
{
	return (__u32)entry;
}

INLINE __u32 entry_real(__u64 entry)
{
	return (__u16)(entry >> 32);
}

INLINE __u8 entry_generation(__u64 entry)
{
	return (__u8)(entry >> 48);
}

INLINE __u8 entry_time(__u64 entry)
{
	return (__u8)(entry >> 56);
}

INLINE struct pf_flow_bucket *flow_bucket(const struct packet *p)
{
	__u32 index = bpf_get_smp_processor_id() * (constants.flow_bucket_mask + 1);

	index += (__u32)(p->hash >> 32) & constants.flow_bucket_mask;
	return bpf_map_lookup_elem(&flows, &index);
}

/* Sets the packet's real from the cache; 0 if the cache has none that still holds. */
INLINE int find_flow(struct packet *p, struct pf_flow_bucket *bucket)
{
	__u8 now = flow_time();

#pragma clang loop unroll(full)
	for (int i = 0; i < PF_BUCKET_ENTRIES; i++) {
		__u64 entry = bucket->entry[i];
		__u32 number = entry_real(entry);
		struct pf_real *real;

		if (entry_tag(entry) != (__u32)p->hash || !number)
			continue;
		real = bpf_map_lookup_elem(&reals, &number);
		if (!real || real->family == PF_FAMILY_NONE || real->generation != entry_generation(entry))
			continue;
		p->real_number = number;
		p->real = *real;
		p->path = PF_PATH_CACHE;
		if (entry_time(entry) != now)
			bucket->entry[i] = flow_entry(p, now);
		return 1;
	}
	return 0;
}

/* How gladly an entry is given up: its own flow's first, then an empty one, then the longest unused. */
INLINE __u32 eviction_rank(__u64 entry, __u32 tag, __u8 now)
{
	if (entry_tag(entry) == tag)
		return 512;
	if (!entry_real(entry))
		return 256;
	return (__u8)(now - entry_time(entry));
}

INLINE void remember_flow(const struct packet *p, struct pf_flow_bucket *bucket)
{
	__u8 now = flow_time();
	/* Among equals it is the hash that chooses: in a burst, all entries of a bucket are of one tick. */
	__u32 victim = (__u32)(p->hash >> 60), best = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < PF_BUCKET_ENTRIES; i++) {
		__u32 rank = eviction_rank(bucket->entry[i], (__u32)p->hash, now);

		if (rank > best) {
			best = rank;
			victim = i;
		}
	}
	bucket->entry[victim & (PF_BUCKET_ENTRIES - 1)] = flow_entry(p, now);
}

#endif
