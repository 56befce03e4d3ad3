/* SPDX-License-Identifier: MIT */
/*
 * fuzz_agent: the input is a story of session, resolver and cache, a byte for
 * each step and one or two for what it is about: questions of two HAProxys,
 * writes to the hash, replies now or late, failures, pushes, time.
 *
 * The store and the clock are the story's. Each value that is written is
 * another one, so an answer shows which it is, and that must be right: given by
 * the store, for a field that the host may have, within its life, and no older
 * than the last change that was heard of before the question. Each question
 * gets one answer in time, a host has one flight, and the bounds hold.
 */
#include "fuzz.h"

#include "../../spoa/flights.h"
#include "../../spoa/resolver.h"

#include <stdio.h>

enum {
	TTL = 10000,
	NEGATIVE = 1000,
	STALE = 60000,
	TIMEOUT = 50,
	WAITING_MAX = 6,
	VALUES_MAX = 20,
	PEERS = 2,
	FIELDS = 8,
	VERSIONS = 128, /* of a field */
	ASKS = 400,	/* questions of a story */
	LATE = 0x80,	/* a reply says what the hash held when it was asked */
};

static const char *const field_names[FIELDS] = {
	"a.test", "b.test",	"c.sub.test", "d.test",
	"*.test", "*.sub.test", "*",	      "[::1]"};

static const char *const hosts[] = {
	"a.test",     "A.test.:80", "b.test", "c.sub.test", "x.sub.test",
	"y.test",     "[::1]:1",    "d.test", "bad host",   "",
	"z.sub.test", "other",	    "*.test"};

/* A value that a field had, or its absence. */
struct version {
	bool is_absent;
	bool is_given;	   /* the store told it */
	int64_t given_ms;  /* when it was last asked for, if it was */
	unsigned int over; /* the word after which it is known to be gone; 0:
			      none */
};

static struct {
	struct version versions[VERSIONS];
	size_t now; /* the one that the hash holds */
} fields[FIELDS];

/* A question. */
struct ask {
	struct waiter waiter; /* first */
	enum { ASK_OPEN, ASK_ANSWERED, ASK_DONE } state;
	size_t peer;
	struct host host;
	bool is_host;
	int64_t asked_ms;
	unsigned int words;    /* heard before */
	unsigned int troubles; /* before */
};

/* A lookup that the store has taken, and what the hash held then. */
struct taken {
	struct lookup *lookup;
	int64_t sent_ms;
	size_t versions[STORE_FIELDS_MAX];
};

static struct {
	struct store face;
	struct taken taken[256]; /* the oldest first */
	size_t count;
	bool is_away;
} store;

static struct {
	struct session sessions[PEERS];
	struct cache *cache;
	struct resolver *resolver;
	struct ask asks[ASKS];
	size_t asked;
	int64_t now_ms;
	unsigned int words;    /* of changes, that were heard */
	unsigned int troubles; /* of the store */
	bool is_pushed;
	int64_t pushed_until_ms; /* when that ended, or long ago */
	void (*flight_done)(struct lookup *, enum store_status,
			    const struct store_value *, int64_t);
	bool is_asking; /* within resolver_ask: the next lookup is a flight */
} agent;

static int find_field(struct span name)
{
	int i;

	for (i = 0; i < FIELDS; i++)
		if (span_is(name, field_names[i]))
			return i;
	return -1;
}

static void check_flights(void)
{
	size_t i, j;

	for (i = 0; i < store.count; i++) {
		const struct flight *a = (void *)store.taken[i].lookup;

		if (a->lookup.done != agent.flight_done)
			continue;
		for (j = i + 1; j < store.count; j++) {
			const struct flight *b = (void *)store.taken[j].lookup;

			MUST(b->lookup.done != agent.flight_done ||
			     !span_equal(host_span(&a->host),
					 host_span(&b->host)));
		}
	}
}

