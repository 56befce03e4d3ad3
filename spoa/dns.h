/* SPDX-License-Identifier: MIT */
/*
 * dns: what routes want of one who resolves DNS names.
 *
 * An interface without code, as `store.h` is: `dns_cache` fills it in. A route
 * is made with the addresses that its names have at the time; whether they
 * still have them is told by a version, read by slot.
 */
#ifndef SPOA_DNS_H
#define SPOA_DNS_H

#include "route.h"

struct dns {
	/* By slot; no name has slot 0. Both may move within `look_up`. */
	const uint32_t *versions; /* another one when the addresses are others;
				     one that never comes again */
	uint8_t *used;		  /* set when somebody asked for the name */
	/* Fills in what is known of a name; it lives until the next call. With
	 * `is_asked` a name that is not known begins to be resolved. */
	void (*look_up)(struct dns *dns, struct span name, bool is_asked,
			struct name_state *state);
	/* Set by the one who wants to hear that some name has another version:
	 * called from the loop, never from within `look_up`. */
	void (*changed)(void *context);
	void *context;
};

#endif
