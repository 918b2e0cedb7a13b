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

/* Words of 64 bits in the address filter: 16 bits of a hash name one bit of it. */
enum pf_filter_size { PF_FILTER_WORDS = 1024 };

/* VIPs, pools and reals each have numbers of 16 bits. Those of reals begin with a 0: a slot of a ring has room for 15. */
enum pf_numbers { PF_NUMBERS = 65536, PF_REAL_NUMBERS = 32768 };

/* PF_FAMILY_PREFIX: word 0 of the address is the number of a VIP's prefix, as the map prefixes has it. */
enum pf_family { PF_FAMILY_NONE = 0, PF_FAMILY_PREFIX = 1, PF_FAMILY_V4 = 4, PF_FAMILY_V6 = 6 };

/*
 * Why a packet was passed, dropped or sent: one counter each. The names are public: metrics, trace and the
 * reference use them in lower case without the prefix. Passing ones first, then dropping ones, then sending ones.
 */
enum pf_reason {
	PF_NOT_IP = 0,	/* pass: neither IPv4 nor IPv6 */
	PF_UNREADABLE,	/* pass: too short or too strange to tell whether it is for a VIP */
	PF_NOT_VIP,	/* pass: no VIP with this address, protocol and port */
	PF_ICMP_OTHER,	/* pass: ICMP to a VIP's address, but no echo to answer and no error about a VIP's flow */
	PF_LOCAL_REAL,	/* pass: the real is this host */
	PF_FRAGMENT,	/* drop: a fragment for a VIP that takes none */
	PF_IP_OPTIONS,	/* drop: IPv4 options on a packet for a VIP's address */
	PF_MALFORMED,	/* drop: lengths of a packet for a VIP's address contradict each other */
	PF_NO_REAL,	/* drop: the ring of the pool is empty */
	PF_NO_RING,	/* drop: the pool has no ring: a fault of the agent */
	PF_VOID_REAL,	/* drop: the ring names a real that is not there: a fault of the agent */
	PF_NO_GATEWAY,	/* drop: the next hop's MAC address is not known */
	PF_NO_NEIGHBOUR, /* drop: the MAC address of a real with encap l2 is not known */
	PF_TOO_BIG,	/* drop: would exceed the MTU once encapsulated, and nobody is told */
	PF_TOO_BIG_LIMITED, /* drop: the same, and the sender is not told because of the rate limit */
	PF_NO_HEADROOM, /* drop: the driver leaves no room for the outer header */
	PF_NESTED,	/* drop: a tunnel to this host inside a tunnel to this host */
	PF_EXPIRED,	/* drop: it came in a tunnel whose packet had no hops left to go on */
	PF_FORWARDED,	/* sent: to a real */
	PF_ECHO_ANSWERED, /* sent: an echo reply, back to where the request came from */
	PF_TOO_BIG_ANSWERED, /* sent: fragmentation needed or packet too big, back to the sender */
	PF_REASON_COUNT
};

/* What happened to packets on their way; none of it decides what becomes of them. One counter each. */
enum pf_event {
	PF_EVENT_UNKNOWN_ID = 0, /* the packet carries the id of no real of its VIP; the next rule decided */
	PF_EVENT_FLOOD,		 /* too many new flows on this CPU: the flow was not written to the flow cache */
	PF_EVENT_OPENED,	 /* a tunnel packet to this host was opened, and what was in it treated */
	PF_EVENT_COUNT
};

