/* SPDX-License-Identifier: MIT */
/*
 * opts_table: one row an option; what reads, shows and compares goes by it.
 */
#include "opts_table.h"

#include <stdio.h>
#include <stdlib.h>

#define PLACE(member) offsetof(struct config, member)

static const char *const level_words[] = {"debug", "info", "warn", "error",
					  NULL};
static const char *const format_words[] = {"text", "json", NULL};
static const char *const flag_words[] = {"off", "on", NULL};

const struct opts_option opts_table[] = {
	{"listen", OPTS_LIST, PLACE(listen), "127.0.0.1:12310", .value = "ADDR",
	 .help = "where HAProxy connects (repeatable): IP:PORT, [IP6]:PORT or "
		 "unix:/path[,mode=0660][,group=NAME]"},
	{"reuse-port", OPTS_FLAG, PLACE(reuse_port), NULL, .max = 1,
	 .help = "let several instances listen on one port"},
	{"redis", OPTS_LIST, PLACE(redis), "redis://127.0.0.1:6379",
	 .value = "URL",
	 .help = "redis://[user:password@]host[:port][/db], rediss:// with "
		 "TLS, redis-sentinel://[user:password@]host[:port],.../NAME"
		 "[?db=N][&read=replica] or unix:/path[?db=N] (repeatable: the "
		 "first is preferred)"},
	{"redis-password-file", OPTS_TEXT, PLACE(redis_password_file), NULL,
	 .value = "FILE", .is_live = true,
	 .help = "password for URLs without one (or environment "
		 "REDIS_PASSWORD)"},
	{"sentinel-user", OPTS_TEXT, PLACE(sentinel_user), NULL,
	 .value = "NAME",
	 .help = "user at the sentinels themselves; needs a password for them"},
	{"sentinel-password-file", OPTS_TEXT, PLACE(sentinel_password_file),
	 NULL, .value = "FILE", .is_live = true,
	 .help = "password for the sentinels themselves (or environment "
		 "SENTINEL_PASSWORD)"},
	{"redis-ca", OPTS_TEXT, PLACE(redis_ca), NULL, .value = "FILE",
	 .help = "authorities that may vouch for a rediss:// server; without "
		 "it the system's"},
	{"redis-cert", OPTS_TEXT, PLACE(redis_cert), NULL, .value = "FILE",
	 .help = "our certificate, for servers that want one"},
	{"redis-key", OPTS_TEXT, PLACE(redis_key), NULL, .value = "FILE",
	 .help = "its key, when that is in a file of its own"},
	{"routes", OPTS_TEXT, PLACE(routes), "routes", .value = "KEY",
	 .help = "name of the hash in Redis"},
	{"ttl", OPTS_DURATION, PLACE(ttl_ms), "10", 0, 365 * DAY_MS, SECOND_MS,
	 .value = "SECONDS", .is_live = true,
	 .help = "how long a route is fresh; 0 asks each time"},
	{"negative-ttl", OPTS_DURATION, PLACE(negative_ttl_ms), "1", 0,
	 365 * DAY_MS, SECOND_MS, .value = "SECONDS", .is_live = true,
	 .help = "the same for a host without a route"},
	{"stale", OPTS_DURATION, PLACE(stale_ms), "86400", 0, 3650 * DAY_MS,
	 SECOND_MS, .value = "SECONDS", .is_live = true,
	 .help = "how long past that a route serves while Redis cannot be "
		 "asked"},
	{"lookup-timeout", OPTS_DURATION, PLACE(lookup_timeout_ms), "50", 1,
	 60 * SECOND_MS, 1, .value = "MS", .is_live = true,
	 .help = "after this a request is answered without Redis"},
	{"cache-size", OPTS_NUMBER, PLACE(cache_size), "1000000", 1, 1000000000,
	 .value = "N", .is_live = true, .help = "most known routes"},
	{"snapshot", OPTS_TEXT, PLACE(snapshot), NULL, .value = "FILE",
	 .help = "last known routes on disk, for a start while Redis is away"},
	{"allow-target", OPTS_LIST, PLACE(allow_target), NULL, .value = "CIDR",
	 .is_live = true,
	 .help = "routes may name it although it is denied (repeatable): "
		 "10.0.0.0/8, 10.1.2.3:80, [fd00::/8]:8000-8999 or several "
		 "with commas"},
	{"deny-target", OPTS_LIST, PLACE(deny_target), NULL, .value = "CIDR",
	 .is_live = true,
	 .help = "routes may not name it (repeatable), nor what is "
		 "unspecified, link-local, multicast, broadcast or a cloud's "
		 "metadata"},
	{"check-interval", OPTS_DURATION, PLACE(check_interval_ms), "2", 0,
	 DAY_MS, SECOND_MS, .value = "SECONDS", .is_live = true,
	 .is_switch = true,
	 .help = "between two checks of a target; 0 checks none"},
	{"check-timeout", OPTS_DURATION, PLACE(check_timeout_ms), "1", 1,
	 60 * SECOND_MS, SECOND_MS, .value = "SECONDS", .is_live = true,
	 .help = "how long a check may take"},
	{"check-fall", OPTS_NUMBER, PLACE(check_fall), "3", 1, 100,
	 .value = "N", .is_live = true,
	 .help = "failed checks in a row make a target down"},
	{"check-rise", OPTS_NUMBER, PLACE(check_rise), "2", 1, 100,
	 .value = "N", .is_live = true,
	 .help = "passed checks in a row make it up again"},
	{"feedback", OPTS_TEXT, PLACE(feedback), NULL, .value = "ADDR",
	 .help = "where HAProxy tells of connections that failed: "
		 "udp:IP:PORT or unix:/path[,mode=0660][,group=NAME]"},
	{"preload", OPTS_FLAG, PLACE(preload), NULL, .max = 1,
	 .help = "know all routes ahead, so that hosts never asked for survive "
		 "an outage"},
	{"empty-guard", OPTS_CHOICE, PLACE(empty_guard), "off",
	 .value = "STATE", .words = flag_words,
	 .help = "on: keep known routes when the hash is suddenly empty"},
	{"admin", OPTS_TEXT, PLACE(admin), NULL, .value = "ADDR",
	 .help = "HTTP for metrics, health and questions: an address as of "
		 "--listen"},
	{"admin-public", OPTS_FLAG, PLACE(admin_public), NULL, .max = 1,
	 .help = "let --admin be an address that other machines reach"},
	{"haproxy-socket", OPTS_LIST, PLACE(haproxy_socket), NULL,
	 .value = "PATH",
	 .help = "HAProxy's Runtime API, for the fast path (repeatable): "
		 "/path[,table=NAME], by default the table `routes`"},
	{"max-connections", OPTS_NUMBER, PLACE(max_connections), "4096", 1,
	 1000000, .value = "N", .is_live = true,
	 .help = "most connections of HAProxy"},
	{"max-waiting", OPTS_NUMBER, PLACE(max_waiting), "65536", 1, 10000000,
	 .value = "N", .is_live = true,
	 .help = "most requests that wait for Redis"},
	{"user", OPTS_TEXT, PLACE(user), NULL, .value = "NAME",
	 .help = "who to be once all sockets are open: NAME or NAME:GROUP"},
	{"seccomp", OPTS_CHOICE, PLACE(seccomp), "off", .value = "STATE",
	 .words = flag_words,
	 .help = "on: ask nothing of the kernel but what serving takes"},
	{"log-level", OPTS_CHOICE, PLACE(log_level), "info", .value = "LEVEL",
	 .words = level_words, .is_live = true,
	 .help = "debug, info, warn or error"},
	{"log-format", OPTS_CHOICE, PLACE(log_format), "text",
	 .value = "FORMAT", .words = format_words, .is_live = true,
	 .help = "text (logfmt) or json"},
	{"config", OPTS_TEXT, PLACE(config), NULL, .value = "FILE",
	 .is_local = true, .help = "file of `name = value` lines"},
	{"check", OPTS_FLAG, PLACE(check), NULL, .max = 1, .is_local = true,
	 .help = "read the configuration, say what is wrong, and exit"},
	{"version", OPTS_FLAG, PLACE(version), NULL, .max = 1, .is_local = true,
	 .help = "print the version and exit"},
	{"help", OPTS_FLAG, PLACE(help), NULL, .max = 1, .is_local = true,
	 .help = "print this text and exit"},
};

