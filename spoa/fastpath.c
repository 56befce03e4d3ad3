/* SPDX-License-Identifier: MIT */
/*
 * fastpath: what the lender says goes to every writer.
 */
#include "fastpath.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

struct fastpath {
	struct fastpath_options options;
	struct lender *lender;
	struct writer **writers;
	struct writer_counters counters;
	bool was_open; /* some writer was, when last looked */
};

bool fastpath_parse(const char *text, struct fastpath_address *address,
		    const char **problem)
{
	const char *comma = strchr(text, ',');
	size_t len = comma ? (size_t)(comma - text) : strlen(text);
	const char *table = "routes";
	size_t i;

	*problem = "the path must begin with / and have at most 107 bytes";
	if (text[0] != '/' || len > RUNTIME_API_PATH_MAX)
		return false;
	snprintf(address->path, sizeof(address->path), "%.*s", (int)len, text);
	*problem = "after the path only ,table=NAME may follow";
	if (comma && strncmp(comma, ",table=", 7) != 0)
		return false;
	if (comma)
		table = comma + 7;
	*problem = "the table's name is not 1 to 63 of a-z A-Z 0-9 - _ . : /";
	for (i = 0; table[i] != '\0'; i++)
		if (!isalnum((unsigned char)table[i]) &&
		    !strchr("-_.:/", table[i]))
			return false;
	if (i == 0 || i > FASTPATH_TABLE_MAX)
		return false;
	snprintf(address->table, sizeof(address->table), "%s", table);
	return true;
}

/* Tells the lender what the tables that are open can hold, all of them. */
static void on_changed(void *context)
{
	struct fastpath *fastpath = context;
	size_t hosts_max = SIZE_MAX;
	int64_t expire_ms = 0;
	size_t i;

	for (i = 0; i < fastpath->options.count; i++) {
		const struct writer *writer = fastpath->writers[i];

		if (!writer || !writer_is_open(writer))
			continue;
		if (writer_hosts_max(writer) < hosts_max)
			hosts_max = writer_hosts_max(writer);
		if (writer_expire_ms(writer) > expire_ms)
			expire_ms = writer_expire_ms(writer);
	}
	/* Nobody else holds anything that is still to be taken back. */
	if (!fastpath->was_open)
		lender_forget(fastpath->lender);
	fastpath->was_open = fastpath->counters.open > 0;
	if (fastpath->was_open)
		lender_open(fastpath->lender, hosts_max, expire_ms);
	else
		lender_close(fastpath->lender);
}

static void on_slow(void *context)
{
	struct fastpath *fastpath = context;

	lender_hold(fastpath->lender, loop_now(fastpath->options.loop));
}

int64_t fastpath_work(struct fastpath *fastpath)
{
	int64_t next_ms =
		lender_work(fastpath->lender, loop_now(fastpath->options.loop));
	size_t i;

	for (i = 0; i < fastpath->options.count; i++)
		writer_work(fastpath->writers[i]);
	return next_ms;
}

/* A host that could end a command is none: the last of several locks. */
static bool is_harmless(struct span host)
{
	size_t i;

	for (i = 0; i < host.len; i++)
		if (!isalnum((unsigned char)host.p[i]) &&
		    !strchr("-_.", host.p[i]))
			return false;
	return host.len > 0 && host.len <= LENT_HOST_MAX;
}

static bool lend(void *context, struct span host, uint32_t address,
		 uint16_t port)
{
	struct fastpath *fastpath = context;
	bool is_lent = false;
	size_t i;

	if (!is_harmless(host))
		return false;
	for (i = 0; i < fastpath->options.count; i++)
		if (writer_lend(fastpath->writers[i], host, address, port))
			is_lent = true;
	return is_lent;
}

static void take_back(void *context, struct span host)
{
	struct fastpath *fastpath = context;
	size_t i;

	for (i = 0; i < fastpath->options.count; i++)
		writer_take_back(fastpath->writers[i], host);
}

static void take_back_all(void *context)
{
	struct fastpath *fastpath = context;
	size_t i;

	for (i = 0; i < fastpath->options.count; i++)
		writer_take_back_all(fastpath->writers[i]);
}

static void missed(void *context)
{
	struct fastpath *fastpath = context;
	size_t i;

	for (i = 0; i < fastpath->options.count; i++)
		writer_look(fastpath->writers[i]);
}

void fastpath_take_back_target(struct fastpath *fastpath,
			       const uint8_t *address, size_t address_len,
			       uint16_t port)
{
	lender_take_back_target(fastpath->lender, address, address_len, port);
}

void fastpath_take_back_field(struct fastpath *fastpath, struct span field)
{
	lender_take_back_field(fastpath->lender, field);
}

const struct writer_counters *fastpath_count(const struct fastpath *fastpath)
{
	return &fastpath->counters;
}

const struct lender_counters *fastpath_count_lent(struct fastpath *fastpath)
{
	return lender_count(fastpath->lender);
}

static bool open_writers(struct fastpath *fastpath)
{
	struct writer_options options = {.loop = fastpath->options.loop,
					 .counters = &fastpath->counters,
					 .changed = on_changed,
					 .slow = on_slow,
					 .context = fastpath};
	size_t i;

	for (i = 0; i < fastpath->options.count; i++) {
		options.path = fastpath->options.addresses[i].path;
		options.table = fastpath->options.addresses[i].table;
		fastpath->writers[i] = writer_new(&options);
		if (!fastpath->writers[i])
			return false;
	}
	return true;
}

struct fastpath *fastpath_new(const struct fastpath_options *options,
			      const struct hash_secret *secret)
{
	struct fastpath *fastpath = calloc(1, sizeof(*fastpath));
	const struct lender_options lender = {.cache = options->cache,
					      .resolver = options->resolver,
					      .lend = lend,
					      .take_back = take_back,
					      .take_back_all = take_back_all,
					      .missed = missed,
					      .context = fastpath};

	if (!fastpath)
		return NULL;
	fastpath->options = *options;
	fastpath->writers = calloc(options->count, sizeof(struct writer *));
	fastpath->lender = lender_new(&lender, secret);
	if (fastpath->lender && fastpath->writers && open_writers(fastpath))
		return fastpath;
	fastpath_free(fastpath);
	return NULL;
}

void fastpath_free(struct fastpath *fastpath)
{
	size_t i;

	if (!fastpath)
		return;
	for (i = 0; fastpath->writers && i < fastpath->options.count; i++)
		writer_free(fastpath->writers[i]);
	lender_free(fastpath->lender);
	free(fastpath->writers);
	free(fastpath);
}
