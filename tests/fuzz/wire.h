/* SPDX-License-Identifier: MIT */
/*
 * wire: a redis_wire without a server. What its owner says to Redis goes
 * nowhere, what Redis says comes from the fuzzer's bytes, through the sieve and
 * hiredis as it would in the agent. A target includes it once: it is the room's
 * code in the place of redis_wire.c.
 */
#ifndef TESTS_FUZZ_WIRE_H
#define TESTS_FUZZ_WIRE_H

#include "fuzz.h"

#include "../../spoa/redis_wire.h"
#include "../../spoa/sieve.h"

#include <sys/queue.h>

struct redis_wire {
	struct redis_wire_options options;
	struct sieve sieve;
	redisReader *reader;
	bool is_open;
	bool is_lost;
	uint64_t reads;
	TAILQ_ENTRY(redis_wire) link;
};

static TAILQ_HEAD(wire_list, redis_wire) wires = TAILQ_HEAD_INITIALIZER(wires);

struct redis_wire *redis_wire_new(const struct redis_wire_options *options)
{
	struct redis_wire *wire = calloc(1, sizeof(*wire));

	MUST(wire != NULL);
	wire->options = *options;
	wire->reader = redisReaderCreate();
	MUST(wire->reader != NULL);
	sieve_init(&wire->sieve, options->place.value_max);
	TAILQ_INSERT_TAIL(&wires, wire, link);
	return wire;
}

void redis_wire_free(struct redis_wire *wire)
{
	if (!wire)
		return;
	TAILQ_REMOVE(&wires, wire, link);
	redisReaderFree(wire->reader);
	free(wire);
}

bool redis_wire_send(struct redis_wire *wire, int argc, const char **argv,
		     const size_t *lens)
{
	int i;

	MUST(!wire->is_lost || argc > 0);
	for (i = 0; i < argc; i++)
		MUST(argv[i] != NULL && lens[i] < 1024 * 1024);
	return true;
}

bool redis_wire_say(struct redis_wire *wire, int argc, const char **argv)
{
	size_t lens[REDIS_WIRE_WORDS_MAX];
	int i;

	MUST(argc > 0 && argc <= REDIS_WIRE_WORDS_MAX);
	for (i = 0; i < argc; i++)
		lens[i] = strlen(argv[i]);
	return redis_wire_send(wire, argc, argv, lens);
}

void redis_wire_lose(struct redis_wire *wire, const char *why,
		     struct span detail)
{
	MUST(why != NULL && (detail.len == 0 || detail.p != NULL));
	wire->is_lost = true;
}

int64_t redis_wire_heard(const struct redis_wire *wire)
{
	return wire->is_lost ? 0 : 1;
}

uint64_t redis_wire_reads(const struct redis_wire *wire)
{
	return wire->reads;
}

/* The server lets us in. */
static inline void wire_open(struct redis_wire *wire)
{
	wire->is_open = true;
	wire->options.opened(wire->options.context);
}

/* Hands over all replies that are whole. */
static inline void wire_parse(struct redis_wire *wire)
{
	void *reply = NULL;

	while (!wire->is_lost) {
		if (redisReaderGetReply(wire->reader, &reply) != REDIS_OK) {
			wire->is_lost = true;
			return;
		}
		if (!reply)
			return;
		wire->options.replied(wire->options.context, reply);
		freeReplyObject(reply);
	}
}

/* The server says these bytes. */
static inline void wire_hear(struct redis_wire *wire, struct span bytes)
{
	enum sieve_result result = SIEVE_EMPTY;
	struct span piece;

	wire->reads++;
	while (!wire->is_lost && (result = sieve_next(&wire->sieve, &bytes,
						      &piece)) == SIEVE_PIECE) {
		redisReaderFeed(wire->reader, piece.p, piece.len);
		wire_parse(wire);
	}
	if (result == SIEVE_BROKEN)
		wire->is_lost = true;
}

/* The loop's word that a wire was lost, which its owner frees then. */
static inline void wire_report(struct redis_wire *wire)
{
	wire->options.lost(wire->options.context, "lost");
}

#endif
