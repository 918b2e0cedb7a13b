// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* identifier: a packet may carry the id of its real, so that it finds it whatever its addresses, the ring and the flow cache say. */
#ifndef PILOTFISH_IDENTIFIER_H
#define PILOTFISH_IDENTIFIER_H

#include <linux/tcp.h>
#include <linux/udp.h>
#include "count.h"
#include "directory.h"
#include "frame.h"
#include "parse.h"

#define PF_NO_ID (-1)

#define PF_QUIC_LONG 0x80   /* RFC 9000, section 17 */
#define PF_QUIC_TYPE 0x30   /* of a long header */
#define PF_QUIC_0RTT 0x10   /* Initial is 0 */
#define PF_QUIC_CID_LENGTH 5 /* where the length of the destination connection id is in a long header */
#define PF_QUIC_CID_LEAST 8
#define PF_QUIC_LB_NONE 0xe0 /* no id: draft-ietf-quic-load-balancers */

#define PF_STABLE_MARK 0x52
#define PF_STABLE_LEAST 8

#define PF_TCP_OPTION 0xb7
#define PF_TCP_OPTION_LENGTH 6
#define PF_TCP_OPTIONS 15 /* looked at */

INLINE __s64 id_24(const __u8 *bytes)
{
	return (__u32)bytes[0] << 16 | (__u32)bytes[1] << 8 | bytes[2];
}

INLINE __s64 id_32(const __u8 *bytes)
{
	return (__u32)bytes[0] << 24 | id_24(bytes + 1);
}

INLINE __s64 id_of_katran(const __u8 *cid)
{
	switch (cid[0] >> 6) {
	case 1:
		return (__u32)(cid[0] & 0x3f) << 10 | (__u32)cid[1] << 2 | cid[2] >> 6;
	case 2:
		return id_24(cid + 1);
	case 3:
		return id_32(cid + 1);
	}
	return PF_NO_ID;
}

INLINE __s64 quic_id(struct xdp_md *ctx, const struct packet *p)
{
	const __u8 *payload = at(ctx, p, p->l4 + sizeof(struct udphdr)), *cid = payload + 1;
	const void *data_end = frame_end(ctx);
	__u32 length = p->length - p->l4 - sizeof(struct udphdr);

	if (length < 1 + PF_QUIC_CID_LEAST || (const void *)(payload + 1 + PF_QUIC_CID_LEAST) > data_end)
		return PF_NO_ID;
	if (payload[0] & PF_QUIC_LONG) {
		if ((payload[0] & PF_QUIC_TYPE) <= PF_QUIC_0RTT || payload[PF_QUIC_CID_LENGTH] < PF_QUIC_CID_LEAST)
			return PF_NO_ID;
		cid = payload + PF_QUIC_CID_LENGTH + 1;
		if (length < PF_QUIC_CID_LENGTH + 1 + PF_QUIC_CID_LEAST ||
		    (const void *)(cid + PF_QUIC_CID_LEAST) > data_end)
			return PF_NO_ID;
	}
	if (p->flags & PF_QUIC)
		return id_of_katran(cid);
	return cid[0] >= PF_QUIC_LB_NONE ? PF_NO_ID : id_32(cid + 1);
}

INLINE __s64 stable_id(struct xdp_md *ctx, const struct packet *p)
{
	const __u8 *payload = at(ctx, p, p->l4 + sizeof(struct udphdr));

	if (p->length - p->l4 < sizeof(struct udphdr) + PF_STABLE_LEAST ||
	    (const void *)(payload + PF_STABLE_LEAST) > frame_end(ctx) || payload[0] != PF_STABLE_MARK)
		return PF_NO_ID;
	return id_24(payload + 1);
}

/* Apart from the program's body: the walk is long, and only VIPs that ask for it take it. tcp: where the header is in the frame. */
APART __s64 tcp_id(struct xdp_md *ctx, __u32 tcp, __u32 length)
{
	const __u8 *header = frame_start(ctx) + (tcp & 1023);
	const void *data_end = frame_end(ctx);
	__u32 offset = sizeof(struct tcphdr), end;

	if ((const void *)(header + sizeof(struct tcphdr)) > data_end || header[PF_TCP_FLAGS] & PF_TCP_SYN)
		return PF_NO_ID;
	end = header[12] >> 4 << 2;
	if (end > length)
		return PF_NO_ID;
	for (int i = 0; i < PF_TCP_OPTIONS && offset < end; i++) {
		const __u8 *option = header + (offset & 63);

		if ((const void *)(option + 1) > data_end || option[0] == 0)
			return PF_NO_ID;
		if (option[0] == 1) {
			offset++;
			continue;
		}
		if (offset + 2 > end || (const void *)(option + 2) > data_end || option[1] < 2 || offset + option[1] > end)
			return PF_NO_ID;
		if (option[0] == PF_TCP_OPTION && option[1] == PF_TCP_OPTION_LENGTH)
			return (const void *)(option + PF_TCP_OPTION_LENGTH) > data_end ? PF_NO_ID : id_32(option + 2);
		offset += option[1];
	}
	return PF_NO_ID;
}

/* The number of the real that an id means to the VIPs of a pool; 0 if none. */
INLINE __u32 find_server_id(__u32 pool, __u32 id)
{
	__u64 hash = fold_hash(id * PF_MIX_1 ^ pool * PF_MIX_2);
	const void *table = table_in_force(&server_ids);
	const struct pf_server_id *entry;

	if (!table)
		return 0;
	entry = table_entry(table, first_place(table, hash), constants.server_id_mask, sizeof(*entry));
	if (unlikely(entry->id != id || entry->pool != pool))
		entry = table_entry(table, other_place(table, hash, constants.server_id_mask, sizeof(*entry)),
				 constants.server_id_mask, sizeof(*entry));
	return entry->id == id && entry->pool == pool ? entry->real : 0;
}

/* Sets the packet's real by an id; 0 if there is none, or no real of the VIP has it. */
INLINE int use_id(struct packet *p, __s64 id, __u32 path)
{
	const struct pf_real *real;
	__u16 number;

	if (id == PF_NO_ID)
		return 0;
	number = find_server_id(p->vip->pool, id);
	real = &reals[number];
	if (!number || real->encap == PF_ENCAP_NONE) {
		count_event(p->cpu, PF_EVENT_UNKNOWN_ID);
		return 0;
	}
	p->real_number = number;
	p->real = real;
	trace_pool(real->pool);
	trace_real(p, path);
	return 1;
}

INLINE int find_by_id(struct xdp_md *ctx, struct packet *p)
{
	__u32 flags = p->flags;

	if (likely(!(flags & (PF_QUIC | PF_QUIC_LB | PF_TCP_ID | PF_UDP_STABLE))) || p->fragment || p->icmp)
		return 0;
	if (p->protocol == IPPROTO_TCP)
		return (flags & PF_TCP_ID) &&
		       use_id(p, tcp_id(ctx, p->l3 + p->l4, p->length - p->l4), PF_PATH_OPTION);
	if (flags & (PF_QUIC | PF_QUIC_LB) && use_id(p, quic_id(ctx, p), PF_PATH_QUIC))
		return 1;
	return (flags & PF_UDP_STABLE) && use_id(p, stable_id(ctx, p), PF_PATH_STABLE);
}

#endif
