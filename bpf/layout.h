// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * Every struct and number that the program shares with user space: the single source of both sides.
 * src/dataplane/layout.gen.ts is generated from the BTF of what is compiled here. No padding, no bitfields, no
 * long: the build fails on a hole, and the generator checks again.
 *
 * Addresses are four big-endian words; an IPv4 address is in word 0 and the others are 0.
 */
#ifndef PILOTFISH_LAYOUT_H
#define PILOTFISH_LAYOUT_H

#include <linux/types.h>

/* Slots of a ring: prime, as Maglev needs it. */
enum pf_ring_size { PF_RING_SLOTS = 65537 };

enum pf_family { PF_FAMILY_NONE = 0, PF_FAMILY_V4 = 4, PF_FAMILY_V6 = 6 };

/*
 * Why a packet was passed, dropped or sent: one counter each. The names are public: metrics, trace and the
 * reference use them in lower case without the prefix. Add new ones before PF_REASON_COUNT.
 */
enum pf_reason {
	PF_NOT_IP = 0,	/* pass: neither IPv4 nor IPv6 */
	PF_UNREADABLE,	/* pass: too short or too strange to tell whether it is for a VIP */
	PF_NOT_VIP,	/* pass: no VIP with this address, protocol and port */
	PF_FRAGMENT,	/* drop: a fragment for a VIP's address */
	PF_IP_OPTIONS,	/* drop: IPv4 options on a packet for a VIP's address */
	PF_MALFORMED,	/* drop: lengths of a packet for a VIP's address contradict each other */
	PF_NO_REAL,	/* drop: the ring of the VIP's pool is empty */
	PF_NO_RING,	/* drop: the VIP's pool has no ring: a fault of the agent */
	PF_VOID_REAL,	/* drop: the ring names a real that is not there: a fault of the agent */
	PF_NO_GATEWAY,	/* drop: the next hop's MAC address is not known */
	PF_TOO_BIG,	/* drop: would exceed the MTU once encapsulated */
	PF_NO_HEADROOM, /* drop: the driver leaves no room for the outer header */
	PF_FORWARDED,	/* sent: encapsulated towards a real */
	PF_REASON_COUNT
};

/* Which protocols the VIPs of one address serve; a bit set in struct pf_address. */
enum pf_served { PF_SERVES_TCP = 1, PF_SERVES_UDP = 2 };

/* Key of the map vips. Port 0 stands for every port; an exact port wins. */
struct pf_vip_key {
	__be32 address[4];
	__be16 port;
	__u8 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	__u8 family;   /* enum pf_family */
};

struct pf_vip {
	__u32 number; /* index of its counters in vip_traffic */
	__u32 pool;   /* index of its pool's ring in rings */
};

/* Key of the map vip_addresses. */
struct pf_address_key {
	__be32 address[4];
	__u32 family; /* enum pf_family */
};

struct pf_address {
	__u32 protocols; /* enum pf_served, or-ed */
};

/*
 * A real, at its number in the map reals. Number 0 is never used: a ring slot of 0 says "no real". A number that
 * was given up has family PF_FAMILY_NONE and already the generation that its next user will have.
 */
struct pf_real {
	__be32 address[4];
	__u16 pool;
	__u8 family;
	__u8 generation;
};

/* One ring; the whole value of an inner map of rings. Slots hold numbers of reals, 0 for none. */
struct pf_ring {
	__u16 slot[PF_RING_SLOTS];
};

/*
 * One bucket of the flow cache, a cache line. An entry, from its low bits: 32 bits tag (low half of the flow
 * hash), 16 bits real number (0: empty), 8 bits generation of the real, 8 bits coarse time of last use.
 */
struct pf_flow_bucket {
	__u64 entry[8];
};

/* What is set before the program is loaded and never changes: the verifier removes what it switches off. */
struct pf_constants {
	__u64 layout_fingerprint; /* of this file, by the build; the agent loads no object with another one */
	__u32 flow_bucket_mask;	  /* buckets of one CPU's flow cache, less one; they are a power of two */
	__u32 tracing;		  /* 1: write a pf_decision for every packet */
};

/* What may change while the program runs and is no state of a VIP, pool or real. One entry, always there. */
struct pf_settings {
	__u64 hash_key[8];	  /* flow hash keys, derived from the seed; 1 to 7 are odd */
	__be32 outer_v4;	  /* prefix of the sources of outer IPv4 headers */
	__be32 outer_v4_host;	  /* mask of the bits of it that the flow hash fills */
	__be32 outer_v6[4];	  /* the same for IPv6 */
	__be32 outer_v6_host[2];  /* of the last two words: the hash has no more bits */
	__u32 mtu;		  /* largest IP packet, outer header included, that the link takes */
	__u8 gateway_mac[6];	  /* next hop; all zero: not known */
	__u8 own_mac[6];	  /* source of what is sent */
};

/* How the real of a packet was found. The names are public, as those of enum pf_reason. */
enum pf_path {
	PF_PATH_NONE = 0, /* no real was found */
	PF_PATH_CACHE,	  /* the flow cache remembered the flow */
	PF_PATH_RING,	  /* by the ring of the VIP's pool */
	PF_PATH_COUNT
};

/* What the program decided about the last packet; written only when it is loaded for tracing. */
struct pf_decision {
	__u32 reason; /* enum pf_reason */
	__u32 path;   /* enum pf_path */
	__u32 vip;    /* number; valid if found is not 0 */
	__u32 pool;   /* number; valid if found is not 0 */
	__u32 real;   /* number; valid if path is not PF_PATH_NONE */
	__u32 slot;   /* valid if path is PF_PATH_RING */
	__u32 found;  /* 1 if the packet is for a VIP, else 0 */
};

/* Traffic of a VIP or a real: IP packets as they came in, without the outer header. */
struct pf_traffic {
	__u64 packets;
	__u64 bytes;
};

_Static_assert(sizeof(struct pf_vip_key) == 20, "pf_vip_key");
_Static_assert(sizeof(struct pf_real) == 20, "pf_real");
_Static_assert(sizeof(struct pf_flow_bucket) == 64, "pf_flow_bucket");
_Static_assert(sizeof(struct pf_settings) == 112, "pf_settings");

#endif
