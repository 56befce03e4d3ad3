/* SPDX-License-Identifier: MIT */
/*
 * ctl_redis: the hash of routes, for a program that may wait.
 *
 * One connection and hiredis' blocking calls, each with a time limit: the
 * daemon never uses this. What fails leaves one line in words behind.
 */
#ifndef SPOA_CTL_REDIS_H
#define SPOA_CTL_REDIS_H

#include "base.h"

#include <hiredis/hiredis.h>

#include "redis_url.h"
#include "tls.h"

enum {
	CTL_REDIS_ERROR_MAX = 512,
	CTL_REDIS_CHUNK = 500, /* fields in one transaction */
};

struct ctl_tls;

struct ctl_redis {
	redisContext *link;		 /* NULL: not open */
	const char *key;		 /* of the hash, borrowed */
	struct ctl_tls *pipe;		 /* below the link; NULL without TLS */
	struct tls_options tls;		 /* the caller's, set before opening */
	struct redis_url server;	 /* the one that is open */
	char moved[300];		 /* where Redis says that the key is */
	char error[CTL_REDIS_ERROR_MAX]; /* what went wrong last */
};

/* A field and what it shall be; a value without bytes removes it. */
struct ctl_redis_change {
	struct span field;
	struct span value;
};

/* Opens the first of the servers that answers, logs in and selects. Asks
 * Sentinel for the master, and follows a cluster to the node of the key. */
bool ctl_redis_open(struct ctl_redis *redis, const struct redis_url *urls,
		    size_t count, const char *key) MUST_CHECK;

void ctl_redis_close(struct ctl_redis *redis);

/* Says one command; to be freed with freeReplyObject. NULL with the error in
 * words, for an error that Redis answered with, too. */
redisReply *ctl_redis_ask(struct ctl_redis *redis, const struct span *words,
			  size_t count) MUST_CHECK;

/* HMGET of at most 64 fields: an array of so many replies. */
redisReply *ctl_redis_get(struct ctl_redis *redis, const struct span *fields,
			  size_t count) MUST_CHECK;

/* Calls `take` with each field and value, some perhaps twice; `pattern` may be
 * NULL. Stops when `take` says false. */
bool ctl_redis_scan(struct ctl_redis *redis, const char *pattern,
		    bool (*take)(void *context, struct span field,
				 struct span value),
		    void *context) MUST_CHECK;

/* The same with each key of the database, and no value. */
bool ctl_redis_scan_keys(struct ctl_redis *redis, const char *pattern,
			 bool (*take)(void *context, struct span key,
				      struct span value),
			 void *context) MUST_CHECK;

/* Writes up to CTL_REDIS_CHUNK changes, and publishes `message` on KEY:changed
 * unless it is empty, in one transaction: all or nothing. `*heard` is how many
 * got the message, `*gone` how many fields were removed. */
bool ctl_redis_write(struct ctl_redis *redis,
		     const struct ctl_redis_change *changes, size_t count,
		     struct span message, int64_t *heard,
		     int64_t *gone) MUST_CHECK;

/* Publishes on KEY:changed; returns how many heard it, or -1. */
int64_t ctl_redis_publish(struct ctl_redis *redis, struct span message);

/* Puts an error of Redis into words. */
void ctl_redis_complain(struct ctl_redis *redis, struct span what);

#endif
