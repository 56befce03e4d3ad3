/* SPDX-License-Identifier: MIT */
/*
 * fuzz_redis_reply: the input is what Redis sends, behind a byte that says how
 * many values are expected. It goes the way of the agent: sieve, hiredis, and
 * then every question that may be put to a reply.
 */
#include "fuzz.h"

#include "../../spoa/redis_reply.h"
#include "../../spoa/sieve.h"

enum { LIMIT = 64 };

static void check_value(const struct store_value *value)
{
	MUST(value->kind == STORE_VALUE || value->kind == STORE_NONE ||
	     value->kind == STORE_TOO_LARGE);
	MUST(value->kind == STORE_VALUE || value->text.len == 0);
	MUST(value->text.len <= SIEVE_LINE_MAX + (size_t)LIMIT);
	MUST(value->text.len == 0 ||
	     memchr(value->text.p, '\0', value->text.len + 1) != NULL);
}

static void take(struct scan *scan, struct span field,
		 const struct store_value *value)
{
	(void)scan;
	MUST(field.len == 0 || field.p != NULL);
	check_value(value);
}

/* What a server says of itself, and of others. */
static void read_names(const redisReply *reply)
{
	struct redis_errors errors = {{0}};
	struct redis_address at;
	enum redis_role role;
	struct span instead;

	redis_errors_note(&errors, reply);
	MUST(redis_error_name(REDIS_ERROR_OTHER)[0] != '\0');
	if (redis_reply_address(redis_reply_find(reply, "ip"),
				redis_reply_find(reply, "port"), &at))
		MUST(at.port > 0 && at.host[0] != '\0' &&
		     strlen(at.host) < sizeof(at.host));
	for (role = REDIS_ANY; role <= REDIS_REPLICA; role++)
		if (!redis_reply_is_role(reply, role, &instead))
			MUST(instead.len > 0 && instead.p != NULL);
}

static void read_reply(const redisReply *reply, size_t count)
{
	struct store_value values[STORE_FIELDS_MAX];
	struct scan scan = {.take = take, .count = (unsigned int)count};
	struct redis_redirect to;
	size_t i;

	if (redis_reply_values(reply, count, values))
		for (i = 0; i < count; i++)
			check_value(&values[i]);
	if (redis_reply_scan(reply, &scan))
		MUST(count > 0 || reply->type == REDIS_REPLY_INTEGER);
	if (redis_reply_redirect(reply, &to))
		MUST(to.port > 0 && strlen(to.host) < sizeof(to.host));
	else
		MUST(to.port == 0 || to.host[0] == '\0');
	read_names(reply);
	redis_reply_has_flag(reply, "on");
	redis_reply_starts(reply, "LOADING");
	MUST(redis_reply_text(reply).len == 0 || reply->str != NULL);
}

/* False when hiredis will have no more of it. */
static bool feed(redisReader *reader, struct span piece, size_t count)
{
	void *reply = NULL;

	if (redisReaderFeed(reader, piece.p, piece.len) != REDIS_OK)
		return false;
	while (redisReaderGetReply(reader, &reply) == REDIS_OK) {
		if (!reply)
			return true;
		read_reply(reply, count);
		freeReplyObject(reply);
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	redisReader *reader = redisReaderCreate();
	struct sieve sieve;
	struct span in, piece;

	MUST(reader != NULL);
	sieve_init(&sieve, LIMIT);
	if (len > 0) {
		in = (struct span){(const char *)bytes + 1, len - 1};
		while (sieve_next(&sieve, &in, &piece) == SIEVE_PIECE &&
		       feed(reader, piece, bytes[0] % STORE_FIELDS_MAX))
			;
	}
	redisReaderFree(reader);
	return 0;
}
