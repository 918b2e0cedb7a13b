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

#endif
