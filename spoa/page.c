/* SPDX-License-Identifier: MIT */
/*
 * page: head, notices, tiles; the tables are a room of their own.
 */
#include "page.h"

#include <inttypes.h>

#include "html.h"
#include "page_tables.h"

enum {
	LATELY = 10, /* seconds that "a second" is the mean of */
	CHART_WIDTH = 240,
	CHART_HEIGHT = 40,
};

static const struct redis_store_counters *redis(const struct page *page)
{
	return redis_store_count(page->view->store);
}

static const struct channel_counters *channel(const struct page *page)
{
	return redis_store_count_channel(page->view->store);
}

static size_t count_down(const struct page *page)
{
	const struct view *view = page->view;

	return view->health ? health_count_targets(view->health)->down : 0;
}

static void open_notice(FILE *out, const char *kind, const char *title)
{
	fprintf(out, "<li class=\"%s\"><strong>%s</strong> ", kind, title);
}

static void put_redis_notice(const struct page *page, FILE *out)
{
	const struct view *view = page->view;

	if (!redis(page)->is_connected) {
		open_notice(out, "bad", "Redis cannot be asked.");
		fputs("Known routes are served on, other hosts get a 503. "
		      "Trying <code>",
		      out);
		html_text(out, span_of(redis_store_server(view->store)));
		fputs("</code>; the log says what is wrong.</li>", out);
	} else if (!channel(page)->is_up) {
		open_notice(out, "warn", "Redis does not tell of changes.");
		fputs("A change is live after --ttl, ", out);
		html_time(out, view->config->ttl_ms * 1000);
		fputs(", at most.</li>", out);
	}
	if (redis(page)->is_holding) {
		open_notice(out, "warn", "The hash is empty all of a sudden.");
		fputs("--empty-guard keeps the routes that are known; publish "
		      "<code>*</code> if it is meant.</li>",
		      out);
	}
}

static void put_notices(const struct page *page, FILE *out)
{
	const struct view *view = page->view;
	size_t down = count_down(page);

	fputs("<ul class=\"notices\" role=\"status\">", out);
	if (conns_are_stopping(view->conns)) {
		open_notice(out, "warn", "Stopping.");
		fputs("Connections are closed one after the other.</li>", out);
	}
	put_redis_notice(page, out);
	if (down > 0) {
		open_notice(out, "warn", "");
		fprintf(out, "<a href=\"#targets\">%zu target%s down</a>.</li>",
			down, down == 1 ? " is" : "s are");
	}
	if (view->fastpath && fastpath_count(view->fastpath)->open == 0) {
		open_notice(out, "warn", "The fast path is off.");
		fputs("No socket of HAProxy can be written to.</li>", out);
	}
	fputs("</ul>\n", out);
}

static void open_tile(FILE *out, const char *title)
{
	fprintf(out, "<article><h2>%s</h2><p class=\"value\">", title);
}

static void open_note(FILE *out)
{
	fputs("</p><p class=\"note\">", out);
}

static void close_tile(FILE *out)
{
	fputs("</p></article>\n", out);
}

/* The rates of each second of the last minute as a line. */
static void put_chart(const struct pace *pace, FILE *out)
{
	double rates[PACE_SAMPLES] = {0};
	double top = 1;
	size_t steps = pace->count > 0 ? pace->count - 1 : 0;
	size_t i;

	for (i = 0; i < steps; i++) {
		rates[i] = pace_rate(pace_at(pace, i + 1), pace_at(pace, i));
		if (rates[i] > top)
			top = rates[i];
	}
	fprintf(out,
		"</p><svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" "
		"role=\"img\"><title>Answers a second in the last minute, at "
		"most %.0f</title><polyline points=\"",
		CHART_WIDTH, CHART_HEIGHT, top);
	for (i = 0; i < PACE_SAMPLES - 1; i++)
		fprintf(out, "%.1f,%.1f ",
			(double)i * CHART_WIDTH / (PACE_SAMPLES - 2),
			CHART_HEIGHT - 1 -
				rates[PACE_SAMPLES - 2 - i] *
					(CHART_HEIGHT - 3) / top);
	fputs("\"/></svg><p class=\"note\">", out);
}