static bool take_lookup(struct store *face, struct lookup *lookup,
			int64_t now_ms)
{
	struct taken *taken = &store.taken[store.count];
	size_t i;

	(void)face;
	if (store.is_away || store.count == ARRAY_LEN(store.taken))
		return false;
	MUST(lookup->count >= 1 && lookup->count <= STORE_FIELDS_MAX);
	if (agent.is_asking)
		agent.flight_done = lookup->done;
	store.count++;
	taken->lookup = lookup;
	taken->sent_ms = now_ms;
	for (i = 0; i < lookup->count; i++) {
		int f = find_field(lookup->fields[i]);

		taken->versions[i] = f < 0 ? 0 : fields[f].now;
	}
	lookup->sent(lookup, now_ms);
	check_flights();
	return true;
}

static bool is_up(struct store *face, int64_t now_ms)
{
	(void)face;
	(void)now_ms;
	return !store.is_away;
}

/* The value of a version says whose it is. */
static void print_value(char *text, size_t size, int f, size_t version)
{
	snprintf(text, size, "10.%d.0.%d:80%s", f, (int)version,
		 version % 3 ? "" : " , 10.255.255.255:1 backup");
}

static struct taken take_out(size_t number)
{
	struct taken taken = store.taken[number];

	store.count--;
	memmove(&store.taken[number], &store.taken[number + 1],
		(store.count - number) * sizeof(taken));
	return taken;
}

static void reply(uint8_t how)
{
	static char texts[STORE_FIELDS_MAX][64];
	struct store_value values[STORE_FIELDS_MAX];
	struct taken taken;
	size_t i;

	if (store.count == 0)
		return;
	taken = take_out((how & 0x3f) % store.count);
	for (i = 0; i < taken.lookup->count; i++) {
		int f = find_field(taken.lookup->fields[i]);
		size_t n =
			how & LATE || f < 0 ? taken.versions[i] : fields[f].now;

		values[i] = (struct store_value){.kind = STORE_NONE};
		if (f < 0)
			continue;
		fields[f].versions[n].is_given = true;
		if (fields[f].versions[n].given_ms < taken.sent_ms)
			fields[f].versions[n].given_ms = taken.sent_ms;
		if (fields[f].versions[n].is_absent)
			continue;
		print_value(texts[i], sizeof(texts[i]), f, n);
		values[i].kind = STORE_VALUE;
		values[i].text = span_of(texts[i]);
	}
	taken.lookup->done(taken.lookup, STORE_ANSWERED, values, agent.now_ms);
}

static void fail_lookup(size_t number)
{
	struct taken taken;

	if (store.count == 0)
		return;
	agent.troubles++;
	taken = take_out(number % store.count);
	taken.lookup->done(taken.lookup, STORE_FAILED, NULL, agent.now_ms);
}

/* Is it within its life, as something that was given then? */
static bool is_alive(const struct version *version, int64_t life_ms)
{
	int64_t age_ms = agent.now_ms - version->given_ms;

	if (!version->is_given)
		return false;
	if (age_ms <= life_ms)
		return true;
	return age_ms <= (CACHE_PUSH_FACTOR + 1) * life_ms &&
	       (agent.is_pushed ||
		agent.now_ms - agent.pushed_until_ms <= life_ms);
}

/* Could it be believed when this was asked? From Redis there is no life: it was
 * said just now. */
static bool is_fresh(const struct version *version, const struct ask *ask,
		     enum answer_source source, int64_t life_ms)
{
	if (version->over != 0 && version->over <= ask->words)
		return false;
	return source == ANSWER_FROM_REDIS ? version->is_given
					   : is_alive(version, life_ms);
}

/* Somebody told, in time, that the field was not there. */
static void check_absent(struct span name, const struct ask *ask,
			 enum answer_source source)
{
	int f = find_field(name);
	size_t i;

	if (f < 0)
		return;
	for (i = 0; i <= fields[f].now; i++)
		if (fields[f].versions[i].is_absent &&
		    is_fresh(&fields[f].versions[i], ask, source, NEGATIVE))
			return;
	/* What was read for a candidate before may be older than the answer. */
	for (i = 0; source == ANSWER_FROM_REDIS && i <= fields[f].now; i++)
		if (fields[f].versions[i].is_absent &&
		    is_fresh(&fields[f].versions[i], ask, ANSWER_FROM_CACHE,
			     NEGATIVE))
			return;
	abort();
}

