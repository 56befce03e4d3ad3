/* SPDX-License-Identifier: MIT */
/*
 * agent: the rooms of the program, put together.
 *
 * It makes each room with what the settings say, in the order in which they
 * need each other, ties together those that must hear of each other, lets them
 * work once a turn, and takes them apart.
 */
#ifndef SPOA_AGENT_H
#define SPOA_AGENT_H

#include "admin.h"
#include "bad_routes.h"
#include "conns.h"
#include "dns_cache.h"
#include "fastpath.h"
#include "preload.h"
#include "settings.h"
#include "snapshot.h"
#include "sockets.h"
#include "view.h"

struct agent {
	struct loop *loop;	   /* the caller's */
	struct settings *settings; /* in force; the caller's */
	struct hash_secret secret;
	struct bad_routes bad_routes;
	struct dns_cache *dns;
	struct cache *cache;
	struct redis_store *store;
	struct resolver *resolver;
	struct conns *conns;
	struct snapshot *snapshot; /* NULL without --snapshot */
	struct fastpath *fastpath; /* NULL without --haproxy-socket */
	struct health *health;	   /* NULL when nothing is checked */
	struct feedback *feedback; /* NULL without --feedback */
	struct preload *preload;   /* NULL without --preload */
	struct admin *admin;	   /* NULL without --admin */
	struct events events;
	struct view view;
	size_t check_files;  /* descriptors that checks may have */
	struct event *alarm; /* when a room has to do something */
	int64_t alarm_ms;    /* that time, or -1 */
	struct reload_counters reloads;
};

/* Makes all rooms out of `settings`, which must outlive them as must the loop,
 * and has them serve the sockets. False with one line in `error`. `agent` is
 * zeroed before, and to be closed either way. */
bool agent_open(struct agent *agent, struct loop *loop,
		struct settings *settings, struct sockets *sockets,
		char error[OPTS_ERROR_MAX]) MUST_CHECK;

/* The options of rooms, as a configuration has them. */
struct cache_options agent_lives(const struct config *config);
struct health_times agent_times(const struct config *config);

/* Sees to as many descriptors as the settings want, or says that there are too
 * few. */
void agent_raise_file_limit(struct agent *agent);

/* Waits for events, runs what they are for and what is due. */
void agent_turn(struct agent *agent);

void agent_close(struct agent *agent);

#endif
