/* SPDX-License-Identifier: MIT */
/*
 * lender: joins what is lent, what is known of it, and those who hold it.
 */
#include "lender.h"

#include <stdlib.h>

#include "host.h"

enum {
	PAUSE_MS = 5,	 /* between two times of lending */
	SLACK_MS = 1000, /* an answer may reach HAProxy so much later */
};

/* The fields that one lent host rests on, being given to the sweep. */
struct reading {
	struct host host;
	struct host_candidates candidates;
	size_t next; /* the candidate to be given next */
	size_t end;  /* beyond the one that serves the host */
	struct host_field room;
};

struct lender {
	struct lender_options options;
	struct resolver_lending lending;
	struct lent *lent;
	bool is_open;
	int64_t next_ms;  /* not before this is lent again */
	int64_t hold_ms;  /* until then nothing is forgotten */
	uint32_t checked; /* all that is lent was read in this epoch */
	bool is_round;	  /* a round over what is lent is under way */
	bool is_clean;	  /* it found nothing to be read */
	struct reading reading;
	struct lender_counters counters;
};

static void take_back(struct lender *lender, struct lent_host *host)
{
	const struct lender_options *options = &lender->options;

	options->take_back(options->context, lent_name(host));
	lent_remove(lender->lent, host);
	lender->counters.backs++;
}

static uint32_t read_address(const uint8_t *address)
{
	return (uint32_t)address[0] << 24 | (uint32_t)address[1] << 16 |
	       (uint32_t)address[2] << 8 | address[3];
}

/* Is what the host was lent still what it would be answered? Then it counts as
 * read. False when that is not known from fresh knowledge. */
static bool check(struct lender *lender, struct lent_host *host, int64_t now_ms)
{
	struct resolver_loan loan;

	if (!resolver_peek(lender->options.resolver, lent_name(host), now_ms, 0,
			   &loan))
		return false;
	if (loan.is_lendable && loan.port == host->port &&
	    loan.start == host->start &&
	    read_address(loan.address) == host->address)
		host->epoch = cache_epoch(lender->options.cache);
	else
		take_back(lender, host);
	return true;
}

/* Takes back what a wildcard or `*` serves or, being the longer one, could. */
static void take_back_wildcard(struct lender *lender, struct span field)
{
	struct span suffix = {field.p + 1, field.len - 1};
	struct lent_host *host = LIST_FIRST(lent_by_wildcard(lender->lent));

	while (host) {
		struct lent_host *next = LIST_NEXT(host, by_wildcard);
		size_t at = host->len - suffix.len;

		if (suffix.len < host->len && host->start >= at &&
		    !memcmp(host->name + at, suffix.p, suffix.len))
			take_back(lender, host);
		host = next;
	}
}

void lender_take_back_field(struct lender *lender, struct span field)
{
	struct lent_host *host;

	if (lent_count(lender->lent) == 0 || field.len == 0)
		return;
	if (field.p[0] == '*') {
		take_back_wildcard(lender, field);
		return;
	}
	host = lent_find(lender->lent, field);
	if (host)
		take_back(lender, host);
}

void lender_take_back_target(struct lender *lender, const uint8_t *address,
			     size_t address_len, uint16_t port)
{
	struct lent_host *host = lent_first(lender->lent);

	while (host && address_len == 4) {
		struct lent_host *next = lent_next(host);

		if (host->port == port &&
		    host->address == read_address(address))
			take_back(lender, host);
		host = next;
	}
}

static void hear_asked(void *context, struct span host, int64_t now_ms)
{
	struct lender *lender = context;
	const struct lender_options *options = &lender->options;

	if (!lender->is_open || host.p[0] == '[')
		return;
	switch (lent_note(lender->lent, host, now_ms)) {
	case LENT_RARE:
	case LENT_WISHED:
		break;
	case LENT_DROPPED:
		lender->counters.dropped++;
		break;
	case LENT_HELD:
		lender->counters.misses++;
		options->missed(options->context);
		break;
	}
}

static void hear_read(void *context, struct span field, bool is_changed,
		      int64_t now_ms)
{
	struct lender *lender = context;
	struct lent_host *host;

	if (lent_count(lender->lent) == 0 || field.len == 0)
		return;
	if (field.p[0] == '*') {
		if (is_changed)
			take_back_wildcard(lender, field);
		return;
	}
	host = lent_find(lender->lent, field);
	if (host && !check(lender, host, now_ms) && is_changed)
		take_back(lender, host);
}

static void hear_named(void *context, struct span field)
{
	struct lender *lender = context;
	const struct lender_options *options = &lender->options;

	if (!span_is(field, "*")) {
		lender_take_back_field(lender, field);
		return;
	}
	if (lent_count(lender->lent) == 0)
		return;
	lender->counters.backs += lent_count(lender->lent);
	lent_forget_all(lender->lent);
	options->take_back_all(options->context);
}

static void hear_evicted(void *context, struct span field)
{
	lender_take_back_field(context, field);
}

/* Sets out to give the fields that a lent host rests on. */
static void begin_reading(struct lender *lender, const struct lent_host *host)
{
	struct reading *reading = &lender->reading;

	reading->host.len = host->len;
	memcpy(reading->host.name, host->name, host->len);
	reading->next = 0;
	reading->end = 1;
	reading->candidates.count = 1;
	reading->candidates.start[0] = 0;
	if (host->start == 0)
		return;
	host_list_candidates(&reading->host, &reading->candidates);
	while (reading->end < reading->candidates.count &&
	       reading->candidates.start[reading->end] <= host->start)
		reading->end++;
}

