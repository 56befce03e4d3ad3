/* SPDX-License-Identifier: MIT */
/*
 * replicas: a list, and what was tried in vain.
 */
#include "replicas.h"

#include "redis_reply.h"

enum {
	AVOID_MIN_MS = 1000,
	AVOID_MAX_MS = 10 * 60 * 1000,
	FORGET_SHARE = 8, /* so many delays later all is forgotten */
};

static bool holds(const struct replica_list *list,
		  const struct redis_address *at)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (redis_url_is_same(&list->at[i], at))
			return true;
	return false;
}

/* `flags` is like "slave,s_down,disconnected". */
static bool is_well(const redisReply *replica)
{
	struct span flags = redis_reply_find(replica, "flags");
	struct span link = redis_reply_find(replica, "master-link-status");

	return flags.len > 0 && span_is(link, "ok") &&
	       !memmem(flags.p, flags.len, "_down", 5) &&
	       !memmem(flags.p, flags.len, "disconnected", 12);
}

void replicas_read(const redisReply *reply, struct replica_list *to)
{
	size_t i;

	to->count = 0;
	if (reply->type != REDIS_REPLY_ARRAY)
		return;
	for (i = 0; i < reply->elements && to->count < REPLICAS_MAX; i++) {
		const redisReply *replica = reply->element[i];

		if (is_well(replica) &&
		    redis_reply_address(redis_reply_find(replica, "ip"),
					redis_reply_find(replica, "port"),
					&to->at[to->count]))
			to->count++;
	}
}

void replicas_add(struct replica_list *list, const struct replica_list *more)
{
	size_t i;

	for (i = 0; i < more->count && list->count < REPLICAS_MAX; i++)
		if (!holds(list, &more->at[i]))
			list->at[list->count++] = more->at[i];
}

static size_t find_avoided(const struct replicas_avoided *avoided,
			   const struct redis_address *at)
{
	size_t i;

	for (i = 0; i < REPLICAS_MAX; i++)
		if (avoided->places[i].delay_ms &&
		    redis_url_is_same(&avoided->places[i].at, at))
			break;
	return i;
}

static bool is_avoided(const struct replicas_avoided *avoided,
		       const struct redis_address *at, int64_t now_ms)
{
	size_t i = find_avoided(avoided, at);

	return i < REPLICAS_MAX && now_ms < avoided->places[i].until_ms;
}

const struct redis_address *replicas_choose(
	const struct replica_list *list, const struct replicas_avoided *avoided,
	const struct redis_address *current, uint64_t random, int64_t now_ms)
{
	const struct redis_address *best = NULL;
	size_t i;

	for (i = 0; i < list->count; i++) {
		const struct redis_address *at =
			&list->at[(random % list->count + i) % list->count];

		if (is_avoided(avoided, at, now_ms))
			continue;
		if (!best || (current && redis_url_is_same(at, current)))
			best = at;
	}
	return best;
}

void replicas_avoid(struct replicas_avoided *avoided,
		    const struct redis_address *at, int64_t now_ms)
{
	size_t i = find_avoided(avoided, at);
	int64_t delay_ms = AVOID_MIN_MS;

	if (i == REPLICAS_MAX) {
		i = avoided->next;
		avoided->next = (i + 1) % REPLICAS_MAX;
	} else if (now_ms - avoided->places[i].until_ms <
		   FORGET_SHARE * avoided->places[i].delay_ms) {
		delay_ms = 2 * avoided->places[i].delay_ms;
	}
	if (delay_ms > AVOID_MAX_MS)
		delay_ms = AVOID_MAX_MS;
	avoided->places[i].at = *at;
	avoided->places[i].delay_ms = delay_ms;
	avoided->places[i].until_ms = now_ms + delay_ms;
}
