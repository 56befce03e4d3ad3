/* SPDX-License-Identifier: MIT */
/*
 * watch: what routes want of one who knows which targets are up.
 *
 * An interface without code, as `store.h` is: `health` fills it in. A state is
 * a byte that is read by its slot, so that an answer costs no call: see
 * `balance.h` for what it says.
 */
#ifndef SPOA_WATCH_H
#define SPOA_WATCH_H

#include "route.h"

struct watch {
	/* By slot; that of slot 0 is always up. It may move, but only within
	 * `take`. */
	uint8_t *states;
	/* Another number, never 0, after a state changed or a mark was taken
	 * off. */
	const uint32_t *version;
	/* The route of a field, with this target of it, came into the cache;
	 * all is lent for the call. Returns the slot of its state, 0 when it is
	 * not watched. Equal targets that are checked alike may share a slot.
	 */
	uint32_t (*take)(struct watch *watch, struct span field,
			 const struct route *route,
			 const struct target *target);
	/* That route left the cache, or changed; never of slot 0. */
	void (*release)(struct watch *watch, uint32_t slot, struct span field);
};

#endif