/* What a VIP, or an address, asks for beyond the plain way; or-ed in pf_entry.flags. */
enum pf_flag {
	PF_VIP = 1 << 0,	 /* it is a VIP, with port 0 for every port, and not only the sign that its address has one */
	PF_HASH_SOURCE = 1 << 1, /* the ring slot is chosen by the source address alone */
	PF_HASH_PORT = 1 << 2,	 /* the ring slot is chosen by the destination port alone */
	PF_PAIR = 1 << 3,	 /* a flow is a pair of addresses */
	PF_NO_CACHE = 1 << 4,	 /* the flow cache is neither read nor written */
	PF_QUIC = 1 << 5,	 /* UDP may carry a server id in a QUIC connection id */
	PF_QUIC_LB = 1 << 6,	 /* the same, by the draft's plaintext form */
	PF_TCP_ID = 1 << 7,	 /* TCP may carry a server id in an option */
	PF_UDP_STABLE = 1 << 8,	 /* UDP may start with a stable routing id */
	PF_CLIENTS = 1 << 9,	 /* the source may choose another pool */
	PF_ECHO = 1 << 10,	 /* of an entry for ICMP: echo requests are answered */
	PF_OPEN = 1 << 11,	 /* a tunnel that ends here */
	PF_FRAGMENTS = 1 << 12,	 /* of an entry with port 0: fragments are taken, its VIP being the only one here */
	PF_OWN = 1 << 13	 /* of this host or its gateway: no VIP's address, although the prefix of one has it */
};

/*
 * What a packet's destination is compared with. Port 0 stands for the address and protocol as a whole. Protocols are
 * IANA's; ICMP and ICMPv6 stand for "some VIP has this address", 4 and 41 for a tunnel that ends here.
 */
struct pf_key {
	__be32 address[4];
	__be16 port;
	__u8 protocol;
	__u8 family; /* enum pf_family; PF_FAMILY_NONE in an empty entry */
};

/*
 * One entry of the directory, of which an inner map of the map directory is full, from byte pf_constants.to_line on. Most are at the place that their
 * hash says, the others where a displacement says (docs/decisions/0005-directory.md): before them, in as many bytes as one has, come the number
 * of places in use, less one, and by how many bits a hash is shifted to its first place; after them, the displacements of all homes.
 */
struct pf_entry {
	struct pf_key key;
	__u16 number;	    /* of the VIP: index of its counters in vip_hits and vip_traffic */
	__u16 pool;	    /* index of its pool's ring in rings */
	__u16 flags;	    /* enum pf_flag */
	__u16 udp_timeout;  /* of a UDP flow's entry in the flow cache, in ticks */
	__u16 clients;	    /* scope of its client prefixes in the map prefixes; with PF_CLIENTS */
	__u16 spare;
};

enum pf_homes { PF_PLACES_PER_HOME = 8 };

/* Which real an id carried in packets names, for the VIPs of one pool. Found as struct pf_entry is. */
struct pf_server_id {
	__u32 id;
	__u16 pool;
	__u16 real; /* number; 0: an empty entry */
	__u32 spare[2];
};

/* Key of the map prefixes. Scopes: 0 VIPs' IPv4 prefixes, 1 VIPs' IPv6 prefixes, others of VIPs' clients. */
struct pf_prefix_key {
	__u32 length; /* bits that count, those 32 of the scope included */
	__u32 scope;
	__be32 address[4];
};

enum pf_scope { PF_SCOPE_VIPS_V4 = 0, PF_SCOPE_VIPS_V6 = 1, PF_SCOPE_CLIENTS = 2 };

/* How packets get to a real: those with an outer header first. */
enum pf_encap { PF_ENCAP_NONE = 0, PF_ENCAP_IPIP, PF_ENCAP_GUE, PF_ENCAP_L2, PF_ENCAP_LOCAL };

/*
 * A real, at its number in the variable reals. Number 0 is never used: a ring slot of 0 says "no real". A number that
 * was given up has encap PF_ENCAP_NONE and already the generation that its next user will have.
 */
struct pf_real {
	__be32 address[4];
	__u16 pool;
	__u8 family; /* enum pf_family */
	__u8 generation; /* below 128 */
	__u8 encap;	   /* enum pf_encap */
	__u8 gue_checksum; /* 1: the outer UDP header has a checksum */
	__be16 gue_port;
	__u8 mac[6]; /* with encap l2; all zero: not known */
	__be16 address_sum; /* of the address, in one's complement (RFC 1071) */
};