const size_t opts_count = ARRAY_LEN(opts_table);
_Static_assert(ARRAY_LEN(opts_table) <= OPTS_COUNT_MAX, "a place for each");

const char *const *opts_words(const struct opts_option *option)
{
	return option->kind == OPTS_FLAG ? flag_words : option->words;
}

/* Copies a value; what stands between `user:` and `@` of a URL is hidden. */
static void copy_without_password(char to[OPTS_TEXT_MAX], const char *text)
{
	const char *user = strstr(text, "://");
	const char *at = user ? strrchr(user, '@') : NULL;
	const char *colon = user ? strchr(user + 3, ':') : NULL;

	if (at && colon && colon < at)
		snprintf(to, OPTS_TEXT_MAX, "%.*s:***%s", (int)(colon - text),
			 text, at);
	else
		snprintf(to, OPTS_TEXT_MAX, "%s", text);
}

static void format_duration(char text[OPTS_TEXT_MAX], int64_t ms)
{
	static const struct {
		const char *suffix;
		int64_t ms;
	} units[] = {{"d", DAY_MS},
		     {"h", 3600 * SECOND_MS},
		     {"m", 60 * SECOND_MS},
		     {"s", SECOND_MS},
		     {"ms", 1}};
	size_t i = 0;

	while (ms % units[i].ms != 0)
		i++;
	snprintf(text, OPTS_TEXT_MAX, "%lld%s", (long long)(ms / units[i].ms),
		 ms == 0 ? "s" : units[i].suffix);
}

