/* SPDX-License-Identifier: MIT */
/*
 * routectl: the command line for people and deploy scripts: reads the options
 * and calls the command.
 */
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl.h"
#include "ctl_agent.h"
#include "ctl_edit.h"
#include "ctl_explain.h"
#include "ctl_import.h"
#include "ctl_read.h"
#include "ctl_watch.h"
#include "redis_urls.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

static enum ctl_status (*const commands[CTL_COMMANDS])(struct ctl *ctl) = {
	[CTL_SET] = ctl_edit_set,	 [CTL_GET] = ctl_read_get,
	[CTL_DEL] = ctl_edit_del,	 [CTL_LS] = ctl_read_ls,
	[CTL_EXPORT] = ctl_read_export,	 [CTL_IMPORT] = ctl_import,
	[CTL_DIFF] = ctl_import_diff,	 [CTL_CHECK] = ctl_read_check,
	[CTL_EXPLAIN] = ctl_explain,	 [CTL_FLUSH] = ctl_edit_flush,
	[CTL_WATCH] = ctl_watch,	 [CTL_TOP] = ctl_agent_top,
	[CTL_CONFIG] = ctl_agent_config,
};

static bool read_rules(const struct opts_list *list, struct guard_rules *rules,
		       char error[OPTS_ERROR_MAX])
{
	const char *problem;
	size_t i;

	for (i = 0; i < list->count; i++) {
		if (guard_add(rules, list->items[i].text, &problem))
			continue;
		snprintf(error, OPTS_ERROR_MAX, "%.300s: %.200s",
			 list->items[i].where, problem);
		return false;
	}
	return true;
}

/* What several commands need of the options. */
static bool prepare(struct ctl *ctl, char error[OPTS_ERROR_MAX])
{
	const struct config *config = &ctl->options.config;

	ctl->redis.tls = (struct tls_options){.ca = config->redis_ca.text,
					      .cert = config->redis_cert.text,
					      .key = config->redis_key.text};
	return read_rules(&config->allow_target, &ctl->guard.allowed, error) &&
	       read_rules(&config->deny_target, &ctl->guard.denied, error) &&
	       redis_urls_read(config, ctl->urls, error);
}

static enum ctl_status run(struct ctl *ctl, int argc, char **argv)
{
	struct ctl_options *options = &ctl->options;
	char error[OPTS_ERROR_MAX];

	if (!ctl_opts_parse(argc, argv, options, error))
		return ctl_complain(CTL_MISUSED, "%s", error);
	if (options->help) {
		ctl_opts_print_help();
		return CTL_DONE;
	}
	if (options->version) {
		printf("routectl %s (hiredis %d.%d.%d)\n", VERSION,
		       HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
		return CTL_DONE;
	}
	if (!prepare(ctl, error))
		return ctl_complain(CTL_MISUSED, "%s", error);
	return commands[options->command](ctl);
}

int main(int argc, char **argv)
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	enum ctl_status status;

	if (!ctl)
		return CTL_REFUSED;
	signal(SIGPIPE, SIG_IGN);
	status = run(ctl, argc, argv);
	ctl_redis_close(&ctl->redis);
	ctl_opts_free(&ctl->options);
	free(ctl);
	return (int)status;
}
