/* SPDX-License-Identifier: MIT */
/*
 * admin: one handler a page. What takes long is done in slices by rooms below.
 */
#include "admin.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "busiest.h"
#include "explain.h"
#include "host.h"
#include "json.h"
#include "listing.h"
#include "log.h"
#include "page.h"
#include "scrape.h"

enum {
	SURVEYS_MAX = 4, /* at a time: each takes a share of every turn */
	BEAT_MS = 1000,	 /* between two samples of the pace */
	ROWS = 100,	 /* of a listing, unless `limit` says how many */
	SECONDS_MAX = 86400,
};

/* A request that waits: for the busiest routes, or for the resolver. */
struct errand {
	struct waiter waiter; /* first: the resolver hands it back */
	struct busiest_waiter busiest;
	struct admin *admin;
	struct evhttp_request *request;
	char *asked; /* the host; owned; or NULL */
	/* Sends the reply; `answer` is NULL when no host was asked for. */
	void (*finish)(struct errand *errand, const struct answer *answer);
	LIST_ENTRY(errand) link;
};

/* A request for routes that waits for a listing. */
struct survey {
	struct admin *admin;
	struct evhttp_request *request;
	struct listing *listing;
	size_t limit;
	bool is_paged; /* a full page says where the next one begins */
	LIST_ENTRY(survey) link;
};

struct admin {
	const struct view *view;
	struct http *http;
	struct busiest *busiest;
	struct pace pace;
	struct event *beat; /* of the pace */
	LIST_HEAD(errand_list, errand) errands;
	LIST_HEAD(survey_list, survey) surveys;
	size_t survey_count;
};

static int64_t now(const struct admin *admin)
{
	return loop_now(admin->view->loop);
}

static void send_text(struct evhttp_request *request, int code,
		      const char *text)
{
	struct http_reply reply;

	http_begin(&reply);
	if (reply.out)
		fputs(text, reply.out);
	http_send(&reply, request, code, "text/plain; charset=utf-8");
}

static void handle_health(void *context, struct evhttp_request *request)
{
	(void)context;
	send_text(request, HTTP_OK, "ok\n");
}

/* Why no request should come here; NULL when they may. */
static const char *find_unready(const struct view *view)
{
	if (conns_are_stopping(view->conns))
		return "stopping";
	if (redis_store_count(view->store)->connections == 0 &&
	    !(view->snapshot && snapshot_count(view->snapshot)->is_read))
		return "Redis has not answered yet, and there is no snapshot";
	return NULL;
}

static void handle_ready(void *context, struct evhttp_request *request)
{
	struct admin *admin = context;
	const char *problem = find_unready(admin->view);

	if (problem)
		http_refuse(request, HTTP_SERVUNAVAIL, problem);
	else
		send_text(request, HTTP_OK, "ready\n");
}

/* A new errand; NULL without memory, and then the request was refused. */
static struct errand *new_errand(struct admin *admin,
				 struct evhttp_request *request)
{
	struct errand *errand = calloc(1, sizeof(*errand));

	if (!errand) {
		http_refuse(request, HTTP_INTERNAL, "out of memory");
		return NULL;
	}
	errand->admin = admin;
	errand->request = request;
	errand->asked = http_parameter(request, "host");
	LIST_INSERT_HEAD(&admin->errands, errand, link);
	return errand;
}

static void end_errand(struct errand *errand)
{
	LIST_REMOVE(errand, link);
	free(errand->asked);
	free(errand);
}

static void answered(struct waiter *waiter, const struct answer *answer)
{
	struct errand *errand = (struct errand *)waiter;

	errand->finish(errand, answer);
	end_errand(errand);
}

/* Has the errand finished with what its host is answered. */
static void ask_host(struct errand *errand)
{
	struct admin *admin = errand->admin;
	struct question question = {.host = span_of(errand->asked)};
	struct answer answer;

	errand->waiter.answered = answered;
	if (resolver_ask(admin->view->resolver, &question, now(admin),
			 &errand->waiter, &answer) == RESOLVER_DONE)
		answered(&errand->waiter, &answer);
}

static void on_busiest(void *context)
{
	struct errand *errand = context;

	if (errand->asked)
		ask_host(errand);
	else
		answered(&errand->waiter, NULL);
}

