/* SPDX-License-Identifier: MIT */
/*
 * ctl_opts: the command line of routectl.
 *
 * Options may stand anywhere among the words. Those that the agent has too
 * (--redis, --routes, --config and others) are read by opts, so that they mean
 * the same and the agent's own file can be given. Commands, options and the
 * text of --help stand in two tables and nowhere else.
 */
#ifndef SPOA_CTL_OPTS_H
#define SPOA_CTL_OPTS_H

#include "opts.h"

enum ctl_command {
	CTL_SET,
	CTL_GET,
	CTL_DEL,
	CTL_LS,
	CTL_IMPORT,
	CTL_EXPORT,
	CTL_DIFF,
	CTL_CHECK,
	CTL_EXPLAIN,
	CTL_FLUSH,
	CTL_WATCH,
	CTL_TOP,
	CTL_CONFIG,
	CTL_COMMANDS /* how many there are */
};

struct ctl_options {
	struct config config; /* what is shared with the agent */
	enum ctl_command command;
	char **words; /* after the command; owned array, borrowed texts */
	size_t word_count;
	const char *admin; /* borrowed, as those below; NULL: not given */
	const char *front;
	const char *from;
	bool json;
	bool progress;
	bool quiet;
	bool replace;
	bool yes;
	bool help;
	bool version;
};

/* Reads the command line and the file of --config. False with one line in
 * `error`. The options must be freed either way; they borrow from `argv`. */
bool ctl_opts_parse(int argc, char *const *argv, struct ctl_options *options,
		    char error[OPTS_ERROR_MAX]) MUST_CHECK;

void ctl_opts_free(struct ctl_options *options);

/* Writes the text of --help to stdout. */
void ctl_opts_print_help(void);

#endif
