/* SPDX-License-Identifier: MIT */
/*
 * scrape: families in the order of the flow: process, HAProxy, resolver, cache,
 * Redis.
 */
#include "scrape.h"

#include "metrics.h"

static void write_process(const struct view *view, FILE *out)
{
	const struct metrics_label labels[] = {
		{"version", span_of(view->version)}, {0}};

	metrics_head(out, "spoa_router_build_info", "gauge",
		     "Always 1; the version is a label.");
	metrics_sample(out, "spoa_router_build_info", labels, 1);
	metrics_seconds(out, "spoa_router_uptime_seconds",
			"Time since the start.",
			loop_now(view->loop) - view->started_ms);
}

static void write_answers(FILE *out, unsigned int status, unsigned int source,
			  uint64_t count)
{
	const struct metrics_label labels[] = {
		{"status", span_of(answer_status_name(status))},
		{"source", span_of(answer_source_name(source))},
		{0}};

	metrics_sample(out, "spoa_router_answers_total", labels, count);
}

static void write_conns(const struct view *view, FILE *out)
{
	const struct conn_counters *c = conns_count(view->conns);
	unsigned int status, source;

	metrics_gauge(out, "spoa_router_connections",
		      "Connections of HAProxy that are open.", c->open);
	metrics_gauge(out, "spoa_router_connections_limit",
		      "The bound --max-connections.",
		      (uint64_t)view->config->max_connections);
	metrics_counter(out, "spoa_router_connections_accepted_total",
			"Connections that were accepted.", c->accepted);
	metrics_counter(out, "spoa_router_connections_refused_total",
			"Connections beyond --max-connections.", c->refused);
	metrics_head(out, "spoa_router_answers_total", "counter",
		     "Answers, by status and by where they came from.");
	for (status = 0; status < ANSWER_STATUSES; status++)
		for (source = 0; source < ANSWER_SOURCES; source++)
			write_answers(out, status, source,
				      c->answers[status][source]);
}

static void write_resolver(const struct view *view, FILE *out)
{
	const struct resolver_counters *c = resolver_count(view->resolver);
	const struct flights_counters *flights =
		resolver_count_flights(view->resolver);

	metrics_gauge(out, "spoa_router_waiting",
		      "Requests that wait for Redis.", flights->waiting);
	metrics_gauge(out, "spoa_router_waiting_limit",
		      "The bound --max-waiting.",
		      (uint64_t)view->config->max_waiting);
	metrics_gauge(out, "spoa_router_flights",
		      "Questions to Redis that are under way.",
		      flights->flights);
	metrics_counter(out, "spoa_router_lookups_total",
			"Questions to Redis with requests waiting.",
			flights->lookups);
	metrics_counter(out, "spoa_router_joins_total",
			"Requests that joined a question under way.",
			flights->joins);
	metrics_counter(out, "spoa_router_refreshes_total",
			"Questions to Redis ahead of need.",
			flights->refreshes);
	metrics_counter(out, "spoa_router_timeouts_total",
			"Requests answered without Redis after "
			"--lookup-timeout.",
			c->timeouts);
	metrics_counter(out, "spoa_router_refused_total",
			"Requests beyond --max-waiting.", flights->refused);
	metrics_counter(out, "spoa_router_epochs_total",
			"Changes of the routes that were heard of.", c->epochs);
}

static void write_cache(const struct view *view, FILE *out)
{
	const struct metrics_label value[] = {{"kind", span_of("value")}, {0}};
	const struct metrics_label absent[] = {{"kind", span_of("absent")},
					       {0}};
	const struct cache_counters *c = cache_count(view->cache);

	metrics_head(out, "spoa_router_cache_entries", "gauge",
		     "Fields that the cache knows.");
	metrics_sample(out, "spoa_router_cache_entries", value, c->values);
	metrics_sample(out, "spoa_router_cache_entries", absent, c->absents);
	metrics_gauge(out, "spoa_router_cache_entries_limit",
		      "The bound --cache-size.",
		      (uint64_t)view->config->cache_size);
	metrics_counter(out, "spoa_router_cache_changes_total",
			"Times that something new was learned.", c->changes);
	metrics_counter(out, "spoa_router_cache_evictions_total",
			"Entries that made room for others.", c->evictions);
	metrics_counter(out, "spoa_router_cache_failures_total",
			"Entries that found no memory.", c->failures);
}

