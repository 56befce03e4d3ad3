/* SPDX-License-Identifier: MIT */
/*
 * guard: which addresses and ports a route may name.
 *
 * Whoever may write the hash could otherwise point a public host at a cloud's
 * metadata service, or make one packet reach many machines. Denied from the
 * start: unspecified, link-local (metadata too), multicast and broadcast
 * addresses, and IPv4 ones of that kind mapped into IPv6 or NAT64. Rules deny
 * more, or make exceptions from whatever is denied.
 *
 *   rule  = range *( "," range )
 *   range = IPv4 [ "/" bits ] [ ":" ports ] / IPv6 [ "/" bits ]
 *         / "[" IPv6 [ "/" bits ] "]" [ ":" ports ]
 *   ports = port [ "-" port ]
 */
#ifndef SPOA_GUARD_H
#define SPOA_GUARD_H

#include "base.h"

enum { GUARD_RANGES_MAX = 256 }; /* of each kind */

struct guard_range {
	uint8_t address[16];
	uint8_t bits; /* of the prefix */
	bool is_ipv6;
	uint16_t first_port;
	uint16_t last_port;
	struct span text; /* as it was given */
};

struct guard_rules {
	struct guard_range ranges[GUARD_RANGES_MAX];
	size_t count;
};

/* Empty at first: {0}. */
struct guard {
	struct guard_rules allowed;
	struct guard_rules denied;
};

/* Adds a rule to one of the two. The text must live as long as the guard.
 * False with a literal in `*problem`. */
bool guard_add(struct guard_rules *rules, const char *text,
	       const char **problem) MUST_CHECK;

/* May this address, 4 or 16 bytes in network order, be a target at that port?
 * If not, `*rule` is what refuses it. */
bool guard_allows(const struct guard *guard, const uint8_t *address, size_t len,
		  uint16_t port, struct span *rule);

#endif
