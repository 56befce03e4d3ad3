/* SPDX-License-Identifier: MIT */
/*
 * sweep: lookups of fields that were named, of fields that are relied on, and
 * of what the cache's own sweep finds. The second kind follows one upon the
 * other, the third by the clock.
 */
#include "sweep.h"

#include <stdlib.h>

enum {
	PAUSE_MS = 5,  /* between two batches */
	STEP_MS = 1,   /* between two steps of the walk */
	AWAY_MS = 200, /* while the store is away */
};

/* Fields that are read again together. */
struct batch {
	struct lookup lookup;
	struct sweep *sweep;
	bool is_open; /* the store has it */
	int64_t asked_ms;
	uint32_t epoch;
	struct span fields[STORE_FIELDS_MAX];
	char texts[STORE_FIELDS_MAX][CACHE_FIELD_MAX];
};

struct sweep {
	struct sweep_options options;
	struct batch named; /* fields that were named as changed */
	struct batch swept; /* fields of an older epoch */
	struct batch first[SWEEP_UNREAD_BATCHES];
	sweep_unread *unread; /* NULL when nobody relies on fields */
	void *unread_context;
	int64_t tokens; /* fields that may be read for it now */
	int64_t tokens_ms;
	bool is_sweeping;
	bool again;	 /* something was heard of since it began */
	int64_t next_ms; /* not before this goes the next batch */
	struct sweep_counters counters;
};

static void note_batch(struct lookup *lookup, int64_t now_ms)
{
	struct batch *batch = (struct batch *)lookup;

	batch->asked_ms = now_ms;
	batch->epoch = cache_epoch(batch->sweep->options.cache);
}

static void finish_batch(struct lookup *lookup, enum store_status status,
			 const struct store_value *values, int64_t now_ms)
{
	struct batch *batch = (struct batch *)lookup;
	struct sweep *sweep = batch->sweep;
	const struct sweep_options *options = &sweep->options;
	size_t i;

	for (i = 0; status == STORE_ANSWERED && i < lookup->count; i++) {
		options->keep(options->context, batch->fields[i], &values[i],
			      batch->asked_ms, batch->epoch, now_ms);
		sweep->counters.rereads++;
	}
	batch->is_open = false;
	lookup->count = 0;
}

static void init_batch(struct batch *batch, struct sweep *sweep)
{
	batch->sweep = sweep;
	batch->lookup.fields = batch->fields;
	batch->lookup.sent = note_batch;
	batch->lookup.done = finish_batch;
}

struct sweep *sweep_new(const struct sweep_options *options)
{
	struct sweep *sweep = calloc(1, sizeof(*sweep));
	size_t i;

	if (!sweep)
		return NULL;
	sweep->options = *options;
	for (i = 0; i < SWEEP_UNREAD_BATCHES; i++)
		init_batch(&sweep->first[i], sweep);
	init_batch(&sweep->named, sweep);
	init_batch(&sweep->swept, sweep);
	return sweep;
}

void sweep_free(struct sweep *sweep)
{
	free(sweep);
}

const struct sweep_counters *sweep_count(const struct sweep *sweep)
{
	return &sweep->counters;
}

static void add_to_batch(struct batch *batch, struct span field)
{
	size_t i = batch->lookup.count;

	if (i == STORE_FIELDS_MAX || batch->is_open)
		return;
	memcpy(batch->texts[i], field.p, field.len);
	batch->fields[i] = (struct span){batch->texts[i], field.len};
	batch->lookup.count++;
}

/* False when the store cannot be asked; then the batch is empty again. */
static bool send_batch(struct batch *batch, int64_t now_ms)
{
	struct store *store = batch->sweep->options.store;

	batch->is_open = store->ask(store, &batch->lookup, now_ms);
	if (!batch->is_open)
		batch->lookup.count = 0;
	return batch->is_open;
}

/* One that is under way goes on, or many changes would keep it at its
 * beginning. */
void sweep_begin(struct sweep *sweep)
{
	sweep->again = sweep->is_sweeping;
	if (sweep->is_sweeping)
		return;
	cache_begin_sweep(sweep->options.cache);
	sweep->is_sweeping = true;
}