/* The value of an option that is no list, as it could be given. */
static void format_value(const struct config *config,
			 const struct opts_option *option,
			 char text[OPTS_TEXT_MAX])
{
	const void *place = (const char *)config + option->offset;
	const struct opts_item *item = place;
	int64_t number = 0;

	text[0] = '\0';
	if (option->kind == OPTS_TEXT) {
		snprintf(text, OPTS_TEXT_MAX, "%s",
			 item->text ? item->text : "");
		return;
	}
	memcpy(&number, place, sizeof(number));
	if (option->kind == OPTS_DURATION)
		format_duration(text, number);
	else if (option->kind == OPTS_NUMBER)
		snprintf(text, OPTS_TEXT_MAX, "%lld", (long long)number);
	else
		snprintf(text, OPTS_TEXT_MAX, "%s", opts_words(option)[number]);
}

bool opts_is_default(const struct config *config, const char *name)
{
	size_t i = 0;

	while (strcmp(opts_table[i].name, name) != 0)
		i++;
	return !config->where[i] || !strcmp(config->where[i], "default");
}

void opts_show(const struct config *config,
	       void (*show)(void *context, const struct opts_value *value),
	       void *context)
{
	size_t i, n;

	for (i = 0; i < ARRAY_LEN(opts_table); i++) {
		const struct opts_option *option = &opts_table[i];
		const struct opts_list *list =
			(const struct opts_list *)((const char *)config +
						   option->offset);
		char text[OPTS_TEXT_MAX];
		struct opts_value value = {.name = option->name, .text = text};

		if (option->is_local)
			continue;
		value.where = config->where[i] ? config->where[i] : "default";
		if (option->kind != OPTS_LIST) {
			format_value(config, option, text);
			show(context, &value);
			continue;
		}
		for (n = 0; n < list->count; n++) {
			copy_without_password(text, list->items[n].text);
			show(context, &value);
		}
	}
}

static bool same_item(const struct opts_item *a, const struct opts_item *b)
{
	if (!a->text || !b->text)
		return a->text == b->text;
	return strcmp(a->text, b->text) == 0;
}

static bool same_value(const struct opts_option *option, const void *a,
		       const void *b)
{
	const struct opts_list *one = a, *other = b;
	size_t i;

	if (option->kind == OPTS_TEXT)
		return same_item(a, b);
	if (option->kind != OPTS_LIST)
		return memcmp(a, b, sizeof(int64_t)) == 0;
	for (i = 0; i < one->count && i < other->count; i++)
		if (!same_item(&one->items[i], &other->items[i]))
			return false;
	return one->count == other->count;
}

static bool is_live(const struct opts_option *option, const void *a,
		    const void *b)
{
	int64_t one, other;

	if (!option->is_switch)
		return option->is_live;
	memcpy(&one, a, sizeof(one));
	memcpy(&other, b, sizeof(other));
	return option->is_live && (one == 0) == (other == 0);
}

static size_t size_of(const struct opts_option *option)
{
	if (option->kind == OPTS_LIST)
		return sizeof(struct opts_list);
	return option->kind == OPTS_TEXT ? sizeof(struct opts_item)
					 : sizeof(int64_t);
}

static void swap_places(void *a, void *b, size_t size)
{
	char *p = a, *q = b;

	for (; size > 0; size--, p++, q++) {
		char byte = *p;

		*p = *q;
		*q = byte;
	}
}

void opts_adopt(struct config *config, struct config *next)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(opts_table); i++) {
		const struct opts_option *option = &opts_table[i];
		char *place = (char *)config + option->offset;
		char *other = (char *)next + option->offset;
		bool live = is_live(option, place, other);

		/* Others may hold on to a text that cannot change. */
		if (live)
			swap_places(place, other, size_of(option));
		if (live || same_value(option, place, other))
			swap_places(&config->where[i], &next->where[i],
				    sizeof(char *));
	}
}

void opts_compare(const struct config *config, const struct config *next,
		  void (*changed)(void *context, const char *name,
				  bool is_live),
		  void *context)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(opts_table); i++) {
		const struct opts_option *option = &opts_table[i];
		const char *place = (const char *)config + option->offset;
		const char *other = (const char *)next + option->offset;

		if (!option->is_local && !same_value(option, place, other))
			changed(context, option->name,
				is_live(option, place, other));
	}
}

void opts_print_help(void)
{
	size_t i;

	printf("Usage: spoa-router [--OPTION [VALUE]]...\n"
	       "Tells HAProxy over SPOE where each Host goes, by a hash in "
	       "Redis.\n\n");
	for (i = 0; i < ARRAY_LEN(opts_table); i++) {
		const struct opts_option *option = &opts_table[i];
		char name[64];

		snprintf(name, sizeof(name), "--%s %s", option->name,
			 option->value ? option->value : "");
		printf("  %-27s %s", name, option->help);
		if (option->initial)
			printf(" [%s]", option->initial);
		printf("\n");
	}
	printf("\nTimes take the suffixes us, ms, s, m, h and d. Each option "
	       "may stand in the file\nof --config as `name = value`; the "
	       "command line wins.\n");
}
