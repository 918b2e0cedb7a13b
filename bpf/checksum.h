// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* checksum: the Internet checksum (RFC 1071). Sums are of 16-bit words as they stand in memory: its result does not depend on byte order. */
#ifndef PILOTFISH_CHECKSUM_H
#define PILOTFISH_CHECKSUM_H

#include <linux/udp.h>
#include "frame.h"

#define PF_SUM_STEP 64

/* Of fewer than 2^32 words. */
INLINE __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

/* Of a sum of a few 16-bit words. */
INLINE __u16 fold_short(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return sum + (sum >> 16);
}

INLINE __u16 checksum(__u64 sum)
{
	return ~fold(sum);
}

/* What the checksum becomes when one 16-bit word changes (RFC 1624, equation 3). */
INLINE __u16 updated_checksum(__u16 check, __u16 before, __u16 after)
{
	return ~fold_short((__u32)(__u16)~check + (__u16)~before + after);
}

/* Has an inner UDP segment of this length a checksum that covers all of it? */
INLINE int has_checksum(const struct udphdr *udp, __be16 length)
{
	return udp->check && udp->len == length;
}

/* What sum_frame has got so far. */
struct summing {
	struct xdp_md *ctx;
	__u32 offset;
	__u32 left; /* bytes */
	__u32 sum;
	__u32 spare;
};

/* The only one with bytes on its stack: what is deepest in calls has no room for them twice. */
static long add_step(__u32 index __attribute__((unused)), struct summing *s)
{
	__u64 step[PF_SUM_STEP / sizeof(__u64)] = {};
	__u32 size = s->left < PF_SUM_STEP ? s->left : PF_SUM_STEP;

	if (!size || bpf_xdp_load_bytes(s->ctx, s->offset, step, size))
		return 1;
	s->sum = bpf_csum_diff(0, 0, (__be32 *)step, sizeof(step), s->sum);
	s->offset += size;
	s->left -= size;
	return 0;
}

/* The sum of a part of the frame: 0 only if all of it is 0. */
APART __u32 sum_frame(struct xdp_md *ctx, __u32 offset, __u32 length)
{
	struct summing s = {.ctx = ctx, .offset = offset, .left = length};

	bpf_loop((length + PF_SUM_STEP - 1) / PF_SUM_STEP, add_step, &s, 0);
	return s.sum;
}

#endif
