/* SPDX-License-Identifier: MIT */
/*
 * roster: slots in one array, found by address in a hash table.
 */
#include "roster.h"

#include <stdlib.h>

enum {
	JITTER_PARTS = 10, /* an interval is cut by up to one of these */
	LONG_INTERVALS = 10,
	LATE_MS = 1000, /* at least, or a busy machine is always late */
	STEPS_MAX = 64, /* slots that one roster_next may put to rest */
	WORD = sizeof(uint64_t),
};

#define USED_WORD (UINT64_C(0x0101010101010101) * ROSTER_USED)

struct slot {
	char *texts; /* owned: the path, then the host; NULL for TCP */
	struct names names;
	int64_t used_ms;
	int64_t started_ms;
	int64_t down_ms;     /* since when it is down */
	int64_t reported_ms; /* when it was last doubted, or 0 */
	uint32_t chain;	     /* next in the bucket, or of the free ones; or 0 */
	uint32_t refs;
	uint16_t path_len;
	uint16_t port;
	uint8_t host_len;
	uint8_t address_len; /* 0: free */
	bool is_open;	     /* its check is under way */
	struct pulse pulse;
	uint8_t address[16];
};

struct roster {
	struct roster_options options;
	struct hash_secret secret;
	uint64_t random;    /* see draw_random */
	uint8_t *states;    /* by slot, a whole number of words */
	uint32_t version;   /* of them */
	struct slot *slots; /* [0] is no target */
	uint32_t *buckets;
	size_t mask;
	uint32_t top;	/* slots that were ever used, [0] too */
	uint32_t free;	/* first of the free ones below */
	struct due due; /* slots that are checked, but for open ones */
	size_t open;	/* checks under way */
	size_t tokens;	/* reports that may still come in this second */
	int64_t tokens_ms;
	struct roster_counters counters;
};

struct roster *roster_new(const struct roster_options *options,
			  const struct hash_secret *secret)
{
	struct roster *roster = calloc(1, sizeof(*roster));
	size_t slots = options->targets_max + 1;
	size_t buckets = 64;

	if (!roster)
		return NULL;
	while (buckets < slots)
		buckets *= 2;
	roster->options = *options;
	roster->secret = *secret;
	roster->random = secret->k1 | 1;
	roster->mask = buckets - 1;
	roster->top = 1;
	roster->version = 1;
	roster->tokens = options->burst;
	roster->states = calloc(slots / WORD + 1, WORD);
	roster->slots = calloc(slots, sizeof(struct slot));
	roster->buckets = calloc(buckets, sizeof(uint32_t));
	if (roster->states && roster->slots && roster->buckets &&
	    due_init(&roster->due, (uint32_t)options->targets_max))
		return roster;
	roster_free(roster);
	return NULL;
}

void roster_free(struct roster *roster)
{
	uint32_t i;

	if (!roster)
		return;
	for (i = 1; roster->slots && i < roster->top; i++) {
		free(roster->slots[i].texts);
		names_clear(&roster->slots[i].names);
	}
	free(roster->states);
	free(roster->slots);
	due_fini(&roster->due);
	free(roster->buckets);
	free(roster);
}

uint8_t *roster_states(struct roster *roster)
{
	return roster->states;
}

const uint32_t *roster_version(const struct roster *roster)
{
	return &roster->version;
}

const struct roster_counters *roster_count(const struct roster *roster)
{
	return &roster->counters;
}

static void raise_version(struct roster *roster)
{
	if (++roster->version == 0)
		roster->version = 1;
}

/* A random number of milliseconds below `limit_ms`. */
static int64_t draw_ms(struct roster *roster, int64_t limit_ms)
{
	uint64_t x = draw_random(&roster->random);

	return limit_ms > 0 ? (int64_t)((x >> 11) % (uint64_t)limit_ms) : 0;
}

static void set_due(struct roster *roster, uint32_t slot, int64_t due_ms)
{
	due_set(&roster->due, slot, due_ms);
	roster->counters.checked = roster->due.count + roster->open;
}

static void drop_due(struct roster *roster, uint32_t slot)
{
	due_drop(&roster->due, slot);
	roster->counters.checked = roster->due.count + roster->open;
}

static uint32_t *find_bucket(struct roster *roster, const uint8_t *address,
			     size_t len, uint16_t port)
{
	char key[18];

	memcpy(key, address, len);
	memcpy(key + len, &port, sizeof(port));
	return &roster->buckets[hash_span(&roster->secret,
					  (struct span){key,
							len + sizeof(port)}) &
				roster->mask];
}