static void check_ok(const struct ask *ask, const struct answer *answer)
{
	struct host_candidates list;
	const struct version *version;
	struct host_field room;
	struct span field = {0};
	size_t i;
	int f;

	host_list_candidates(&ask->host, &list);
	for (i = 0; i < list.count; i++) {
		field = host_candidate(&ask->host, &list, i, &room);
		if (span_equal(field, answer->route))
			break;
		if (answer->source != ANSWER_FROM_STALE)
			check_absent(field, ask, answer->source);
	}
	MUST(i < list.count && answer->address_len == 4);
	f = find_field(field);
	MUST(f >= 0 && answer->address[0] == 10 && answer->address[1] == f);
	MUST(answer->address[3] <= fields[f].now && answer->port == 80);
	version = &fields[f].versions[answer->address[3]];
	MUST(version->is_given && !version->is_absent);
	if (answer->source == ANSWER_FROM_STALE)
		MUST(agent.now_ms - version->given_ms <=
		     (CACHE_PUSH_FACTOR + 1) * TTL + STALE);
	else
		MUST(is_fresh(version, ask, answer->source, TTL));
}

static void check_not_found(const struct ask *ask, const struct answer *answer)
{
	struct host_candidates list;
	struct host_field room;
	size_t i;

	MUST(answer->source == ANSWER_FROM_CACHE ||
	     answer->source == ANSWER_FROM_REDIS);
	host_list_candidates(&ask->host, &list);
	for (i = 0; i < list.count; i++)
		check_absent(host_candidate(&ask->host, &list, i, &room), ask,
			     answer->source);
}

static void check_answer(const struct ask *ask, const struct answer *answer)
{
	const struct flights_counters *count =
		resolver_count_flights(agent.resolver);
	bool was_full =
		count->waiting >= WAITING_MAX || count->flights >= WAITING_MAX;

	MUST((answer->status == ANSWER_BAD_HOST) == !ask->is_host);
	if (answer->status == ANSWER_OK)
		check_ok(ask, answer);
	else if (answer->status == ANSWER_NOT_FOUND)
		check_not_found(ask, answer);
	else if (answer->status == ANSWER_UNAVAILABLE)
		MUST(store.is_away || agent.troubles != ask->troubles ||
		     was_full || agent.now_ms - ask->asked_ms >= TIMEOUT ||
		     store.count == ARRAY_LEN(store.taken));
	else
		MUST(answer->status == ANSWER_BAD_HOST);
}

static void give_answer(struct ask *ask, const struct answer *answer)
{
	MUST(ask->state == ASK_OPEN);
	check_answer(ask, answer);
	ask->state = ASK_ANSWERED;
	session_answer(&agent.sessions[ask->peer], (uint64_t)(ask - agent.asks),
		       1, answer);
}

static void answered(struct waiter *waiter, const struct answer *answer)
{
	give_answer((struct ask *)waiter, answer);
}

/* HAProxy reads all: an ACK for each answer, once. */
static void read_output(size_t peer)
{
	struct session *s = &agent.sessions[peer];
	struct span out = session_output(s);
	struct spop_frame frame;
	size_t used;

	while (out.len > 0) {
		MUST(spop_get_frame((const uint8_t *)out.p, out.len,
				    s->frame_max, &frame,
				    &used) == SPOP_PARSED);
		if (frame.type == SPOP_AGENT_ACK) {
			MUST(frame.stream_id < agent.asked);
			MUST(agent.asks[frame.stream_id].state == ASK_ANSWERED);
			MUST(agent.asks[frame.stream_id].peer == peer);
			agent.asks[frame.stream_id].state = ASK_DONE;
		}
		out.p += used;
		out.len -= used;
	}
	session_sent(s, session_output(s).len);
}

static void take_question(const struct question *question, size_t peer)
{
	struct ask *ask = &agent.asks[question->stream_id];
	enum resolver_result result;
	struct answer answer;

	MUST(question->stream_id < agent.asked && ask->peer == peer);
	agent.is_asking = true;
	result = resolver_ask(agent.resolver, question, agent.now_ms,
			      &ask->waiter, &answer);
	agent.is_asking = false;
	if (result == RESOLVER_DONE)
		give_answer(ask, &answer);
}