/* 64-bit words with a bit for each slot: slot 0 is the lowest bit of the first. */
enum pf_slot_words { PF_SLOT_WORDS = (PF_RING_SLOTS + 63) / 64 };

/* So many reals, and "none" counts as one, share three bits of each slot, or a byte. */
enum pf_ring_members { PF_RING_FEW = 8, PF_RING_MEMBERS = 256 };

/* Bits of a slot of a ring of a few reals. */
enum pf_few { PF_FEW_BITS = 3 };

/*
 * One ring; the whole value of an inner map of rings. Of three kinds, by how many reals it has, so that of each as much as can be is near. Of a few:
 * slot n is PF_FEW_BITS bits of near from bit PF_FEW_BITS times n on, the lowest bit of the first byte being bit 0, and they are a place in few. Of more: each
 * slot has a byte, a place in members. Of more than members has places, the wide ones: members are their own places, and PF_RING_MEMBERS
 * times the slot's byte of far is added, of which else only the first byte is looked at, and is 0. What few and members have is the number of the real, or
 * 0 for none. What all packets look at but their slot comes first, on one line.
 *
 * A slot is settled unless its bit of unsettled is set: then the flow cache may have flows of it at other reals. User space sets the bit before that
 * can be so. The program sets the bit in strays when it meets such a flow, and user space takes it back; docs/decisions/0010-settled-slots.md.
 */
struct pf_ring {
	__u64 is_small; /* 1: of a few reals; else 0 */
	__u64 far_mask; /* of the slot whose byte of far counts: all bits in a wide ring, else 0 */
	__u64 unsettled_mask; /* of the word of unsettled that counts: 0 while all slots are settled, else all bits */
	__u16 few[PF_RING_FEW];
	__u64 unsettled[1 + PF_SLOT_WORDS]; /* the first word is always 0 */
	__u64 strays[PF_SLOT_WORDS];
	__u16 members[PF_RING_MEMBERS];
	__u8 near[PF_RING_SLOTS];
	__u8 far[PF_RING_SLOTS];
	__u8 spare[6];
};

/* Bytes of a cache line. */
enum pf_line { PF_LINE = 64 };

/*
 * One bucket of the flow cache, a cache line. An entry, from its low bits: 31 bits tag (of the flow hash), 10 bits
 * time of last use in ticks, 16 bits real number (0: empty), 7 bits generation of the real.
 */
struct pf_flow_bucket {
	__u64 entry[8];
};

enum pf_block { PF_BLOCK_BUCKETS = 256 };

/*
 * So many buckets, from byte pf_constants.to_line on. The kernel has the values of an array begin anywhere in a cache line, and
 * bucket by bucket each would lie in two.
 */
struct pf_flow_block {
	__u8 bytes[PF_BLOCK_BUCKETS * sizeof(struct pf_flow_bucket) + PF_LINE];
};

/* What is known of a hot flow: how its real was found, and what its outer header is; or-ed in pf_hot_flow.kind. */
enum pf_hot_kind {
	PF_HOT_OVER_V6 = 1 << 0,  /* the outer header is IPv6's */
	PF_HOT_GUE = 1 << 1,	  /* and GUE's follows it */
	PF_HOT_CHECKSUM = 1 << 2, /* which has a checksum */
	PF_HOT_CACHED = 1 << 3,	  /* by the flow cache */
	PF_HOT_BY_ID = 1 << 4,	  /* by a QUIC connection id */
	PF_HOT_BY_RING = 1 << 5,  /* by a ring, for the VIP has no flow cache */
	PF_HOT_UDP = 1 << 6	  /* there is more to compare than the key */
};

/* Places of one CPU for hot flows, a power of two. */
enum pf_hot_places { PF_HOT_PLACES = 4096 };

