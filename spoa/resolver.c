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

TAILQ_HEAD(waiter_queue, waiter);
TAILQ_HEAD(flight_queue, flight);

/* One question to the store, for one host. */
struct flight {
	struct lookup lookup; /* the fields asked for */
	struct resolver *resolver;
	struct flight *chain; /* next in the bucket */
	struct waiter_queue waiters;
	TAILQ_ENTRY(flight)
	in_naming; /* while it waits for names, not for the
		      store */
	bool is_naming;
	bool is_told; /* by the store */
	struct span fields[HOST_CANDIDATES];
	int64_t asked_ms;
	uint32_t epoch; /* in which it was asked */
	uint16_t asked; /* bit i: candidate i is asked for */
	struct host host;
	struct host_candidates candidates;
	char texts[]; /* of the fields */
};

/* What is known of a host, for all who ask. */
struct finding {
	enum answer_status status; /* ANSWER_OK: there is a route */
	enum answer_source source;
	struct route *route;
	struct span field; /* that holds it */
};

/* What the cache says of a host's candidates. */
struct walk {
	struct host_candidates candidates;
	struct host_field room;
	uint16_t unknown; /* bit i: candidate i is not fresh */
	uint16_t absent;  /* bit i: candidate i is fresh and absent */
	bool is_due;	  /* something fresh that was used nears its end */
	bool is_broken;	  /* a candidate before the end is not even stale */
	bool is_present;  /* `hit` is the first present candidate */
	size_t winner;	  /* its number */
	struct cache_hit hit;
};

struct resolver {
	struct resolver_options options;
	struct hash_secret secret;
	struct cache *cache;
	struct store *store;
	struct waiter_queue queue; /* all waiters, by deadline */
	struct flight_queue naming;
	bool is_renamed; /* names have other addresses */
	struct flight **buckets;
	size_t mask; /* number of buckets, a power of two, less one */
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
	size_t buckets = 64;

	if (!resolver)
		return NULL;
	while (buckets < options->waiting_max / 4)
		buckets *= 2;
	resolver->buckets = calloc(buckets, sizeof(struct flight *));
	resolver->sweep = sweep_new(&sweep);
	if (!resolver->buckets || !resolver->sweep) {
		sweep_free(resolver->sweep);
		free(resolver->buckets);
		free(resolver);
		return NULL;
	}
	routes_init(&resolver->routes, &routes);
	resolver->mask = buckets - 1;
	resolver->options = *options;
	resolver->secret = *secret;
	resolver->cache = cache;
	resolver->store = store;
	TAILQ_INIT(&resolver->queue);
	TAILQ_INIT(&resolver->naming);
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
	size_t i;

	if (!resolver)
		return;
	for (i = 0; i <= resolver->mask; i++) {
		struct flight *flight = resolver->buckets[i];

		while (flight) {
			struct flight *next = flight->chain;

			free(flight);
			flight = next;
		}
	}
	sweep_free(resolver->sweep);
	free(resolver->buckets);
	free(resolver);
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

/* Looks at one candidate. Returns true when the walk is over: a fresh one is
 * present, and no later one matters. */
static bool look_at(struct resolver *resolver, const struct host *host,
		    size_t i, struct walk *walk)
{
	struct span field =
		host_candidate(host, &walk->candidates, i, &walk->room);
	struct cache_hit hit;
	enum cache_state state =
		cache_get(resolver->cache, field, resolver->now_ms, &hit);
	bool wins = state != CACHE_UNKNOWN && hit.value && !walk->is_present &&
		    !walk->is_broken;

	if (state == CACHE_UNKNOWN && !walk->is_present)
		walk->is_broken = true;
	if (state != CACHE_FRESH)
		walk->unknown |= (uint16_t)(1U << i);
	else if (!hit.value)
		walk->absent |= (uint16_t)(1U << i);
	if (state == CACHE_FRESH)
		walk->is_due |= hit.is_due;
	if (wins) {
		walk->is_present = true;
		walk->winner = i;
		walk->hit = hit;
	}
	return state == CACHE_FRESH && hit.value;
}

static void walk_cache(struct resolver *resolver, const struct host *host,
		       struct walk *walk)
{
	size_t i;

