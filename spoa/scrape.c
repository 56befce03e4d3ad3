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
	const struct conns_counters *c = conns_count(view->conns);
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

	metrics_gauge(out, "spoa_router_waiting",
		      "Requests that wait for Redis.", c->waiting);
	metrics_gauge(out, "spoa_router_waiting_limit",
		      "The bound --max-waiting.",
		      (uint64_t)view->config->max_waiting);
	metrics_gauge(out, "spoa_router_flights",
		      "Questions to Redis that are under way.", c->flights);
	metrics_counter(out, "spoa_router_lookups_total",
			"Questions to Redis with requests waiting.",
			c->lookups);
	metrics_counter(out, "spoa_router_joins_total",
			"Requests that joined a question under way.", c->joins);
	metrics_counter(out, "spoa_router_refreshes_total",
			"Questions to Redis ahead of need.", c->refreshes);
	metrics_counter(out, "spoa_router_timeouts_total",
			"Requests answered without Redis after "
			"--lookup-timeout.",
			c->timeouts);
	metrics_counter(out, "spoa_router_refused_total",
			"Requests beyond --max-waiting.", c->refused);
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

void scrape_write(const struct view *view, FILE *out)
{
	write_process(view, out);
	write_conns(view, out);
	write_resolver(view, out);
	write_cache(view, out);
}