static void feed(size_t peer, const uint8_t *bytes, size_t len)
{
	struct session *s = &agent.sessions[peer];
	struct question question;
	enum session_event event;

	session_feed(s, bytes, len);
	while ((event = session_next(s, &question)) == SESSION_QUESTION) {
		resolver_foresee(agent.resolver, &question, 1);
		take_question(&question, peer);
	}
	MUST(event == SESSION_HUNGRY && session_used(s) == len);
	read_output(peer);
}

static void greet(size_t peer)
{
	static const char hello[] = "\0\0\0\x41\x01\0\0\0\x01\0\0"
				    "\x12supported-versions\x08\x03"
				    "2.0"
				    "\x0emax-frame-size\x03\xfc\xf0\x06"
				    "\x0c"
				    "capabilities\x08\0";

	session_init(&agent.sessions[peer]);
	feed(peer, (const uint8_t *)hello, sizeof(hello) - 1);
	MUST(agent.sessions[peer].state == SESSION_OPEN);
}

static void ask(uint8_t which, uint8_t client)
{
	uint8_t bytes[256];
	struct spop_writer w = {bytes, bytes + sizeof(bytes), false};
	struct span host = span_of(hosts[which % ARRAY_LEN(hosts)]);
	struct ask *ask = &agent.asks[agent.asked];
	size_t peer = which / ARRAY_LEN(hosts) % PEERS;
	char invented[16];
	uint8_t *begin;

	if (agent.asked == ASKS)
		return;
	if (which >= 0xe0) {
		snprintf(invented, sizeof(invented), "i%d.test", client);
		host = span_of(invented);
	}
	*ask = (struct ask){.waiter = {.answered = answered},
			    .peer = peer,
			    .asked_ms = agent.now_ms,
			    .words = agent.words,
			    .troubles = agent.troubles};
	ask->is_host = host_normalise(host, &ask->host);
	begin = spop_begin_frame(&w, (enum spop_frame_type)SPOP_HAPROXY_NOTIFY,
				 agent.asked++, 1);
	spop_put_string(&w, span_of("route"));
	spop_put_byte(&w, 1);
	spop_put_string(&w, span_of("host"));
	spop_put_byte(&w, SPOP_STRING);
	spop_put_string(&w, host);
	spop_end_frame(&w, begin);
	MUST(!w.failed);
	feed(peer, bytes, (size_t)(w.p - bytes));
}

/* A HAProxy goes away, and comes again. */
static void leave(size_t peer)
{
	size_t i;

	for (i = 0; i < agent.asked; i++) {
		struct ask *ask = &agent.asks[i];

		if (ask->peer != peer || ask->state == ASK_DONE)
			continue;
		if (ask->state == ASK_OPEN)
			resolver_cancel(agent.resolver, &ask->waiter);
		ask->state = ASK_DONE;
	}
	session_fini(&agent.sessions[peer]);
	greet(peer);
}

/* Another value for a field, or none. */
static void set_field(size_t f, bool is_absent)
{
	if (fields[f].now + 1 < VERSIONS)
		fields[f].versions[++fields[f].now].is_absent = is_absent;
}

/* What was written until now is known to be so. */
static void tell(enum store_news news, size_t f)
{
	size_t i, n;

	if (news == STORE_PUSH_UP)
		agent.is_pushed = true;
	if (news == STORE_PUSH_DOWN && agent.is_pushed)
		agent.pushed_until_ms = agent.now_ms;
	if (news == STORE_PUSH_DOWN)
		agent.is_pushed = false;
	if (news == STORE_CHANGED || news == STORE_NAMED)
		agent.words++;
	for (i = 0; agent.words > 0 && i < FIELDS; i++)
		for (n = 0; n < fields[i].now; n++)
			if (fields[i].versions[n].over == 0 &&
			    (news == STORE_CHANGED || news == STORE_NAMED))
				fields[i].versions[n].over = agent.words;
	store.face.news(store.face.context, news,
			span_of(news == STORE_NAMED ? field_names[f] : ""),
			agent.now_ms);
}