static bool is_at(const struct slot *slot, const uint8_t *address, size_t len,
		  uint16_t port)
{
	return slot->port == port && slot->address_len == len &&
	       !memcmp(slot->address, address, len);
}

static struct span path_of(const struct slot *slot)
{
	if (!slot->texts)
		return (struct span){0};
	return (struct span){slot->texts, slot->path_len};
}

static struct span host_of(const struct slot *slot)
{
	if (!slot->texts)
		return (struct span){0};
	return (struct span){slot->texts + slot->path_len, slot->host_len};
}

static bool fits(const struct slot *slot, const struct roster_target *target)
{
	return is_at(slot, target->address, target->address_len,
		     target->port) &&
	       span_equal(path_of(slot), target->path) &&
	       (target->path.len == 0 ||
		span_equal(host_of(slot), target->host));
}

/* A slot that was never used, or is no longer; 0 when there is none. */
static uint32_t new_slot(struct roster *roster)
{
	uint32_t slot = roster->free;

	if (slot)
		roster->free = roster->slots[slot].chain;
	else if (roster->top <= roster->options.targets_max)
		slot = roster->top++;
	return slot;
}

static void drop_slot(struct roster *roster, uint32_t slot)
{
	struct slot *self = &roster->slots[slot];
	uint32_t *link = find_bucket(roster, self->address, self->address_len,
				     self->port);

	while (*link != slot)
		link = &roster->slots[*link].chain;
	*link = self->chain;
	drop_due(roster, slot);
	free(self->texts);
	names_clear(&self->names);
	*self = (struct slot){.chain = roster->free};
	roster->states[slot] = 0;
	roster->free = slot;
	roster->counters.watched--;
}

/* Path and host in one block; false when there is no memory. */
static bool keep_texts(struct slot *self, const struct roster_target *target)
{
	if (target->path.len == 0)
		return true;
	self->texts = malloc(target->path.len + target->host.len);
	if (!self->texts)
		return false;
	self->path_len = (uint16_t)target->path.len;
	self->host_len = (uint8_t)target->host.len;
	memcpy(self->texts, target->path.p, target->path.len);
	memcpy(self->texts + target->path.len, target->host.p,
	       target->host.len);
	return true;
}

static uint32_t add_slot(struct roster *roster, uint32_t *bucket,
			 const struct roster_target *target)
{
	uint32_t slot;
	struct slot *self;

	if (target->path.len > ROSTER_PATH_MAX || target->host.len > UINT8_MAX)
		return 0;
	slot = new_slot(roster);
	if (!slot)
		return 0;
	self = &roster->slots[slot];
	*self = (struct slot){.chain = *bucket,
			      .port = target->port,
			      .address_len = (uint8_t)target->address_len};
	memcpy(self->address, target->address, target->address_len);
	pulse_init(&self->pulse);
	*bucket = slot;
	roster->counters.watched++;
	if (keep_texts(self, target))
		return slot;
	drop_slot(roster, slot);
	return 0;
}

uint32_t roster_take(struct roster *roster, const struct roster_target *target,
		     struct span field, int64_t now_ms)
{
	uint32_t *bucket = find_bucket(roster, target->address,
				       target->address_len, target->port);
	uint32_t slot = *bucket;
	struct slot *self;

	while (slot && !fits(&roster->slots[slot], target))
		slot = roster->slots[slot].chain;
	if (!slot)
		slot = add_slot(roster, bucket, target);
	if (!slot) {
		roster->counters.refused++;
		return 0;
	}
	self = &roster->slots[slot];
	/* One that was let go goes on where it was. */
	if (self->refs == 0 && due_has(&roster->due, slot)) {
		self->used_ms = now_ms;
		set_due(roster, slot,
			now_ms + draw_ms(roster, roster->options.interval_ms));
	}
	self->refs++;
	names_add(&self->names, field);
	return slot;
}

void roster_release(struct roster *roster, uint32_t slot, struct span field,
		    int64_t now_ms)
{
	struct slot *self = &roster->slots[slot];

	names_drop(&self->names, field);
	if (--self->refs > 0 || self->is_open)
		return;
	if (due_has(&roster->due, slot))
		set_due(roster, slot, now_ms + roster->options.idle_ms);
	else
		drop_slot(roster, slot);
}

/* Whoever would wait for longer than the interval that is new has its turn
 * within it. */
static void hasten(struct roster *roster, int64_t now_ms)
{
	int64_t interval_ms = roster->options.interval_ms;
	uint32_t slot;

	for (slot = 1; slot < roster->top; slot++)
		if (roster->slots[slot].refs > 0 &&
		    due_has(&roster->due, slot) &&
		    due_at(&roster->due, slot) > now_ms + interval_ms)
			set_due(roster, slot,
				now_ms + draw_ms(roster, interval_ms));
}

