// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/*
 * The XDP program: parse -> VIP -> identifier, flow cache, client prefix or ring -> encap -> count. One header a step;
 * docs/reference/packets.md says what each does to whom.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "count.h"
#include "encap.h"
#include "flow.h"
#include "hash.h"
#include "hot.h"
#include "hot_learn.h"
#include "icmp.h"
#include "identifier.h"
#include "note.h"
#include "parse.h"
#include "plain.h"
#include "ring.h"
#include "too_big.h"
#include "tunnel.h"
#include "vip.h"

/* BTF keeps a type only if something has it; the agent takes names and sizes from there. */
enum pf_numbers unused_numbers __attribute__((unused));
enum pf_ring_size unused_ring_size __attribute__((unused));
enum pf_ring_members unused_ring_members __attribute__((unused));
enum pf_few unused_few __attribute__((unused));
enum pf_filter_size unused_filter_size __attribute__((unused));
enum pf_family unused_family __attribute__((unused));
enum pf_reason unused_reason __attribute__((unused));
enum pf_event unused_event __attribute__((unused));
enum pf_homes unused_homes __attribute__((unused));
enum pf_flag unused_flag __attribute__((unused));
enum pf_scope unused_scope __attribute__((unused));
enum pf_line unused_line __attribute__((unused));
enum pf_note_ticks unused_note_ticks __attribute__((unused));
enum pf_block unused_block __attribute__((unused));
enum pf_hot_places unused_hot_places __attribute__((unused));
enum pf_hot_kind unused_hot_kind __attribute__((unused));
enum pf_use unused_use __attribute__((unused));
enum pf_encap unused_encap __attribute__((unused));
enum pf_path unused_path __attribute__((unused));

/* A tunnel that ends here may hold one packet for a VIP, and not another tunnel. */
#define PF_LAYERS 2

/* The flow cache knows the flow. Is that where the ring would send it? */
INLINE void compare_with_ring(const struct packet *p, const struct ring_place *place)
{
	/* Errors about a flow are no use of it. Where the client says which pool is asked, nobody has asked it. */
	if (p->icmp | asks_for(p, PF_CLIENTS))
		return;
	if (likely(p->real_number == place->real_number))
		note(p);
	else
		mark_stray(p->vip->pool, hash_for_ring(p));
}

/* Not 0: the flow may be at another real than the ring's, or the cache has to learn that it is alive. */
INLINE __u64 may_differ(const struct packet *p, const struct ring_place *place)
{
	/* Packets with an id do not show where their flow is. */
	return place->unsettled | (p->flags & (PF_CLIENTS | PF_TCP_ID)) | lacks_note(p);
}

/*
 * A flow keeps its real for as long as the cache remembers it and the real lives; a SYN is a new flow. The ring is looked at first: where
 * both would say the same, the cache is not asked.
 */
INLINE int find_by_flow(struct packet *p)
{
	int is_new = is_syn(p) && !(p->flags & PF_PAIR), verdict;
	struct ring_place place = look_in_ring(p, p->vip->pool, PF_PATH_RING);
	struct flow_buckets buckets;

	if (p->flags & PF_NO_CACHE)
		return go_by_ring(p, &place);
	p->use = PF_HIT;
	if (!is_new && !may_differ(p, &place)) {
		take_real(p, &place, PF_PATH_CACHE);
		return PF_NEXT;
	}
	buckets = flow_buckets(p->hash);
	if (!buckets.first || !buckets.second) /* cannot be */
		return PF_NO_RING;
	if (!is_new && find_flow(p, buckets)) {
		compare_with_ring(p, &place);
		return PF_NEXT;
	}
	p->use = PF_UNUSED;
	verdict = go_by_ring(p, &place);
	if (verdict == PF_NEXT && !p->icmp) {
		p->use = is_new || p->protocol == IPPROTO_UDP ? PF_NEW_FLOW : PF_MISS;
		remember_flow(p, buckets);
		forget_hot(p);
	}
	return verdict;
}

INLINE int find_real(struct xdp_md *ctx, struct packet *p)
{
	int verdict;

	if (!p->plain || p->flags & PF_PAIR)
		p->hash = hash_flow(p, p->flags & PF_PAIR ? HASH_PAIR : HASH_5_TUPLE);
	if (find_by_id(ctx, p)) {
		p->use = PF_BY_ID;
		return PF_NEXT;
	}
	verdict = find_by_flow(p);
	if (p->icmp)
		p->use = PF_UNUSED;
	return verdict;
}

