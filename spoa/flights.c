/* SPDX-License-Identifier: MIT */
/*
 * flights: a table of flights by host, the queue of all who wait by deadline,
 * and the list of flights that wait for names.
 */
#include "flights.h"

#include <stdlib.h>

bool flights_init(struct flights *flights,
		  const struct flights_options *options,
		  const struct hash_secret *secret)
{
	size_t buckets = 64;

	while (buckets < options->waiting_max / 4)
		buckets *= 2;
	*flights = (struct flights){
		.options = *options, .secret = *secret, .mask = buckets - 1};
	TAILQ_INIT(&flights->queue);
	TAILQ_INIT(&flights->naming);
	flights->buckets = calloc(buckets, sizeof(struct flight *));
	return flights->buckets != NULL;
}

void flights_fini(struct flights *flights)
{
	size_t i;

	for (i = 0; flights->buckets && i <= flights->mask; i++) {
		struct flight *flight = flights->buckets[i];

		while (flight) {
			struct flight *next = flight->chain;

			free(flight);
			flight = next;
		}
	}
	free(flights->buckets);
	flights->buckets = NULL;
}

void flights_set_limits(struct flights *flights, int64_t lookup_timeout_ms,
			size_t waiting_max, int64_t now_ms)
{
	struct waiter *waiter;

	flights->options.lookup_timeout_ms = lookup_timeout_ms;
	flights->options.waiting_max = waiting_max;
	/* The queue stays in the order of deadlines. */
	TAILQ_FOREACH(waiter, &flights->queue, in_queue)
		if (waiter->deadline_ms > now_ms + lookup_timeout_ms)
			waiter->deadline_ms = now_ms + lookup_timeout_ms;
}

/* Where the pointer to the host's flight is, or would be. */
static struct flight **find_slot(struct flights *flights,
				 const struct host *host)
{
	uint64_t hash = hash_span(&flights->secret, host_span(host));
	size_t bucket = (size_t)hash & flights->mask;
	struct flight **slot = &flights->buckets[bucket];

	while (*slot && !span_equal(host_span(&(*slot)->host), host_span(host)))
		slot = &(*slot)->chain;
	return slot;
}

/* Writes the fields that are asked for into the flight. */
static void list_fields(struct flight *flight, uint16_t asked)
{
	struct host_field room;
	char *text = flight->texts;
	size_t i;

	flight->asked = asked;
	flight->lookup.fields = flight->fields;
	flight->lookup.count = 0;
	for (i = 0; i < flight->candidates.count; i++) {
		struct span field = host_candidate(
			&flight->host, &flight->candidates, i, &room);

		if (!(asked & 1U << i))
			continue;
		memcpy(text, field.p, field.len);
		flight->fields[flight->lookup.count++] =
			(struct span){text, field.len};
		text += field.len;
	}
}

static size_t texts_size(const struct host *host,
			 const struct host_candidates *list)
{
	size_t size = 0;
	size_t i;

	for (i = 0; i < list->count; i++)
		size += host->len - list->start[i] + (size_t)1;
	return size;
}

static void note_sent(struct lookup *lookup, int64_t now_ms)
{
	struct flight *flight = (struct flight *)lookup;

	flight->asked_ms = now_ms;
	flight->epoch = cache_epoch(flight->flights->options.cache);
}

/* A flight that nobody has to do with yet; NULL when too much is under way. */
static struct flight *make_flight(struct flights *flights,
				  const struct host *host)
{
	struct host_candidates candidates;
	struct flight *flight;

	if (flights->counters.flights >= flights->options.waiting_max) {
		flights->counters.refused++;
		return NULL;
	}
	host_list_candidates(host, &candidates);
	flight = calloc(1, sizeof(*flight) + texts_size(host, &candidates));
	if (!flight)
		return NULL;
	flight->flights = flights;
	flight->host = *host;
	flight->candidates = candidates;
	flight->lookup.sent = note_sent;
	flight->lookup.done = flights->options.done;
	TAILQ_INIT(&flight->waiters);
	return flight;
}