static void await_busiest(struct errand *errand)
{
	errand->busiest =
		(struct busiest_waiter){.ready = on_busiest, .context = errand};
	busiest_await(errand->admin->busiest, &errand->busiest);
}

static void send_metrics(struct errand *errand, const struct answer *answer)
{
	struct admin *admin = errand->admin;
	struct scrape_admin scrape = {.http = http_count(admin->http)};
	struct http_reply reply;

	(void)answer;
	scrape.routes = busiest_rows(admin->busiest, &scrape.route_count);
	http_begin(&reply);
	if (reply.out)
		scrape_write(admin->view, &scrape, reply.out);
	http_send(&reply, errand->request, HTTP_OK,
		  "text/plain; version=0.0.4; charset=utf-8");
}

static void handle_metrics(void *context, struct evhttp_request *request)
{
	struct errand *errand = new_errand(context, request);

	if (!errand)
		return;
	free(errand->asked); /* a host means nothing here */
	errand->asked = NULL;
	errand->finish = send_metrics;
	await_busiest(errand);
}

static void send_page(struct errand *errand, const struct answer *answer)
{
	struct admin *admin = errand->admin;
	struct page page = {.view = admin->view,
			    .pace = &admin->pace,
			    .asked = errand->asked,
			    .answer = answer};
	struct http_reply reply;

	page.routes = busiest_rows(admin->busiest, &page.route_count);
	http_begin(&reply);
	if (reply.out)
		page_write(&page, reply.out);
	http_send(&reply, errand->request, HTTP_OK, "text/html; charset=utf-8");
}

static void handle_page(void *context, struct evhttp_request *request)
{
	struct errand *errand = new_errand(context, request);

	if (!errand)
		return;
	errand->finish = send_page;
	await_busiest(errand);
}

static void send_file(struct evhttp_request *request, const char *bytes,
		      size_t size, const char *type)
{
	struct http_reply reply;

	http_begin(&reply);
	if (reply.out)
		fwrite(bytes, 1, size, reply.out);
	http_send(&reply, request, HTTP_OK, type);
}

static void handle_css(void *context, struct evhttp_request *request)
{
	(void)context;
	send_file(request, page_css, page_css_size, "text/css; charset=utf-8");
}

static void handle_js(void *context, struct evhttp_request *request)
{
	(void)context;
	send_file(request, page_js, page_js_size,
		  "text/javascript; charset=utf-8");
}

static void put_value(void *context, const struct opts_value *value)
{
	struct json *json = context;

	json_open(json, NULL, '{');
	json_text(json, "name", span_of(value->name));
	json_text(json, "value", span_of(value->text));
	json_text(json, "from", span_of(value->where));
	json_close(json, '}');
}

static void handle_config(void *context, struct evhttp_request *request)
{
	struct admin *admin = context;
	struct http_reply reply;
	struct json json;

	http_begin(&reply);
	if (reply.out) {
		json = (struct json){.out = reply.out};
		json_open(&json, NULL, '[');
		opts_show(admin->view->config, put_value, &json);
		json_close(&json, ']');
		fputc('\n', reply.out);
	}
	http_send(&reply, request, HTTP_OK, "application/json");
}

/* The field that the parameter `host` names, into `*field`, which lives in
 * `*room`; empty when there is no such parameter. False when it names none, and
 * then the request was refused. */
static bool read_field(struct evhttp_request *request, struct host_field *room,
		       struct span *field)
{
	char *text = http_parameter(request, "host");
	bool is_good = true;

	*field = (struct span){0};
	if (text)
		is_good = host_read_field(span_of(text), room, field);
	if (!is_good)
		http_refuse(request, HTTP_BADREQUEST,
			    "host is neither a host nor a wildcard");
	free(text);
	return is_good;
}

static void send_done(struct evhttp_request *request)
{
	struct http_reply reply;

	http_begin(&reply);
	if (reply.out)
		fputs("{\"done\":true}\n", reply.out);
	http_send(&reply, request, HTTP_OK, "application/json");
}