static void write_targets(const struct roster_counters *c, FILE *out)
{
	metrics_gauge(out, "spoa_router_targets_watched",
		      "Targets that routes name and that may be checked.",
		      c->watched);
	metrics_gauge(out, "spoa_router_targets_checked",
		      "Targets that were used lately and are checked.",
		      c->checked);
	metrics_gauge(out, "spoa_router_targets_down",
		      "Targets that failed their checks.", c->down);
	metrics_counter(out, "spoa_router_targets_refused_total",
			"Targets that found no room to be watched.",
			c->refused);
	metrics_counter(out, "spoa_router_checks_late_total",
			"Checks that came late by an interval.", c->late);
}

static void write_reports(const struct roster_counters *c, FILE *out)
{
	const struct {
		const char *result;
		uint64_t count;
	} rows[] = {{"taken", c->reports},
		    {"known", c->reports_known},
		    {"foreign", c->reports_foreign},
		    {"held_back", c->reports_held}};
	const char *name = "spoa_router_reports_total";
	size_t i;

	metrics_head(out, name, "counter",
		     "Failed connections that HAProxy reported.");
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const struct metrics_label labels[] = {
			{"result", span_of(rows[i].result)}, {0}};

		metrics_sample(out, name, labels, rows[i].count);
	}
}

static void write_checks(const struct health_counters *c, FILE *out)
{
	const char *name = "spoa_router_checks_total";
	int i;

	metrics_head(out, name, "counter", "Checks, by how they ended.");
	for (i = 0; i < CHECKER_RESULTS; i++) {
		const struct metrics_label labels[] = {
			{"result",
			 span_of(checker_result_text((enum checker_result)i))},
			{0}};

		metrics_sample(out, name, labels, c->results[i]);
	}
}

static void write_health(const struct view *view, FILE *out)
{
	const struct feedback_counters *f;

	if (view->health) {
		write_targets(health_count_targets(view->health), out);
		write_reports(health_count_targets(view->health), out);
		write_checks(health_count(view->health), out);
		metrics_counter(out, "spoa_router_events_published_total",
				"Events that were published.",
				view->events->counters.published);
		metrics_counter(out, "spoa_router_events_lost_total",
				"Events that Redis was not there to publish.",
				view->events->counters.lost);
	}
	if (!view->feedback)
		return;
	f = feedback_count(view->feedback);
	metrics_counter(out, "spoa_router_feedback_failed_total",
			"Lines about a connection that failed.", f->failed);
	metrics_counter(out, "spoa_router_feedback_other_total",
			"Lines about something else.", f->other);
	metrics_counter(out, "spoa_router_feedback_malformed_total",
			"Datagrams that are no line of HAProxy.", f->malformed);
}

static void write_store(const struct view *view, FILE *out)
{
	const struct redis_store_counters *c = redis_store_count(view->store);

	metrics_gauge(out, "spoa_router_redis_connected",
		      "Whether a Redis can be asked.", c->is_connected);
	metrics_counter(out, "spoa_router_redis_connections_total",
			"Connections to Redis that could be used.",
			c->connections);
	metrics_counter(out, "spoa_router_redis_losses_total",
			"Those of them that were lost.", c->losses);
	metrics_counter(out, "spoa_router_redis_failures_total",
			"Connections to Redis that could not be used.",
			c->failures);
	metrics_counter(out, "spoa_router_redis_moves_total",
			"Times that Sentinel or a cluster named another "
			"server.",
			c->moves);
	metrics_gauge(out, "spoa_router_empty_guard_holding",
		      "Whether --empty-guard keeps routes of a hash that is "
		      "empty.",
		      c->is_holding);
	metrics_counter(out, "spoa_router_empty_guard_holds_total",
			"Times that it began to.", c->holds);
}

static void write_preload(const struct view *view, FILE *out)
{
	const struct preload_counters *c;

	if (!view->preload)
		return;
	c = preload_count(view->preload);
	metrics_gauge(out, "spoa_router_preload_fields",
		      "Fields that the hash had when last looked.", c->total);
	metrics_gauge(out, "spoa_router_preload_running",
		      "Whether the hash is being listed.", c->is_running);
	metrics_counter(out, "spoa_router_preload_listings_total",
			"Listings that came to their end.", c->listings);
	metrics_counter(out, "spoa_router_preload_failures_total",
			"Listings that were broken off.", c->failures);
	metrics_counter(out, "spoa_router_preload_full_total",
			"Listings that ended at --cache-size.", c->full);
	metrics_counter(out, "spoa_router_preload_skipped_total",
			"Fields that were too long to be kept.", c->skipped);
}

void scrape_write(const struct view *view, FILE *out)
{
	write_process(view, out);
	write_conns(view, out);
	write_resolver(view, out);
	write_cache(view, out);
	write_health(view, out);
	write_store(view, out);
	write_preload(view, out);
}