/* The next of them that is not fresh. */
static bool next_field(struct lender *lender, int64_t now_ms,
		       struct span *field)
{
	struct reading *reading = &lender->reading;
	struct cache_hit hit;

	while (reading->next < reading->end) {
		*field = host_candidate(&reading->host, &reading->candidates,
					reading->next++, &reading->room);
		if (cache_get(lender->options.cache, *field, now_ms, &hit) !=
		    CACHE_FRESH)
			return true;
	}
	return false;
}

/* Begins a round when one is due; false when none is. A second one sees to what
 * the first had asked for. */
static bool begin_round(struct lender *lender, uint32_t epoch, bool is_idle)
{
	if (lender->is_round)
		return true;
	if (!is_idle || lender->checked == epoch)
		return false;
	lent_begin_round(lender->lent);
	lender->is_round = lender->is_clean = true;
	return true;
}

/* Has everything lent been read again? Gives the sweep what was not. */
static bool give_unread(void *context, bool is_idle, int64_t now_ms,
			struct span *field, bool *again)
{
	struct lender *lender = context;
	uint32_t epoch = cache_epoch(lender->options.cache);
	struct lent_host *host;
	bool is_over = true;

	*again = false;
	if (lent_count(lender->lent) == 0 ||
	    !begin_round(lender, epoch, is_idle))
		return false;
	for (;;) {
		if (next_field(lender, now_ms, field)) {
			lender->is_clean = false;
			return true;
		}
		host = lent_next_unread(lender->lent, epoch, &is_over);
		if (!host)
			break;
		begin_reading(lender, host);
		check(lender, host, now_ms);
	}
	*again = !is_over;
	lender->is_round = !is_over;
	if (is_over && lender->is_clean)
		lender->checked = epoch;
	return false;
}

struct lender *lender_new(const struct lender_options *options,
			  const struct hash_secret *secret)
{
	struct lender *lender = calloc(1, sizeof(*lender));

	if (!lender)
		return NULL;
	lender->options = *options;
	lender->lent = lent_new(secret);
	if (!lender->lent) {
		free(lender);
		return NULL;
	}
	lender->lending = (struct resolver_lending){.asked = hear_asked,
						    .read = hear_read,
						    .named = hear_named,
						    .unread = give_unread,
						    .context = lender};
	resolver_set_lending(options->resolver, &lender->lending);
	cache_watch(options->cache, hear_evicted, lender);
	return lender;
}

void lender_free(struct lender *lender)
{
	if (!lender)
		return;
	resolver_set_lending(lender->options.resolver, NULL);
	cache_watch(lender->options.cache, NULL, NULL);
	lent_free(lender->lent);
	free(lender);
}

void lender_open(struct lender *lender, size_t hosts_max, int64_t expire_ms)
{
	if (hosts_max > LENDER_HOSTS_MAX)
		hosts_max = LENDER_HOSTS_MAX;
	lent_set_bounds(lender->lent, hosts_max, expire_ms);
	lender->is_open = hosts_max > 0;
}

void lender_close(struct lender *lender)
{
	lender->is_open = false;
}

void lender_forget(struct lender *lender)
{
	lent_forget_all(lender->lent);
}

void lender_hold(struct lender *lender, int64_t now_ms)
{
	lender->hold_ms = now_ms + lent_expire_ms(lender->lent) + SLACK_MS;
}

static void lend(struct lender *lender, struct span name, int64_t now_ms)
{
	const struct lender_options *options = &lender->options;
	struct lent_host *host = lent_find(lender->lent, name);
	bool is_renewal = host != NULL;
	struct resolver_loan loan;

	if (host && now_ms - host->lent_ms < lent_expire_ms(lender->lent))
		return;
	if (!resolver_peek(options->resolver, name, now_ms,
			   lent_expire_ms(lender->lent), &loan) ||
	    !loan.is_lendable)
		return;
	/* What it was lent before ended there by now, or is replaced. */
	host = lent_add(lender->lent, name, loan.start, now_ms);
	if (!host) {
		lender->counters.dropped++;
		return;
	}
	host->epoch = cache_epoch(options->cache);
	host->address = read_address(loan.address);
	host->port = loan.port;
	if (options->lend(options->context, name, host->address, host->port)) {
		lender->counters.lends++;
		return;
	}
	lender->counters.dropped++;
	if (is_renewal)
		take_back(lender, host);
	else
		lent_remove(lender->lent, host);
}

int64_t lender_work(struct lender *lender, int64_t now_ms)
{
	const struct lent_wish *wish;
	int i;

	if (now_ms >= lender->hold_ms)
		lent_forget_old(lender->lent, now_ms - SLACK_MS);
	if (lent_wishes(lender->lent) == 0)
		return -1;
	if (now_ms < lender->next_ms && lender->next_ms - now_ms <= PAUSE_MS)
		return lender->next_ms;
	for (i = 0; i < LENDER_RATE * PAUSE_MS; i++) {
		wish = lent_next_wish(lender->lent);
		if (!wish)
			break;
		lend(lender, (struct span){wish->name, wish->len}, now_ms);
	}
	lender->next_ms = now_ms + PAUSE_MS;
	return lent_wishes(lender->lent) > 0 ? lender->next_ms : -1;
}

const struct lender_counters *lender_count(struct lender *lender)
{
	lender->counters.lent = lent_count(lender->lent);
	return &lender->counters;
}
