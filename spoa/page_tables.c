/* SPDX-License-Identifier: MIT */
/*
 * page_tables: each has a caption, and heads for its columns and rows.
 */
#include "page_tables.h"

#include "explain.h"
#include "host.h"
#include "html.h"

enum {
	VALUE_SHOWN = 120, /* bytes of a value in a list */
	FAILING_MAX = 50,
	FIELDS_SHOWN = 4,
};

static void put_mark(FILE *out, const char *kind, const char *word)
{
	fprintf(out, "<span class=\"mark %s\">%s</span>", kind, word);
}

/* The kind says how it looks; the word always stands beside it. */
static const char *kind_of_target(const char *state)
{
	if (!strcmp(state, "up"))
		return "good";
	if (!strcmp(state, "down"))
		return "bad";
	return !strcmp(state, "doubted") ? "warn" : "plain";
}

static const char *kind_of_status(enum answer_status status)
{
	if (status == ANSWER_OK)
		return "good";
	return status == ANSWER_NOT_FOUND || status == ANSWER_BAD_HOST ? "warn"
								       : "bad";
}

static void put_place(FILE *out, const uint8_t *address, bool is_ipv6,
		      uint16_t port)
{
	char place[ROUTE_PLACE_MAX];

	route_print_place(address, is_ipv6, port, place);
	html_text(out, span_of(place));
}

static bool is_plain_host(struct span field)
{
	size_t i;

	for (i = 0; i < field.len; i++) {
		char c = field.p[i];

		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' &&
		    c != '_' && c != '.')
			return false;
	}
	return field.len > 0;
}

/* A host can be asked for. */
static void put_field(FILE *out, struct span field)
{
	bool is_link = is_plain_host(field);

	if (is_link) {
		fputs("<a href=\"/?host=", out);
		html_text(out, field);
		fputs("\">", out);
	}
	html_text(out, field);
	if (is_link)
		fputs("</a>", out);
}

static void put_targets(const struct view *view, struct route *route, FILE *out)
{
	const uint32_t *slots = route_slots(route);
	size_t i;

	fputs("<div class=\"scroll\"><table><caption>Targets of the route"
	      "</caption><thead><tr><th scope=\"col\">Target</th>"
	      "<th scope=\"col\">State</th><th scope=\"col\" class=\"n\">Weight"
	      "</th><th scope=\"col\">Role</th></tr></thead><tbody>",
	      out);
	for (i = 0; i < route->target_count; i++) {
		const struct target *target = &route->targets[i];
		const char *state = explain_target(view, slots ? slots[i] : 0);

		fputs("<tr><th scope=\"row\"><code>", out);
		put_place(out, target->address, target->is_ipv6, target->port);
		fputs("</code></th><td>", out);
		put_mark(out, kind_of_target(state), state);
		fprintf(out, "</td><td class=\"n\">%u</td><td>%s</td></tr>",
			target->weight, target->is_backup ? "backup" : "");
	}
	fputs("</tbody></table></div>\n", out);
}

static void put_candidate(struct span field, const struct cache_look *look,
			  bool is_winner, FILE *out)
{
	fprintf(out, "<tr%s><th scope=\"row\"><code>",
		is_winner ? " class=\"winner\"" : "");
	html_text(out, field);
	fputs("</code></th>", out);
	if (!look) {
		fputs("<td>not known</td><td></td><td class=\"n\"></td>"
		      "<td class=\"n\"></td><td class=\"n\"></td></tr>",
		      out);
		return;
	}
	fprintf(out, "<td>%s%s</td><td><code>", explain_state(look->state),
		look->value ? "" : ", no route");
	if (look->value)
		html_text(out, route_text(look->value));
	fputs("</code></td><td class=\"n\">", out);
	html_time(out, look->age_ms * 1000);
	fputs("</td><td class=\"n\">", out);
	html_time(out, look->left_ms > 0 ? look->left_ms * 1000 : 0);
	fputs("</td><td class=\"n\">", out);
	html_number(out, look->uses);
	fputs("</td></tr>", out);
}

/* The route that answers, if the cache still has it. */
static struct route *find_winner(const struct page *page)
{
	struct cache_look look;

	if (page->answer->route.len == 0 ||
	    !cache_look_at(page->view->cache, page->answer->route,
			   loop_now(page->view->loop), &look))
		return NULL;
	return look.value;
}

