/* SPDX-License-Identifier: MIT */
/*
 * http: evhttp bounds neither how many connections there are nor how long one
 * may take over a request, and tells of the end of a connection only if it had
 * a request. So each has a place. Without a request a connection is over when
 * it is silent for SILENCE_MS, or at its first byte after REQUEST_MS: by then
 * its place is free again, whatever became of it.
 */
#include "http.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "json.h"
#include "log.h"

enum {
	PLACES_MAX = 64,
	HEADERS_MAX = 8 * 1024, /* bytes, with the request line */
	BODY_MAX = 4 * 1024,
	SILENCE_MS = 5000,  /* either way */
	REQUEST_MS = 15000, /* for a request to come in whole */
	AGAIN_MS = 100,	    /* between two looks for a free place */
	WARN_MS = 10 * 1000,
};

/* Of a connection. */
struct place {
	struct http *http;
	struct bufferevent *socket; /* evhttp's */
	int64_t request_until_ms;   /* the request must be whole */
	bool is_taken;
	bool has_request; /* evhttp tells of its end */
};

struct http {
	struct http_options options;
	void *context; /* of the handlers */
	struct evhttp *server;
	struct evconnlistener *listener; /* owned by the server; or NULL */
	struct listener_address address;
	struct place places[PLACES_MAX];
	struct event *again; /* the time to look for free places */
	struct log_limit full;
	struct http_counters counters;
};

const struct http_counters *http_count(const struct http *http)
{
	return &http->counters;
}

static int64_t now(const struct http *http)
{
	return loop_now(http->options.loop);
}

static bool is_over(const struct place *place, int64_t now_ms)
{
	return !place->is_taken ||
	       (!place->has_request &&
		now_ms > place->request_until_ms + SILENCE_MS);
}

/* A free place, or NULL. */
static struct place *find_place(struct http *http)
{
	struct place *found = NULL;
	size_t i;

	http->counters.open = 0;
	for (i = 0; i < PLACES_MAX; i++) {
		struct place *place = &http->places[i];

		place->is_taken = !is_over(place, now(http));
		if (place->is_taken)
			http->counters.open++;
		else if (!found)
			found = place;
	}
	return found;
}

static void look_for_places(evutil_socket_t fd, short what, void *context)
{
	struct http *http = context;

	(void)fd;
	(void)what;
	if (find_place(http))
		evconnlistener_enable(http->listener);
	else
		loop_arm(http->again, AGAIN_MS);
}

static void wait_for_places(struct http *http)
{
	uint64_t held;

	evconnlistener_disable(http->listener);
	loop_arm(http->again, AGAIN_MS);
	http->counters.full++;
	if (log_limit_pass(&http->full, now(http), WARN_MS, &held))
		log_warn("admin connections at their bound, others wait",
			 log_number("bound", PLACES_MAX),
			 log_number("held_back", (int64_t)held));
}

/* Bytes came: too late, unless they are in time for their request. */
static void on_bytes(struct evbuffer *input,
		     const struct evbuffer_cb_info *info, void *context)
{
	struct place *place = context;

	(void)input;
	if (info->n_added > 0 && now(place->http) > place->request_until_ms)
		shutdown(bufferevent_getfd(place->socket), SHUT_RDWR);
}

/* Where the socket lies there was none: a place that still names it has lost
 * its connection without a word. */
static void forget_socket(struct http *http, const struct bufferevent *socket)
{
	size_t i;

	for (i = 0; i < PLACES_MAX; i++)
		if (http->places[i].socket == socket)
			http->places[i].is_taken = false;
}

/* evhttp asks for the bufferevent of a new connection. Without memory it makes
 * one by itself, which has no place. */
static struct bufferevent *take_place(struct event_base *base, void *context)
{
	struct http *http = context;
	struct bufferevent *socket =
		bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	struct place *place;

	if (!socket)
		return NULL;
	forget_socket(http, socket);
	place = find_place(http);
	if (place) {
		*place = (struct place){.http = http,
					.socket = socket,
					.request_until_ms =
						now(http) + REQUEST_MS,
					.is_taken = true};
		evbuffer_add_cb(bufferevent_get_input(socket), on_bytes, place);
	}
	if (!find_place(http))
		wait_for_places(http);
	return socket;
}

static void leave_place(struct evhttp_connection *connection, void *context)
{
	struct place *place = context;

	(void)connection;
	place->is_taken = false;
}

/* A request came in whole: there may be another. */
static void renew_place(struct http *http, struct evhttp_request *request)
{
	struct evhttp_connection *connection =
		evhttp_request_get_connection(request);
	struct bufferevent *socket =
		evhttp_connection_get_bufferevent(connection);
	size_t i;

	for (i = 0; i < PLACES_MAX; i++) {
		struct place *place = &http->places[i];

		if (is_over(place, now(http)) || place->socket != socket)
			continue;
		place->request_until_ms = now(http) + REQUEST_MS;
		place->has_request = true;
		evhttp_connection_set_closecb(connection, leave_place, place);
	}
}

