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
	[CTL_SET] = ctl_edit_set,	[CTL_GET] = ctl_read_get,
	[CTL_DEL] = ctl_edit_del,	[CTL_LS] = ctl_read_ls,
	[CTL_EXPORT] = ctl_read_export, [CTL_IMPORT] = ctl_import,
	[CTL_DIFF] = ctl_import_diff,	[CTL_CHECK] = ctl_read_check,
	[CTL_EXPLAIN] = ctl_explain,	[CTL_FLUSH] = ctl_edit_flush,
	[CTL_WATCH] = ctl_watch,	[CTL_CONFIG] = ctl_agent_config,
};

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
	if (!redis_urls_read(&options->config, ctl->urls, error))
		return ctl_complain(CTL_MISUSED, "%s", error);
	ctl->redis.tls =
		(struct tls_options){.ca = options->config.redis_ca.text,
				     .cert = options->config.redis_cert.text,
				     .key = options->config.redis_key.text};
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
