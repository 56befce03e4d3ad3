/* SPDX-License-Identifier: MIT */
/*
 * redis_url: one `--redis` URL, taken apart.
 *
 *   redis://[user:password@]host[:port][/db]
 *   unix:/path[?db=N]
 *
 * User and password may be percent-encoded. The password goes nowhere but to
 * Redis: `name` is what logs show.
 */
#ifndef SPOA_REDIS_URL_H
#define SPOA_REDIS_URL_H

#include "base.h"

struct redis_url {
	char name[320]; /* host:port/db or path, for logs */
	char host[256]; /* a name or an address; empty with a path */
	uint16_t port;
	char path[108]; /* of a Unix socket; empty with a host */
	unsigned int db;
	char user[128];	    /* empty is the default user */
	char password[512]; /* empty is none */
};

/* Reads `text`. On failure `*problem` says what is wrong, in words that hold
 * no part of the URL, for it may hold a password. */
bool redis_url_parse(const char *text, struct redis_url *url,
		     const char **problem) MUST_CHECK;

#endif
