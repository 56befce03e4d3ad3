/* SPDX-License-Identifier: MIT */
/*
 * sentinel: where the master is, as Redis' sentinels say.
 *
 * All sentinels of a URL are asked at once, again every few seconds, and at
 * once when one of them announces another master, to which we subscribe. Where
 * they disagree, the newest configuration (`config-epoch`) counts: a sentinel
 * that is cut off knows only older ones. Whether that server is the master it
 * must say itself: see redis. A URL with `read=replica` leads to a replica that
 * sentinels find well, and to the master where there is none.
 */
#ifndef SPOA_SENTINEL_H
#define SPOA_SENTINEL_H

#include "redis_wire.h"

struct sentinel;

struct sentinel_options {
	struct redis_place place; /* its URL is one of Sentinel */
	/* The server to use is there now: the master, or one of its replicas.
	 * Called from the loop, when that is news; `at` lives during the call.
	 */
	void (*named)(void *context, const struct redis_address *at,
		      bool is_replica);
	void *context;
};

/* Starts to ask. NULL when there is no memory. What the options point to must
 * live as long. */
struct sentinel *sentinel_new(const struct sentinel_options *options);

/* The URL's password for sentinels is another now. */
void sentinel_reread(struct sentinel *sentinel);

void sentinel_free(struct sentinel *sentinel);

/* The server does not answer: asks again. */
void sentinel_ask(struct sentinel *sentinel);

/* The server that is named cannot be used: if that is a replica, another one is
 * named, or the master. */
void sentinel_refuse(struct sentinel *sentinel);

#endif
