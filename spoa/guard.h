/* SPDX-License-Identifier: MIT */
/*
 * guard: which addresses a route may name.
 *
 * Whoever may write the hash could otherwise point a public host at a cloud's
 * metadata service, or make one packet reach many machines. Never a target:
 * unspecified, link-local (metadata too), multicast and broadcast addresses,
 * and IPv4 ones of that kind mapped into IPv6 or NAT64.
 */
#ifndef SPOA_GUARD_H
#define SPOA_GUARD_H

#include "base.h"

/* May this address, 4 or 16 bytes in network order, be a target? */
bool guard_allows(const uint8_t *address, size_t len);

#endif
