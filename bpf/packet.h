// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* What one step hands to the next. */
#ifndef PILOTFISH_PACKET_H
#define PILOTFISH_PACKET_H

#include <linux/types.h>
#include "layout.h"

#define INLINE static __always_inline
/*
 * What stands apart from the program's body: the verifier looks at it once, for any arguments. A call costs a packet some
 * nanoseconds, six where the kernel guards returns against speculation (AMD's SRSO): what most packets need is not apart.
 */
#define APART __attribute__((noinline))

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* A step's answer: go on with the next step, or end here for this reason. */
#define PF_NEXT (-1)

/* Of a plain packet: it is for all the steps, from the start. Nothing of it has been changed, nor counted. */
#define PF_ALL_STEPS (-3)

/* Beside enum pf_use, the two lower bits of which count: the flow cache was not asked, for the packet carries an id. */
#define PF_BY_ID 4

/* The slot of a ring that a packet's hash says, and what is there. */
struct ring_place {
	__u32 pool;
	__u32 slot;
	__u32 path; /* enum pf_path: what said which pool */
	__u32 real_number; /* 0: none */
	const struct pf_real *real; /* of that number */
	__u64 is_void; /* not 0: no real has the number */
	__u64 unsettled; /* not 0: the flow may be at another real */
};

/* Is it what plain.h describes? */
enum plain { NOT_PLAIN = 0, PLAIN, PLAIN_ICMP };

/* Kept free of anything that needs its address, so that the compiler has it in registers. */
struct packet {
	__u64 destination[2]; /* as struct pf_key has it */
	__u64 addresses[4];   /* what of the IP header the flow hash takes, in its order; IPv4 has one word */
	__u64 address_hash;   /* of the destination */
	__u32 l3;	      /* where the IP header starts in the frame */
	__u32 l4;	      /* where the transport header starts after that */
	__u32 length;	      /* of the IP packet in bytes, by its own header */
	__u32 ports;	      /* source and destination port as they stand in the packet; 0 for a fragment */
	__u8 family;	      /* enum pf_family */
	__u8 protocol;	      /* of the transport header */
	__u8 hops;	      /* TTL or hop limit of an outer header */
	__u8 tcp_flags;	      /* RFC 9293 */
	__u16 fragment;	      /* not 0: one of several */
	__u8 icmp; /* an ICMP error; addresses and ports are those of the flow that it is about */
	__s8 flaw; /* enum pf_reason that it ends for if it is for a VIP, else PF_NEXT */
	__u8 plain; /* enum plain */
	__u16 flags; /* of its VIP: enum pf_flag */

	struct pf_cpu_state *cpu;
	const struct pf_entry *vip;
	const struct pf_real *real;
	__u64 hash; /* of the flow; the ring may ask another one */
	__u32 real_number;
	__u32 use; /* enum pf_use, or PF_BY_ID */
	__u64 moment; /* this_moment, before anything was looked up; 0 if no hot flow was looked for */
	__u32 may_be_hot; /* not 0: its flow may become hot */
};

#endif
