// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* What one step hands to the next. */
#ifndef PILOTFISH_PACKET_H
#define PILOTFISH_PACKET_H

#include <linux/types.h>
#include "layout.h"

#define INLINE static __always_inline

/* A step's answer: go on with the next step, or end here for this reason. */
#define PF_NEXT (-1)

struct packet {
	struct pf_vip_key key; /* destination; becomes the key that the VIP was found by */
	__u64 addresses[4]; /* what of the IP header the flow hash takes, in its order; IPv4 has one word */
	__u32 ports;	    /* source and destination port as they stand in the packet */
	__u32 length;	    /* of the IP packet in bytes, by its own header */
	__u8 tos;	    /* DSCP and ECN */
	__u8 syn;	    /* opens a TCP connection */

	__u64 hash;
	struct pf_vip vip;
	__u32 found; /* 1 if it is for a VIP: vip is set */
	__u32 path;  /* enum pf_path */
	__u32 slot;
	__u32 real_number;
	struct pf_real real;
};

#endif
