/* SPDX-License-Identifier: MIT */
/*
 * redis: lookups and tracking on one wire. Replies come in the order of the
 * questions, so one queue says what each reply answers.
 */
#include "redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"

enum {
	PROBE_MS = 1000,     /* for the first answer */
	ROLE_MS = 1000,	     /* between two looks whether a replica follows */
	SILENCE_MS = 500,    /* beyond the lookup timeout: it is dead */
	AGE_MS = 5000,	     /* of a question: it will not be answered */
	WARN_MS = 10 * 1000, /* at most one warning of a kind */
	MESSAGES_MAX = 1024, /* published and not confirmed yet */
};

/* Commands besides lookups. Each has a place in the queue of those sent: a
 * lookup without fields. */
enum command { TRACK_OFF, TRACK_ON, TRACK_INFO, ROLE, PROBE, SCAN, COMMANDS };

/* What is said at most once in WARN_MS. */
enum warning { WRONG_TYPE, NO_PUBLISH, NO_SCAN, NO_SIZE, WARNINGS };

static const char *const warnings[WARNINGS] = {
	[WRONG_TYPE] = "the routes key in redis is not a hash",
	[NO_PUBLISH] = "redis refuses to publish events",
	[NO_SCAN] = "redis does not list the routes: no preload",
	[NO_SIZE] = "redis refused HLEN: --empty-guard cannot guard",
};

struct redis {
	struct redis_options options;
	enum { REDIS_OPENING, REDIS_PROBING, REDIS_READY, REDIS_LOST } state;
	struct redis_wire *wire;
	struct event *timer; /* of the probe, then of silence */
	struct event *role;  /* asks a replica again; or NULL */
	struct lookup_queue sent;
	struct lookup commands[COMMANDS];
	bool is_sent[COMMANDS];		/* the command waits for its reply */
	int64_t next_subscriber;	/* tracking is due for; or 0 */
	int64_t ready_ms;		/* when it got ready, or 0 */
	struct redis_redirect redirect; /* port 0: none */
	struct scan *scan;		/* that waits for its reply; or NULL */
	struct log_limit warned[WARNINGS];
	size_t messages; /* published and not confirmed yet */
};

static int64_t now(struct redis *redis)
{
	return loop_now(redis->options.place.loop);
}

static void lose(struct redis *redis, const char *why, struct span detail)
{
	redis->state = REDIS_LOST;
	event_del(redis->timer);
	redis_wire_lose(redis->wire, why, detail);
}

static void lose_plain(struct redis *redis, const char *why)
{
	lose(redis, why, (struct span){0});
}

void redis_set_timeout(struct redis *redis, int64_t lookup_timeout_ms)
{
	redis->options.lookup_timeout_ms = lookup_timeout_ms;
}

static void warn(struct redis *redis, enum warning what,
		 const redisReply *reply)
{
	uint64_t held;

	if (log_limit_pass(&redis->warned[what], now(redis), WARN_MS, &held))
		log_warn(warnings[what],
			 log_text("server", redis->options.place.url->name),
			 log_text("key", redis->options.place.key),
			 log_span("error", redis_reply_text(reply)),
			 log_number("held_back", (int64_t)held));
}

const struct redis_place *redis_place(const struct redis *redis)
{
	return &redis->options.place;
}

bool redis_is_ready(const struct redis *redis)
{
	return redis->state == REDIS_READY;
}

int64_t redis_ready_for(const struct redis *redis, int64_t now_ms)
{
	return redis->ready_ms ? now_ms - redis->ready_ms : -1;
}

/* For how long has a question been open without a word from the server? */
static int64_t silence_ms(const struct redis *redis, int64_t now_ms)
{
	const struct lookup *oldest = TAILQ_FIRST(&redis->sent);
	int64_t since = redis_wire_heard(redis->wire);

	if (!oldest)
		return 0;
	if (since < oldest->sent_ms)
		since = oldest->sent_ms;
	return now_ms - since;
}

bool redis_is_silent(const struct redis *redis, int64_t now_ms)
{
	return silence_ms(redis, now_ms) > redis->options.lookup_timeout_ms;
}