static void put_rate(FILE *out, double rate)
{
	if (rate > 0 && rate < 10)
		fprintf(out, "%.1f", rate);
	else
		html_number(out, (uint64_t)(rate + 0.5));
}

static void put_pace(const struct page *page, FILE *out)
{
	const struct pace_sample *now = pace_at(page->pace, 0);
	const struct pace_sample *lately = pace_at(page->pace, LATELY);

	open_tile(out, "Answers a second");
	put_rate(out, now ? pace_rate(lately, now) : 0);
	put_chart(page->pace, out);
	html_number(out, now ? now->answers : 0);
	fputs(" since the start", out);
	close_tile(out);
}

static void put_hits(const struct page *page, FILE *out)
{
	const struct pace_sample *now = pace_at(page->pace, 0);
	const struct pace_sample *then = pace_at(page->pace, PACE_SAMPLES);
	uint64_t answers = now ? now->answers - then->answers : 0;
	uint64_t waited = now ? metrics_total(&now->waited, &then->waited) : 0;
	uint64_t tenths;

	open_tile(out, "Known at once");
	if (answers == 0) {
		fputs("&ndash;", out);
	} else { /* rounded down: what is not all shall not read 100 */
		tenths = (answers - (waited < answers ? waited : answers)) *
			 1000 / answers;
		fprintf(out, "%" PRIu64 ".%" PRIu64 "<small>&nbsp;%%</small>",
			tenths / 10, tenths % 10);
	}
	open_note(out);
	html_number(out, waited);
	fputs(" of ", out);
	html_number(out, answers);
	fputs(" waited in the last minute", out);
	close_tile(out);
}

static void put_quantiles(const struct metrics_histogram *now,
			  const struct metrics_histogram *then,
			  const char *what, FILE *out)
{
	fprintf(out, "<tr><th scope=\"row\">%s</th><td>", what);
	html_time(out, metrics_quantile(now, then, 0.5));
	fputs("</td><td>", out);
	html_time(out, metrics_quantile(now, then, 0.99));
	fputs("</td></tr>", out);
}

static void put_latency(const struct page *page, FILE *out)
{
	static const struct metrics_histogram none;
	const struct pace_sample *now = pace_at(page->pace, 0);
	const struct pace_sample *then = pace_at(page->pace, PACE_SAMPLES);

	fputs("<article><h2>Time to answer</h2><table class=\"small\">"
	      "<caption>In the last minute</caption><thead><tr><td></td>"
	      "<th scope=\"col\">median</th><th scope=\"col\">99 %</th></tr>"
	      "</thead><tbody>",
	      out);
	put_quantiles(now ? &now->known : &none, now ? &then->known : &none,
		      "known", out);
	put_quantiles(now ? &now->waited : &none, now ? &then->waited : &none,
		      "asked Redis", out);
	fputs("</tbody></table></article>\n", out);
}

static void put_word(FILE *out, bool is_good, const char *good, const char *bad)
{
	fprintf(out, "<span class=\"mark %s\">%s</span>",
		is_good ? "good" : "bad", is_good ? good : bad);
}

static void put_redis(const struct page *page, FILE *out)
{
	const struct redis_store_counters *c = redis(page);

	open_tile(out, "Redis");
	put_word(out, c->is_connected, "connected", "away");
	open_note(out);
	fputs("<code>", out);
	html_text(out, span_of(redis_store_server(page->view->store)));
	fputs("</code>, lost ", out);
	html_number(out, c->losses);
	fputs(c->losses == 1 ? " time" : " times", out);
	close_tile(out);
}

static void put_push(const struct page *page, FILE *out)
{
	const struct channel_counters *c = channel(page);

	open_tile(out, "Changes");
	put_word(out, c->is_up, "told at once", "not told");
	open_note(out);
	html_number(out, c->changes);
	fputs(" heard", out);
	if (c->heard_ms) {
		fputs(", last sign ", out);
		html_time(out,
			  (loop_now(page->view->loop) - c->heard_ms) * 1000);
		fputs(" ago", out);
	}
	close_tile(out);
}

