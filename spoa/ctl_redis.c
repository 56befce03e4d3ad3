/* SPDX-License-Identifier: MIT */
/*
 * ctl_redis: hiredis 0.14 and later, blocking.
 */
#include "ctl_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "ctl_tls.h"

enum {
	CONNECT_SECONDS = 3,
	COMMAND_SECONDS = 10,
	FIELDS_MAX = 64,  /* of one HMGET */
	SCAN_WORDS = 7,	  /* of one HSCAN */
	CURSOR_SIZE = 32, /* of its cursor, with NUL */
	WRITE_WORDS = 2 + 2 * CTL_REDIS_CHUNK,
};

/* Errors that a person can do something about. */
static const struct {
	const char *error;
	const char *advice;
} advices[] = {
	{"NOAUTH", "give a password: --redis-password-file or REDIS_PASSWORD"},
	{"WRONGPASS", "the user or the password is wrong"},
	{"WRONGTYPE", "the key is not a hash; see --routes"},
	{"NOPERM", "the ACL of this user must allow it"},
	{"READONLY", "this is a replica; name the master with --redis"},
	{"MOVED", "another node of the cluster has the key; name it"},
	{"LOADING", "try again when it is ready"},
};

void ctl_redis_complain(struct ctl_redis *redis, struct span what)
{
	const char *advice = NULL;
	size_t len, i;
	char *to = redis->error;

	for (i = 0; i < ARRAY_LEN(advices); i++)
		if (span_starts(what, advices[i].error))
			advice = advices[i].advice;
	len = what.len < 200 ? what.len : 200;
	snprintf(to, sizeof(redis->error), "redis %s: %.*s%s%s%s",
		 redis->server.name, (int)len, what.p ? what.p : "",
		 advice ? " (" : "", advice ? advice : "", advice ? ")" : "");
	for (; *to != '\0'; to++)
		if (*to < ' ' || *to > '~')
			*to = '?';
}

static bool fail(struct ctl_redis *redis, const char *what)
{
	ctl_redis_complain(redis, span_of(what));
	return false;
}

/* The reply when it is no error, else NULL. */
static redisReply *judge(struct ctl_redis *redis, redisReply *reply)
{
	if (!reply) {
		fail(redis,
		     redis->link->err ? redis->link->errstr : "no answer");
		return NULL;
	}
	if (reply->type != REDIS_REPLY_ERROR)
		return reply;
	ctl_redis_complain(redis, (struct span){reply->str, reply->len});
	if (!strncmp(reply->str, "MOVED ", 6) && strrchr(reply->str, ' '))
		snprintf(redis->moved, sizeof(redis->moved), "%s",
			 strrchr(reply->str, ' ') + 1);
	freeReplyObject(reply);
	return NULL;
}

static bool append(struct ctl_redis *redis, const struct span *words,
		   size_t count)
{
	const char *argv[WRITE_WORDS];
	size_t lens[WRITE_WORDS];
	size_t i;

	for (i = 0; i < count; i++) {
		argv[i] = words[i].p ? words[i].p : "";
		lens[i] = words[i].len;
	}
	if (redisAppendCommandArgv(redis->link, (int)count, argv, lens) ==
	    REDIS_OK)
		return true;
	return fail(redis, "out of memory");
}

static redisReply *take_reply(struct ctl_redis *redis)
{
	void *reply = NULL;

	if (redisGetReply(redis->link, &reply) != REDIS_OK)
		reply = NULL;
	return judge(redis, reply);
}

redisReply *ctl_redis_ask(struct ctl_redis *redis, const struct span *words,
			  size_t count)
{
	return append(redis, words, count) ? take_reply(redis) : NULL;
}

static bool tell(struct ctl_redis *redis, const struct span *words,
		 size_t count)
{
	redisReply *reply = ctl_redis_ask(redis, words, count);

	if (reply)
		freeReplyObject(reply);
	return reply != NULL;
}

