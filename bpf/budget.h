// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* budget: how much of something one CPU does in a window of time. A burst at the end of one window and the start of the next may be double. */
#ifndef PILOTFISH_BUDGET_H
#define PILOTFISH_BUDGET_H

#include "maps.h"
#include "packet.h"
#include "tick.h"

INLINE int take(__u64 *window, __u32 *taken, __u32 limit)
{
	__u64 now = bpf_jiffies64() >> constants.window_shift;

	if (*window != now) {
		*window = now;
		*taken = 0;
	}
	if (*taken >= limit)
		return 0;
	(*taken)++;
	return 1;
}

INLINE int may_remember(struct pf_budget *budget)
{
	if (!take(&budget->flow_window, &budget->new_flows, constants.new_flows))
		return 0;
	if (unlikely(budget->new_flows == constants.flow_buckets / 8 + 1))
		budget->many_flows = all_ticks() / PF_NOTE_TICKS;
	return 1;
}

INLINE int may_answer_too_big(struct pf_budget *budget)
{
	return take(&budget->too_big_window, &budget->too_big_answers, constants.too_big_answers);
}

#endif