/* A frame on its way to the real, seen because a switch floods it or the interface is promiscuous. */
INLINE int is_addressed_to(struct xdp_md *ctx, const struct pf_real *real)
{
	const struct mac_pair *macs = frame_start(ctx);

	return (const void *)(macs + 1) > frame_end(ctx) || is_same_mac(&macs->destination, (const struct mac *)real->mac);
}

/* To a real on the same segment, without an outer header. */
INLINE int send_on_segment(struct xdp_md *ctx, struct packet *p)
{
	if (is_unknown(p->real->mac))
		return PF_NO_NEIGHBOUR;
	if (is_addressed_to(ctx, p->real))
		return PF_NOT_VIP;
	if (p->length > settings.mtu)
		return tell_too_big(ctx, p, settings.mtu);
	return address_frame(ctx, p);
}

/* What cannot go as most do. */
INLINE int send_unusually(struct xdp_md *ctx, struct packet *p, __u8 encap, __u32 size)
{
	if (encap == PF_ENCAP_LOCAL)
		return PF_LOCAL_REAL;
	if (!p->hops)
		return PF_EXPIRED;
	if (encap == PF_ENCAP_L2)
		return send_on_segment(ctx, p);
	/* If it fits and the next hop is known, user space is about to say that there is room. */
	if (is_unknown(settings.gateway_mac) || p->length + size <= settings.mtu)
		return PF_NO_GATEWAY;
	return tell_too_big(ctx, p, settings.mtu - size);
}

/* Most have it whatever comes in front, and need not be asked what that is. */
INLINE int has_room(const struct packet *p, __u8 encap)
{
	return p->length + PF_OUTER_MOST <= settings.room || p->length + outer_size(p->real, encap) <= settings.room;
}

INLINE int send_to_real(struct xdp_md *ctx, struct packet *p)
{
	__u8 encap = p->real->encap;
	int verdict;

	if (unlikely(encap > PF_ENCAP_GUE || !p->hops || !has_room(p, encap)))
		return send_unusually(ctx, p, encap, outer_size(p->real, encap));
	verdict = encap_packet(ctx, p, encap);
	if (verdict == PF_FORWARDED)
		note_hot(ctx, p);
	return verdict;
}

/* From the VIP to the real. */
INLINE int find_and_send(struct xdp_md *ctx, struct packet *p)
{
	int reason;

	trace_vip(p->vip);
	reason = find_real(ctx, p);
	if (reason != PF_NEXT)
		return reason;
	p->use = veil(p->use);
	reason = send_to_real(ctx, p);
	if (reason == PF_FORWARDED || reason == PF_LOCAL_REAL)
		count_traffic(p->vip->number, p->real_number, p->length, p->use);
	return reason;
}

/* The same, and what XDP does with the packet. */
INLINE int balance(struct xdp_md *ctx, struct packet *p)
{
	int reason = find_and_send(ctx, p);

	/* What most end with is a constant to the compiler. */
	return likely(reason == PF_FORWARDED) ? count(p->cpu, PF_FORWARDED) : count(p->cpu, reason);
}

/* Sets the VIP of a plain packet, of ICMP the sign that its address has one, and its flags. PF_ALL_STEPS as well. */
INLINE int find_plain_vip(struct packet *p, const void *frame)
{
	const struct pf_entry *entry = 0;

	trace_start();
	read_anew(frame);
	read_more(p, frame);
	if (!may_be_ours(p->address_hash) || find_vip(p, &entry) != PF_NEXT)
		return PF_NOT_VIP;
	p->vip = entry;
	p->flags = entry->flags;
	if (p->plain == PLAIN && likely(p->flags & PF_VIP))
		return PF_NEXT;
	if (p->flags & (PF_OPEN | PF_OWN))
		return PF_ALL_STEPS;
	return p->plain == PLAIN ? PF_NOT_VIP : PF_NEXT;
}

/* A plain ICMP message. */
INLINE int treat_plain_icmp(struct xdp_md *ctx, struct packet *p, void *frame)
{
	int verdict;

	p->plain = PLAIN_ICMP;
	verdict = find_plain_vip(p, frame);
	if (verdict == PF_NEXT)
		verdict = answer_echo(ctx, p, p->vip, frame);
	return verdict == PF_NEXT || verdict == PF_ALL_STEPS ? PF_ALL_STEPS : count(p->cpu, verdict);
}