static void put_cache(const struct page *page, FILE *out)
{
	const struct cache_counters *c = cache_count(page->view->cache);

	open_tile(out, "Routes known");
	html_number(out, c->values);
	open_note(out);
	fputs("and ", out);
	html_number(out, c->absents);
	fputs(" fields without one, ", out);
	html_bytes(out, c->value_bytes + c->absent_bytes);
	if (c->evictions > 0) {
		fputs("; ", out);
		html_number(out, c->evictions);
		fputs(" made room", out);
	}
	close_tile(out);
}

static void put_targets(const struct page *page, FILE *out)
{
	const struct view *view = page->view;
	const struct roster_counters *c;

	open_tile(out, "Targets");
	c = view->health ? health_count_targets(view->health) : NULL;
	if (!c || c->watched == 0) {
		fputs("&ndash;", out);
		open_note(out);
		fputs(c ? "checked are routes with several, or that say so"
			: "checks are off",
		      out);
		close_tile(out);
		return;
	}
	html_number(out, c->watched - c->down - c->doubted);
	fputs("<small> up</small>", out);
	if (c->down > 0)
		fprintf(out, " <span class=\"mark bad\">%zu down</span>",
			c->down);
	if (c->doubted > 0)
		fprintf(out, " <span class=\"mark warn\">%zu doubted</span>",
			c->doubted);
	open_note(out);
	html_number(out, c->checked);
	fputs(" in use and checked", out);
	close_tile(out);
}

static void put_haproxy(const struct page *page, FILE *out)
{
	const struct view *view = page->view;

	open_tile(out, "HAProxy");
	html_number(out, conns_count(view->conns)->open);
	fputs("<small> connected</small>", out);
	open_note(out);
	html_number(out, resolver_count_flights(view->resolver)->waiting);
	fputs(" requests wait", out);
	if (view->fastpath) {
		fputs("; ", out);
		html_number(out, fastpath_count_lent(view->fastpath)->lent);
		fputs(" hosts lent", out);
	}
	close_tile(out);
}

static void put_tiles(const struct page *page, FILE *out)
{
	fputs("<section class=\"tiles\" aria-label=\"At a glance\">\n", out);
	put_pace(page, out);
	put_hits(page, out);
	put_latency(page, out);
	put_redis(page, out);
	put_push(page, out);
	put_cache(page, out);
	put_targets(page, out);
	put_haproxy(page, out);
	fputs("</section>\n", out);
}

static void put_head(const struct page *page, FILE *out)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head>"
	      "<meta charset=\"utf-8\">"
	      "<meta name=\"viewport\" content=\"width=device-width, "
	      "initial-scale=1\">"
	      "<meta name=\"color-scheme\" content=\"light dark\">"
	      "<title>spoa-router</title><link rel=\"icon\" href=\"data:,\">"
	      "<link rel=\"stylesheet\" href=\"/page.css\">"
	      "<script src=\"/page.js\" defer></script></head>\n"
	      "<body><header><p class=\"name\"><a href=\"/\">spoa-router</a> "
	      "<span class=\"soft\">",
	      out);
	html_text(out, span_of(page->view->version));
	fputs("</span></p><p id=\"live\" class=\"soft\"></p>"
	      "<form role=\"search\" action=\"/\" method=\"get\">"
	      "<label for=\"host\">Host</label>"
	      "<input id=\"host\" name=\"host\" type=\"search\" "
	      "autocomplete=\"off\" autocapitalize=\"none\" "
	      "spellcheck=\"false\" maxlength=\"300\" required "
	      "placeholder=\"app1.cloud.com\" value=\"",
	      out);
	if (page->asked)
		html_text(out, span_of(page->asked));
	fputs("\"><button>Explain</button></form></header>\n", out);
}

void page_write(const struct page *page, FILE *out)
{
	const struct view *view = page->view;

	put_head(page, out);
	fputs("<main><h1>What this agent knows</h1>\n", out);
	put_notices(page, out);
	if (page->answer)
		page_put_host(page, out);
	put_tiles(page, out);
	page_put_failing(page, out);
	page_put_routes(page, out);
	page_put_answers(page, out);
	fputs("<footer>Up for ", out);
	html_time(out, (loop_now(view->loop) - view->started_ms) * 1000);
	fputs(". Also here: <a href=\"/metrics\">metrics</a>, "
	      "<a href=\"/config\">options in force</a>, "
	      "<a href=\"/routes\">routes</a>.</footer></main></body></html>\n",
	      out);
}