/* For how long has the oldest question been open? A server that says a byte
 * now and then is not silent, and answers nothing all the same. */
static int64_t oldest_ms(const struct redis *redis, int64_t now_ms)
{
	const struct lookup *oldest = TAILQ_FIRST(&redis->sent);

	return oldest ? now_ms - oldest->sent_ms : 0;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct redis *redis = context;
	int64_t patience = redis->options.lookup_timeout_ms + SILENCE_MS;
	int64_t silence = silence_ms(redis, now(redis));

	(void)fd;
	(void)what;
	if (redis->state == REDIS_PROBING)
		lose_plain(redis, "no answer while connecting");
	else if (silence > patience || oldest_ms(redis, now(redis)) > AGE_MS)
		lose_plain(redis, "no answer");
	else if (!TAILQ_EMPTY(&redis->sent))
		loop_arm(redis->timer, patience - silence + 1);
}

static bool say_asking(struct redis *redis, struct lookup *lookup)
{
	const char *asking[] = {"ASKING"};

	if (!redis->options.is_asking)
		return true;
	lookup->ahead++;
	return redis_wire_say(redis->wire, 1, asking);
}

static bool ask_size(struct redis *redis, struct lookup *lookup)
{
	const char *hlen[] = {"HLEN", redis->options.place.key};

	if (!say_asking(redis, lookup))
		return false;
	lookup->ahead++;
	return redis_wire_say(redis->wire, 2, hlen);
}

/* What goes out before the question itself, and is answered before it. Redis
 * executes what it reads together without a break. */
static bool send_ahead(struct redis *redis, struct lookup *lookup)
{
	lookup->ahead = 0;
	lookup->size = -1;
	return (!redis->options.sized || ask_size(redis, lookup)) &&
	       say_asking(redis, lookup);
}

/* HMGET key field...; the fields are at most STORE_FIELDS_MAX. */
static bool send_hmget(struct redis *redis, struct lookup *lookup,
		       const struct span *fields, size_t count)
{
	const char *argv[2 + STORE_FIELDS_MAX] = {"HMGET",
						  redis->options.place.key};
	size_t lens[2 + STORE_FIELDS_MAX] = {5,
					     strlen(redis->options.place.key)};
	size_t i;

	for (i = 0; i < count; i++) {
		argv[2 + i] = fields[i].p;
		lens[2 + i] = fields[i].len;
	}
	return send_ahead(redis, lookup) &&
	       redis_wire_send(redis->wire, (int)(2 + count), argv, lens);
}

/* What is sent now is answered by what is read after now. */
static void await(struct redis *redis, struct lookup *lookup, int64_t now_ms)
{
	lookup->sent_ms = now_ms;
	lookup->sent_after = redis_wire_reads(redis->wire);
	if (TAILQ_EMPTY(&redis->sent))
		loop_arm(redis->timer,
			 redis->options.lookup_timeout_ms + SILENCE_MS + 1);
	TAILQ_INSERT_TAIL(&redis->sent, lookup, link);
}

bool redis_send(struct redis *redis, struct lookup *lookup, int64_t now_ms)
{
	if (!send_hmget(redis, lookup, lookup->fields, lookup->count))
		return false;
	await(redis, lookup, now_ms);
	lookup->sent(lookup, now_ms);
	return true;
}

/* Which command the lookup without fields is; COMMANDS for a message. */
static enum command find_command(const struct redis *redis,
				 const struct lookup *lookup)
{
	enum command command = TRACK_OFF;

	while (command < COMMANDS && lookup != &redis->commands[command])
		command++;
	return command;
}

static void free_message(struct redis *redis, struct lookup *message)
{
	redis->messages--;
	free(message);
}

void redis_take_lookups(struct redis *redis, struct lookup_queue *queue)
{
	struct lookup *lookup;

	while ((lookup = TAILQ_LAST(&redis->sent, lookup_queue)) != NULL) {
		TAILQ_REMOVE(&redis->sent, lookup, link);
		if (lookup->count > 0)
			TAILQ_INSERT_HEAD(queue, lookup, link);
		else if (find_command(redis, lookup) == COMMANDS)
			free_message(redis, lookup);
	}
}