void sweep_add(struct sweep *sweep, struct span field)
{
	add_to_batch(&sweep->named, field);
}

void sweep_set_unread(struct sweep *sweep, sweep_unread *unread, void *context)
{
	sweep->unread = unread;
	sweep->unread_context = context;
}

static void add_tokens(struct sweep *sweep, int64_t now_ms)
{
	int64_t passed_ms = now_ms - sweep->tokens_ms;

	if (passed_ms < 0 || passed_ms > SWEEP_UNREAD_MAX)
		passed_ms = SWEEP_UNREAD_MAX;
	sweep->tokens += passed_ms * SWEEP_UNREAD_RATE;
	if (sweep->tokens > SWEEP_UNREAD_MAX)
		sweep->tokens = SWEEP_UNREAD_MAX;
	sweep->tokens_ms = now_ms;
}

static bool is_idle(const struct sweep *sweep)
{
	size_t i;

	for (i = 0; i < SWEEP_UNREAD_BATCHES; i++)
		if (sweep->first[i].lookup.count > 0)
			return false;
	return true;
}

/* Fills a batch; `*again` says whether to come back soon. */
static void fill_batch(struct sweep *sweep, struct batch *batch, int64_t now_ms,
		       bool *again)
{
	struct span field;

	*again = false;
	while (batch->lookup.count < STORE_FIELDS_MAX) {
		if (sweep->tokens == 0) {
			*again = true;
			return;
		}
		if (!sweep->unread(sweep->unread_context, is_idle(sweep),
				   now_ms, &field, again))
			return;
		add_to_batch(batch, field);
		sweep->tokens--;
	}
}

/* Reads what is relied on. Returns when to go on, or -1 as sweep_step. */
static int64_t step_first(struct sweep *sweep, int64_t now_ms)
{
	bool again = false;
	size_t i;

	if (!sweep->unread)
		return -1;
	add_tokens(sweep, now_ms);
	for (i = 0; i < SWEEP_UNREAD_BATCHES && !again; i++) {
		struct batch *batch = &sweep->first[i];

		if (batch->is_open)
			continue;
		fill_batch(sweep, batch, now_ms, &again);
		if (batch->lookup.count == 0)
			break;
		if (!send_batch(batch, now_ms))
			return now_ms + AWAY_MS;
	}
	return again ? now_ms + STEP_MS : -1;
}

/* One step over the values of older epochs. */
static int64_t step_swept(struct sweep *sweep, int64_t now_ms)
{
	struct batch *swept = &sweep->swept;
	struct span fields[STORE_FIELDS_MAX];
	size_t count, i;

	if (!cache_sweep(sweep->options.cache, fields, ARRAY_LEN(fields),
			 &count)) {
		sweep->is_sweeping = false;
		if (!sweep->again)
			return -1;
		sweep_begin(sweep);
		return sweep->next_ms;
	}
	/* A step that only walked has cost Redis nothing. */
	if (count == 0)
		sweep->next_ms = now_ms + STEP_MS;
	for (i = 0; i < count; i++)
		add_to_batch(swept, fields[i]);
	if (count > 0 && send_batch(swept, now_ms))
		return -1;
	return sweep->next_ms;
}

static int64_t step_rest(struct sweep *sweep, int64_t now_ms)
{
	struct store *store = sweep->options.store;

	if (!sweep->is_sweeping || sweep->swept.is_open)
		return -1;
	if (now_ms < sweep->next_ms)
		return sweep->next_ms;
	if (!store->is_up(store, now_ms)) {
		sweep->next_ms = now_ms + AWAY_MS;
		return sweep->next_ms;
	}
	sweep->next_ms = now_ms + PAUSE_MS;
	return step_swept(sweep, now_ms);
}

int64_t sweep_step(struct sweep *sweep, int64_t now_ms)
{
	struct batch *named = &sweep->named;
	int64_t first_ms, rest_ms;

	if (named->lookup.count > 0 && !named->is_open)
		send_batch(named, now_ms);
	first_ms = step_first(sweep, now_ms);
	rest_ms = step_rest(sweep, now_ms);
	if (first_ms < 0 || (rest_ms >= 0 && rest_ms < first_ms))
		return rest_ms;
	return first_ms;
}
