/* SPDX-License-Identifier: MIT */
/*
 * scrape: a table of families for each room's counters, in the order of the
 * flow: process, HAProxy, resolver, cache, targets, Redis, fast path.
 */
#include "scrape.h"

#include "metrics.h"
#include "process.h"

#define COUNTER "counter"
#define GAUGE "gauge"

static const struct metrics_row limits_rows[] = {
	{"spoa_router_connections_limit", NULL, GAUGE,
	 "The bound --max-connections.",
	 METRICS_FIELD(config, max_connections)},
	{"spoa_router_waiting_limit", NULL, GAUGE, "The bound --max-waiting.",
	 METRICS_FIELD(config, max_waiting)},
	{"spoa_router_cache_entries_limit", NULL, GAUGE,
	 "The bound --cache-size.", METRICS_FIELD(config, cache_size)},
};

static const struct metrics_row process_rows[] = {
	{"process_resident_memory_bytes", NULL, GAUGE, "Resident memory.",
	 METRICS_FIELD(process_usage, resident_bytes)},
	{"process_virtual_memory_bytes", NULL, GAUGE, "Virtual memory.",
	 METRICS_FIELD(process_usage, virtual_bytes)},
	{"process_open_fds", NULL, GAUGE, "Open file descriptors.",
	 METRICS_FIELD(process_usage, open_files)},
	{"process_max_fds", NULL, GAUGE,
	 "Most file descriptors that may be open.",
	 METRICS_FIELD(process_usage, max_files)},
};

static const struct metrics_row reloads_rows[] = {
	{"spoa_router_reloads_total", "result=\"done\"", COUNTER,
	 "Times that the configuration was read again (SIGHUP).",
	 METRICS_FIELD(reload_counters, done)},
	{"spoa_router_reloads_total", "result=\"refused\"", COUNTER, NULL,
	 METRICS_FIELD(reload_counters, refused)},
};

static const struct metrics_row conns_rows[] = {
	{"spoa_router_connections", NULL, GAUGE,
	 "Connections of HAProxy that are open.",
	 METRICS_FIELD(conn_counters, open)},
	{"spoa_router_connections_accepted_total", NULL, COUNTER,
	 "Connections that were accepted.",
	 METRICS_FIELD(conn_counters, accepted)},
	{"spoa_router_connections_refused_total", NULL, COUNTER,
	 "Connections beyond --max-connections.",
	 METRICS_FIELD(conn_counters, refused)},
	{"spoa_router_connections_broken_total", NULL, COUNTER,
	 "Connections that were ended for bad SPOP.",
	 METRICS_FIELD(conn_counters, broken)},
	{"spoa_router_connections_crowded_total", NULL, COUNTER,
	 "Connections ended since too many large frames were unfinished.",
	 METRICS_FIELD(conn_counters, crowded)},
	{"spoa_router_connections_throttled_total", NULL, COUNTER,
	 "Times that a connection had to be read, since all left too much "
	 "unread.",
	 METRICS_FIELD(conn_counters, throttled)},
	{"spoa_router_unread_bytes", NULL, GAUGE,
	 "Memory for answers that connections leave unread, beyond the usual.",
	 METRICS_FIELD(conn_counters, unread_bytes)},
	{"spoa_router_frames_total", "type=\"hello\"", COUNTER,
	 "Frames of HAProxy, by type.", METRICS_FIELD(conn_counters, hellos)},
	{"spoa_router_frames_total", "type=\"notify\"", COUNTER, NULL,
	 METRICS_FIELD(conn_counters, questions)},
};