bool redis_publish(struct redis *redis, struct span channel,
		   struct span message)
{
	const char *argv[] = {"PUBLISH", channel.p, message.p};
	const size_t lens[] = {7, channel.len, message.len};
	struct lookup *lookup;

	if (redis->state != REDIS_READY || redis->messages >= MESSAGES_MAX)
		return false;
	lookup = calloc(1, sizeof(*lookup));
	if (!lookup ||
	    !redis_wire_send(redis->wire, ARRAY_LEN(argv), argv, lens)) {
		free(lookup);
		return false;
	}
	redis->messages++;
	await(redis, lookup, now(redis));
	return true;
}

static void send_command(struct redis *redis, enum command command, int argc,
			 const char **argv)
{
	if (redis->is_sent[command])
		return;
	if (!redis_wire_say(redis->wire, argc, argv)) {
		lose_plain(redis, "out of memory");
		return;
	}
	redis->is_sent[command] = true;
	await(redis, &redis->commands[command], now(redis));
}

void redis_track(struct redis *redis, int64_t subscriber)
{
	char id[24];
	const char *off[] = {"CLIENT", "TRACKING", "OFF"};
	const char *on[] = {
		"CLIENT", "TRACKING", "ON",	"REDIRECT",
		id,	  "BCAST",    "PREFIX", redis->options.place.key};

	if (redis->state != REDIS_READY)
		return;
	if (redis->is_sent[TRACK_ON]) {
		redis->next_subscriber = subscriber;
		return;
	}
	snprintf(id, sizeof(id), "%lld", (long long)subscriber);
	/* A second ON is an error. */
	send_command(redis, TRACK_OFF, ARRAY_LEN(off), off);
	send_command(redis, TRACK_ON, ARRAY_LEN(on), on);
}

static void send_probe(struct redis *redis)
{
	const struct span any = span_of("*");

	if (redis->is_sent[PROBE])
		return;
	if (!send_hmget(redis, &redis->commands[PROBE], &any, 1)) {
		lose_plain(redis, "out of memory");
		return;
	}
	redis->is_sent[PROBE] = true;
	await(redis, &redis->commands[PROBE], now(redis));
}

void redis_probe(struct redis *redis)
{
	if (redis->state == REDIS_READY)
		send_probe(redis);
}

void redis_check_tracking(struct redis *redis)
{
	const char *info[] = {"CLIENT", "TRACKINGINFO"};

	if (redis->state != REDIS_READY)
		return;
	send_command(redis, TRACK_INFO, ARRAY_LEN(info), info);
	send_probe(redis);
}

static void take_tracking(struct redis *redis, enum command command,
			  const redisReply *reply)
{
	struct span problem = {0};
	int64_t next = redis->next_subscriber;

	/* That was for a subscriber who is gone. */
	if (command == TRACK_ON && next) {
		redis->next_subscriber = 0;
		redis_track(redis, next);
		return;
	}
	if (reply->type == REDIS_REPLY_ERROR)
		problem = redis_reply_text(reply);
	/* Redis 6.0 tracks, but has no TRACKINGINFO: it is alive, that counts.
	 */
	if (command == TRACK_INFO && redis_reply_starts(reply, "ERR"))
		problem = (struct span){0};
	if (command == TRACK_INFO && reply->type == REDIS_REPLY_ARRAY &&
	    (redis_reply_has_flag(reply, "broken_redirect") ||
	     redis_reply_has_flag(reply, "off")))
		problem = span_of("tracking has ended");
	/* A question from before ON was answered too early to tell. After ON
	 * comes a question at once: one that is refused shall not keep the
	 * channel coming and going. */
	if (command == TRACK_OFF ||
	    (command == TRACK_INFO && redis->is_sent[TRACK_ON]))
		return;
	if (command == TRACK_ON && problem.len == 0)
		redis_check_tracking(redis);
	else
		redis->options.tracked(redis->options.context, redis, problem);
}

/* A message was published, or refused. */
static void take_confirmation(struct redis *redis, struct lookup *message,
			      const redisReply *reply)
{
	free_message(redis, message);
	if (reply->type == REDIS_REPLY_ERROR)
		warn(redis, NO_PUBLISH, reply);
}

