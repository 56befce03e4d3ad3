/* SPDX-License-Identifier: MIT */
/*
 * health: lets the roster say who is due and the checker look.
 */
#include "health.h"

#include <stdlib.h>

#include "balance.h"
#include "log.h"
#include "route.h"

enum {
	TURN_MAX = 32,	     /* checks that one turn of the loop may start */
	PAUSE_MS = 3,	     /* between such turns: some 10,000 a second */
	SCAN_MS = 200,	     /* between two looks at who was used */
	IDLE_MS = 60 * 1000, /* unused for so long, or ... */
	IDLE_INTERVALS = 10, /* ... so many: no longer checked */
	REPORTS_PER_SECOND = 500,
	WARN_MS = 60 * 1000, /* at most one warning of a kind */
};

_Static_assert((int)ROSTER_USED == (int)BALANCE_USED &&
		       (int)ROSTER_DOUBTED == (int)BALANCE_DOUBTED &&
		       (int)ROSTER_DOWN == (int)BALANCE_DOWN,
	       "one byte, two readers");

struct health {
	struct watch face; /* first: the face is the health */
	struct health_options options;
	struct roster *roster;
	struct checker *checker;
	struct event *tick; /* something is due */
	struct event *scan;
	int64_t tick_ms; /* when it fires, or -1 */
	int64_t rest_ms; /* no check before this */
	bool is_scanning;
	struct health_counters counters;
	struct log_limit impossible;
	struct log_limit refused;
	struct log_limit late;
	uint64_t said_late;
};

static int64_t now(struct health *health)
{
	return loop_now(health->options.loop);
}

/* Sets the timer to what is due next. */
static void arm(struct health *health)
{
	int64_t due_ms = roster_due(health->roster);
	int64_t now_ms = now(health);

	if (due_ms < 0 || !checker_has_room(health->checker))
		return;
	if (due_ms < health->rest_ms)
		due_ms = health->rest_ms;
	if (health->tick_ms >= 0 && health->tick_ms <= due_ms)
		return;
	health->tick_ms = due_ms;
	loop_arm(health->tick, due_ms - now_ms);
}

/* The fields that name the target, or some of them. Returns how many. */
static size_t list_fields(const struct roster *roster, uint32_t slot,
			  struct span fields[NAMES_MAX])
{
	size_t count = 0;

	while (count < NAMES_MAX) {
		fields[count] = roster_field(roster, slot, count);
		if (fields[count].len == 0)
			break;
		count++;
	}
	return count;
}

static void tell(struct health *health, uint32_t slot, enum health_event event,
		 const char *reason, int status)
{
	struct health_change change = {
		.event = event,
		.target = roster_target(health->roster, slot),
		.reason = reason,
		.status = status,
		.uses = roster_uses(health->roster, slot)};

	change.field_count = list_fields(health->roster, slot, change.fields);
	health->options.changed(health->options.context, &change);
}

static void warn_impossible(struct health *health)
{
	uint64_t held;

	if (log_limit_pass(&health->impossible, now(health), WARN_MS, &held))
		log_warn("targets cannot be checked: no descriptors, ports, "
			 "memory or address family",
			 log_number("held_back", (int64_t)held));
}

static enum pulse_result judge(enum checker_result result)
{
	if (result == CHECKER_PASSED)
		return PULSE_GOOD;
	return result == CHECKER_IMPOSSIBLE ? PULSE_UNKNOWN : PULSE_BAD;
}

/* A check has ended. */
static void finish(struct health *health, uint32_t slot,
		   enum checker_result result, int status)
{
	enum pulse_change change;

	health->counters.results[result]++;
	if (result == CHECKER_IMPOSSIBLE)
		warn_impossible(health);
	change = roster_note(health->roster, slot, judge(result), now(health));
	if (change == PULSE_SAME)
		return;
	tell(health, slot, change == PULSE_WENT_UP ? HEALTH_UP : HEALTH_DOWN,
	     checker_result_text(result),
	     result == CHECKER_STATUS ? status : 0);
}

static void on_done(void *context, uint32_t slot, enum checker_result result,
		    int status)
{
	struct health *health = context;

	finish(health, slot, result, status);
	arm(health);
}

static void start_check(struct health *health, uint32_t slot)
{
	struct roster_target target = roster_target(health->roster, slot);
	enum checker_result result =
		checker_start(health->checker, slot, &target);

	health->counters.checks++;
	if (result != CHECKER_PENDING)
		finish(health, slot, result, 0);
}

static void warn_late(struct health *health)
{
	uint64_t late = roster_count(health->roster)->late;
	uint64_t held;

	if (late == health->said_late ||
	    !log_limit_pass(&health->late, now(health), WARN_MS, &held))
		return;
	log_warn("targets are checked late: too many, or too many time out",
		 log_number("targets",
			    (int64_t)roster_count(health->roster)->checked),
		 log_number("checks", (int64_t)(late - health->said_late)));
	health->said_late = late;
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
	struct health *health = context;
	uint32_t slot;
	int i;

	(void)fd;
	(void)what;
	health->tick_ms = -1;
	for (i = 0; i < TURN_MAX && checker_has_room(health->checker); i++) {
		enum roster_next next =
			roster_next(health->roster, now(health), &slot);

		if (next == ROSTER_NOTHING)
			break;
		if (next == ROSTER_GONE)
			tell(health, slot, HEALTH_GONE, "not in use", 0);
		else
			start_check(health, slot);
	}
	health->rest_ms = now(health) + PAUSE_MS;
	warn_late(health);
	arm(health);
}