char *http_parameter(struct evhttp_request *request, const char *name)
{
	const char *query =
		evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	struct evkeyvalq pairs;
	const char *value;
	char *copy = NULL;

	if (!query || evhttp_parse_query_str(query, &pairs) != 0)
		return NULL;
	value = evhttp_find_header(&pairs, name);
	if (value)
		copy = strdup(value);
	evhttp_clear_headers(&pairs);
	return copy;
}

void http_begin(struct http_reply *reply)
{
	*reply = (struct http_reply){0};
	reply->out = open_memstream(&reply->text, &reply->size);
}

static void free_text(const void *text, size_t size, void *context)
{
	(void)text;
	(void)size;
	free(context);
}

/* Pages hold what strangers wrote: nothing may be run, framed or kept. */
static void put_headers(struct evhttp_request *request, const char *type)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Referrer-Policy", "no-referrer");
	evhttp_add_header(headers, "Content-Security-Policy",
			  "default-src 'none'; script-src 'self'; "
			  "style-src 'self'; connect-src 'self'; "
			  "img-src data:; form-action 'self'; "
			  "base-uri 'none'; frame-ancestors 'none'");
}

void http_send(struct http_reply *reply, struct evhttp_request *request,
	       int code, const char *type)
{
	struct evbuffer *body = evbuffer_new();
	bool is_whole = reply->out && fclose(reply->out) == 0 && body;

	if (is_whole && evbuffer_add_reference(body, reply->text, reply->size,
					       free_text, reply->text) == 0)
		reply->text = NULL;
	else
		code = HTTP_INTERNAL;
	put_headers(request, type);
	evhttp_send_reply(request, code, NULL, body);
	if (body)
		evbuffer_free(body);
	free(reply->text);
}

void http_refuse(struct evhttp_request *request, int code, const char *reason)
{
	struct http_reply reply;
	struct json json;

	http_begin(&reply);
	if (reply.out) {
		json = (struct json){.out = reply.out};
		json_open(&json, NULL, '{');
		json_text(&json, "error", span_of(reason));
		json_close(&json, '}');
		fputc('\n', reply.out);
	}
	http_send(&reply, request, code, "application/json");
}

static const struct http_page *find_page(const struct http *http,
					 const char *path)
{
	const struct http_page *page = http->options.pages;

	while (page->path && strcmp(page->path, path) != 0)
		page++;
	return page->path ? page : NULL;
}

/* Why the request does not get its page; NULL when it does. */
static const char *judge(const struct http_page *page,
			 struct evhttp_request *request, int *code)
{
	bool is_post = evhttp_request_get_command(request) == EVHTTP_REQ_POST;

	*code = HTTP_NOTFOUND;
	if (!page)
		return "no such page";
	*code = HTTP_BADMETHOD;
	if (page->is_post && !is_post)
		return "this page changes something: use POST";
	if (!page->is_post && is_post)
		return "this page is read with GET";
	*code = 403;
	if (page->is_post &&
	    evhttp_find_header(evhttp_request_get_input_headers(request),
			       "Origin"))
		return "a page of another site may not change anything here";
	return NULL;
}

static void dispatch(struct evhttp_request *request, void *context)
{
	struct http *http = context;
	const char *path =
		evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
	const struct http_page *page = find_page(http, path ? path : "/");
	const char *problem;
	int code;

	renew_place(http, request);
	http->counters.requests++;
	problem = judge(page, request, &code);
	if (!problem) {
		page->handle(http->context, request);
		return;
	}
	http->counters.refused++;
	if (code == HTTP_BADMETHOD)
		evhttp_add_header(evhttp_request_get_output_headers(request),
				  "Allow", page->is_post ? "POST" : "GET");
	http_refuse(request, code, problem);
}

struct http *http_new(const struct http_options *options, void *context)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->options = *options;
	http->context = context;
	http->server = evhttp_new(options->loop->base);
	http->again = evtimer_new(options->loop->base, look_for_places, http);
	if (!http->server || !http->again) {
		http_free(http);
		return NULL;
	}
	evhttp_set_allowed_methods(http->server, EVHTTP_REQ_GET |
							 EVHTTP_REQ_HEAD |
							 EVHTTP_REQ_POST);
	evhttp_set_max_headers_size(http->server, HEADERS_MAX);
	evhttp_set_max_body_size(http->server, BODY_MAX);
	evhttp_set_timeout(http->server, SILENCE_MS / 1000);
	evhttp_set_bevcb(http->server, take_place, http);
	evhttp_set_gencb(http->server, dispatch, http);
	return http;
}

void http_free(struct http *http)
{
	if (!http)
		return;
	if (http->server)
		evhttp_free(http->server);
	if (http->again)
		event_free(http->again);
	listener_remove(&http->address);
	free(http);
}

bool http_listen(struct http *http, int fd,
		 const struct listener_address *address)
{
	struct evconnlistener *listener = evconnlistener_new(
		http->options.loop->base, NULL, NULL,
		LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);

	if (!listener)
		return false;
	if (!evhttp_bind_listener(http->server, listener)) {
		evconnlistener_free(listener);
		return false;
	}
	http->listener = listener;
	http->address = *address;
	return true;
}
