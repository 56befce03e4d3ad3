/* SPDX-License-Identifier: MIT */
/*
 * resolver: joins host, cache, route and store. A request is answered by
 * walking the host's candidates: the first that is present wins when all
 * before it are known to be absent.
 */
#include "resolver.h"

#include <stdlib.h>

#include "host.h"
#include "sweep.h"
#include "walk.h"

/* What is known of a host, for all who ask. */
struct finding {
	enum answer_status status; /* ANSWER_OK: there is a route */
	enum answer_source source;
	struct route *route;
	struct span field; /* that holds it */
};

struct resolver {
	struct cache *cache;
	struct flights flights;
	bool is_renamed; /* names have other addresses */
	size_t whole;	 /* values of the cache when it held all; 0: never */
	int64_t now_ms;
	struct resolver_counters counters;
	struct sweep *sweep;
	const struct resolver_lending *lending; /* or NULL */
	struct host host; /* what the last answer borrows */
	struct host_field field;
	struct routes routes;
};

static void hear(void *context, enum store_news news, struct span field,
		 int64_t now_ms);
static void hear_names(void *context);
static void finish_flight(struct lookup *lookup, enum store_status status,
			  const struct store_value *values, int64_t now_ms);
static void keep_swept(void *context, struct span field,
		       const struct store_value *value, int64_t asked_ms,
		       uint32_t epoch, int64_t now_ms);

struct resolver *resolver_new(const struct resolver_options *options,
			      const struct hash_secret *secret,
			      struct cache *cache, struct store *store)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	const struct sweep_options sweep = {.cache = cache,
					    .store = store,
					    .keep = keep_swept,
					    .context = resolver};
	const struct routes_options routes = {.cache = cache,
					      .watch = options->watch,
					      .dns = options->dns,
					      .guard = options->guard,
					      .bad_route = options->bad_route,
					      .context = options->context};
	const struct flights_options flights = {
		.cache = cache,
		.store = store,
		.lookup_timeout_ms = options->lookup_timeout_ms,
		.waiting_max = options->waiting_max,
		.done = finish_flight,
		.context = resolver};

	if (!resolver)
		return NULL;
	resolver->sweep = sweep_new(&sweep);
	if (!flights_init(&resolver->flights, &flights, secret) ||
	    !resolver->sweep) {
		resolver_free(resolver);
		return NULL;
	}
	routes_init(&resolver->routes, &routes);
	resolver->cache = cache;
	if (options->dns) {
		options->dns->changed = hear_names;
		options->dns->context = resolver;
	}
	store->news = hear;
	store->context = resolver;
	return resolver;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	flights_fini(&resolver->flights);
	sweep_free(resolver->sweep);
	free(resolver);
}

const struct flights_counters *
resolver_count_flights(const struct resolver *resolver)
{
	return &resolver->flights.counters;
}

const struct routes_counters *
resolver_count_routes(const struct resolver *resolver)
{
	return &resolver->routes.counters;
}

const struct resolver_counters *resolver_count(const struct resolver *resolver)
{
	return &resolver->counters;
}

static struct resolver *resolver_of(const struct flight *flight)
{
	return flight->flights->options.context;
}

/* The answer to one of those who ask; each may get another target. */
static void fill_answer(struct resolver *resolver, const struct finding *found,
			uint64_t client, struct answer *answer)
{
	if (found->status == ANSWER_OK)
		routes_fill(&resolver->routes, found->route, found->field,
			    found->source, client, answer);
	else
		*answer = (struct answer){.status = found->status,
					  .source = found->source};
}

/* A name may have another address before anybody asks again. */
static bool is_lendable(const struct route *route, const struct answer *answer)
{
	return answer->status == ANSWER_OK && route->target_count == 1 &&
	       route->name_count == 0 && answer->address_len == 4 &&
	       answer->backend.len == 0;
}

/* `host` is normalised; the answer was found in `route`, NULL for none, and is
 * fresh. */
static void note_asked(struct resolver *resolver, struct span host,
		       const struct route *route, const struct answer *answer)
{
	const struct resolver_lending *lending = resolver->lending;

	if (lending && route && is_lendable(route, answer))
		lending->asked(lending->context, host, resolver->now_ms);
}

