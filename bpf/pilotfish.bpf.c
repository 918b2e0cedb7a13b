// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0)
/* The XDP program: parse -> VIP -> flow cache or ring -> encap -> count. One header a step. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "count.h"
#include "encap.h"
#include "flow.h"
#include "hash.h"
#include "parse.h"
#include "ring.h"
#include "vip.h"

/* BTF keeps an enum only if something has its type; the agent takes its names from there. */
enum pf_ring_size unused_ring_size __attribute__((unused));
enum pf_family unused_family __attribute__((unused));
enum pf_reason unused_reason __attribute__((unused));
enum pf_served unused_served __attribute__((unused));
enum pf_path unused_path __attribute__((unused));

/* A flow keeps its real for as long as the cache remembers it and the real lives; a SYN is a new flow. */
INLINE int find_real(struct packet *p)
{
	struct pf_flow_bucket *bucket = flow_bucket(p);
	int verdict;

	if (bucket && !p->syn && find_flow(p, bucket))
		return PF_NEXT;
	verdict = find_in_ring(p);
	if (bucket && verdict == PF_NEXT)
		remember_flow(p, bucket);
	return verdict;
}

INLINE int balance(struct xdp_md *ctx, struct packet *p)
{
	struct pf_settings *s;
	__u32 first = 0;
	int verdict;

	verdict = parse_packet(ctx, p);
	if (verdict != PF_NEXT)
		return verdict;
	verdict = find_vip(p);
	if (verdict != PF_NEXT)
		return verdict;
	s = bpf_map_lookup_elem(&settings, &first);
	if (!s)
		return PF_NO_GATEWAY;
	hash_flow(p, s);
	verdict = find_real(p);
	if (verdict != PF_NEXT)
		return verdict;
	return encap_packet(ctx, p, s);
}

SEC("xdp")
int pilotfish(struct xdp_md *ctx)
{
	struct packet p = {};
	int reason = balance(ctx, &p);

	return count(&p, reason);
}

char pilotfish_license[] SEC("license") = "Dual BSD/GPL";
