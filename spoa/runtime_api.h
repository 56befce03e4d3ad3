/* SPDX-License-Identifier: MIT */
/*
 * runtime_api: one connection to HAProxy's Runtime API on its Unix socket.
 *
 * A line of commands goes out, the reply of each comes back, then the next line
 * may go. HAProxy ends a reply with an empty line, and in its prompt mode,
 * which keeps the connection, says `> ` after each command (to 3.0) or each
 * line. What is said in the replies is for the caller to judge.
 */
#ifndef SPOA_RUNTIME_API_H
#define SPOA_RUNTIME_API_H

#include <event2/bufferevent.h>

#include "base.h"
#include "loop.h"

enum {
	RUNTIME_API_PATH_MAX = 107,   /* bytes of a socket's path */
	RUNTIME_API_LINE_MAX = 4000,  /* bytes of a line; its buffer has 16 K */
	RUNTIME_API_REPLY_MAX = 4096, /* bytes kept of a reply */
};

struct runtime_api {
	struct loop *loop;
	struct bufferevent *wire; /* NULL while it is not open */
	bool is_connected;
	size_t pending; /* commands without a reply */
	size_t next;	/* number of the command whose reply comes */
	size_t reply_len;
	size_t skipped; /* bytes of the reply that were not kept */
	char reply[RUNTIME_API_REPLY_MAX];
	/* The reply to the n-th command of the line, without its last newline;
	 * lives during the call. */
	void (*replied)(void *context, size_t n, struct span text);
	/* All commands of the line were replied to, or it is connected. */
	void (*ready)(void *context);
	/* The end; it is closed already. Not called for runtime_api_close. */
	void (*lost)(void *context, const char *why);
	void *context;
};

/* Connects; `loop`, the callbacks and their context are filled in. Whether it
 * works is told later. */
void runtime_api_open(struct runtime_api *api, const char *path);
void runtime_api_close(struct runtime_api *api);

/* May a line be sent? */
bool runtime_api_is_ready(const struct runtime_api *api);

/* Sends a line of `count` commands, `;` between them and no newline. */
void runtime_api_send(struct runtime_api *api, struct span line, size_t count);

#endif