/*
 * A flow whose outer header is ready, at a place that its hash says. It holds for the packets of one tick, and until anything in the
 * maps changes. rest, from its low bits: 32 bits ports as in the packet, 8 protocol, 8 family. moment: 32 bits pf_changes.count,
 * which is never 0, and 32 bits of the tick.
 */
struct pf_hot_flow {
	/* First, for values that begin 8 bytes before a cache line, as those of Linux 6.18 do: then all others look at two lines and not three. */
	__u64 cid; /* of QUIC, by which the real was found: its first eight bytes */
	__u64 addresses[4]; /* those of the packet, source and destination in turns by 8 bytes; IPv4: both in the first */
	__u64 rest;
	__u64 moment;
	__u16 vip;	 /* number */
	__u16 real;	 /* number */
	__u16 room;	 /* length of the longest packet that fits */
	__u8 kind;	 /* enum pf_hot_kind */
	__u8 use;	 /* of the flow cache: enum pf_use */
	__u8 header[62]; /* of the frame: Ethernet, IP, UDP; for checksums the sums of what does not vary */
	__u8 spare_2[2];
};

/* Written by user space. count goes up after every change of a map but for which slots are settled, and is never 0. */
struct pf_changes {
	__u32 count;
};

/* What is set before the program is loaded and never changes: the verifier removes what it switches off. */
struct pf_constants {
	__u64 layout_fingerprint; /* of this file, by the build; the agent loads no object with another one */
	__u32 flow_buckets;	  /* of one CPU's flow cache */
	__u32 directory_mask;	  /* places that a directory has room for, less one; a power of two, 65,536 at most */
	__u32 server_id_mask;	  /* the same of a table of server ids */
	__u32 egress;		  /* index of the interface that packets to reals leave by; 0: the one they came in by */
	__u32 tick_shift;	  /* a tick of the flow cache is 2^this jiffies, about two seconds */
	__u32 window_shift;	  /* the rates below are by this many jiffies, as a power of two: about a second */
	__u32 new_flows;	  /* per window and CPU: beyond it, the flow cache is read and not written */
	__u32 too_big_answers;	  /* per window and CPU */
	__u32 hot;		  /* 1: flows may be hot */
	__u32 to_line;		  /* bytes from the start of an array's value to that of a cache line; below PF_LINE */
	__u32 note_mask;	  /* words of one CPU for notes of a kind of flows, less one; a power of two, 65,536 at most */
	__u32 only_key;		  /* 0: the key of an array's only value, which has to lie somewhere when it is looked up */
};

/* What may change while the program runs and is no state of a VIP, pool or real. A variable. */
struct pf_settings {
	__u64 hash_key[8];	  /* flow hash keys, derived from the seed; 1 to 7 are odd */
	__be32 outer_v4;	  /* prefix of the sources of outer IPv4 headers */
	__be32 outer_v4_host;	  /* mask of the bits of it that the flow hash fills */
	__be32 outer_v6[4];	  /* the same for IPv6 */
	__be32 outer_v6_host[2];  /* of the last two words: the hash has no more bits */
	__u8 gateway_mac[6];	  /* next hop; all zero: not known. Within one word, so that it is written at once */
	__u8 own_mac[6];	  /* source of what is sent */
	__u32 mtu;		  /* largest IP packet, outer header included, that the link takes */
	__u32 room;		  /* mtu, or 0 while the next hop is not known: one question for both. Last to grow, first to shrink */
	__u32 zero;		  /* always 0, which the verifier does not know */
};

/* Ticks that a note holds for, from a multiple of them on, unless new flows are many; a power of two. */
enum pf_note_ticks { PF_NOTE_TICKS = 4 };

/* What one CPU has done in the current window; see pf_constants. */
struct pf_budget {
	__u64 flow_window;    /* which window new_flows counts in */
	__u64 too_big_window; /* the same for too_big_answers */
	__u64 many_flows;     /* in PF_NOTE_TICKS ticks: when in one window more flows were new than a 64th of the flow cache's entries */
	__u32 new_flows;
	__u32 too_big_answers;
};

