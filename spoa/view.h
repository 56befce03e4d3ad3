/* SPDX-License-Identifier: MIT */
/*
 * view: the rooms that the admin side looks at.
 *
 * Without code: main fills it in once, all in it outlives who looks.
 */
#ifndef SPOA_VIEW_H
#define SPOA_VIEW_H

#include "cache.h"
#include "conns.h"
#include "dns_cache.h"
#include "events.h"
#include "fastpath.h"
#include "feedback.h"
#include "health.h"
#include "loop.h"
#include "opts.h"
#include "preload.h"
#include "redis_store.h"
#include "resolver.h"
#include "snapshot.h"
#include "watch.h"

/* Times that the configuration was read again. */
struct reload_counters {
	uint64_t done;
	uint64_t refused; /* nothing changed, since something was wrong */
};

struct view {
	const char *version;
	struct loop *loop;
	const struct config *config;
	struct cache *cache;
	struct resolver *resolver;
	struct dns_cache *dns;
	struct conns *conns;
	struct redis_store *store;
	struct preload *preload;   /* NULL without --preload */
	struct snapshot *snapshot; /* NULL without --snapshot */
	struct health *health;	   /* NULL when nothing is checked */
	struct feedback *feedback; /* NULL without --feedback */
	const struct events *events;
	struct watch *watch;	   /* NULL: no target is watched */
	struct fastpath *fastpath; /* NULL without --haproxy-socket */
	const struct reload_counters *reloads;
	int64_t started_ms;
	int64_t started_unix_s; /* the same as a time of day */
};

#endif