static void put_candidates(const struct page *page, FILE *out)
{
	int64_t now_ms = loop_now(page->view->loop);
	struct host_candidates candidates;
	struct host_field room;
	struct cache_look look;
	struct host host;
	size_t i;

	if (!host_normalise(span_of(page->asked), &host))
		return;
	fputs("<div class=\"scroll\"><table><caption>Fields that could serve "
	      "it, in order of match</caption><thead><tr>"
	      "<th scope=\"col\">Field</th><th scope=\"col\">Known</th>"
	      "<th scope=\"col\">Value</th><th scope=\"col\" class=\"n\">Age"
	      "</th><th scope=\"col\" class=\"n\">Fresh for</th>"
	      "<th scope=\"col\" class=\"n\">Uses</th></tr></thead><tbody>",
	      out);
	host_list_candidates(&host, &candidates);
	for (i = 0; i < candidates.count; i++) {
		struct span field =
			host_candidate(&host, &candidates, i, &room);
		bool is_known =
			cache_look_at(page->view->cache, field, now_ms, &look);

		put_candidate(field, is_known ? &look : NULL,
			      span_equal(field, page->answer->route), out);
	}
	fputs("</tbody></table></div>\n", out);
}

void page_put_host(const struct page *page, FILE *out)
{
	const struct answer *answer = page->answer;
	struct route *route;

	fputs("<section class=\"host\"><h2>Where does <code>", out);
	html_start(out, span_of(page->asked), 300);
	fputs("</code> go?</h2><p class=\"verdict\">", out);
	put_mark(out, kind_of_status(answer->status),
		 answer_status_name(answer->status));
	if (answer->status == ANSWER_OK) {
		fputs(" <strong><code>", out);
		put_place(out, answer->address, answer->address_len == 16,
			  answer->port);
		fputs("</code></strong>", out);
	}
	if (answer->status == ANSWER_OK && answer->address2_len > 0) {
		fputs(" then <code>", out);
		put_place(out, answer->address2, answer->address2_len == 16,
			  answer->port2);
		fputs("</code>", out);
	}
	fprintf(out, "</p><p>Why: %s. Source: <code>%s</code>.",
		explain_status(answer->status),
		answer_source_name(answer->source));
	if (answer->backend.len > 0) {
		fputs(" Backend <code>", out);
		html_text(out, answer->backend);
		fputs("</code>.", out);
	}
	route = find_winner(page);
	if (route && route->error != ROUTE_GOOD)
		fprintf(out, " The value: %s.", route_error_text(route->error));
	fputs(" <a href=\"/\">Close</a></p>\n", out);
	put_candidates(page, out);
	if (route && route->target_count > 0)
		put_targets(page->view, route, out);
	fputs("</section>\n", out);
}

/* How many of its targets are up, when they are watched. */
static void put_health(const struct view *view, struct route *route, FILE *out)
{
	const uint32_t *slots = route_slots(route);
	size_t watched = 0, up = 0, i;

	if (route->error != ROUTE_GOOD) {
		put_mark(out, "bad", "bad route");
		return;
	}
	for (i = 0; slots && i < route->target_count; i++) {
		const char *state = explain_target(view, slots[i]);

		watched += slots[i] > 0;
		up += !strcmp(state, "up");
	}
	if (watched == 0)
		fputs("<span class=\"soft\">not checked</span>", out);
	else if (up == watched)
		put_mark(out, "good", "up");
	else
		fprintf(out, "<span class=\"mark %s\">%zu of %zu up</span>",
			up ? "warn" : "bad", up, watched);
}

static void put_route(const struct page *page, const struct cache_look *look,
		      FILE *out)
{
	fputs("<tr><th scope=\"row\"><code>", out);
	put_field(out, look->field);
	fputs("</code></th><td><code>", out);
	html_start(out, route_text(look->value), VALUE_SHOWN);
	fputs("</code></td><td>", out);
	put_health(page->view, look->value, out);
	fputs("</td><td class=\"n\">", out);
	html_number(out, look->uses);
	fputs("</td><td class=\"n\">", out);
	html_time(out, look->age_ms * 1000);
	fprintf(out, "</td><td>%s</td></tr>\n", explain_state(look->state));
}