static struct finding find_nothing(enum answer_status status,
				   enum answer_source source)
{
	return (struct finding){.status = status, .source = source};
}

static struct finding find_route(struct route *route, struct span field,
				 enum answer_source source)
{
	return (struct finding){ANSWER_OK, source, route, field};
}

static struct finding find_winner(struct resolver *resolver,
				  const struct host *host,
				  const struct walk *walk,
				  enum answer_source source)
{
	struct span field = host_candidate(host, &walk->candidates,
					   walk->winner, &resolver->field);

	return find_route(
		routes_judge(&resolver->routes, field, walk->hit.value), field,
		source);
}

/* Does the cache hold all there is? Not when something has left it. */
static bool is_whole(const struct resolver *resolver)
{
	return resolver->whole > 0 &&
	       cache_count(resolver->cache)->values >= resolver->whole;
}

/* What to answer when the store cannot be asked. An absence that is past its
 * life may stand before a route, for such a host was routed there, but it never
 * makes a `not_found`. */
static struct finding find_without_store(struct resolver *resolver,
					 const struct host *host)
{
	struct walk walk;

	walk_cache(resolver->cache, host, resolver->now_ms, is_whole(resolver),
		   &walk);
	if (walk.is_present)
		return find_winner(resolver, host, &walk,
				   walk.unknown ? ANSWER_FROM_STALE
						: ANSWER_FROM_CACHE);
	if (!walk.unknown)
		return find_nothing(ANSWER_NOT_FOUND, ANSWER_FROM_CACHE);
	return find_nothing(ANSWER_UNAVAILABLE, ANSWER_FROM_NONE);
}

void resolver_cancel(struct resolver *resolver, struct waiter *waiter)
{
	flights_leave(&resolver->flights, waiter);
}

static bool join_flight(struct resolver *resolver, const struct host *host,
			uint16_t unknown, const struct question *question,
			struct waiter *waiter)
{
	return flights_join(&resolver->flights, host, unknown,
			    routes_client(question->client), waiter,
			    resolver->now_ms);
}

/* Asks ahead for what nears its end. */
static void refresh(struct resolver *resolver, const struct host *host,
		    const struct walk *walk)
{
	uint16_t used = walk->absent;

	if (walk->is_present)
		used |= (uint16_t)(1U << walk->winner);
	flights_refresh(&resolver->flights, host, used, resolver->now_ms);
}

/* Brings the names of what was found up to date; is it worth to wait for
 * one? */
static bool settle(struct resolver *resolver, struct finding *found)
{
	if (!found->route)
		return false;
	found->route =
		routes_settle(&resolver->routes, found->field, found->route);
	return found->route->is_pending;
}

/* Only a route that balances by client wants to know who it is. */
static uint64_t client_of(const struct question *question,
			  const struct route *route)
{
	if (!route || route->balance != ROUTE_SOURCE)
		return 0;
	return routes_client(question->client);
}

/* Most clients write a host as the hash does. A field that the cache holds is
 * a normalised host or a wildcard: what equals one and is no wildcard needs no
 * normalising, and as the first candidate it wins. */
static inline bool answer_as_written(struct resolver *resolver,
				     const struct question *question,
				     struct answer *answer)
{
	struct span host = question->host;
	uint32_t hash = question->hash ? question->hash
				       : cache_hash(resolver->cache, host);
	struct cache_hit hit;

	if (host.len == 0 || host.p[0] == '*' ||
	    cache_get_hashed(resolver->cache, hash, host, resolver->now_ms,
			     &hit) != CACHE_FRESH ||
	    !hit.value || hit.is_due ||
	    !routes_is_settled(&resolver->routes, hit.value))
		return false;
	routes_fill(&resolver->routes, hit.value, host, ANSWER_FROM_CACHE,
		    client_of(question, hit.value), answer);
	note_asked(resolver, host, hit.value, answer);
	return true;
}

void resolver_foresee(struct resolver *resolver, struct question *questions,
		      size_t count)
{
	uint32_t hashes[RESOLVER_FORESEEN];
	size_t i;

	for (i = 0; i < count; i++) {
		hashes[i] = cache_hash(resolver->cache, questions[i].host);
		questions[i].hash = hashes[i];
	}
	cache_foresee(resolver->cache, hashes, count);
}