/* An error that says something of the key, not of the server. */
static bool is_wrong_type(struct redis *redis, const redisReply *reply)
{
	if (!redis_reply_starts(reply, "WRONGTYPE"))
		return false;
	warn(redis, WRONG_TYPE, reply);
	return true;
}

const struct redis_redirect *redis_redirect(const struct redis *redis)
{
	return redis->redirect.port ? &redis->redirect : NULL;
}

/* The server does not answer for the key: it is not, or no longer, the one. */
static void take_refusal(struct redis *redis, const redisReply *reply)
{
	lose(redis,
	     redis_reply_redirect(reply, &redis->redirect)
		     ? "the key is elsewhere"
		     : "HMGET refused",
	     redis_reply_text(reply));
}

/* May an answer of a hash of `size` fields be believed? */
static bool is_believed(struct redis *redis, const struct lookup *lookup)
{
	return !redis->options.sized || lookup->size < 0 ||
	       redis->options.sized(redis->options.context, lookup->size,
				    lookup->sent_ms);
}

static void take_probe(struct redis *redis, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ERROR && !is_wrong_type(redis, reply)) {
		take_refusal(redis, reply);
		return;
	}
	(void)is_believed(redis, &redis->commands[PROBE]); /* passes it on */
	if (redis->state == REDIS_READY)
		return;
	event_del(redis->timer);
	redis->state = REDIS_READY;
	redis->ready_ms = now(redis);
	redis->options.ready(redis->options.context, redis);
}

static void take_role(struct redis *redis, const redisReply *reply)
{
	struct span instead;

	if (reply->type == REDIS_REPLY_ERROR)
		lose(redis, "ROLE refused", redis_reply_text(reply));
	else if (!redis_reply_is_role(reply, redis->options.role, &instead))
		lose(redis,
		     redis->options.role == REDIS_MASTER
			     ? "not a master"
			     : "not a replica that follows its master",
		     instead);
}

static void take_values(struct redis *redis, struct lookup *lookup,
			const redisReply *reply)
{
	struct store_value values[STORE_FIELDS_MAX];
	bool is_error = reply->type == REDIS_REPLY_ERROR;

	if (is_error && !is_wrong_type(redis, reply)) {
		take_refusal(redis, reply);
		return;
	}
	if (!is_error && !redis_reply_values(reply, lookup->count, values)) {
		lose_plain(redis, "an answer of the wrong shape");
		return;
	}
	TAILQ_REMOVE(&redis->sent, lookup, link);
	if (is_error || !is_believed(redis, lookup))
		lookup->done(lookup, STORE_FAILED, NULL, now(redis));
	else
		lookup->done(lookup, STORE_ANSWERED, values, now(redis));
}

static void finish_scan(struct redis *redis, enum store_status status)
{
	struct scan *scan = redis->scan;

	redis->scan = NULL;
	if (scan)
		scan->done(scan, status, now(redis));
}

static void take_scan(struct redis *redis, const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_ERROR) {
		if (redis_reply_scan(reply, redis->scan))
			finish_scan(redis, STORE_ANSWERED);
		else
			lose_plain(redis, "an answer of the wrong shape");
		return;
	}
	if (redis_reply_redirect(reply, &redis->redirect)) {
		lose(redis, "the key is elsewhere", redis_reply_text(reply));
		return;
	}
	warn(redis, NO_SCAN, reply);
	finish_scan(redis, STORE_FAILED);
}

bool redis_scan(struct redis *redis, struct scan *scan)
{
	const char *key = redis->options.place.key;
	char cursor[24], count[12];
	const char *hlen[] = {"HLEN", key};
	const char *hscan[] = {"HSCAN", key, cursor, "COUNT", count};
	struct lookup *place = &redis->commands[SCAN];

	snprintf(cursor, sizeof(cursor), "%" PRIu64, scan->cursor);
	snprintf(count, sizeof(count), "%u", scan->count);
	if (redis->state != REDIS_READY || redis->is_sent[SCAN])
		return false;
	place->ahead = 0;
	if (!say_asking(redis, place))
		return false;
	if (scan->count == 0)
		send_command(redis, SCAN, ARRAY_LEN(hlen), hlen);
	else
		send_command(redis, SCAN, ARRAY_LEN(hscan), hscan);
	if (redis->is_sent[SCAN])
		redis->scan = scan;
	return redis->is_sent[SCAN];
}

