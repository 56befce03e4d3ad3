/* SPDX-License-Identifier: MIT */
/*
 * reload: from new settings to what each room is told.
 */
#include "reload.h"

#include <stdio.h>
#include <stdlib.h>

#include "log.h"

enum { NAMES_TEXT_MAX = 512 };

/* What the new settings change, by the names of the options. */
struct changes {
	char live[NAMES_TEXT_MAX]; /* with blanks between */
	char fixed[NAMES_TEXT_MAX];
	bool has_guard;
	bool has_redis;
};

static void add_name(char names[NAMES_TEXT_MAX], const char *name)
{
	size_t len = strlen(names);

	snprintf(names + len, NAMES_TEXT_MAX - len, "%s%s", len ? " " : "",
		 name);
}

static void note_change(void *context, const char *name, bool is_live)
{
	struct changes *changes = context;

	add_name(is_live ? changes->live : changes->fixed, name);
	changes->has_guard |=
		!strcmp(name, "allow-target") || !strcmp(name, "deny-target");
	changes->has_redis |= !strcmp(name, "redis");
}

/* Files with passwords may hold others, whatever their options say. */
static void put_passwords(struct agent *self, const struct settings *next)
{
	struct settings *settings = self->settings;
	size_t i;

	for (i = 0; i < settings->config.redis.count; i++) {
		struct redis_url *to = &settings->urls[i];
		const struct redis_url *from = &next->urls[i];

		memcpy(to->password, from->password, sizeof(to->password));
		memcpy(to->sentinel_password, from->sentinel_password,
		       sizeof(to->sentinel_password));
	}
	redis_store_reread(self->store);
}

static void put_cache(struct agent *self, const struct config *config)
{
	const struct cache_options options = agent_lives(config);

	if (!cache_set_options(self->cache, &options))
		log_error("cache-size stays as it was: out of memory");
	if (self->preload)
		preload_set_max(self->preload, (size_t)config->cache_size);
	if (self->snapshot)
		snapshot_set_stale(self->snapshot, config->stale_ms);
}

/* The settings hold the new values: the rooms are told. */
static void put_in_force(struct agent *self)
{
	const struct config *config = &self->settings->config;
	const struct health_times times = agent_times(config);

	log_setup((enum log_level)config->log_level,
		  (enum log_format)config->log_format);
	put_cache(self, config);
	conns_set_max(self->conns, (size_t)config->max_connections);
	agent_raise_file_limit(self);
	redis_store_set_times(self->store, config->lookup_timeout_ms,
			      config->ttl_ms);
	resolver_set_limits(self->resolver, config->lookup_timeout_ms,
			    (size_t)config->max_waiting, loop_now(self->loop));
	if (self->health)
		health_set_times(self->health, &times);
}

static void put_all(struct agent *self, struct settings *next)
{
	struct settings *settings = self->settings;
	struct changes changes = {.live = ""};

	opts_compare(&settings->config, &next->config, note_change, &changes);
	opts_adopt(&settings->config, &next->config);
	settings->guard = next->guard;
	put_in_force(self);
	if (!changes.has_redis)
		put_passwords(self, next);
	if (changes.has_guard)
		resolver_change_guard(self->resolver, loop_now(self->loop));
	log_info("reloaded", log_text("changed", changes.live));
	if (changes.fixed[0] != '\0')
		log_warn("these options change with a restart only",
			 log_text("options", changes.fixed));
}

bool reload_settings(struct agent *self, int argc, char *const *argv)
{
	struct settings *next = calloc(1, sizeof(*next));
	char error[OPTS_ERROR_MAX] = "out of memory";
	bool done = next && settings_read(next, argc, argv, error);

	if (done) {
		put_all(self, next);
		self->reloads.done++;
	} else {
		log_error("reload refused, nothing has changed",
			  log_text("error", error));
		self->reloads.refused++;
	}
	if (next)
		settings_free(next);
	free(next);
	return done;
}
