/* SPDX-License-Identifier: MIT */
/*
 * redis: the lookups of one Redis server.
 *
 * It asks for a field to see whether the server can really serve (`-LOADING`
 * and `-NOAUTH` show here), then carries lookups over a wire, one HMGET each,
 * pipelined, and the commands that let Redis say what changes. At the first
 * trouble it ends: what was under way stays in its queue for the owner, who
 * decides what comes next. A node of a cluster that does not own the key is
 * trouble too, and so is a server in another role than the one that is wanted,
 * or a replica that lost its master.
 */
#ifndef SPOA_REDIS_H
#define SPOA_REDIS_H

#include "redis_reply.h"
#include "redis_wire.h"
#include "store.h"

struct redis;

struct redis_options {
	struct redis_place place;
	bool is_asking;		   /* say ASKING before each question */
	enum redis_role role;	   /* that it must call its own (ROLE) */
	int64_t lookup_timeout_ms; /* silence that makes a server doubtful */
	/* The server serves. */
	void (*ready)(void *context, struct redis *redis);
	/* It does not, or no longer; `why` lives during the call. Called once,
	 * from the loop, never from within a call of this room. The owner
	 * then takes the lookups and frees the connection. */
	void (*lost)(void *context, struct redis *redis, const char *why);
	/* What redis_track or redis_check_tracking found: `problem` is empty
	 * when Redis tells the subscriber of changes. */
	void (*tracked)(void *context, struct redis *redis,
			struct span problem);
	/* Says how many fields the hash had when a question that was sent at
	 * `sent_ms` was answered; false when that answer is not to be believed.
	 * NULL: nobody wants to know, and Redis is not asked. */
	bool (*sized)(void *context, int64_t size, int64_t sent_ms);
	void *context;
};

/* Starts to connect; NULL when there is no memory. */
struct redis *redis_new(const struct redis_options *options);

/* Closes. No lookup may be left: see redis_take_lookups. */
void redis_free(struct redis *redis);

/* From now on a silence of so long makes the server doubtful. */
void redis_set_timeout(struct redis *redis, int64_t lookup_timeout_ms);

const struct redis_place *redis_place(const struct redis *redis);

/* What it was lost for, when that was a redirection; else NULL. */
const struct redis_redirect *redis_redirect(const struct redis *redis);

bool redis_is_ready(const struct redis *redis);

/* How long it has been ready, in ms; -1 when it never was. */
int64_t redis_ready_for(const struct redis *redis, int64_t now_ms);

/* Has the server, with a question open, said nothing for longer than the
 * lookup timeout? */
bool redis_is_silent(const struct redis *redis, int64_t now_ms);

/* Sends a lookup on a connection that is ready; false when there is no memory.
 */
bool redis_send(struct redis *redis, struct lookup *lookup,
		int64_t now_ms) MUST_CHECK;

/* Sends a scan on a connection that is ready; false when that cannot be, or
 * another one is under way. It fails when the connection is freed. */
bool redis_scan(struct redis *redis, struct scan *scan) MUST_CHECK;

/* Asks for a field, to see whether the server still answers. */
void redis_probe(struct redis *redis);

/* Moves the unanswered lookups, oldest first, to the front of `queue`. */
void redis_take_lookups(struct redis *redis, struct lookup_queue *queue);

/* Asks Redis to tell the client `subscriber` of every write to keys that begin
 * with ours (CLIENT TRACKING, broadcast mode), and then whether it does;
 * `tracked` follows. While an earlier one is not answered it waits for that. */
void redis_track(struct redis *redis, int64_t subscriber);

/* Asks whether it still does; `tracked` follows. Asks for a field too, since a
 * server may have lost the right to answer without a word. */
void redis_check_tracking(struct redis *redis);

/* Publishes a message; false when the server is not ready, too many are under
 * way or there is no memory. Whether anybody hears it nobody knows. */
bool redis_publish(struct redis *redis, struct span channel,
		   struct span message) MUST_CHECK;

#endif