static const struct metrics_row flights_rows[] = {
	{"spoa_router_waiting", NULL, GAUGE, "Requests that wait for Redis.",
	 METRICS_FIELD(flights_counters, waiting)},
	{"spoa_router_flights", NULL, GAUGE,
	 "Questions to Redis that are under way.",
	 METRICS_FIELD(flights_counters, flights)},
	{"spoa_router_lookups_total", NULL, COUNTER,
	 "Questions to Redis with requests waiting.",
	 METRICS_FIELD(flights_counters, lookups)},
	{"spoa_router_joins_total", NULL, COUNTER,
	 "Requests that joined a question under way.",
	 METRICS_FIELD(flights_counters, joins)},
	{"spoa_router_refreshes_total", NULL, COUNTER,
	 "Questions to Redis ahead of need.",
	 METRICS_FIELD(flights_counters, refreshes)},
	{"spoa_router_namings_total", NULL, COUNTER,
	 "Times that requests waited for DNS names alone.",
	 METRICS_FIELD(flights_counters, namings)},
	{"spoa_router_refused_total", NULL, COUNTER,
	 "Requests beyond --max-waiting.",
	 METRICS_FIELD(flights_counters, refused)},
};

static const struct metrics_row resolver_rows[] = {
	{"spoa_router_timeouts_total", NULL, COUNTER,
	 "Requests answered without Redis after --lookup-timeout.",
	 METRICS_FIELD(resolver_counters, timeouts)},
	{"spoa_router_epochs_total", NULL, COUNTER,
	 "Changes of the routes that were heard of.",
	 METRICS_FIELD(resolver_counters, epochs)},
	{"spoa_router_rereads_total", NULL, COUNTER,
	 "Fields that were read again because of them.",
	 METRICS_FIELD(resolver_counters, rereads)},
};

static const struct metrics_row routes_rows[] = {
	{"spoa_router_bad_routes_total", NULL, COUNTER,
	 "Values read that cannot be used.",
	 METRICS_FIELD(routes_counters, bad)},
	{"spoa_router_targets_denied_total", NULL, COUNTER,
	 "Targets that may not be one.",
	 METRICS_FIELD(routes_counters, denied)},
	{"spoa_router_names_changed_total", NULL, COUNTER,
	 "Routes whose names got other addresses.",
	 METRICS_FIELD(routes_counters, renamings)},
	{"spoa_router_names_unresolved_total", NULL, COUNTER,
	 "Answers that lacked an address of any name.",
	 METRICS_FIELD(routes_counters, unresolved)},
};

static const struct metrics_row cache_rows[] = {
	{"spoa_router_cache_entries", "kind=\"value\"", GAUGE,
	 "Fields that the cache knows.", METRICS_FIELD(cache_counters, values)},
	{"spoa_router_cache_entries", "kind=\"absent\"", GAUGE, NULL,
	 METRICS_FIELD(cache_counters, absents)},
	{"spoa_router_cache_bytes", "kind=\"value\"", GAUGE,
	 "Memory of these entries.",
	 METRICS_FIELD(cache_counters, value_bytes)},
	{"spoa_router_cache_bytes", "kind=\"absent\"", GAUGE, NULL,
	 METRICS_FIELD(cache_counters, absent_bytes)},
	{"spoa_router_cache_changes_total", NULL, COUNTER,
	 "Times that something new was learned.",
	 METRICS_FIELD(cache_counters, changes)},
	{"spoa_router_cache_evictions_total", NULL, COUNTER,
	 "Entries that made room for others.",
	 METRICS_FIELD(cache_counters, evictions)},
	{"spoa_router_cache_failures_total", NULL, COUNTER,
	 "Entries that found no memory.",
	 METRICS_FIELD(cache_counters, failures)},
};

