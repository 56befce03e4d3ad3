/* SPDX-License-Identifier: MIT */
/*
 * runtime_api: lines out, replies in. Nothing is interpreted but where a reply
 * ends.
 */
#include "runtime_api.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { NONSENSE = 256 * 1024 }; /* bytes of a reply that is none */

static void lose(struct runtime_api *api, const char *why)
{
	runtime_api_close(api);
	api->lost(api->context, why);
}

static void keep_line(struct runtime_api *api, struct span line)
{
	size_t room = sizeof(api->reply) - api->reply_len;

	if (line.len + 1 > room) {
		api->skipped += line.len + 1;
		return;
	}
	if (api->reply_len > 0)
		api->reply[api->reply_len++] = '\n';
	memcpy(api->reply + api->reply_len, line.p, line.len);
	api->reply_len += line.len;
}

/* Takes one line of a reply; an empty one ends it. */
static void take_line(struct runtime_api *api, struct span line)
{
	struct span reply = {api->reply, 0};

	while (span_starts(line, "> ")) {
		line.p += 2;
		line.len -= 2;
	}
	if (line.len > 0) {
		keep_line(api, line);
		return;
	}
	reply.len = api->reply_len;
	api->reply_len = api->skipped = 0;
	api->pending--;
	api->replied(api->context, api->next++, reply);
}

static void on_readable(struct bufferevent *wire, void *context)
{
	struct runtime_api *api = context;
	struct evbuffer *in = bufferevent_get_input(wire);
	size_t len;
	char *line;

	while (api->pending > 0 &&
	       (line = evbuffer_readln(in, &len, EVBUFFER_EOL_LF)) != NULL) {
		take_line(api, (struct span){line, len});
		free(line);
		if (api->wire != wire)
			return;
	}
	if (api->skipped + evbuffer_get_length(in) > NONSENSE)
		lose(api, "it says what HAProxy would not");
	else if (api->pending == 0)
		api->ready(api->context);
}

static void on_event(struct bufferevent *wire, short what, void *context)
{
	struct runtime_api *api = context;
	const char *why = "it closed the connection";

	(void)wire;
	if (what & BEV_EVENT_CONNECTED) {
		api->is_connected = true;
		api->ready(api->context);
		return;
	}
	if (what & BEV_EVENT_ERROR)
		why = evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR());
	lose(api, why);
}

void runtime_api_open(struct runtime_api *api, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	api->wire = bufferevent_socket_new(api->loop->base, -1,
					   BEV_OPT_CLOSE_ON_FREE |
						   BEV_OPT_DEFER_CALLBACKS);
	api->is_connected = false;
	api->pending = api->next = api->reply_len = api->skipped = 0;
	if (!api->wire) {
		lose(api, "out of memory");
		return;
	}
	bufferevent_setcb(api->wire, on_readable, NULL, on_event, api);
	if (bufferevent_enable(api->wire, EV_READ | EV_WRITE) != 0 ||
	    bufferevent_socket_connect(api->wire, (struct sockaddr *)&address,
				       sizeof(address)) != 0)
		lose(api, strerror(errno));
}

void runtime_api_close(struct runtime_api *api)
{
	if (api->wire)
		bufferevent_free(api->wire);
	api->wire = NULL;
	api->is_connected = false;
}

bool runtime_api_is_ready(const struct runtime_api *api)
{
	return api->is_connected && api->pending == 0;
}

void runtime_api_send(struct runtime_api *api, struct span line, size_t count)
{
	struct evbuffer *out = bufferevent_get_output(api->wire);

	api->pending = count;
	api->next = 0;
	/* Without memory no reply comes, and the caller's patience ends. */
	evbuffer_add(out, line.p, line.len);
	evbuffer_add(out, "\n", 1);
}
