// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* directory: what a destination is looked up in. docs/decisions/0005-directory.md describes it. */
#ifndef PILOTFISH_DIRECTORY_H
#define PILOTFISH_DIRECTORY_H

#include <bpf/bpf_endian.h>
#include "maps.h"
#include "packet.h"

#define PF_MIX_1 0x9e3779b97f4a7c15ULL
#define PF_MIX_2 0xc2b2ae3d27d4eb4fULL
#define PF_MIX_3 0x165667b19e3779f9ULL

/* The upper half of a product is where all bits of its factor have come together. */
INLINE __u64 fold_hash(__u64 products)
{
	return products ^ (products >> 32);
}

/*
 * Hashes of addresses, to be folded. As numbers, for what differs in a network is then in the lower bits, which a multiplication spreads over
 * all above. One multiplication deep: everything that comes from a destination waits for it.
 */
INLINE __u64 hash_ipv4(__be32 address)
{
	return bpf_ntohl(address) * PF_MIX_1;
}

INLINE __u64 hash_ipv6(__u64 first, __u64 last)
{
	return bpf_be64_to_cpu(first) * PF_MIX_1 ^ bpf_be64_to_cpu(last) * PF_MIX_2;
}

/* 0: certainly not the address of a VIP or a tunnel. */
INLINE int may_be_ours(__u64 address_hash)
{
	__u32 bit = (__u32)fold_hash(address_hash) >> 16;

	return (address_filter.word[bit >> 6] >> (bit & 63)) & 1;
}

/*
 * Where most keys of a table are: at the place that their hash says, so that a packet waits for one load. By its highest bits, or keys that are
 * numbered on would crowd. A table begins with two numbers: how many places it uses, less one, for what is close together stays in the
 * nearest caches, and by how many bits a hash is shifted to one of so many.
 */
INLINE __u32 first_place(const void *table, __u64 hash)
{
	return hash >> ((const __u32 *)table)[1];
}

/*
 * Where the others are, whose first places are those of other keys: by a perfect hash, with the displacements of all homes behind the
 * entries. most: places that the map has room for, less one; size: of an entry in bytes, and of what comes before the first one.
 */
INLINE __u32 other_place(const void *table, __u64 hash, __u32 most, __u32 size)
{
	__u32 mask = *(const __u32 *)table & most;
	const __u16 *displacements = table + (mask + 2) * size;
	__u32 displacement = displacements[(hash >> 40) & (mask / PF_PLACES_PER_HOME)];

	return ((__u32)hash + displacement * (__u32)(hash >> 32)) >> 16 & mask;
}

/* The entry of a place. Whichever place that is, the verifier knows the same of it: else it would follow each through all that comes later. */
INLINE const void *table_entry(const void *table, __u32 place, __u32 most, __u32 size)
{
	const void *entry = table + size + (place & most) * size;

	/* Or else the compiler would compare one and compute it anew for whoever goes on with it. */
	asm volatile("" : "+r"(entry));
	return entry;
}

/* The table in force: the one value of the one inner map. */
INLINE const void *table_in_force(void *outer)
{
	void *inner = bpf_map_lookup_elem(outer, ONLY_KEY), *table = inner ? bpf_map_lookup_elem(inner, ONLY_KEY) : 0;

	return table ? at_line(table) : 0;
}

/* The last four bytes of a struct pf_key as one number. */
INLINE __u32 key_tail(__be16 port, __u8 protocol, __u8 family)
{
	return port | (__u32)protocol << 16 | (__u32)family << 24;
}

INLINE const struct pf_entry *vip_at(const void *table, __u32 place)
{
	return table_entry(table, place, constants.directory_mask, sizeof(struct pf_entry));
}

/* Is it the entry of this key? tail: the key's last four bytes. */
INLINE int is_entry_of(const struct pf_entry *entry, __u64 low, __u64 high, __u32 tail)
{
	const __u64 *words = (const __u64 *)&entry->key;

	return words[0] == low && words[1] == high && (__u32)words[2] == tail;
}

/* The longest prefix in a scope that an address is in: its value, or -1. */
APART __s64 find_prefix(__u32 scope, __u32 family, __u64 low, __u64 high)
{
	struct pf_prefix_key key = {.length = family == PF_FAMILY_V4 ? 64 : 160, .scope = scope};
	const __u32 *value;

	__builtin_memcpy(key.address, &low, sizeof(low));
	__builtin_memcpy(key.address + 2, &high, sizeof(high));
	value = bpf_map_lookup_elem(&prefixes, &key);
	return value ? (__s64)*value : -1;
}

INLINE __u64 hash_of_key(__u64 address_hash, __u32 tail)
{
	return fold_hash(address_hash ^ tail * PF_MIX_3);
}

/* No place: a key is not in the table. */
#define PF_NOWHERE 0xffffffffu

INLINE __u32 find_key(const void *table, __u64 low, __u64 high, __u64 address_hash, __u32 tail)
{
	__u64 hash = hash_of_key(address_hash, tail);
	__u32 place = first_place(table, hash);

	if (is_entry_of(vip_at(table, place), low, high, tail))
		return place;
	place = other_place(table, hash, constants.directory_mask, sizeof(struct pf_entry));
	return is_entry_of(vip_at(table, place), low, high, tail) ? place : PF_NOWHERE;
}

/* The place of the port, or else that of the address and protocol as a whole. */
INLINE __u32 find_port(const void *table, __u64 low, __u64 high, __u64 address_hash, __u32 tail)
{
	__u32 place = find_key(table, low, high, address_hash, tail);

	return place != PF_NOWHERE ? place : find_key(table, low, high, address_hash, tail & ~0xffffu);
}

/*
 * The place of a destination whose port has no entry: that of the address and protocol as a whole, or else what the longest prefix has that it
 * is in. An address that has entries of its own has those that it inherits among them. Not APART, for the table is that of the caller: another
 * one might be in force already.
 */
static __attribute__((noinline)) __u32 find_anywhere(const void *table, __u64 low, __u64 high, __u64 address_hash, __u32 tail)
{
	__u32 family = tail >> 24, scope = family == PF_FAMILY_V4 ? PF_SCOPE_VIPS_V4 : PF_SCOPE_VIPS_V6;
	__u32 place = find_key(table, low, high, address_hash, tail & ~0xffffu);
	__s64 found;

	if (place != PF_NOWHERE)
		return place;
	found = find_prefix(scope, family, low, high);
	if (found < 0)
		return PF_NOWHERE;
	return find_port(table, found, 0, hash_ipv4(found), (tail & 0xffffff) | PF_FAMILY_PREFIX << 24);
}

/*
 * Finds the entry of a destination that the filter has; 0 if it has none. Most are VIPs of their own with an exact port, at their first place. Whether that is
 * so is a branch: the CPU guesses it, and goes on with what is there.
 */
INLINE int find_destination(__u64 low, __u64 high, __u64 address_hash, __u32 tail, const struct pf_entry **entry)
{
	const void *table = table_in_force(&directory);
	__u64 hash = hash_of_key(address_hash, tail);
	__u32 place;

	if (!table)
		return 0;
	*entry = vip_at(table, first_place(table, hash));
	if (likely(is_entry_of(*entry, low, high, tail)))
		return 1;
	*entry = vip_at(table, other_place(table, hash, constants.directory_mask, sizeof(struct pf_entry)));
	if (likely(is_entry_of(*entry, low, high, tail)))
		return 1;
	place = find_anywhere(table, low, high, address_hash, tail);
	if (place == PF_NOWHERE)
		return 0;
	*entry = vip_at(table, place);
	return 1;
}

#endif
