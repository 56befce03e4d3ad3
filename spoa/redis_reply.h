/* SPDX-License-Identifier: MIT */
/*
 * redis_reply: what the replies of Redis say.
 *
 * They come parsed, but a server may be broken, or another one than we think:
 * nothing is taken of a shape that was not looked at. No I/O.
 */
#ifndef SPOA_REDIS_REPLY_H
#define SPOA_REDIS_REPLY_H

#include <hiredis/hiredis.h>

#include "redis_url.h"
#include "store.h"

/* Where a node of a cluster says that the key is. */
struct redis_redirect {
	char host[256]; /* empty: that node's own */
	uint16_t port;	/* 0: none */
	bool is_asking; /* there, but only for who says ASKING */
};

/* Errors by the word that they begin with. */
enum redis_error {
	REDIS_ERROR_LOADING,
	REDIS_ERROR_READONLY,
	REDIS_ERROR_MASTERDOWN,
	REDIS_ERROR_NOAUTH,
	REDIS_ERROR_WRONGPASS,
	REDIS_ERROR_NOPERM,
	REDIS_ERROR_WRONGTYPE,
	REDIS_ERROR_MOVED,
	REDIS_ERROR_ASK,
	REDIS_ERROR_CLUSTERDOWN,
	REDIS_ERROR_BUSY,
	REDIS_ERROR_OOM,
	REDIS_ERROR_OTHER,
	REDIS_ERRORS,
};

/* Counts since the start. */
struct redis_errors {
	uint64_t counts[REDIS_ERRORS];
};

/* What the kind is called: the word, or "other". */
const char *redis_error_name(enum redis_error error);

/* Counts the reply when it is an error. */
void redis_errors_note(struct redis_errors *errors, const redisReply *reply);

/* Its text, when it has one; lives as long as the reply. */
struct span redis_reply_text(const redisReply *reply);

/* Does its text begin with `code`? */
bool redis_reply_starts(const redisReply *reply, const char *code);

/* The text behind `name` in a list of names and values; empty without. */
struct span redis_reply_find(const redisReply *list, const char *name);

/* False when the texts are no host and port. */
bool redis_reply_address(struct span host, struct span port,
			 struct redis_address *to) MUST_CHECK;

/* What a server must be, as it says itself (ROLE). */
enum redis_role {
	REDIS_ANY,
	REDIS_MASTER,
	REDIS_REPLICA, /* whose link to its master stands */
};

/* Is it that? Else `*instead` is what it is, and lives as long as the reply. */
bool redis_reply_is_role(const redisReply *reply, enum redis_role role,
			 struct span *instead) MUST_CHECK;

/* CLIENT TRACKINGINFO: is one of the flags `flag`? */
bool redis_reply_has_flag(const redisReply *info, const char *flag);

/* HMGET: `count` values, which live as long as the reply. */
bool redis_reply_values(const redisReply *reply, size_t count,
			struct store_value *values) MUST_CHECK;

/* HSCAN, or HLEN for a scan that only counts: hands over its fields and sets
 * where it goes on. */
bool redis_reply_scan(const redisReply *reply, struct scan *scan) MUST_CHECK;

/* An error like `MOVED 3999 127.0.0.1:6381`, or the same with ASK. Else the
 * redirection's port is 0. */
bool redis_reply_redirect(const redisReply *reply,
			  struct redis_redirect *redirect);

#endif