static void on_scan(evutil_socket_t fd, short what, void *context)
{
	struct health *health = context;

	(void)fd;
	(void)what;
	roster_scan(health->roster, now(health));
	arm(health);
	health->is_scanning = roster_count(health->roster)->watched > 0;
	if (health->is_scanning)
		loop_arm(health->scan, SCAN_MS);
}

static void warn_refused(struct health *health, struct span field)
{
	uint64_t held;

	if (log_limit_pass(&health->refused, now(health), WARN_MS, &held))
		log_warn("a target is not checked: too many, or its path is "
			 "too long",
			 log_span("field", field),
			 log_number("held_back", (int64_t)held));
}

/* The Host of a check for `field`: a wildcard's is what it ends in. */
static struct span host_of(struct span field, const struct target *target,
			   char room[ROUTE_PLACE_MAX])
{
	if (field.len > 0 && field.p[0] != '*')
		return field;
	if (field.len > 2)
		return (struct span){field.p + 2, field.len - 2};
	route_print_place(target->address, target->is_ipv6, target->port, room);
	return span_of(room);
}

static uint32_t take(struct watch *watch, struct span field,
		     const struct route *route, const struct target *target)
{
	struct health *health = (struct health *)watch;
	char room[ROUTE_PLACE_MAX];
	struct roster_target wanted = {.address = target->address,
				       .address_len = target->is_ipv6 ? 16 : 4,
				       .port = target->port};
	struct span rule;
	uint32_t slot;

	/* Routes are judged before; this is the last door. */
	if (!guard_allows(health->options.guard, wanted.address,
			  wanted.address_len, wanted.port, &rule))
		return 0;
	if (route->check == ROUTE_CHECK_HTTP) {
		wanted.path = route_path(route);
		wanted.host = host_of(field, target, room);
	}
	slot = roster_take(health->roster, &wanted, field, now(health));
	if (!slot)
		warn_refused(health, field);
	if (!health->is_scanning)
		loop_arm(health->scan, 0);
	health->is_scanning = true;
	arm(health);
	return slot;
}

static void release(struct watch *watch, uint32_t slot, struct span field)
{
	struct health *health = (struct health *)watch;

	roster_release(health->roster, slot, field, now(health));
	arm(health);
}

struct watch *health_face(struct health *health)
{
	return &health->face;
}

void health_report(struct health *health, const uint8_t *address,
		   size_t address_len, uint16_t port)
{
	roster_report(health->roster, address, address_len, port, now(health));
	arm(health);
}

uint32_t health_next_failing(const struct health *health, uint32_t slot,
			     struct health_failing *failing)
{
	struct roster *roster = health->roster;

	slot = roster_next_failing(roster, slot);
	if (!slot)
		return 0;
	*failing = (struct health_failing){
		.target = roster_target(roster, slot),
		.since_ms = roster_down_since(roster, slot),
		.uses = roster_uses(roster, slot)};
	failing->is_down = failing->since_ms > 0;
	failing->field_count = list_fields(roster, slot, failing->fields);
	return slot;
}

const struct health_counters *health_count(const struct health *health)
{
	return &health->counters;
}

const struct roster_counters *health_count_targets(const struct health *health)
{
	return roster_count(health->roster);
}

static int64_t idle_ms(const struct health_times *times)
{
	int64_t long_ms = times->interval_ms * IDLE_INTERVALS;

	return long_ms > IDLE_MS ? long_ms : IDLE_MS;
}

void health_set_times(struct health *health, const struct health_times *times)
{
	health->options.times = *times;
	roster_set_rules(health->roster, times->interval_ms, idle_ms(times),
			 &times->rules, now(health));
	checker_set_timeout(health->checker, times->timeout_ms);
	arm(health);
}

static bool open_rooms(struct health *health)
{
	const struct health_options *options = &health->options;
	const struct roster_options roster = {
		.targets_max = options->targets_max,
		.interval_ms = options->times.interval_ms,
		.idle_ms = idle_ms(&options->times),
		.burst = REPORTS_PER_SECOND,
		.rules = options->times.rules};
	const struct checker_options checker = {
		.loop = options->loop,
		.timeout_ms = options->times.timeout_ms,
		.open_max = options->open_max,
		.done = on_done,
		.context = health};

	health->roster = roster_new(&roster, options->secret);
	health->checker = checker_new(&checker);
	health->tick = evtimer_new(options->loop->base, on_tick, health);
	health->scan = evtimer_new(options->loop->base, on_scan, health);
	return health->roster && health->checker && health->tick &&
	       health->scan;
}

struct health *health_new(const struct health_options *options)
{
	struct health *health = calloc(1, sizeof(*health));

	if (!health)
		return NULL;
	health->options = *options;
	health->tick_ms = -1;
	health->face.take = take;
	health->face.release = release;
	if (!open_rooms(health)) {
		health_free(health);
		return NULL;
	}
	health->face.states = roster_states(health->roster);
	health->face.version = roster_version(health->roster);
	return health;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	checker_free(health->checker);
	roster_free(health->roster);
	if (health->tick)
		event_free(health->tick);
	if (health->scan)
		event_free(health->scan);
	free(health);
}
