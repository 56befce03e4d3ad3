/* SPDX-License-Identifier: MIT */
/*
 * lead: the server that a `--redis` URL leads to at present.
 *
 * A plain URL leads to its own address, and from there, when that is a node of
 * a cluster, to the node that owns the key. One of Sentinel leads to the master
 * that is named, and nowhere until one is.
 */
#ifndef SPOA_LEAD_H
#define SPOA_LEAD_H

#include "redis.h"
#include "sentinel.h"

struct lead_options {
	struct redis_place place; /* its URL is the one of --redis */
	/* It leads elsewhere, because Sentinel says so. From the loop. What
	 * lead_url gave before is valid until the next time. */
	void (*turned)(void *context, size_t number);
	size_t number;
	void *context;
};

struct lead {
	struct lead_options options;
	struct sentinel *sentinel; /* or NULL */
	struct redis_url urls[2];  /* a server in use keeps its own */
	size_t at;		   /* the one in force */
	bool is_known;
	bool is_asking;	      /* the node owns the key only if ASKING */
	enum redis_role role; /* that the server must have */
	unsigned int hops;    /* since a server could be used */
};

/* False when there is no memory; lead_fini is due in any case. */
bool lead_init(struct lead *lead,
	       const struct lead_options *options) MUST_CHECK;
void lead_fini(struct lead *lead);

/* The passwords of the URL are others now. */
void lead_reread(struct lead *lead);

/* The server to connect to; NULL while nobody has named one. Asks the sentinels
 * again. */
const struct redis_url *lead_url(struct lead *lead);

/* For logs: the server, or what the URL calls it. */
const char *lead_name(const struct lead *lead);

/* The server says that the key is elsewhere; false when it was said too often
 * to be followed, or makes no sense. */
bool lead_follow(struct lead *lead, const struct redis_redirect *redirect);

/* The server can be used. */
void lead_arrive(struct lead *lead);

/* It cannot: start again from the URL. */
void lead_return(struct lead *lead);

#endif
