/* SPDX-License-Identifier: MIT */
/*
 * redis_wire: one connection to one Redis server, bytes to replies.
 *
 * It resolves, connects, says who we are (AUTH, SELECT), then sends commands
 * and hands over replies in the order they come, each within bounds. It never
 * blocks and it ends at the first trouble. What the replies mean is its
 * owner's to know.
 */
#ifndef SPOA_REDIS_WIRE_H
#define SPOA_REDIS_WIRE_H

#include <hiredis/hiredis.h>

#include "loop.h"
#include "redis_url.h"
#include "tls.h"

struct evdns_base;
struct redis_errors;
struct redis_wire;

/* A server, and what it takes to ask it. What this points to must live longer
 * than whoever is given it. */
struct redis_place {
	struct loop *loop;
	struct evdns_base *dns; /* for names; NULL when all are addresses */
	struct tls *tls;	/* for a URL that wants it; else NULL */
	struct redis_errors *errors; /* counts what is refused; or NULL */
	const struct redis_url *url;
	const char *key;  /* of the hash */
	size_t value_max; /* bytes of a bulk string; see the sieve */
};

struct redis_wire_options {
	struct redis_place place;
	/* We were let in: commands may be sent. */
	void (*opened)(void *context);
	/* A reply, which lives during the call. */
	void (*replied)(void *context, const redisReply *reply);
	/* The end; `why` lives during the call. Called once, from the loop,
	 * never from within a call of this room. The owner then frees it. */
	void (*lost)(void *context, const char *why);
	void *context;
};

enum { REDIS_WIRE_WORDS_MAX = 12 };

/* Starts to connect; NULL when there is no memory. */
struct redis_wire *redis_wire_new(const struct redis_wire_options *options);
void redis_wire_free(struct redis_wire *wire);

/* Sends a command once the wire is open; false when there is no memory. */
bool redis_wire_send(struct redis_wire *wire, int argc, const char **argv,
		     const size_t *lens) MUST_CHECK;

/* The same with C strings, at most REDIS_WIRE_WORDS_MAX. */
bool redis_wire_say(struct redis_wire *wire, int argc,
		    const char **argv) MUST_CHECK;

/* Ends it for a reason that the owner found: `why`, and `detail` unless that
 * is empty. `lost` follows from the loop. */
void redis_wire_lose(struct redis_wire *wire, const char *why,
		     struct span detail);

/* When the server last said something, in ms; 0 when it never did. */
int64_t redis_wire_heard(const struct redis_wire *wire);

/* How many times bytes came from it. */
uint64_t redis_wire_reads(const struct redis_wire *wire);

#endif