static void handle_flush(void *context, struct evhttp_request *request)
{
	struct admin *admin = context;
	struct host_field room;
	struct span field;

	if (!read_field(request, &room, &field))
		return;
	resolver_flush(admin->view->resolver, field, now(admin));
	log_info("flushed", log_text("by", "admin"),
		 log_span("field", field.len > 0 ? field : span_of("all")));
	send_done(request);
}

/* The number that a parameter says, or `absent` without it; -1 when it is none
 * from 0 to `max`. */
static int64_t read_number(struct evhttp_request *request, const char *name,
			   int64_t max, int64_t absent)
{
	char *text = http_parameter(request, name);
	int64_t number = text ? -1 : absent;
	char *end;

	if (text && *text >= '0' && *text <= '9') {
		number = strtoll(text, &end, 10);
		if (*end != '\0' || number > max)
			number = -1;
	}
	free(text);
	return number;
}

/* What is lent by this field must not outlive it in HAProxy. */
static void send_expired(struct admin *admin, struct evhttp_request *request,
			 struct span field)
{
	if (admin->view->fastpath)
		fastpath_take_back_field(admin->view->fastpath, field);
	send_done(request);
}

static void handle_expire(void *context, struct evhttp_request *request)
{
	struct admin *admin = context;
	int64_t seconds = read_number(request, "ttl", SECONDS_MAX, -1);
	struct host_field room;
	struct span field;

	if (!read_field(request, &room, &field))
		return;
	if (field.len == 0 || seconds < 0)
		http_refuse(request, HTTP_BADREQUEST,
			    "needs host, and ttl in seconds up to 86400");
	else if (!cache_shorten(admin->view->cache, field, seconds * 1000,
				now(admin)))
		http_refuse(request, HTTP_NOTFOUND,
			    "the cache does not know this field");
	else
		send_expired(admin, request, field);
}

static void send_explanation(struct errand *errand, const struct answer *answer)
{
	struct http_reply reply;

	http_begin(&reply);
	if (reply.out)
		explain_write(errand->admin->view, span_of(errand->asked),
			      answer, reply.out);
	http_send(&reply, errand->request, HTTP_OK, "application/json");
}

static void handle_explain(void *context, struct evhttp_request *request)
{
	struct errand *errand = new_errand(context, request);

	if (!errand)
		return;
	errand->finish = send_explanation;
	if (errand->asked) {
		ask_host(errand);
		return;
	}
	http_refuse(request, HTTP_BADREQUEST, "needs host");
	end_errand(errand);
}

static void finish_survey(struct survey *survey)
{
	LIST_REMOVE(survey, link);
	survey->admin->survey_count--;
	free(survey);
}

/* Begins a listing for the request. */
static void start_survey(struct admin *admin, struct evhttp_request *request,
			 struct listing_options *options)
{
	struct survey *survey;

	if (admin->survey_count == SURVEYS_MAX) {
		http_refuse(request, HTTP_SERVUNAVAIL,
			    "too many listings under way, try again");
		return;
	}
	survey = calloc(1, sizeof(*survey));
	if (survey) {
		options->loop = admin->view->loop;
		options->cache = admin->view->cache;
		options->context = survey;
		*survey = (struct survey){.admin = admin,
					  .request = request,
					  .limit = options->limit,
					  .is_paged = options->order ==
						      LISTING_BY_NAME,
					  .listing = listing_start(options)};
	}
	if (survey && survey->listing) {
		LIST_INSERT_HEAD(&admin->surveys, survey, link);
		admin->survey_count++;
		return;
	}
	free(survey);
	http_refuse(request, HTTP_INTERNAL, "out of memory");
}

static void list_routes(void *context, const struct listing_row *rows,
			size_t count)
{
	struct survey *survey = context;
	const struct view *view = survey->admin->view;
	struct http_reply reply;
	struct cache_look look;
	struct json json;
	size_t i;

	http_begin(&reply);
	if (reply.out) {
		json = (struct json){.out = reply.out};
		json_open(&json, NULL, '{');
		json_open(&json, "routes", '[');
		for (i = 0; i < count; i++)
			if (cache_look_at(view->cache, listing_field(&rows[i]),
					  now(survey->admin), &look))
				explain_field(view, &look, &json);
		json_close(&json, ']');
		if (survey->is_paged && count == survey->limit)
			json_text(&json, "after",
				  listing_field(&rows[count - 1]));
		json_close(&json, '}');
		fputc('\n', reply.out);
	}
	http_send(&reply, survey->request, HTTP_OK, "application/json");
	finish_survey(survey);
}

