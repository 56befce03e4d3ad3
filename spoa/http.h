/* SPDX-License-Identifier: MIT */
/*
 * http: the small web server of the admin side, on libevent's evhttp.
 *
 * It listens, bounds what a client may cost (connections, bytes, time), finds
 * the page of a request and sends the reply. What a page says is its owner's
 * part. Who may change something must say so with POST and must not come from
 * another site's page (Origin).
 */
#ifndef SPOA_HTTP_H
#define SPOA_HTTP_H

#include "listener.h"
#include "loop.h"

#include <event2/http.h>
#include <stdio.h>

struct http;

/* A page, and who writes it. The handler sends exactly one reply, now or
 * later. */
struct http_page {
	const char *path;
	bool is_post; /* it changes something */
	void (*handle)(void *context, struct evhttp_request *request);
};

struct http_options {
	struct loop *loop;
	const struct http_page *pages; /* the last has no path */
};

/* Counts since the start, but for the number of open connections. */
struct http_counters {
	size_t open;
	uint64_t requests;
	uint64_t refused; /* requests that got an error of ours */
	uint64_t full;	  /* times that no more connections were accepted */
};

/* NULL when there is no memory. `context` is the handlers'. */
struct http *http_new(const struct http_options *options, void *context);

/* Closes all. */
void http_free(struct http *http);

/* Accepts on `fd`, which becomes its own. False when there is no memory. */
bool http_listen(struct http *http, int fd,
		 const struct listener_address *address) MUST_CHECK;

const struct http_counters *http_count(const struct http *http);

/* The value of a parameter of the request's query, decoded, or NULL. To be
 * freed. */
char *http_parameter(struct evhttp_request *request, const char *name);

/* A reply in the making: write to `out`. */
struct http_reply {
	FILE *out; /* NULL when there is no memory */
	char *text;
	size_t size;
};

void http_begin(struct http_reply *reply);

/* Sends what was written, with status `code` and a content type. */
void http_send(struct http_reply *reply, struct evhttp_request *request,
	       int code, const char *type);

/* Sends {"error": reason}. */
void http_refuse(struct evhttp_request *request, int code, const char *reason);

#endif