static bool log_in(struct ctl_redis *redis, const struct redis_url *url)
{
	struct span words[3] = {span_of("AUTH"), span_of(url->user),
				span_of(url->password)};
	char db[16];

	if (url->password[0] != '\0' && url->user[0] != '\0' &&
	    !tell(redis, words, 3))
		return false;
	words[1] = words[2];
	if (url->password[0] != '\0' && url->user[0] == '\0' &&
	    !tell(redis, words, 2))
		return false;
	snprintf(db, sizeof(db), "%u", url->db);
	words[0] = span_of("SELECT");
	words[1] = span_of(db);
	return url->db == 0 || tell(redis, words, 2);
}

/* A context with TLS below it. */
static redisContext *connect_tls(struct ctl_redis *redis,
				 const struct redis_url *url)
{
	char why[TLS_WHY_MAX];
	redisContext *link;
	int fd;

	redis->pipe = ctl_tls_open(&redis->tls, url->host, url->port,
				   CONNECT_SECONDS * 1000, &fd, why);
	if (!redis->pipe) {
		fail(redis, why);
		return NULL;
	}
	link = redisConnectFd(fd);
	if (!link) {
		close(fd);
		fail(redis, "out of memory");
	}
	return link;
}

/* Connects; what is asked may wait for COMMAND_SECONDS from then on. */
static bool connect_to(struct ctl_redis *redis, const struct redis_url *url)
{
	const struct timeval connect = {.tv_sec = CONNECT_SECONDS};
	const struct timeval command = {.tv_sec = COMMAND_SECONDS};

	redis->server = *url;
	if (url->is_tls) {
		redis->link = connect_tls(redis, url);
		if (!redis->link)
			return false;
	} else if (url->path[0] != '\0') {
		redis->link = redisConnectUnixWithTimeout(url->path, connect);
	} else {
		redis->link =
			redisConnectWithTimeout(url->host, url->port, connect);
	}
	if (!redis->link)
		return fail(redis, "out of memory");
	if (redis->link->err)
		return fail(redis, redis->link->errstr);
	return redisSetTimeout(redis->link, command) == REDIS_OK ||
	       fail(redis, "no time limit");
}

/* The node or the master that `to` was led to. */
static bool open_server(struct ctl_redis *redis, const struct redis_url *url)
{
	const struct span probe[] = {span_of("HLEN"), span_of(redis->key)};

	return connect_to(redis, url) && log_in(redis, url) &&
	       tell(redis, probe, ARRAY_LEN(probe));
}

/* Asks the sentinel that is open for the master, and writes it to `to`. */
static bool ask_sentinel(struct ctl_redis *redis, const struct redis_url *url,
			 struct redis_url *to)
{
	const struct span with_user[] = {span_of("AUTH"),
					 span_of(url->sentinel_user),
					 span_of(url->sentinel_password)};
	const struct span without[] = {span_of("AUTH"),
				       span_of(url->sentinel_password)};
	const struct span words[] = {span_of("SENTINEL"),
				     span_of("get-master-addr-by-name"),
				     span_of(url->master)};
	redisReply *reply;
	bool good;

	if (url->sentinel_password[0] != '\0' &&
	    !(url->sentinel_user[0] != '\0' ? tell(redis, with_user, 3)
					    : tell(redis, without, 2)))
		return false;
	reply = ctl_redis_ask(redis, words, ARRAY_LEN(words));
	if (!reply)
		return false;
	good = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
	       reply->element[1]->type == REDIS_REPLY_STRING &&
	       redis_url_lead(
		       url,
		       (struct span){reply->element[0]->str,
				     reply->element[0]->len},
		       (uint16_t)strtoul(reply->element[1]->str, NULL, 10), to);
	freeReplyObject(reply);
	return good || fail(redis, "Sentinel does not know the master");
}

/* The first sentinel that answers leads to the master. */
static bool find_master(struct ctl_redis *redis, const struct redis_url *url,
			struct redis_url *to)
{
	bool found = false;
	size_t i;

	for (i = 0; i < url->sentinel_count && !found; i++) {
		const struct redis_address *address = &url->sentinels[i];
		struct redis_url sentinel = *url;

		found = redis_url_lead(url, span_of(address->host),
				       address->port, &sentinel) &&
			connect_to(redis, &sentinel) &&
			ask_sentinel(redis, url, to);
		ctl_redis_close(redis);
	}
	return found;
}

