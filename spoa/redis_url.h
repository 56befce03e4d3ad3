/* SPDX-License-Identifier: MIT */
/*
 * redis_url: one `--redis` URL, taken apart.
 *
 *   redis://[user:password@]host[:port][/db]         rediss:// with TLS
 *   redis-sentinel://[user:password@]host[:port],.../NAME[?db=N]
 *                         [&read=replica]            rediss-sentinel:// too
 *   unix:/path[?db=N]
 *
 * With Sentinel, user and password are those of the server that it names.
 * User and password may be percent-encoded. The password goes nowhere but to
 * Redis: `name` is what logs show.
 */
#ifndef SPOA_REDIS_URL_H
#define SPOA_REDIS_URL_H

#include "base.h"

enum { REDIS_SENTINELS_MAX = 16 };

struct redis_address {
	char host[256]; /* a name or an address */
	uint16_t port;
};

struct redis_url {
	char name[400]; /* host:port/db or path, for logs */
	char host[256]; /* a name or an address; empty with a path, Sentinel */
	uint16_t port;
	char path[108]; /* of a Unix socket; empty with a host */
	unsigned int db;
	char user[128];	    /* empty is the default user */
	char password[512]; /* empty is none */
	bool is_tls;
	char sentinel_user[128];     /* empty is the default user */
	char sentinel_password[512]; /* empty is none */
	bool reads_replica; /* of the master, where there is one to read */
	char master[128];   /* what Sentinel calls it; empty without Sentinel */
	struct redis_address sentinels[REDIS_SENTINELS_MAX];
	size_t sentinel_count;
};

/* Reads `text`. On failure `*problem` says what is wrong, in words that hold
 * no part of the URL, for it may hold a password. */
bool redis_url_parse(const char *text, struct redis_url *url,
		     const char **problem) MUST_CHECK;

bool redis_url_is_same(const struct redis_address *a,
		       const struct redis_address *b);

/* The server at another address that `url` leads to: a node of its cluster, or
 * the master that Sentinel names. False when the host is too long. */
bool redis_url_lead(const struct redis_url *url, struct span host,
		    uint16_t port, struct redis_url *to) MUST_CHECK;

/* Takes `HOST:PORT` apart at the last colon; the host may be empty. False when
 * there is no port. */
bool redis_url_split(struct span text, struct span *host,
		     uint16_t *port) MUST_CHECK;

#endif