static void take_command(struct redis *redis, enum command command,
			 const redisReply *reply)
{
	redis->is_sent[command] = false;
	if (command == PROBE)
		take_probe(redis, reply);
	else if (command == SCAN)
		take_scan(redis, reply);
	else if (command == ROLE)
		take_role(redis, reply);
	else
		take_tracking(redis, command, reply);
}

/* The replies to ASKING and HLEN, which is the only one with a number. */
static void take_ahead(struct redis *redis, struct lookup *lookup,
		       const redisReply *reply)
{
	lookup->ahead--;
	if (reply->type == REDIS_REPLY_INTEGER)
		lookup->size = reply->integer;
	if (reply->type == REDIS_REPLY_ERROR && redis->options.sized &&
	    redis_reply_starts(reply, "NOPERM"))
		warn(redis, NO_SIZE, reply);
}

static void on_replied(void *context, const redisReply *reply)
{
	struct redis *redis = context;
	struct lookup *lookup = TAILQ_FIRST(&redis->sent);
	enum command command;

	/* What was read before a question went out cannot be its answer. */
	if (!lookup || lookup->sent_after == redis_wire_reads(redis->wire)) {
		lose_plain(redis, "an answer that nobody asked for");
		return;
	}
	if (lookup->ahead > 0) {
		take_ahead(redis, lookup, reply);
		return;
	}
	if (lookup->count > 0) {
		take_values(redis, lookup, reply);
		return;
	}
	TAILQ_REMOVE(&redis->sent, lookup, link);
	command = find_command(redis, lookup);
	if (command == COMMANDS)
		take_confirmation(redis, lookup, reply);
	else
		take_command(redis, command, reply);
}

/* What a replica holds is only worth something while it follows. */
static void ask_role(struct redis *redis)
{
	const char *role[] = {"ROLE"};

	send_command(redis, ROLE, ARRAY_LEN(role), role);
	if (redis->role)
		loop_arm(redis->role, ROLE_MS);
}

static void on_role(evutil_socket_t fd, short what, void *context)
{
	struct redis *redis = context;

	(void)fd;
	(void)what;
	if (redis->state != REDIS_LOST)
		ask_role(redis);
}

static void on_opened(void *context)
{
	struct redis *redis = context;

	redis->state = REDIS_PROBING;
	if (redis->options.role != REDIS_ANY)
		ask_role(redis);
	send_probe(redis);
	if (redis->state == REDIS_PROBING)
		loop_arm(redis->timer, PROBE_MS);
}

static void on_lost(void *context, const char *why)
{
	struct redis *redis = context;

	redis->state = REDIS_LOST;
	redis->options.lost(redis->options.context, redis, why);
}

struct redis *redis_new(const struct redis_options *options)
{
	struct redis *redis = calloc(1, sizeof(*redis));
	const struct redis_wire_options wire = {.place = options->place,
						.opened = on_opened,
						.replied = on_replied,
						.lost = on_lost,
						.context = redis};

	if (!redis)
		return NULL;
	redis->options = *options;
	TAILQ_INIT(&redis->sent);
	redis->timer = evtimer_new(options->place.loop->base, on_timer, redis);
	if (options->role == REDIS_REPLICA)
		redis->role =
			evtimer_new(options->place.loop->base, on_role, redis);
	if (redis->timer && (redis->role || options->role != REDIS_REPLICA))
		redis->wire = redis_wire_new(&wire);
	if (!redis->wire) {
		redis_free(redis);
		return NULL;
	}
	return redis;
}

void redis_free(struct redis *redis)
{
	if (!redis)
		return;
	finish_scan(redis, STORE_FAILED);
	redis_wire_free(redis->wire);
	if (redis->timer)
		event_free(redis->timer);
	if (redis->role)
		event_free(redis->role);
	free(redis);
}
