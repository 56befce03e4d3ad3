/* SPDX-License-Identifier: MIT */
/*
 * admin: one handler a page. What takes long is done in slices by rooms below.
 */
#include "admin.h"

#include <stdlib.h>

#include "json.h"
#include "scrape.h"

struct admin {
	const struct view *view;
	struct http *http;
};

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

static void handle_metrics(void *context, struct evhttp_request *request)
{
	struct admin *admin = context;
	struct http_reply reply;

	http_begin(&reply);
	if (reply.out)
		scrape_write(admin->view, reply.out);
	http_send(&reply, request, HTTP_OK,
		  "text/plain; version=0.0.4; charset=utf-8");
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

static const struct http_page pages[] = {
	{"/healthz", false, handle_health},
	{"/metrics", false, handle_metrics},
	{"/config", false, handle_config},
	{0},
};

struct admin *admin_new(const struct view *view)
{
	const struct http_options options = {.loop = view->loop,
					     .pages = pages};
	struct admin *admin = calloc(1, sizeof(*admin));

	if (!admin)
		return NULL;
	admin->view = view;
	admin->http = http_new(&options, admin);
	if (!admin->http) {
		free(admin);
		return NULL;
	}
	return admin;
}

void admin_free(struct admin *admin)
{
	if (!admin)
		return;
	http_free(admin->http);
	free(admin);
}

bool admin_listen(struct admin *admin, int fd,
		  const struct listener_address *address)
{
	return http_listen(admin->http, fd, address);
}