/* A node of a cluster says at the first question which one has the key. */
static bool open_one(struct ctl_redis *redis, const struct redis_url *url)
{
	struct redis_url to = *url;
	struct span host;
	uint16_t port;

	if (url->master[0] != '\0' && !find_master(redis, url, &to))
		return false;
	redis->moved[0] = '\0';
	if (open_server(redis, &to))
		return true;
	if (!redis_url_split(span_of(redis->moved), &host, &port))
		return false;
	if (host.len == 0)
		host = span_of(to.host);
	ctl_redis_close(redis);
	return redis_url_lead(url, host, port, &to) && open_server(redis, &to);
}

bool ctl_redis_open(struct ctl_redis *redis, const struct redis_url *urls,
		    size_t count, const char *key)
{
	size_t i;

	redis->key = key;
	for (i = 0; i < count; i++) {
		if (open_one(redis, &urls[i]))
			return true;
		ctl_redis_close(redis);
	}
	return false;
}

void ctl_redis_close(struct ctl_redis *redis)
{
	if (redis->link)
		redisFree(redis->link);
	redis->link = NULL;
	ctl_tls_close(redis->pipe);
	redis->pipe = NULL;
}

redisReply *ctl_redis_get(struct ctl_redis *redis, const struct span *fields,
			  size_t count)
{
	struct span words[2 + FIELDS_MAX] = {span_of("HMGET"),
					     span_of(redis->key)};
	redisReply *reply;

	memcpy(words + 2, fields, count * sizeof(*fields));
	reply = ctl_redis_ask(redis, words, 2 + count);
	if (reply && reply->elements != count) {
		freeReplyObject(reply);
		reply = NULL;
		fail(redis, "a reply of the wrong shape");
	}
	return reply;
}

/* Hands on what one step of a walk has listed: fields and values, or keys. */
static bool take_step(const redisReply *list, bool of_hash,
		      bool (*take)(void *context, struct span name,
				   struct span value),
		      void *context)
{
	size_t width = of_hash ? 2 : 1;
	size_t i;

	for (i = 0; i + width <= list->elements; i += width) {
		const redisReply *name = list->element[i];
		struct span value = {0};

		if (of_hash)
			value = (struct span){list->element[i + 1]->str,
					      list->element[i + 1]->len};
		if (!take(context, (struct span){name->str, name->len}, value))
			return false;
	}
	return true;
}

static bool has_shape(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
	       reply->element[0]->type == REDIS_REPLY_STRING &&
	       reply->element[0]->len < CURSOR_SIZE &&
	       reply->element[1]->type == REDIS_REPLY_ARRAY;
}

/* HSCAN of the hash or SCAN of all keys, from here on. Returns how many words.
 */
static size_t list_words(const struct ctl_redis *redis, bool of_hash,
			 const char *cursor, const char *pattern,
			 struct span words[SCAN_WORDS])
{
	size_t count = 0;

	words[count++] = span_of(of_hash ? "HSCAN" : "SCAN");
	if (of_hash)
		words[count++] = span_of(redis->key);
	words[count++] = span_of(cursor);
	words[count++] = span_of("COUNT");
	words[count++] = span_of("1000");
	if (!pattern)
		return count;
	words[count++] = span_of("MATCH");
	words[count++] = span_of(pattern);
	return count;
}

static bool walk(struct ctl_redis *redis, bool of_hash, const char *pattern,
		 bool (*take)(void *context, struct span name,
			      struct span value),
		 void *context)
{
	char cursor[CURSOR_SIZE] = "0";
	bool good = true;

	do {
		struct span words[SCAN_WORDS];
		size_t count =
			list_words(redis, of_hash, cursor, pattern, words);
		redisReply *reply = ctl_redis_ask(redis, words, count);

		if (!reply)
			return false;
		if (has_shape(reply)) {
			snprintf(cursor, sizeof(cursor), "%s",
				 reply->element[0]->str);
			good = take_step(reply->element[1], of_hash, take,
					 context);
		} else {
			good = fail(redis, "a reply of the wrong shape");
		}
		freeReplyObject(reply);
	} while (good && strcmp(cursor, "0") != 0);
	return good;
}

bool ctl_redis_scan(struct ctl_redis *redis, const char *pattern,
		    bool (*take)(void *context, struct span field,
				 struct span value),
		    void *context)
{
	return walk(redis, true, pattern, take, context);
}

