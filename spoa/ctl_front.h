/* SPDX-License-Identifier: MIT */
/*
 * ctl_front: is a target HAProxy's own front door? Such a route is a loop.
 *
 * The front is what HAProxy's `bind` says: `*:8000`, `127.0.0.1:8000,[::]:80`.
 */
#ifndef SPOA_CTL_FRONT_H
#define SPOA_CTL_FRONT_H

#include "base.h"

/* Does one of the addresses of `front` take what is sent to this address, 4 or
 * 16 bytes? A front on all addresses takes what is sent to a loopback address
 * or to one of this machine's. */
bool ctl_front_takes(const char *front, const uint8_t *address, size_t len,
		     uint16_t port);

#endif