/* By name unless `order` says by uses; false when it says something else. */
static bool read_order(struct evhttp_request *request,
		       enum listing_order *order)
{
	char *text = http_parameter(request, "order");
	bool by_uses = text && !strcmp(text, "uses");
	bool good = !text || by_uses || !strcmp(text, "name");

	free(text);
	*order = by_uses ? LISTING_BY_USES : LISTING_BY_NAME;
	return good;
}

static void handle_routes(void *context, struct evhttp_request *request)
{
	struct admin *admin = context;
	int64_t limit = read_number(request, "limit", LISTING_MAX, ROWS);
	struct listing_options options = {.limit = (size_t)limit,
					  .done = list_routes};
	char *after;

	if (limit < 1) {
		http_refuse(request, HTTP_BADREQUEST,
			    "limit must be a number from 1 to 1000");
		return;
	}
	if (!read_order(request, &options.order)) {
		http_refuse(request, HTTP_BADREQUEST,
			    "order must be name or uses");
		return;
	}
	after = http_parameter(request, "after");
	options.after = span_of(after ? after : "");
	start_survey(admin, request, &options);
	free(after);
}

static const struct http_page pages[] = {
	{"/", false, handle_page},	   {"/page.css", false, handle_css},
	{"/page.js", false, handle_js},	   {"/healthz", false, handle_health},
	{"/readyz", false, handle_ready},  {"/metrics", false, handle_metrics},
	{"/config", false, handle_config}, {"/explain", false, handle_explain},
	{"/routes", false, handle_routes}, {"/flush", true, handle_flush},
	{"/expire", true, handle_expire},  {0},
};

static void note_pace(struct admin *admin)
{
	const struct conn_counters *c = conns_count(admin->view->conns);
	struct pace_sample sample = {
		.at_ms = now(admin), .known = c->known, .waited = c->waited};
	unsigned int status, source;

	for (status = 0; status < ANSWER_STATUSES; status++)
		for (source = 0; source < ANSWER_SOURCES; source++)
			sample.answers += c->answers[status][source];
	pace_note(&admin->pace, &sample);
}

static void on_beat(evutil_socket_t fd, short what, void *context)
{
	struct admin *admin = context;

	(void)fd;
	(void)what;
	note_pace(admin);
	loop_arm(admin->beat, BEAT_MS);
}

struct admin *admin_new(const struct view *view)
{
	const struct http_options options = {.loop = view->loop,
					     .pages = pages};
	struct admin *admin = calloc(1, sizeof(*admin));

	if (!admin)
		return NULL;
	admin->view = view;
	admin->http = http_new(&options, admin);
	admin->busiest = busiest_new(view->loop, view->cache);
	admin->beat = evtimer_new(view->loop->base, on_beat, admin);
	if (!admin->http || !admin->busiest || !admin->beat) {
		admin_free(admin);
		return NULL;
	}
	loop_arm(admin->beat, 0);
	return admin;
}

static void free_waiting(struct admin *admin)
{
	struct errand *errand, *next_errand;
	struct survey *survey, *next_survey;

	for (errand = LIST_FIRST(&admin->errands); errand;
	     errand = next_errand) {
		next_errand = LIST_NEXT(errand, link);
		resolver_cancel(admin->view->resolver, &errand->waiter);
		free(errand->asked);
		free(errand);
	}
	for (survey = LIST_FIRST(&admin->surveys); survey;
	     survey = next_survey) {
		next_survey = LIST_NEXT(survey, link);
		listing_cancel(survey->listing);
		free(survey);
	}
}

void admin_free(struct admin *admin)
{
	if (!admin)
		return;
	free_waiting(admin);
	busiest_free(admin->busiest);
	http_free(admin->http);
	if (admin->beat)
		event_free(admin->beat);
	free(admin);
}

bool admin_listen(struct admin *admin, int fd,
		  const struct listener_address *address)
{
	return http_listen(admin->http, fd, address);
}
