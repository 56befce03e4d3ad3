/* SPDX-License-Identifier: MIT */
/*
 * settings: each kind of option is read by the room that knows its grammar;
 * what is wrong is said with the place where it was given.
 */
#include "settings.h"

#include <stdio.h>

#include "feedback.h"
#include "fence.h"
#include "redis_urls.h"

struct reader {
	struct settings *settings;
	char *error;
};

static bool complain(const struct reader *in, const char *where,
		     const char *what)
{
	snprintf(in->error, OPTS_ERROR_MAX, "%.300s: %.200s", where, what);
	return false;
}

static bool read_addresses(const struct reader *in)
{
	const struct opts_list *list = &in->settings->config.listen;
	const struct opts_item *feedback = &in->settings->config.feedback;
	const char *problem;
	size_t i;

	for (i = 0; i < list->count; i++)
		if (!listener_parse(list->items[i].text,
				    &in->settings->listen[i], &problem))
			return complain(in, list->items[i].where, problem);
	if (feedback->text &&
	    !feedback_parse(feedback->text, &in->settings->feedback, &problem))
		return complain(in, feedback->where, problem);
	return true;
}

static bool read_tables(const struct reader *in)
{
	const struct opts_list *list = &in->settings->config.haproxy_socket;
	const char *problem;
	size_t i;

	for (i = 0; i < list->count; i++)
		if (!fastpath_parse(list->items[i].text,
				    &in->settings->tables[i], &problem))
			return complain(in, list->items[i].where, problem);
	return true;
}

static bool read_admin(const struct reader *in)
{
	const struct config *config = &in->settings->config;
	const struct opts_item *item = &config->admin;
	const char *problem;

	if (!item->text)
		return true;
	if (!listener_parse(item->text, &in->settings->admin, &problem))
		return complain(in, item->where, problem);
	if (!config->admin_public && !listener_is_private(&in->settings->admin))
		return complain(in, item->where,
				"other machines reach this address: if they "
				"shall, add --admin-public");
	return true;
}

static bool read_user(const struct reader *in)
{
	const struct opts_item *item = &in->settings->config.user;
	const char *problem;

	return !item->text ||
	       user_parse(item->text, &in->settings->user, &problem) ||
	       complain(in, item->where, problem);
}

static bool read_fence(const struct reader *in)
{
	return !in->settings->config.seccomp || fence_is_known() ||
	       complain(in, "--seccomp", "built without libseccomp");
}

static bool read_rules(const struct reader *in, const struct opts_list *list,
		       struct guard_rules *rules)
{
	const char *problem;
	size_t i;

	for (i = 0; i < list->count; i++)
		if (!guard_add(rules, list->items[i].text, &problem))
			return complain(in, list->items[i].where, problem);
	return true;
}

static bool read_guard(const struct reader *in)
{
	const struct config *config = &in->settings->config;
	struct guard *guard = &in->settings->guard;

	return read_rules(in, &config->allow_target, &guard->allowed) &&
	       read_rules(in, &config->deny_target, &guard->denied);
}

/* TLS when a URL wants it; the files are read when they are named. */
static bool read_tls(const struct reader *in)
{
	const struct config *config = &in->settings->config;
	const struct tls_options options = {.ca = config->redis_ca.text,
					    .cert = config->redis_cert.text,
					    .key = config->redis_key.text};
	bool wanted = options.ca || options.cert || options.key;
	char why[TLS_WHY_MAX];
	size_t i;

	for (i = 0; i < config->redis.count; i++)
		wanted |= in->settings->urls[i].is_tls;
	if (!wanted)
		return true;
	if (options.key && !options.cert)
		return complain(in, config->redis_key.where,
				"needs --redis-cert too");
	in->settings->tls = tls_new(&options, why);
	return in->settings->tls || complain(in, "TLS to redis", why);
}

bool settings_read(struct settings *settings, int argc, char *const *argv,
		   char error[OPTS_ERROR_MAX])
{
	const struct reader in = {settings, error};
	const struct config *config = &settings->config;

	memset(settings, 0, sizeof(*settings));
	if (!opts_parse(argc, argv, &settings->config, error))
		return false;
	if (config->help || config->version)
		return true;
	return read_addresses(&in) && read_tables(&in) && read_admin(&in) &&
	       read_user(&in) && read_fence(&in) && read_guard(&in) &&
	       redis_urls_read(config, settings->urls, error) && read_tls(&in);
}

void settings_free(struct settings *settings)
{
	tls_free(settings->tls);
	opts_free(&settings->config);
}