/* The way of all that answer_as_written does not answer. */
APART static enum resolver_result look_up(struct resolver *resolver,
					  const struct question *question,
					  int64_t now_ms, struct waiter *waiter,
					  struct answer *answer)
{
	struct host *known = &resolver->host;
	struct finding found;
	struct walk walk;

	if (!host_normalise(question->host, known)) {
		found = find_nothing(ANSWER_BAD_HOST, ANSWER_FROM_NONE);
		fill_answer(resolver, &found, 0, answer);
		return RESOLVER_DONE;
	}
	walk_cache(resolver->cache, known, now_ms, false, &walk);
	if (walk.unknown &&
	    join_flight(resolver, known, walk.unknown, question, waiter))
		return RESOLVER_PENDING;
	if (walk.unknown)
		found = find_without_store(resolver, known);
	else if (walk.is_present)
		found = find_winner(resolver, known, &walk, ANSWER_FROM_CACHE);
	else
		found = find_nothing(ANSWER_NOT_FOUND, ANSWER_FROM_CACHE);
	if (!walk.unknown && walk.is_due)
		refresh(resolver, known, &walk);
	if (settle(resolver, &found) &&
	    join_flight(resolver, known, 0, question, waiter))
		return RESOLVER_PENDING;
	fill_answer(resolver, &found, client_of(question, found.route), answer);
	if (!walk.unknown)
		note_asked(resolver, host_span(known), found.route, answer);
	return RESOLVER_DONE;
}

enum resolver_result resolver_ask(struct resolver *resolver,
				  const struct question *question,
				  int64_t now_ms, struct waiter *waiter,
				  struct answer *answer)
{
	resolver->now_ms = now_ms;
	if (answer_as_written(resolver, question, answer))
		return RESOLVER_DONE;
	return look_up(resolver, question, now_ms, waiter, answer);
}

bool resolver_peek(struct resolver *resolver, struct span host, int64_t now_ms,
		   int64_t hold_ms, struct resolver_loan *loan)
{
	bool is_pushed = cache_is_pushed(resolver->cache);
	struct finding found;
	struct answer answer;
	struct host known;
	struct walk walk;

	loan->is_lendable = false;
	if (host.len == 0 || host.len > HOST_MAX)
		return false;
	known.len = (uint8_t)host.len;
	memcpy(known.name, host.p, host.len);
	resolver->now_ms = now_ms;
	walk_cache(resolver->cache, &known, now_ms + (is_pushed ? 0 : hold_ms),
		   false, &walk);
	if (walk.unknown)
		return false;
	if (!walk.is_present)
		return true;
	found = find_winner(resolver, &known, &walk, ANSWER_FROM_CACHE);
	/* Those with several targets would have one more turn taken. */
	if (found.route->target_count != 1)
		return true;
	fill_answer(resolver, &found, 0, &answer);
	if (!is_lendable(found.route, &answer))
		return true;
	loan->is_lendable = true;
	memcpy(loan->address, answer.address, sizeof(loan->address));
	loan->port = answer.port;
	loan->start = walk.candidates.start[walk.winner];
	return true;
}

void resolver_set_lending(struct resolver *resolver,
			  const struct resolver_lending *lending)
{
	resolver->lending = lending;
	sweep_set_unread(resolver->sweep, lending ? lending->unread : NULL,
			 lending ? lending->context : NULL);
}

static void keep_value(struct resolver *resolver, struct span host,
		       struct span field, const struct store_value *value,
		       int64_t asked_ms, uint32_t epoch)
{
	const struct resolver_lending *lending = resolver->lending;
	bool is_changed = routes_keep(&resolver->routes, host, field, value,
				      asked_ms, epoch);

	if (lending)
		lending->read(lending->context, field, is_changed,
			      resolver->now_ms);
}

/* What a reply makes known, whose values are in the cache by now, but perhaps
 * not fresh: a life may be 0. False when it would rest on a candidate that was
 * not asked for and is not fresh, be it that it was when the question went
 * out. */
static bool find_reply(struct flight *flight, const struct store_value *values,
		       struct finding *found)
{
	struct resolver *resolver = resolver_of(flight);
	size_t reply = 0;
	size_t i;

