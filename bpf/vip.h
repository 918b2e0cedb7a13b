// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* vip: finds the VIP by exact port, then by port 0. */
#ifndef PILOTFISH_VIP_H
#define PILOTFISH_VIP_H

#include "maps.h"
#include "packet.h"

INLINE int find_vip(struct packet *p)
{
	struct pf_vip *vip = bpf_map_lookup_elem(&vips, &p->key);

	if (!vip) {
		p->key.port = 0;
		vip = bpf_map_lookup_elem(&vips, &p->key);
	}
	if (!vip)
		return PF_NOT_VIP;
	p->vip = *vip;
	p->found = 1;
	return PF_NEXT;
}

#endif