static const struct metrics_row targets_rows[] = {
	{"spoa_router_targets_watched", NULL, GAUGE,
	 "Targets that routes name and that may be checked.",
	 METRICS_FIELD(roster_counters, watched)},
	{"spoa_router_targets_checked", NULL, GAUGE,
	 "Targets that were used lately and are checked.",
	 METRICS_FIELD(roster_counters, checked)},
	{"spoa_router_targets_doubted", NULL, GAUGE,
	 "Targets that are said to have failed.",
	 METRICS_FIELD(roster_counters, doubted)},
	{"spoa_router_targets_down", NULL, GAUGE,
	 "Targets that failed their checks.",
	 METRICS_FIELD(roster_counters, down)},
	{"spoa_router_targets_refused_total", NULL, COUNTER,
	 "Targets that found no room to be watched.",
	 METRICS_FIELD(roster_counters, refused)},
	{"spoa_router_checks_late_total", NULL, COUNTER,
	 "Checks that came late by an interval.",
	 METRICS_FIELD(roster_counters, late)},
	{"spoa_router_reports_total", "result=\"taken\"", COUNTER,
	 "Failed connections that HAProxy reported.",
	 METRICS_FIELD(roster_counters, reports)},
	{"spoa_router_reports_total", "result=\"known\"", COUNTER, NULL,
	 METRICS_FIELD(roster_counters, reports_known)},
	{"spoa_router_reports_total", "result=\"foreign\"", COUNTER, NULL,
	 METRICS_FIELD(roster_counters, reports_foreign)},
	{"spoa_router_reports_total", "result=\"held_back\"", COUNTER, NULL,
	 METRICS_FIELD(roster_counters, reports_held)},
};

static const struct metrics_row events_rows[] = {
	{"spoa_router_events_published_total", NULL, COUNTER,
	 "Events that were published.",
	 METRICS_FIELD(events_counters, published)},
	{"spoa_router_events_lost_total", NULL, COUNTER,
	 "Events that Redis was not there to publish.",
	 METRICS_FIELD(events_counters, lost)},
};

static const struct metrics_row feedback_rows[] = {
	{"spoa_router_feedback_failed_total", NULL, COUNTER,
	 "Lines about a connection that failed.",
	 METRICS_FIELD(feedback_counters, failed)},
	{"spoa_router_feedback_other_total", NULL, COUNTER,
	 "Lines about something else.",
	 METRICS_FIELD(feedback_counters, other)},
	{"spoa_router_feedback_malformed_total", NULL, COUNTER,
	 "Datagrams that are no line of HAProxy.",
	 METRICS_FIELD(feedback_counters, malformed)},
};

static const struct metrics_row store_rows[] = {
	{"spoa_router_redis_connected", NULL, GAUGE,
	 "Whether a Redis can be asked.",
	 METRICS_FIELD(redis_store_counters, is_connected)},
	{"spoa_router_redis_connections_total", NULL, COUNTER,
	 "Connections to Redis that could be used.",
	 METRICS_FIELD(redis_store_counters, connections)},
	{"spoa_router_redis_losses_total", NULL, COUNTER,
	 "Those of them that were lost.",
	 METRICS_FIELD(redis_store_counters, losses)},
	{"spoa_router_redis_failures_total", NULL, COUNTER,
	 "Connections to Redis that could not be used.",
	 METRICS_FIELD(redis_store_counters, failures)},
	{"spoa_router_redis_moves_total", NULL, COUNTER,
	 "Times that Sentinel or a cluster named another server.",
	 METRICS_FIELD(redis_store_counters, moves)},
	{"spoa_router_empty_guard_holding", NULL, GAUGE,
	 "Whether --empty-guard keeps routes of a hash that is empty.",
	 METRICS_FIELD(redis_store_counters, is_holding)},
	{"spoa_router_empty_guard_holds_total", NULL, COUNTER,
	 "Times that it began to.", METRICS_FIELD(redis_store_counters, holds)},
};

static const struct metrics_row channel_rows[] = {
	{"spoa_router_push_connected", NULL, GAUGE,
	 "Whether Redis tells of changes.",
	 METRICS_FIELD(channel_counters, is_up)},
	{"spoa_router_push_connections_total", NULL, COUNTER,
	 "Times that it began to.", METRICS_FIELD(channel_counters, ups)},
	{"spoa_router_push_losses_total", NULL, COUNTER,
	 "Times that it ceased to.", METRICS_FIELD(channel_counters, downs)},
	{"spoa_router_push_messages_total", "kind=\"change\"", COUNTER,
	 "What Redis told, by kind.", METRICS_FIELD(channel_counters, changes)},
	{"spoa_router_push_messages_total", "kind=\"name\"", COUNTER, NULL,
	 METRICS_FIELD(channel_counters, names)},
};