	walk->unknown = walk->absent = 0;
	walk->is_due = walk->is_broken = walk->is_present = false;
	/* Most hosts have a route of their own: list the others if not. */
	walk->candidates.count = 1;
	walk->candidates.start[0] = 0;
	if (look_at(resolver, host, 0, walk))
		return;
	host_list_candidates(host, &walk->candidates);
	for (i = 1; i < walk->candidates.count; i++)
		if (look_at(resolver, host, i, walk))
			return;
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
	return find_route(walk->hit.value,
			  host_candidate(host, &walk->candidates, walk->winner,
					 &resolver->field),
			  source);
}

/* What to answer when the store cannot be asked. An absence that is past its
 * life may stand before a route, for such a host was routed there, but it never
 * makes a `not_found`. */
static struct finding find_without_store(struct resolver *resolver,
					 const struct host *host)
{
	struct walk walk;

	walk_cache(resolver, host, &walk);
	if (walk.is_present)
		return find_winner(resolver, host, &walk,
				   walk.unknown ? ANSWER_FROM_STALE
						: ANSWER_FROM_CACHE);
	if (!walk.unknown)
		return find_nothing(ANSWER_NOT_FOUND, ANSWER_FROM_CACHE);
	return find_nothing(ANSWER_UNAVAILABLE, ANSWER_FROM_NONE);
}

static struct flight **find_flight(struct resolver *resolver,
				   const struct host *host)
{
	size_t bucket =
		hash_span(&resolver->secret, host_span(host)) & resolver->mask;
	struct flight **slot = &resolver->buckets[bucket];

	while (*slot && !span_equal(host_span(&(*slot)->host), host_span(host)))
		slot = &(*slot)->chain;
	return slot;
}

static void free_flight(struct resolver *resolver, struct flight *flight)
{
	*find_flight(resolver, &flight->host) = flight->chain;
	resolver->counters.flights--;
	free(flight);
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

static void finish_flight(struct lookup *lookup, enum store_status status,
			  const struct store_value *values, int64_t now_ms);

static void note_flight(struct lookup *lookup, int64_t now_ms)
{
	struct flight *flight = (struct flight *)lookup;

	flight->asked_ms = now_ms;
	flight->epoch = cache_epoch(flight->resolver->cache);
}

/* A flight that nobody has to do with yet; NULL when too much is under way. */
static struct flight *make_flight(struct resolver *resolver,
				  const struct host *host)
{
	struct host_candidates candidates;
	struct flight *flight;

	if (resolver->counters.flights >= resolver->options.waiting_max) {
		resolver->counters.refused++;
		return NULL;
	}
	host_list_candidates(host, &candidates);
	flight = calloc(1, sizeof(*flight) + texts_size(host, &candidates));
	if (!flight)
		return NULL;
	flight->resolver = resolver;
	flight->host = *host;
	flight->candidates = candidates;
	flight->lookup.sent = note_flight;
	flight->lookup.done = finish_flight;
	TAILQ_INIT(&flight->waiters);
	return flight;
}

static void keep_flight(struct resolver *resolver, struct flight *flight)
{
	struct flight **slot = find_flight(resolver, &flight->host);

	flight->chain = *slot;
	*slot = flight;
	resolver->counters.flights++;
}

/* Asks the store for the candidates in `asked`; NULL when it cannot be
 * asked. */
static struct flight *start_flight(struct resolver *resolver,
				   const struct host *host, uint16_t asked)
{
	struct flight *flight = make_flight(resolver, host);

	if (!flight)
		return NULL;
	list_fields(flight, asked);
	if (!resolver->store->ask(resolver->store, &flight->lookup,
				  resolver->now_ms)) {
		free(flight);
		return NULL;
	}
	keep_flight(resolver, flight);
	return flight;
}

static void begin_naming(struct flight *flight)
{
	flight->is_naming = true;
	TAILQ_INSERT_TAIL(&flight->resolver->naming, flight, in_naming);
}

/* Waits for names alone: the route itself is known. */
static struct flight *start_naming(struct resolver *resolver,
				   const struct host *host)
{
	struct flight *flight = make_flight(resolver, host);

	if (!flight)
		return NULL;
	flight->epoch = cache_epoch(resolver->cache);
	keep_flight(resolver, flight);
	begin_naming(flight);
	resolver->counters.namings++;
	return flight;
}

/* Asks ahead for what nears its end, unless that is being done. */
static void refresh(struct resolver *resolver, const struct host *host,
		    const struct walk *walk)
{
	uint16_t used = walk->absent;

	if (*find_flight(resolver, host))
		return;
	if (walk->is_present)
		used |= (uint16_t)(1U << walk->winner);
	if (start_flight(resolver, host, used))
		resolver->counters.refreshes++;
}

static void detach(struct resolver *resolver, struct waiter *waiter)
{
	TAILQ_REMOVE(&waiter->flight->waiters, waiter, in_flight);
	TAILQ_REMOVE(&resolver->queue, waiter, in_queue);
	waiter->flight = NULL;
	resolver->counters.waiting--;
}

void resolver_cancel(struct resolver *resolver, struct waiter *waiter)
{
	if (waiter->flight)
		detach(resolver, waiter);
}

static void attach(struct resolver *resolver, struct flight *flight,
		   struct span client, struct waiter *waiter)
{
	waiter->flight = flight;
	waiter->client = routes_client(client);
	waiter->epoch = cache_epoch(resolver->cache);
	waiter->deadline_ms =
		resolver->now_ms + resolver->options.lookup_timeout_ms;
	TAILQ_INSERT_TAIL(&flight->waiters, waiter, in_flight);
	TAILQ_INSERT_TAIL(&resolver->queue, waiter, in_queue);
	resolver->counters.waiting++;
}

/* Waits for the store to tell of the candidates in `unknown`, or, when that is
 * 0, for names. */
static bool join_flight(struct resolver *resolver, const struct host *host,
			uint16_t unknown, struct span client,
			struct waiter *waiter)
{
	struct store *store = resolver->store;
	struct flight *flight = *find_flight(resolver, host);

	if (resolver->counters.waiting >= resolver->options.waiting_max) {
		resolver->counters.refused++;
		return false;
	}
	if (flight && unknown && !flight->is_naming &&
	    !store->is_up(store, resolver->now_ms))
		return false;
	if (flight) {
		resolver->counters.joins++;
	} else {
		flight = unknown ? start_flight(resolver, host, unknown)
				 : start_naming(resolver, host);
		if (!flight)
			return false;
		resolver->counters.lookups += unknown != 0;
	}
	attach(resolver, flight, client, waiter);
	return true;
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
static bool answer_as_written(struct resolver *resolver,
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

enum resolver_result resolver_ask(struct resolver *resolver,
				  const struct question *question,
				  int64_t now_ms, struct waiter *waiter,
				  struct answer *answer)
{
	struct host *known = &resolver->host;
	struct finding found;
	struct walk walk;

	resolver->now_ms = now_ms;
	if (answer_as_written(resolver, question, answer))
		return RESOLVER_DONE;
	if (!host_normalise(question->host, known)) {
		found = find_nothing(ANSWER_BAD_HOST, ANSWER_FROM_NONE);
		fill_answer(resolver, &found, 0, answer);
		return RESOLVER_DONE;
	}
	walk_cache(resolver, known, &walk);
	if (walk.unknown && join_flight(resolver, known, walk.unknown,
					question->client, waiter))
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
	    join_flight(resolver, known, 0, question->client, waiter))
		return RESOLVER_PENDING;
	fill_answer(resolver, &found, client_of(question, found.route), answer);
	if (!walk.unknown)
		note_asked(resolver, host_span(known), found.route, answer);
	return RESOLVER_DONE;
}

bool resolver_peek(struct resolver *resolver, struct span host, int64_t now_ms,
		   struct resolver_loan *loan)
{
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
	walk_cache(resolver, &known, &walk);
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
	struct resolver *resolver = flight->resolver;
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
		*found = find_route(hit.value, field, ANSWER_FROM_REDIS);
		return true;
	}
	*found = find_nothing(ANSWER_NOT_FOUND, ANSWER_FROM_REDIS);
	return true;
}

/* Asks once more, for all candidates. */
static bool ask_again(struct flight *flight)
{
	struct resolver *resolver = flight->resolver;
	uint16_t all = (uint16_t)((1U << flight->candidates.count) - 1);

	list_fields(flight, all);
	return resolver->store->ask(resolver->store, &flight->lookup,
				    resolver->now_ms);
}

/* Answers the waiters that asked in `epoch` or before; false when there are
 * others, for whom the answer may be too old. */
static bool answer_waiters(struct flight *flight, uint32_t epoch,
			   const struct finding *found)
{
	struct resolver *resolver = flight->resolver;
	struct waiter *waiter;
	struct answer answer;

	/* They joined in the order of their epochs. */
	while ((waiter = TAILQ_FIRST(&flight->waiters)) != NULL) {
		if ((int32_t)(waiter->epoch - epoch) > 0)
			return false;
		detach(resolver, waiter);
		fill_answer(resolver, found, waiter->client, &answer);
		waiter->answered(waiter, &answer);
	}
	return true;
}

static void note_flight_asked(struct flight *flight,
			      const struct finding *found)
{
	struct resolver *resolver = flight->resolver;
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
		keep_value(flight->resolver, host_span(&flight->host),
			   lookup->fields[i], &values[i], flight->asked_ms,
			   flight->epoch);
	flight->is_told = true;
	if (!find_reply(flight, values, &found))
		return false;
	if (!TAILQ_EMPTY(&flight->waiters) &&
	    settle(flight->resolver, &found)) {
		begin_naming(flight);
		return true;
	}
	if (!TAILQ_EMPTY(&flight->waiters))
		note_flight_asked(flight, &found);
	return answer_waiters(flight, flight->epoch, &found);
}

/* Answers those who are left from what is known, and is over. */
static void end_flight(struct flight *flight)
{
	struct resolver *resolver = flight->resolver;
	struct finding found;
	struct waiter *waiter;

	while ((waiter = TAILQ_FIRST(&flight->waiters)) != NULL) {
		found = find_without_store(resolver, &flight->host);
		answer_waiters(flight, waiter->epoch, &found);
	}
	free_flight(resolver, flight);
}

static void finish_flight(struct lookup *lookup, enum store_status status,
			  const struct store_value *values, int64_t now_ms)
{
	struct flight *flight = (struct flight *)lookup;
	struct resolver *resolver = flight->resolver;

	resolver->now_ms = now_ms;
	/* What the reply relied on may have left the cache or come to its end,
	 * or a change was heard of after it was asked for. */
	if (status == STORE_ANSWERED && !take_reply(flight, values) &&
	    ask_again(flight))
		return;
	if (!flight->is_naming)
		end_flight(flight);
}

/* Names that the flight waits for may have addresses by now. */
static void go_on_naming(struct flight *flight)
{
	struct resolver *resolver = flight->resolver;
	struct finding found = find_without_store(resolver, &flight->host);

	if (!TAILQ_EMPTY(&flight->waiters) && settle(resolver, &found))
		return;
	TAILQ_REMOVE(&resolver->naming, flight, in_naming);
	flight->is_naming = false;
	if (flight->is_told && found.status == ANSWER_OK)
		found.source = ANSWER_FROM_REDIS;
	/* Those who came after a change must hear of what it changed. */
	if (!answer_waiters(flight, flight->epoch, &found) && ask_again(flight))
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
	for (flight = TAILQ_FIRST(&resolver->naming); flight; flight = next) {
		next = TAILQ_NEXT(flight, in_naming);
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

void resolver_flush(struct resolver *resolver, struct span field,
		    int64_t now_ms)
{
	hear(resolver, STORE_NAMED, field.len > 0 ? field : span_of("*"),
	     now_ms);
}

int64_t resolver_expire(struct resolver *resolver, int64_t now_ms)
{
	struct waiter *waiter;

	resolver->now_ms = now_ms;
	look_at_names(resolver);
	while ((waiter = TAILQ_FIRST(&resolver->queue)) != NULL) {
		struct host host = waiter->flight->host;
		struct finding found;
		struct answer answer;

		if (waiter->deadline_ms > now_ms)
			return waiter->deadline_ms;
		detach(resolver, waiter);
		resolver->counters.timeouts++;
		found = find_without_store(resolver, &host);
		fill_answer(resolver, &found, waiter->client, &answer);
		waiter->answered(waiter, &answer);
	}
	return -1;
}
