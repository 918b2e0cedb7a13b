// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* tick: the clock of what is remembered. Jiffies cost a load, a clock read twenty times that. */
#ifndef PILOTFISH_TICK_H
#define PILOTFISH_TICK_H

#include "maps.h"
#include "packet.h"

#define PF_TICKS 0x3ff /* ticks are counted modulo this plus one */

INLINE __u64 all_ticks(void)
{
	return bpf_jiffies64() >> constants.tick_shift;
}

INLINE __u32 tick(void)
{
	return all_ticks() & PF_TICKS;
}

/*
 * What hot flows are good for: until user space has changed a map, and for one tick. Read before the first step, so that what a
 * packet then finds is in force at this moment, or later.
 */
INLINE __u64 this_moment(void)
{
	__u64 moment = all_ticks() << 32 | changes.count;

	/* Or else the compiler would keep both parts, too. */
	asm volatile("" : "+r"(moment));
	return moment;
}

/* Differs from one moment to the next; of a place for a hot flow it tells that the place is taken. */
INLINE __u16 stamp_of(__u64 moment)
{
	return moment + (moment >> 32);
}

#endif