bool ctl_redis_scan_keys(struct ctl_redis *redis, const char *pattern,
			 bool (*take)(void *context, struct span key,
				      struct span value),
			 void *context)
{
	return walk(redis, false, pattern, take, context);
}

/* HSET or HDEL with all changes that are one; how many words, or 0. */
static size_t list_changes(struct ctl_redis *redis, bool removes,
			   const struct ctl_redis_change *changes, size_t count,
			   struct span words[WRITE_WORDS])
{
	size_t used = 2;
	size_t i;

	words[0] = span_of(removes ? "HDEL" : "HSET");
	words[1] = span_of(redis->key);
	for (i = 0; i < count; i++) {
		if (removes != (changes[i].value.len == 0))
			continue;
		words[used++] = changes[i].field;
		if (!removes)
			words[used++] = changes[i].value;
	}
	return used > 2 ? used : 0;
}

static bool append_message(struct ctl_redis *redis, struct span message)
{
	char channel[1024];
	const struct span words[] = {
		span_of("PUBLISH"),
		{channel, (size_t)snprintf(channel, sizeof(channel),
					   "%.1000s:changed", redis->key)},
		message};

	return append(redis, words, ARRAY_LEN(words));
}

/* The last of so many replies. When one is an error, the first of them is what
 * went wrong: NULL. */
static redisReply *take_last(struct ctl_redis *redis, size_t count)
{
	char first[CTL_REDIS_ERROR_MAX] = "";
	redisReply *reply = NULL;
	size_t i;

	for (i = 0; i < count && !redis->link->err; i++) {
		if (reply)
			freeReplyObject(reply);
		reply = take_reply(redis);
		if (!reply && first[0] == '\0')
			memcpy(first, redis->error, sizeof(first));
	}
	if (first[0] == '\0')
		return reply;
	memcpy(redis->error, first, sizeof(first));
	if (reply)
		freeReplyObject(reply);
	return NULL;
}

/* What EXEC did: `*heard` is the last result, `*gone` the first when that is
 * one of HDEL. */
static bool take_results(struct ctl_redis *redis, redisReply *reply,
			 bool removed, int64_t *heard, int64_t *gone)
{
	bool good = reply->type == REDIS_REPLY_ARRAY;
	size_t i;

	if (!good)
		fail(redis, "the transaction was dropped");
	for (i = 0; good && i < reply->elements; i++)
		if (reply->element[i]->type == REDIS_REPLY_ERROR) {
			ctl_redis_complain(
				redis, (struct span){reply->element[i]->str,
						     reply->element[i]->len});
			good = false;
		}
	if (good && reply->elements > 0) {
		*heard = reply->element[reply->elements - 1]->integer;
		*gone = removed ? reply->element[0]->integer : 0;
	}
	freeReplyObject(reply);
	return good;
}

bool ctl_redis_write(struct ctl_redis *redis,
		     const struct ctl_redis_change *changes, size_t count,
		     struct span message, int64_t *heard, int64_t *gone)
{
	static const struct span multi = {"MULTI", 5}, exec = {"EXEC", 4};
	struct span words[WRITE_WORDS];
	size_t queued = 2; /* MULTI and EXEC */
	size_t removals, len;
	redisReply *reply;

	*heard = *gone = 0;
	if (!append(redis, &multi, 1))
		return false;
	removals = list_changes(redis, true, changes, count, words);
	if (removals > 0 && !append(redis, words, removals))
		return false;
	len = list_changes(redis, false, changes, count, words);
	if (len > 0 && !append(redis, words, len))
		return false;
	if (message.len > 0 && !append_message(redis, message))
		return false;
	queued += removals > 0;
	queued += len > 0;
	queued += message.len > 0;
	if (!append(redis, &exec, 1))
		return false;
	reply = take_last(redis, queued);
	return reply && take_results(redis, reply, removals > 0, heard, gone);
}

int64_t ctl_redis_publish(struct ctl_redis *redis, struct span message)
{
	redisReply *reply = NULL;
	int64_t heard = -1;

	if (append_message(redis, message))
		reply = take_reply(redis);
	if (!reply)
		return -1;
	heard = reply->integer;
	freeReplyObject(reply);
	return heard;
}