/* A plain packet of one family: what XDP does with it, or PF_ALL_STEPS. */
INLINE int treat_plain(struct xdp_md *ctx, __u8 family, void *frame, struct pf_cpu_state *cpu)
{
	struct packet p = plain_packet(family, cpu);
	enum plain plain = read_plain(&p, frame, frame_end(ctx));
	int verdict;

	if (unlikely(plain == PLAIN_ICMP))
		return treat_plain_icmp(ctx, &p, frame);
	if (plain == NOT_PLAIN)
		return PF_ALL_STEPS;
	verdict = treat_hot(ctx, &p, frame);
	if (verdict != PF_NEXT)
		return verdict;
	verdict = find_plain_vip(&p, frame);
	if (unlikely(verdict == PF_ALL_STEPS))
		return PF_ALL_STEPS;
	if (verdict != PF_NEXT)
		return count(cpu, verdict);
	p.hash = hash_early(&p);
	if (unlikely(p.flags & PF_UNUSUAL))
		return balance(ctx, &p);
	/* The compiler leaves out whatever asks for another flag. */
	p.flags &= PF_NO_CACHE;
	return balance(ctx, &p);
}

/* Up to the VIP, or to where a packet ends that is for none. */
INLINE int classify(struct xdp_md *ctx, struct packet *p, __u8 *hops)
{
	const struct pf_entry *entry = 0;
	int verdict;

	verdict = parse_packet(ctx, p);
	if (verdict != PF_NEXT)
		return verdict;
	/* Whoever else has got it would balance it as well. */
	if (unlikely(is_to_group(ctx)))
		return PF_NOT_VIP;
	verdict = find_vip(p, &entry);
	if (verdict != PF_NEXT)
		return verdict;
	if (unlikely(entry->flags & (PF_OPEN | PF_OWN)))
		return entry->flags & PF_OWN ? PF_NOT_VIP : open_tunnel(ctx, p, hops);
	if (unlikely(is_icmp(p))) {
		verdict = treat_icmp(ctx, p, &entry);
		if (verdict != PF_NEXT)
			return verdict;
	}
	p->vip = entry;
	return is_vip(p, entry) ? PF_NEXT : PF_NOT_VIP;
}

/* Any packet. Each family has its own copy of all of it, which costs room and saves every question of which one it is. */
INLINE int treat(struct xdp_md *ctx, __u32 l3, __u8 family, __u8 *hops, __u64 moment, struct pf_cpu_state *cpu)
{
	struct packet p = {.l3 = l3, .family = family, .flaw = PF_NEXT, .hops = *hops, .moment = moment, .cpu = cpu};
	int verdict = classify(ctx, &p, hops);

	if (unlikely(verdict == PF_AGAIN))
		return PF_AGAIN;
	if (verdict != PF_NEXT)
		return count(cpu, verdict);
	p.flags = p.vip->flags;
	p.l3 = veil(p.l3);
	p.l4 = veil(p.l4);
	p.length = veil(p.length);
	p.hops = veil(p.hops);
	p.protocol = veil(p.protocol);
	p.fragment = veil(p.fragment);
	p.icmp = veil(p.icmp);
	return balance(ctx, &p);
}

SEC("xdp")
int pilotfish(struct xdp_md *ctx)
{
	struct pf_cpu_state *cpu = this_cpu();
	void *frame = frame_start(ctx);
	const __be16 *type = frame + sizeof(struct mac_pair);
	__u64 moment;
	__u8 hops = PF_HOPS;
	int action = PF_ALL_STEPS;

	if (!cpu) /* cannot be */
		return XDP_PASS;
	if (frame + PF_PLAIN_LEAST <= frame_end(ctx)) {
		if (*type == bpf_htons(ETH_P_IP))
			action = treat_plain(ctx, PF_FAMILY_V4, frame, cpu);
		else if (*type == bpf_htons(ETH_P_IPV6))
			action = treat_plain(ctx, PF_FAMILY_V6, frame, cpu);
		if (likely(action != PF_ALL_STEPS))
			return action;
	}
	trace_start();
	moment = this_moment();
	for (int layer = 0; layer < PF_LAYERS; layer++) {
		__be16 ethertype = 0;
		__u32 l3 = skip_ethernet(ctx, &ethertype);

		if (layer > 0)
			count_event(cpu, PF_EVENT_OPENED);
		if (!l3)
			return count(cpu, PF_UNREADABLE);
		if (ethertype == bpf_htons(ETH_P_IP))
			action = treat(ctx, l3, PF_FAMILY_V4, &hops, moment, cpu);
		else if (ethertype == bpf_htons(ETH_P_IPV6))
			action = treat(ctx, l3, PF_FAMILY_V6, &hops, moment, cpu);
		else
			return count(cpu, PF_NOT_IP);
		if (likely(action != PF_AGAIN))
			return action;
	}
	return count(cpu, PF_NESTED);
}

char pilotfish_license[] SEC("license") = "Dual BSD/GPL";