static void keep_flight(struct flights *flights, struct flight *flight)
{
	struct flight **slot = find_slot(flights, &flight->host);

	flight->chain = *slot;
	*slot = flight;
	flights->counters.flights++;
}

void flights_end(struct flight *flight)
{
	struct flights *flights = flight->flights;

	*find_slot(flights, &flight->host) = flight->chain;
	flights->counters.flights--;
	free(flight);
}

static bool ask_store(struct flight *flight, uint16_t asked, int64_t now_ms)
{
	struct store *store = flight->flights->options.store;

	list_fields(flight, asked);
	return store->ask(store, &flight->lookup, now_ms);
}

bool flights_ask_again(struct flight *flight, int64_t now_ms)
{
	uint16_t all = (uint16_t)((1U << flight->candidates.count) - 1);

	return ask_store(flight, all, now_ms);
}

/* Asks the store for the candidates in `asked`; NULL when it cannot be
 * asked. */
static struct flight *start_flight(struct flights *flights,
				   const struct host *host, uint16_t asked,
				   int64_t now_ms)
{
	struct flight *flight = make_flight(flights, host);

	if (!flight)
		return NULL;
	if (!ask_store(flight, asked, now_ms)) {
		free(flight);
		return NULL;
	}
	keep_flight(flights, flight);
	return flight;
}

void flights_begin_naming(struct flight *flight)
{
	flight->is_naming = true;
	TAILQ_INSERT_TAIL(&flight->flights->naming, flight, link);
}

void flights_end_naming(struct flight *flight)
{
	TAILQ_REMOVE(&flight->flights->naming, flight, link);
	flight->is_naming = false;
}

/* Waits for names alone: the route itself is known. */
static struct flight *start_naming(struct flights *flights,
				   const struct host *host)
{
	struct flight *flight = make_flight(flights, host);

	if (!flight)
		return NULL;
	flight->epoch = cache_epoch(flights->options.cache);
	keep_flight(flights, flight);
	flights_begin_naming(flight);
	flights->counters.namings++;
	return flight;
}

void flights_refresh(struct flights *flights, const struct host *host,
		     uint16_t used, int64_t now_ms)
{
	if (*find_slot(flights, host))
		return;
	if (start_flight(flights, host, used, now_ms))
		flights->counters.refreshes++;
}

static void attach(struct flight *flight, uint64_t client,
		   struct waiter *waiter, int64_t now_ms)
{
	struct flights *flights = flight->flights;

	waiter->flight = flight;
	waiter->client = client;
	waiter->epoch = cache_epoch(flights->options.cache);
	waiter->deadline_ms = now_ms + flights->options.lookup_timeout_ms;
	TAILQ_INSERT_TAIL(&flight->waiters, waiter, in_flight);
	TAILQ_INSERT_TAIL(&flights->queue, waiter, in_queue);
	flights->counters.waiting++;
}

bool flights_join(struct flights *flights, const struct host *host,
		  uint16_t unknown, uint64_t client, struct waiter *waiter,
		  int64_t now_ms)
{
	struct store *store = flights->options.store;
	struct flight *flight = *find_slot(flights, host);

	if (flights->counters.waiting >= flights->options.waiting_max) {
		flights->counters.refused++;
		return false;
	}
	if (flight && unknown && !flight->is_naming &&
	    !store->is_up(store, now_ms))
		return false;
	if (flight) {
		flights->counters.joins++;
	} else {
		flight = unknown ? start_flight(flights, host, unknown, now_ms)
				 : start_naming(flights, host);
		if (!flight)
			return false;
		flights->counters.lookups += unknown != 0;
	}
	attach(flight, client, waiter, now_ms);
	return true;
}

void flights_leave(struct flights *flights, struct waiter *waiter)
{
	if (!waiter->flight)
		return;
	TAILQ_REMOVE(&waiter->flight->waiters, waiter, in_flight);
	TAILQ_REMOVE(&flights->queue, waiter, in_queue);
	waiter->flight = NULL;
	flights->counters.waiting--;
}