void page_put_routes(const struct page *page, FILE *out)
{
	const struct view *view = page->view;
	struct cache_look look;
	size_t i;

	fputs("<section id=\"routes\"><h2>Busiest routes</h2>", out);
	if (page->route_count == 0) {
		fputs("<p>No route was asked for yet.</p></section>\n", out);
		return;
	}
	fputs("<div class=\"scroll\"><table><caption>The most used; in the "
	      "cache: ",
	      out);
	html_number(out, cache_count(view->cache)->values);
	fputs(". Age is the time since Redis was asked.</caption><thead><tr>"
	      "<th scope=\"col\">Route</th>"
	      "<th scope=\"col\">Goes to</th><th scope=\"col\">Targets</th>"
	      "<th scope=\"col\" class=\"n\">Requests</th>"
	      "<th scope=\"col\" class=\"n\">Age</th>"
	      "<th scope=\"col\">Known</th></tr></thead><tbody>\n",
	      out);
	for (i = 0; i < page->route_count; i++)
		if (cache_look_at(view->cache, listing_field(&page->routes[i]),
				  loop_now(view->loop), &look) &&
		    look.value)
			put_route(page, &look, out);
	fputs("</tbody></table></div></section>\n", out);
}

static void put_fields(const struct health_failing *failing, FILE *out)
{
	size_t i;

	for (i = 0; i < failing->field_count && i < FIELDS_SHOWN; i++) {
		fputs(i > 0 ? ", <code>" : "<code>", out);
		put_field(out, failing->fields[i]);
		fputs("</code>", out);
	}
	if (failing->uses > i)
		fprintf(out, " and %zu more", failing->uses - i);
}

static void put_failing(const struct view *view,
			const struct health_failing *failing, FILE *out)
{
	const struct roster_target *target = &failing->target;

	fputs("<tr><th scope=\"row\"><code>", out);
	put_place(out, target->address, target->address_len == 16,
		  target->port);
	fputs("</code></th><td>", out);
	put_mark(out, failing->is_down ? "bad" : "warn",
		 failing->is_down ? "down" : "doubted");
	fputs("</td><td class=\"n\">", out);
	html_time(out,
		  failing->is_down
			  ? (loop_now(view->loop) - failing->since_ms) * 1000
			  : -1);
	fputs("</td><td>", out);
	if (target->path.len > 0) {
		fputs("<code>", out);
		html_text(out, target->path);
		fputs("</code>", out);
	} else {
		fputs("tcp", out);
	}
	fputs("</td><td>", out);
	put_fields(failing, out);
	fputs("</td></tr>\n", out);
}

void page_put_failing(const struct page *page, FILE *out)
{
	const struct view *view = page->view;
	struct health_failing failing;
	size_t count = 0;
	uint32_t slot;

	if (!view->health)
		return;
	for (slot = health_next_failing(view->health, 0, &failing);
	     slot && count < FAILING_MAX;
	     slot = health_next_failing(view->health, slot, &failing)) {
		if (count++ == 0)
			fputs("<section id=\"targets\"><h2>Targets in trouble"
			      "</h2><div class=\"scroll\"><table><caption>"
			      "Down: failed its checks. Doubted: HAProxy says "
			      "so, a check is under way.</caption><thead><tr>"
			      "<th scope=\"col\">Target</th>"
			      "<th scope=\"col\">State</th>"
			      "<th scope=\"col\" class=\"n\">For</th>"
			      "<th scope=\"col\">Check</th>"
			      "<th scope=\"col\">Routes</th></tr></thead>"
			      "<tbody>\n",
			      out);
		put_failing(view, &failing, out);
	}
	if (count > 0)
		fputs("</tbody></table></div></section>\n", out);
}

void page_put_answers(const struct page *page, FILE *out)
{
	const struct conn_counters *c = conns_count(page->view->conns);
	unsigned int status, source;

	fputs("<section id=\"answers\"><h2>Answers</h2><div class=\"scroll\">"
	      "<table><caption>Since the start, by what was answered and "
	      "where from</caption><thead><tr><th scope=\"col\">Status</th>",
	      out);
	for (source = 0; source < ANSWER_SOURCES; source++)
		fprintf(out, "<th scope=\"col\" class=\"n\">%s</th>",
			answer_source_name(source));
	fputs("</tr></thead><tbody>\n", out);
	for (status = 0; status < ANSWER_STATUSES; status++) {
		fprintf(out, "<tr><th scope=\"row\"><code>%s</code></th>",
			answer_status_name(status));
		for (source = 0; source < ANSWER_SOURCES; source++) {
			uint64_t count = c->answers[status][source];

			fprintf(out, "<td class=\"n%s\">",
				count ? "" : " zero");
			html_number(out, count);
			fputs("</td>", out);
		}
		fputs("</tr>\n", out);
	}
	fputs("</tbody></table></div></section>\n", out);
}