/* What one CPU has of its own, all in one place: to find it costs a packet more than to use it. */
struct pf_cpu_state {
	__u64 reasons[PF_REASON_COUNT]; /* packets by enum pf_reason */
	__u64 events[PF_EVENT_COUNT];	/* by enum pf_event */
	struct pf_budget budget;
	__u64 in_vain; /* plain packets since the last one of a hot flow */
	/*
	 * By place for hot flows whose it is: from its low bits, 16 bits tag of the flow that is hot there, and 16 bits stamp of the moment
	 * until which the place is its. Apart from the flows themselves, so that packets of others look at nothing that is not in
	 * the nearest cache.
	 */
	__u32 owners[PF_HOT_PLACES];
};

/* How the real of a packet was found. The names are public, as those of enum pf_reason. */
enum pf_path {
	PF_PATH_NONE = 0, /* no real was found */
	PF_PATH_CACHE,	  /* the flow cache remembered the flow */
	PF_PATH_RING,	  /* by the ring of the VIP's pool */
	PF_PATH_QUIC,	  /* by the server id in a QUIC connection id */
	PF_PATH_OPTION,	  /* by the server id in a TCP option */
	PF_PATH_STABLE,	  /* by the stable routing id of a UDP payload */
	PF_PATH_PREFIX,	  /* by the ring of the pool that the client's prefix names */
	PF_PATH_ICMP,	  /* an ICMP error, to the real of the flow that it is about */
	PF_PATH_COUNT
};

/* What the program decided about the last packet; written only by the object for tracing. */
struct pf_decision {
	__u32 reason; /* enum pf_reason */
	__u32 path;   /* enum pf_path */
	__u32 vip;    /* number; valid if found is not 0 */
	__u32 pool;   /* number of the pool that was asked; valid if found is not 0 */
	__u32 real;   /* number; valid if path is not PF_PATH_NONE */
	__u32 slot;   /* of the ring, plus 1; 0: no ring was asked */
	__u32 found;  /* 1 if the packet is for a VIP, else 0 */
	__u32 events; /* bit n: enum pf_event n happened */
};

/* How a packet used the flow cache. Every packet does in one way. */
enum pf_use {
	PF_UNUSED = 0,	 /* it was not asked */
	PF_NEW_FLOW = 1, /* a TCP SYN, or a packet of UDP that it did not know */
	PF_MISS = 2,	 /* of TCP, not SYN, that it did not know */
	PF_HIT = 3	 /* it knew the flow */
};

/*
 * Traffic of a VIP or a real that was sent to a real or passed to a local one: IP packets as they came in, without the
 * outer header. Apart what the flow cache knew, which most packets are, so that of many VIPs and reals what they count is near.
 */
struct pf_hits {
	__u64 bytes;
	__u64 packets;
};

/* The same of all other packets, by their use of the flow cache, in the order of enum pf_use. */
struct pf_traffic {
	__u64 unused;
	__u64 new_flows;
	__u64 misses;
	__u64 bytes;
};

_Static_assert(sizeof(struct pf_key) == 20, "pf_key");
_Static_assert(sizeof(struct pf_entry) == 32, "pf_entry");
_Static_assert(sizeof(struct pf_server_id) == 16, "pf_server_id");
_Static_assert(sizeof(struct pf_real) == 32, "pf_real");
_Static_assert(sizeof(struct pf_flow_bucket) == PF_LINE, "pf_flow_bucket");
_Static_assert(sizeof(struct pf_hot_flow) == 128, "pf_hot_flow");
_Static_assert(sizeof(struct pf_cpu_state) <= 32768, "pf_cpu_state: the kernel has no larger per-CPU values");
_Static_assert(sizeof(struct pf_settings) == 120, "pf_settings");
_Static_assert(sizeof(struct pf_hits) == 16, "pf_hits");
_Static_assert(sizeof(struct pf_traffic) == 32, "pf_traffic");

#endif
