/* SPDX-License-Identifier: MIT */
/*
 * redis_reply: hiredis' trees, read with care.
 */
#include "redis_reply.h"

#include <stdlib.h>

#include "sieve.h"

static const char *const error_names[REDIS_ERRORS] = {
	[REDIS_ERROR_LOADING] = "LOADING",
	[REDIS_ERROR_READONLY] = "READONLY",
	[REDIS_ERROR_MASTERDOWN] = "MASTERDOWN",
	[REDIS_ERROR_NOAUTH] = "NOAUTH",
	[REDIS_ERROR_WRONGPASS] = "WRONGPASS",
	[REDIS_ERROR_NOPERM] = "NOPERM",
	[REDIS_ERROR_WRONGTYPE] = "WRONGTYPE",
	[REDIS_ERROR_MOVED] = "MOVED",
	[REDIS_ERROR_ASK] = "ASK",
	[REDIS_ERROR_CLUSTERDOWN] = "CLUSTERDOWN",
	[REDIS_ERROR_BUSY] = "BUSY",
	[REDIS_ERROR_OOM] = "OOM",
	[REDIS_ERROR_OTHER] = "other",
};

const char *redis_error_name(enum redis_error error)
{
	return error_names[error];
}

void redis_errors_note(struct redis_errors *errors, const redisReply *reply)
{
	int kind = 0;

	if (!errors || reply->type != REDIS_REPLY_ERROR)
		return;
	while (kind < REDIS_ERROR_OTHER &&
	       !redis_reply_starts(reply, error_names[kind]))
		kind++;
	errors->counts[kind]++;
}

struct span redis_reply_text(const redisReply *reply)
{
	return (struct span){reply->str, reply->str ? reply->len : 0};
}

bool redis_reply_starts(const redisReply *reply, const char *code)
{
	return span_starts(redis_reply_text(reply), code);
}

static struct span text_at(const redisReply *list, size_t i)
{
	return i < list->elements ? redis_reply_text(list->element[i])
				  : (struct span){0};
}

struct span redis_reply_find(const redisReply *list, const char *name)
{
	size_t i;

	for (i = 0; i + 1 < list->elements; i += 2)
		if (span_is(text_at(list, i), name))
			return text_at(list, i + 1);
	return (struct span){0};
}

bool redis_reply_address(struct span host, struct span port,
			 struct redis_address *to)
{
	char *end;
	unsigned long n;

	if (host.len == 0 || host.len >= sizeof(to->host) || port.len == 0 ||
	    memchr(host.p, '\0', host.len))
		return false;
	n = strtoul(port.p, &end, 10); /* hiredis ends its texts with a NUL */
	memcpy(to->host, host.p, host.len);
	to->host[host.len] = '\0';
	to->port = (uint16_t)n;
	return end == port.p + port.len && n > 0 && n <= UINT16_MAX;
}

bool redis_reply_is_role(const redisReply *reply, enum redis_role role,
			 struct span *instead)
{
	struct span name = text_at(reply, 0);
	struct span link = text_at(reply, 3);

	*instead = name.len > 0 ? name : span_of("?");
	if (role != REDIS_REPLICA)
		return role == REDIS_ANY || span_is(name, "master");
	if (!span_is(name, "slave"))
		return false;
	if (!span_is(link, "connected"))
		*instead = link.len > 0 ? link : span_of("?");
	return span_is(link, "connected");
}

bool redis_reply_has_flag(const redisReply *info, const char *flag)
{
	const redisReply *flags = info->elements > 1 ? info->element[1] : NULL;
	size_t i;

	for (i = 0; flags && i < flags->elements; i++)
		if (flags->element[i]->str &&
		    !strcmp(flags->element[i]->str, flag))
			return true;
	return false;
}

static bool read_value(const redisReply *reply, struct store_value *value)
{
	*value = (struct store_value){.kind = STORE_NONE};
	if (reply->type == REDIS_REPLY_NIL)
		return true;
	value->kind = STORE_VALUE;
	value->text = redis_reply_text(reply);
	if (reply->type == REDIS_REPLY_STRING)
		return true;
	if (reply->type != REDIS_REPLY_ERROR ||
	    !redis_reply_starts(reply, SIEVE_TOO_LARGE))
		return false;
	value->kind = STORE_TOO_LARGE;
	value->text = (struct span){0};
	value->size = strtoull(reply->str + strlen(SIEVE_TOO_LARGE), NULL, 10);
	return true;
}

bool redis_reply_values(const redisReply *reply, size_t count,
			struct store_value *values)
{
	size_t i;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != count)
		return false;
	for (i = 0; i < count; i++)
		if (!read_value(reply->element[i], &values[i]))
			return false;
	return true;
}

/* Fields and values in turns. */
static bool read_fields(const redisReply *list, struct scan *scan)
{
	size_t i;

	for (i = 0; i < list->elements; i += 2) {
		struct store_value value, field;

		if (!read_value(list->element[i], &field) ||
		    !read_value(list->element[i + 1], &value))
			return false;
		/* A field that was cut off for want of room counts so. */
		if (field.kind == STORE_TOO_LARGE)
			value = field;
		scan->take(scan, field.text, &value);
	}
	return true;
}

bool redis_reply_scan(const redisReply *reply, struct scan *scan)
{
	if (scan->count == 0) {
		scan->total = (uint64_t)reply->integer;
		return reply->type == REDIS_REPLY_INTEGER;
	}
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
	    reply->element[0]->type != REDIS_REPLY_STRING ||
	    reply->element[1]->type != REDIS_REPLY_ARRAY ||
	    reply->element[1]->elements % 2 != 0 ||
	    !read_fields(reply->element[1], scan))
		return false;
	scan->cursor = strtoull(reply->element[0]->str, NULL, 10);
	return true;
}

bool redis_reply_redirect(const redisReply *reply,
			  struct redis_redirect *redirect)
{
	struct span text = redis_reply_text(reply);
	const char *blank;
	struct span host;
	uint16_t port;

	*redirect = (struct redis_redirect){
		.is_asking = redis_reply_starts(reply, "ASK ")};
	if (!redirect->is_asking && !redis_reply_starts(reply, "MOVED "))
		return false;
	blank = memrchr(text.p, ' ', text.len);
	text.len -= (size_t)(blank + 1 - text.p);
	text.p = blank + 1;
	if (!redis_url_split(text, &host, &port) ||
	    host.len >= sizeof(redirect->host) || span_is(host, "?"))
		return false;
	redirect->port = port;
	memcpy(redirect->host, host.p, host.len);
	return true;
}
