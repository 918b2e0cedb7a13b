// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* budget: how much of something one CPU does in a window of time. A burst at the end of one window and the start of the next may be double. */
#ifndef PILOTFISH_BUDGET_H
#define PILOTFISH_BUDGET_H

#include "maps.h"
#include "packet.h"

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

INLINE struct pf_budget *budget(void)
{
	__u32 first = 0;

	return bpf_map_lookup_elem(&budgets, &first);
}

INLINE int may_remember(void)
{
	struct pf_budget *b = budget();

	return b && take(&b->flow_window, &b->new_flows, constants.new_flows);
}

INLINE int may_answer_too_big(void)
{
	struct pf_budget *b = budget();

	return b && take(&b->too_big_window, &b->too_big_answers, constants.too_big_answers);
}

#endif