static const struct metrics_row preload_rows[] = {
	{"spoa_router_preload_fields", NULL, GAUGE,
	 "Fields that the hash had when last looked.",
	 METRICS_FIELD(preload_counters, total)},
	{"spoa_router_preload_running", NULL, GAUGE,
	 "Whether the hash is being listed.",
	 METRICS_FIELD(preload_counters, is_running)},
	{"spoa_router_preload_listings_total", NULL, COUNTER,
	 "Listings that came to their end.",
	 METRICS_FIELD(preload_counters, listings)},
	{"spoa_router_preload_added_total", NULL, COUNTER,
	 "Routes that were not known before.",
	 METRICS_FIELD(preload_counters, added)},
	{"spoa_router_preload_failures_total", NULL, COUNTER,
	 "Listings that were broken off.",
	 METRICS_FIELD(preload_counters, failures)},
	{"spoa_router_preload_full_total", NULL, COUNTER,
	 "Listings that ended at --cache-size.",
	 METRICS_FIELD(preload_counters, full)},
	{"spoa_router_preload_skipped_total", NULL, COUNTER,
	 "Fields that were too long to be kept.",
	 METRICS_FIELD(preload_counters, skipped)},
};

static const struct metrics_row snapshot_rows[] = {
	{"spoa_router_snapshot_entries", NULL, GAUGE,
	 "Entries of the last snapshot.",
	 METRICS_FIELD(snapshot_counters, entries)},
	{"spoa_router_snapshot_writes_total", NULL, COUNTER,
	 "Snapshots that were written.",
	 METRICS_FIELD(snapshot_counters, writes)},
	{"spoa_router_snapshot_failures_total", NULL, COUNTER,
	 "Snapshots that could not be written or read.",
	 METRICS_FIELD(snapshot_counters, failures)},
};

static const struct metrics_row names_rows[] = {
	{"spoa_router_names", NULL, GAUGE, "DNS names that are kept resolved.",
	 METRICS_FIELD(dns_cache_counters, names)},
	{"spoa_router_names_resolutions_total", NULL, COUNTER,
	 "Resolutions that were begun.",
	 METRICS_FIELD(dns_cache_counters, resolutions)},
	{"spoa_router_names_failures_total", NULL, COUNTER,
	 "Resolutions that told nothing.",
	 METRICS_FIELD(dns_cache_counters, failures)},
	{"spoa_router_names_refused_total", NULL, COUNTER,
	 "Names beyond the bound.", METRICS_FIELD(dns_cache_counters, refused)},
};

static const struct metrics_row fastpath_rows[] = {
	{"spoa_router_fastpath_sockets", NULL, GAUGE,
	 "Sockets of HAProxy that can be written to.",
	 METRICS_FIELD(writer_counters, open)},
	{"spoa_router_fastpath_commands_total", NULL, COUNTER,
	 "Commands that were sent to HAProxy.",
	 METRICS_FIELD(writer_counters, commands)},
	{"spoa_router_fastpath_errors_total", NULL, COUNTER,
	 "Complaints of HAProxy about commands.",
	 METRICS_FIELD(writer_counters, errors)},
	{"spoa_router_fastpath_connections_total", NULL, COUNTER,
	 "Sockets that became usable.",
	 METRICS_FIELD(writer_counters, connects)},
	{"spoa_router_fastpath_losses_total", NULL, COUNTER,
	 "Connections that ended or were given up.",
	 METRICS_FIELD(writer_counters, losses)},
	{"spoa_router_fastpath_overflows_total", NULL, COUNTER,
	 "Queues that became too long.",
	 METRICS_FIELD(writer_counters, overflows)},
	{"spoa_router_fastpath_skips_total", NULL, COUNTER,
	 "Answers not lent to a table that is slow.",
	 METRICS_FIELD(writer_counters, skips)},
};