static const int64_t steps_ms[] = {1, 10, 60, 900, 2500, 9000, 30000, 3600000};

static void take_step(uint8_t what, uint8_t about, uint8_t more)
{
	enum store_news news = STORE_CHANGED + (enum store_news)(about % 4);

	switch (what % 10) {
	case 0:
	case 1:
		ask(about, more);
		break;
	case 2:
	case 3:
		reply(about);
		break;
	case 4:
		set_field(about % FIELDS, more & 1);
		break;
	case 5:
		tell(news, more % FIELDS);
		break;
	case 6:
		agent.now_ms += steps_ms[about % ARRAY_LEN(steps_ms)];
		break;
	case 7:
		fail_lookup(about);
		break;
	case 8:
		store.is_away = about & 1;
		agent.troubles++;
		break;
	default:
		if (about & 1)
			leave(more % PEERS);
		else
			resolver_flush(
				agent.resolver,
				span_of(about & 2 ? ""
						  : field_names[more % FIELDS]),
				agent.now_ms);
		break;
	}
}

static void check_bounds(void)
{
	const struct cache_counters *kept = cache_count(agent.cache);
	size_t i;

	MUST(resolver_count_flights(agent.resolver)->waiting <= WAITING_MAX);
	MUST(resolver_count_flights(agent.resolver)->flights <= WAITING_MAX);
	MUST(kept->values <= VALUES_MAX);
	MUST(kept->absents <= CACHE_ABSENT_SHARE);
	for (i = 0; i < agent.asked; i++)
		MUST(agent.asks[i].state != ASK_OPEN ||
		     agent.now_ms - agent.asks[i].asked_ms < TIMEOUT);
	check_flights();
}

static void open_agent(void)
{
	static const struct hash_secret secret = {1, 2};
	const struct cache_options lives = {.values_max = VALUES_MAX,
					    .ttl_ms = TTL,
					    .negative_ms = NEGATIVE,
					    .stale_ms = STALE};
	const struct resolver_options options = {.lookup_timeout_ms = TIMEOUT,
						 .waiting_max = WAITING_MAX};
	size_t i;

	memset(fields, 0, sizeof(fields));
	memset(&store, 0, sizeof(store));
	memset(&agent, 0, sizeof(agent));
	for (i = 0; i < FIELDS; i++)
		fields[i].versions[0].is_absent = true;
	agent.now_ms = 1000000;
	agent.pushed_until_ms = -1000000000;
	store.face = (struct store){.ask = take_lookup, .is_up = is_up};
	agent.cache = cache_new(&lives, &secret);
	MUST(agent.cache != NULL);
	agent.resolver =
		resolver_new(&options, &secret, agent.cache, &store.face);
	MUST(agent.resolver != NULL);
	for (i = 0; i < PEERS; i++)
		greet(i);
}

/* All that is open ends, and then each question has had its answer. */
static void close_agent(void)
{
	size_t i;

	store.is_away = true;
	while (store.count > 0)
		fail_lookup(0);
	for (i = 0; i < PEERS; i++) {
		read_output(i);
		session_fini(&agent.sessions[i]);
	}
	for (i = 0; i < agent.asked; i++)
		MUST(agent.asks[i].state == ASK_DONE);
	MUST(resolver_count_flights(agent.resolver)->waiting == 0);
	MUST(resolver_count_flights(agent.resolver)->flights == 0);
	resolver_free(agent.resolver);
	cache_free(agent.cache);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	size_t i, peer;

	open_agent();
	for (i = 0; i + 3 <= len; i += 3) {
		take_step(bytes[i], bytes[i + 1], bytes[i + 2]);
		resolver_expire(agent.resolver, agent.now_ms);
		resolver_sweep(agent.resolver, agent.now_ms);
		for (peer = 0; peer < PEERS; peer++)
			read_output(peer);
		check_bounds();
	}
	close_agent();
	return 0;
}