void roster_set_rules(struct roster *roster, int64_t interval_ms,
		      int64_t idle_ms, const struct pulse_rules *rules,
		      int64_t now_ms)
{
	bool is_faster = interval_ms < roster->options.interval_ms;

	roster->options.interval_ms = interval_ms;
	roster->options.idle_ms = idle_ms;
	roster->options.rules = *rules;
	if (is_faster)
		hasten(roster, now_ms);
}

static void set_pulse(struct roster *roster, struct slot *self,
		      struct pulse pulse, int64_t now_ms)
{
	size_t slot = (size_t)(self - roster->slots);
	uint8_t rank = ROSTER_UP;

	roster->counters.doubted -= self->pulse.state == PULSE_DOUBTED;
	roster->counters.down -= self->pulse.state == PULSE_DOWN;
	roster->counters.doubted += pulse.state == PULSE_DOUBTED;
	roster->counters.down += pulse.state == PULSE_DOWN;
	if (pulse.state == PULSE_DOWN && self->pulse.state != PULSE_DOWN)
		self->down_ms = now_ms;
	self->pulse = pulse;
	if (pulse.state == PULSE_DOUBTED)
		rank = ROSTER_DOUBTED;
	else if (pulse.state == PULSE_DOWN)
		rank = now_ms - self->down_ms >
				       LONG_INTERVALS *
					       roster->options.interval_ms
			       ? ROSTER_DOWN_LONG
			       : ROSTER_DOWN;
	if ((roster->states[slot] & ~ROSTER_USED) != rank)
		raise_version(roster);
	roster->states[slot] =
		(uint8_t)((roster->states[slot] & ROSTER_USED) | rank);
}

static void note_use(struct roster *roster, uint32_t slot, int64_t now_ms)
{
	struct slot *self = &roster->slots[slot];

	roster->states[slot] &= (uint8_t)~ROSTER_USED;
	self->used_ms = now_ms;
	if (self->refs > 0 && !self->is_open && !due_has(&roster->due, slot))
		set_due(roster, slot,
			now_ms + draw_ms(roster, roster->options.interval_ms));
}

void roster_scan(struct roster *roster, int64_t now_ms)
{
	uint32_t slot, i;
	uint64_t word;
	bool is_used = false;

	for (slot = 0; slot < roster->top; slot += WORD) {
		memcpy(&word, roster->states + slot, WORD);
		if (!(word & USED_WORD))
			continue;
		is_used = true;
		for (i = slot; i < slot + WORD; i++)
			if (roster->states[i] & ROSTER_USED)
				note_use(roster, i, now_ms);
	}
	if (is_used)
		raise_version(roster);
}

int64_t roster_due(const struct roster *roster)
{
	uint32_t slot;

	return due_first(&roster->due, &slot) ? due_at(&roster->due, slot) : -1;
}

/* The slot is out of use: forgets what is known of it, and the slot itself when
 * no route names it. */
static enum roster_next rest(struct roster *roster, uint32_t slot,
			     int64_t now_ms)
{
	struct slot *self = &roster->slots[slot];
	bool was_down = self->pulse.state == PULSE_DOWN;
	struct pulse up;

	pulse_init(&up);
	set_pulse(roster, self, up, now_ms);
	/* Whoever hears of it wants to know what it was: the next call ends it.
	 */
	if (was_down)
		return ROSTER_GONE;
	if (self->refs == 0)
		drop_slot(roster, slot);
	else
		drop_due(roster, slot);
	return ROSTER_NOTHING;
}

static void start_check(struct roster *roster, uint32_t slot, int64_t now_ms)
{
	struct slot *self = &roster->slots[slot];
	int64_t late_ms = now_ms - due_at(&roster->due, slot);

	if (late_ms > roster->options.interval_ms && late_ms > LATE_MS)
		roster->counters.late++;
	self->is_open = true;
	self->started_ms = now_ms;
	roster->open++;
	drop_due(roster, slot);
}

enum roster_next roster_next(struct roster *roster, int64_t now_ms,
			     uint32_t *slot)
{
	size_t steps;

	for (steps = 0; steps < STEPS_MAX; steps++) {
		struct slot *self;

		if (!due_first(&roster->due, slot) ||
		    due_at(&roster->due, *slot) > now_ms)
			return ROSTER_NOTHING;
		self = &roster->slots[*slot];
		if (self->refs > 0 &&
		    now_ms - self->used_ms <= roster->options.idle_ms) {
			start_check(roster, *slot, now_ms);
			return ROSTER_CHECK;
		}
		if (rest(roster, *slot, now_ms) == ROSTER_GONE)
			return ROSTER_GONE;
	}
	return ROSTER_NOTHING;
}