	for (i = 0; i < flight->candidates.count; i++) {
		struct span field =
			host_candidate(&flight->host, &flight->candidates, i,
				       &resolver->field);
		struct cache_hit hit;

		if (flight->asked & 1U << i) {
			if (values[reply++].kind == STORE_NONE)
				continue;
			*found = find_route(
				routes_find(&resolver->routes, field), field,
				ANSWER_FROM_REDIS);
			return true;
		}
		if (cache_get(resolver->cache, field, resolver->now_ms, &hit) !=
		    CACHE_FRESH)
			return false;
		if (!hit.value)
			continue;
		*found = find_route(
			routes_judge(&resolver->routes, field, hit.value),
			field, ANSWER_FROM_REDIS);
		return true;
	}
	*found = find_nothing(ANSWER_NOT_FOUND, ANSWER_FROM_REDIS);
	return true;
}

/* Answers the waiters that asked in `epoch` or before; false when there are
 * others, for whom the answer may be too old. */
static bool answer_waiters(struct flight *flight, uint32_t epoch,
			   const struct finding *found)
{
	struct resolver *resolver = resolver_of(flight);
	struct waiter *waiter;
	struct answer answer;

	/* They joined in the order of their epochs. */
	while ((waiter = TAILQ_FIRST(&flight->waiters)) != NULL) {
		if ((int32_t)(waiter->epoch - epoch) > 0)
			return false;
		flights_leave(&resolver->flights, waiter);
		fill_answer(resolver, found, waiter->client, &answer);
		waiter->answered(waiter, &answer);
	}
	return true;
}

static void note_flight_asked(struct flight *flight,
			      const struct finding *found)
{
	struct resolver *resolver = resolver_of(flight);
	const struct resolver_lending *lending = resolver->lending;

	if (lending && found->status == ANSWER_OK &&
	    found->route->target_count == 1)
		lending->asked(lending->context, host_span(&flight->host),
			       resolver->now_ms);
}

/* The reply tells what was so before any later change was heard of. */
static bool take_reply(struct flight *flight, const struct store_value *values)
{
	struct lookup *lookup = &flight->lookup;
	struct finding found;
	size_t i;

	/* Backwards: the first value is kept last, as routes_find wants it. */
	for (i = lookup->count; i-- > 0;)
		keep_value(resolver_of(flight), host_span(&flight->host),
			   lookup->fields[i], &values[i], flight->asked_ms,
			   flight->epoch);
	flight->is_told = true;
	if (!find_reply(flight, values, &found))
		return false;
	if (!TAILQ_EMPTY(&flight->waiters) &&
	    settle(resolver_of(flight), &found)) {
		flights_begin_naming(flight);
		return true;
	}
	if (!TAILQ_EMPTY(&flight->waiters))
		note_flight_asked(flight, &found);
	return answer_waiters(flight, flight->epoch, &found);
}

/* Answers those who are left from what is known, and is over. */
static void end_flight(struct flight *flight)
{
	struct resolver *resolver = resolver_of(flight);
	struct finding found;
	struct waiter *waiter;

	while ((waiter = TAILQ_FIRST(&flight->waiters)) != NULL) {
		found = find_without_store(resolver, &flight->host);
		answer_waiters(flight, waiter->epoch, &found);
	}
	flights_end(flight);
}

static void finish_flight(struct lookup *lookup, enum store_status status,
			  const struct store_value *values, int64_t now_ms)
{
	struct flight *flight = (struct flight *)lookup;
	struct resolver *resolver = resolver_of(flight);

	resolver->now_ms = now_ms;
	/* What the reply relied on may have left the cache or come to its end,
	 * or a change was heard of after it was asked for. */
	if (status == STORE_ANSWERED && !take_reply(flight, values) &&
	    flights_ask_again(flight, now_ms))
		return;
	if (!flight->is_naming)
		end_flight(flight);
}