static const struct metrics_row lender_rows[] = {
	{"spoa_router_fastpath_lent", NULL, GAUGE,
	 "Hosts that are lent to HAProxy now.",
	 METRICS_FIELD(lender_counters, lent)},
	{"spoa_router_fastpath_lends_total", NULL, COUNTER,
	 "Answers that were lent, renewals too.",
	 METRICS_FIELD(lender_counters, lends)},
	{"spoa_router_fastpath_backs_total", NULL, COUNTER,
	 "Answers that were taken back.",
	 METRICS_FIELD(lender_counters, backs)},
	{"spoa_router_fastpath_misses_total", NULL, COUNTER,
	 "Questions for hosts that are lent.",
	 METRICS_FIELD(lender_counters, misses)},
	{"spoa_router_fastpath_dropped_total", NULL, COUNTER,
	 "Wishes that found no room.", METRICS_FIELD(lender_counters, dropped)},
};

static const struct metrics_row http_rows[] = {
	{"spoa_router_admin_connections", NULL, GAUGE,
	 "Connections to the admin side.", METRICS_FIELD(http_counters, open)},
	{"spoa_router_admin_requests_total", NULL, COUNTER,
	 "Requests to the admin side.", METRICS_FIELD(http_counters, requests)},
	{"spoa_router_admin_refused_total", NULL, COUNTER,
	 "Requests that got an error.", METRICS_FIELD(http_counters, refused)},
	{"spoa_router_admin_full_total", NULL, COUNTER,
	 "Times that no more connections were accepted.",
	 METRICS_FIELD(http_counters, full)},
};