/* An interval after the last check began, a little less or more. */
static int64_t next_due(struct roster *roster, const struct slot *self,
			int64_t now_ms)
{
	int64_t interval_ms = roster->options.interval_ms;
	int64_t jitter_ms = interval_ms / JITTER_PARTS;
	int64_t due_ms = self->started_ms + interval_ms - jitter_ms +
			 draw_ms(roster, 2 * jitter_ms + 1);

	return due_ms > now_ms ? due_ms : now_ms + 1;
}

enum pulse_change roster_note(struct roster *roster, uint32_t slot,
			      enum pulse_result result, int64_t now_ms)
{
	struct slot *self = &roster->slots[slot];
	struct pulse pulse = self->pulse;
	enum pulse_change change =
		pulse_check(&pulse, &roster->options.rules, result);

	set_pulse(roster, self, pulse, now_ms);
	self->is_open = false;
	roster->open--;
	set_due(roster, slot,
		self->refs > 0 ? next_due(roster, self, now_ms)
			       : now_ms + roster->options.idle_ms);
	return change;
}

static bool take_token(struct roster *roster, int64_t now_ms)
{
	if (now_ms - roster->tokens_ms >= 1000) {
		roster->tokens_ms = now_ms;
		roster->tokens = roster->options.burst;
	}
	if (roster->tokens == 0)
		return false;
	roster->tokens--;
	return true;
}

static bool is_in_use(const struct roster *roster, uint32_t slot)
{
	const struct slot *self = &roster->slots[slot];

	return self->refs > 0 &&
	       (self->is_open || due_has(&roster->due, slot) ||
		(roster->states[slot] & ROSTER_USED));
}

static void doubt(struct roster *roster, uint32_t slot, int64_t now_ms)
{
	struct slot *self = &roster->slots[slot];
	struct pulse pulse = self->pulse;

	if (!pulse_report(&pulse) ||
	    (self->reported_ms &&
	     now_ms - self->reported_ms < roster->options.interval_ms)) {
		roster->counters.reports_known++;
		return;
	}
	if (!take_token(roster, now_ms)) {
		roster->counters.reports_held++;
		return;
	}
	roster->counters.reports++;
	self->reported_ms = now_ms;
	self->used_ms = now_ms;
	set_pulse(roster, self, pulse, now_ms);
	if (!self->is_open)
		set_due(roster, slot, now_ms);
}

void roster_report(struct roster *roster, const uint8_t *address,
		   size_t address_len, uint16_t port, int64_t now_ms)
{
	uint32_t slot = *find_bucket(roster, address, address_len, port);
	bool is_known = false;

	for (; slot; slot = roster->slots[slot].chain) {
		if (!is_at(&roster->slots[slot], address, address_len, port) ||
		    !is_in_use(roster, slot))
			continue;
		is_known = true;
		doubt(roster, slot, now_ms);
	}
	if (!is_known)
		roster->counters.reports_foreign++;
}

struct roster_target roster_target(const struct roster *roster, uint32_t slot)
{
	const struct slot *self = &roster->slots[slot];

	return (struct roster_target){.address = self->address,
				      .address_len = self->address_len,
				      .port = self->port,
				      .path = path_of(self),
				      .host = host_of(self)};
}

struct span roster_field(const struct roster *roster, uint32_t slot, size_t i)
{
	return names_at(&roster->slots[slot].names, i);
}

size_t roster_uses(const struct roster *roster, uint32_t slot)
{
	return roster->slots[slot].refs;
}

uint32_t roster_next_failing(const struct roster *roster, uint32_t slot)
{
	const uint64_t ranks =
		UINT64_C(0x0101010101010101) * (ROSTER_DOUBTED | ROSTER_DOWN);
	uint64_t word;

	for (slot++; slot < roster->top; slot++) {
		memcpy(&word, &roster->states[slot & ~(uint32_t)(WORD - 1)],
		       WORD);
		if (!(word & ranks))
			slot |= WORD - 1;
		else if (roster->states[slot] & (ROSTER_DOUBTED | ROSTER_DOWN))
			return slot;
	}
	return 0;
}

int64_t roster_down_since(const struct roster *roster, uint32_t slot)
{
	const struct slot *self = &roster->slots[slot];

	return self->pulse.state == PULSE_DOWN ? self->down_ms : 0;
}