/* Names that the flight waits for may have addresses by now. */
static void go_on_naming(struct flight *flight)
{
	struct resolver *resolver = resolver_of(flight);
	struct finding found = find_without_store(resolver, &flight->host);

	if (!TAILQ_EMPTY(&flight->waiters) && settle(resolver, &found))
		return;
	flights_end_naming(flight);
	if (flight->is_told && found.status == ANSWER_OK)
		found.source = ANSWER_FROM_REDIS;
	/* Those who came after a change must hear of what it changed. */
	if (!answer_waiters(flight, flight->epoch, &found) &&
	    flights_ask_again(flight, resolver->now_ms))
		return;
	end_flight(flight);
}

static void hear_names(void *context)
{
	struct resolver *resolver = context;

	resolver->is_renamed = true;
}

static void look_at_names(struct resolver *resolver)
{
	struct flight *flight, *next;

	if (!resolver->is_renamed)
		return;
	resolver->is_renamed = false;
	for (flight = TAILQ_FIRST(&resolver->flights.naming); flight;
	     flight = next) {
		next = TAILQ_NEXT(flight, link);
		go_on_naming(flight);
	}
}

void resolver_learn(struct resolver *resolver, struct span field,
		    const struct store_value *value, int64_t asked_ms,
		    uint32_t epoch, int64_t now_ms)
{
	resolver->now_ms = now_ms;
	keep_value(resolver, field, field, value, asked_ms, epoch);
}

/* What the sweep read again. */
static void keep_swept(void *context, struct span field,
		       const struct store_value *value, int64_t asked_ms,
		       uint32_t epoch, int64_t now_ms)
{
	resolver_learn(context, field, value, asked_ms, epoch, now_ms);
}

void resolver_restore(struct resolver *resolver, struct span field,
		      const struct span *text, int64_t age_ms, int64_t now_ms)
{
	routes_restore(&resolver->routes, field, text, age_ms, now_ms);
}

int64_t resolver_sweep(struct resolver *resolver, int64_t now_ms)
{
	int64_t next_ms = sweep_step(resolver->sweep, now_ms);

	resolver->counters.rereads = sweep_count(resolver->sweep)->rereads;
	return next_ms;
}

static void hear(void *context, enum store_news news, struct span field,
		 int64_t now_ms)
{
	struct resolver *resolver = context;

	if (news == STORE_PUSH_UP || news == STORE_PUSH_DOWN) {
		cache_set_push(resolver->cache, news == STORE_PUSH_UP, now_ms);
		return;
	}
	/* A field that is named may not be the only one: Redis merges what
	 * several writers did. */
	cache_raise_epoch(resolver->cache);
	sweep_begin(resolver->sweep);
	resolver->counters.epochs++;
	if (news != STORE_NAMED)
		return;
	if (cache_is_outdated(resolver->cache, field))
		sweep_add(resolver->sweep, field);
	if (resolver->lending)
		resolver->lending->named(resolver->lending->context, field);
}

void resolver_set_whole(struct resolver *resolver, bool is_whole)
{
	resolver->whole = is_whole ? cache_count(resolver->cache)->values : 0;
}

void resolver_flush(struct resolver *resolver, struct span field,
		    int64_t now_ms)
{
	hear(resolver, STORE_NAMED, field.len > 0 ? field : span_of("*"),
	     now_ms);
}

void resolver_change_guard(struct resolver *resolver, int64_t now_ms)
{
	routes_change_guard(&resolver->routes);
	resolver_flush(resolver, (struct span){0}, now_ms);
}

void resolver_set_limits(struct resolver *resolver, int64_t lookup_timeout_ms,
			 size_t waiting_max, int64_t now_ms)
{
	flights_set_limits(&resolver->flights, lookup_timeout_ms, waiting_max,
			   now_ms);
}

int64_t resolver_expire(struct resolver *resolver, int64_t now_ms)
{
	struct waiter *waiter;

	resolver->now_ms = now_ms;
	look_at_names(resolver);
	while ((waiter = TAILQ_FIRST(&resolver->flights.queue)) != NULL) {
		struct host host = waiter->flight->host;
		struct finding found;
		struct answer answer;

		if (waiter->deadline_ms > now_ms)
			return waiter->deadline_ms;
		flights_leave(&resolver->flights, waiter);
		resolver->counters.timeouts++;
		found = find_without_store(resolver, &host);
		fill_answer(resolver, &found, waiter->client, &answer);
		waiter->answered(waiter, &answer);
	}
	return -1;
}