#define ROWS(room, out, counters)                                              \
	metrics_rows(out, room##_rows, ARRAY_LEN(room##_rows), counters)

static void write_process(const struct view *view, FILE *out)
{
	const struct metrics_label labels[] = {
		{"version", span_of(view->version)}, {0}};
	struct process_usage usage;

	metrics_head(out, "spoa_router_build_info", GAUGE,
		     "Always 1; the version is a label.");
	metrics_sample(out, "spoa_router_build_info", labels, 1);
	metrics_seconds(out, "spoa_router_uptime_seconds", GAUGE,
			"Time since the start.",
			loop_now(view->loop) - view->started_ms);
	process_measure(&usage);
	metrics_seconds(out, "process_cpu_seconds_total", COUNTER,
			"CPU time that was used.", usage.cpu_ms);
	metrics_seconds(out, "process_start_time_seconds", GAUGE,
			"When it started, since 1970.",
			view->started_unix_s * 1000);
	ROWS(process, out, &usage);
	ROWS(reloads, out, view->reloads);
}

static void write_answers(const struct conn_counters *c, FILE *out)
{
	const char *name = "spoa_router_answers_total";
	unsigned int status, source;

	metrics_head(out, name, COUNTER,
		     "Answers, by status and by where they came from.");
	for (status = 0; status < ANSWER_STATUSES; status++)
		for (source = 0; source < ANSWER_SOURCES; source++) {
			const struct metrics_label labels[] = {
				{"status", span_of(answer_status_name(status))},
				{"source", span_of(answer_source_name(source))},
				{0}};

			metrics_sample(out, name, labels,
				       c->answers[status][source]);
		}
}

static void write_latency(const struct conn_counters *c, FILE *out)
{
	const char *name = "spoa_router_answer_duration_seconds";

	metrics_head(out, name, "histogram",
		     "From reading a question to its answer: cache, when it "
		     "was known at once (one turn of the loop in 16 is timed); "
		     "redis, when it had to wait.");
	metrics_histogram(out, name,
			  (struct metrics_label){"source", span_of("cache")},
			  &c->known);
	metrics_histogram(out, name,
			  (struct metrics_label){"source", span_of("redis")},
			  &c->waited);
}

static void write_routes(const struct view *view,
			 const struct scrape_admin *admin, FILE *out)
{
	const char *name = "spoa_router_route_requests_total";
	size_t i;

	metrics_head(out, name, COUNTER,
		     "Requests since the route is cached, of the busiest.");
	for (i = 0; i < admin->route_count && i < SCRAPE_ROUTES; i++) {
		const struct listing_row *row = &admin->routes[i];
		const struct metrics_label labels[] = {
			{"route", listing_field(row)}, {0}};

		metrics_sample(out, name, labels, row->uses);
	}
	ROWS(routes, out, resolver_count_routes(view->resolver));
}

static void write_checks(const struct health_counters *c, FILE *out)
{
	const char *name = "spoa_router_checks_total";
	int i;

	metrics_head(out, name, COUNTER, "Checks, by how they ended.");
	for (i = 0; i < CHECKER_RESULTS; i++) {
		const struct metrics_label labels[] = {
			{"result",
			 span_of(checker_result_text((enum checker_result)i))},
			{0}};

		metrics_sample(out, name, labels, c->results[i]);
	}
}

static void write_targets(const struct view *view, FILE *out)
{
	if (view->health) {
		ROWS(targets, out, health_count_targets(view->health));
		write_checks(health_count(view->health), out);
		ROWS(events, out, &view->events->counters);
	}
	if (view->feedback)
		ROWS(feedback, out, feedback_count(view->feedback));
	ROWS(names, out, dns_cache_count(view->dns));
}

static void write_redis(const struct view *view, FILE *out)
{
	const struct redis_errors *errors =
		redis_store_count_errors(view->store);
	const struct channel_counters *channel =
		redis_store_count_channel(view->store);
	const char *name = "spoa_router_redis_errors_total";
	int i;

	ROWS(store, out, redis_store_count(view->store));
	metrics_head(out, name, COUNTER,
		     "Errors that Redis replied, by their first word.");
	for (i = 0; i < REDIS_ERRORS; i++) {
		const struct metrics_label labels[] = {
			{"kind",
			 span_of(redis_error_name((enum redis_error)i))},
			{0}};

		metrics_sample(out, name, labels, errors->counts[i]);
	}
	ROWS(channel, out, channel);
	metrics_seconds(out, "spoa_router_push_silence_seconds", GAUGE,
			"Time since the last sign of Redis' telling; NaN: "
			"there was none.",
			channel->heard_ms
				? loop_now(view->loop) - channel->heard_ms
				: -1);
}

static void write_snapshot(const struct view *view, FILE *out)
{
	const struct snapshot_counters *c;

	if (!view->snapshot)
		return;
	c = snapshot_count(view->snapshot);
	ROWS(snapshot, out, c);
	metrics_seconds(out, "spoa_router_snapshot_age_seconds", GAUGE,
			"Age of the snapshot on disk; NaN: there is none.",
			c->entries ? loop_now(view->loop) - c->saved_ms : -1);
}

void scrape_write(const struct view *view, const struct scrape_admin *admin,
		  FILE *out)
{
	const struct conn_counters *conns = conns_count(view->conns);

	write_process(view, out);
	ROWS(limits, out, view->config);
	ROWS(conns, out, conns);
	write_answers(conns, out);
	write_latency(conns, out);
	ROWS(flights, out, resolver_count_flights(view->resolver));
	ROWS(resolver, out, resolver_count(view->resolver));
	write_routes(view, admin, out);
	ROWS(cache, out, cache_count(view->cache));
	write_targets(view, out);
	write_redis(view, out);
	if (view->preload)
		ROWS(preload, out, preload_count(view->preload));
	write_snapshot(view, out);
	if (view->fastpath) {
		ROWS(fastpath, out, fastpath_count(view->fastpath));
		ROWS(lender, out, fastpath_count_lent(view->fastpath));
	}
	ROWS(http, out, admin->http);
}
