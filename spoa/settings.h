/* SPDX-License-Identifier: MIT */
/*
 * settings: the configuration, read and judged as a whole.
 *
 * Options go in as the command line and the file have them; addresses, URLs,
 * rules and keys come out in the form that the rooms want. All that can be
 * known to be wrong without opening a socket is found here, for a start as for
 * a reload.
 */
#ifndef SPOA_SETTINGS_H
#define SPOA_SETTINGS_H

#include "fastpath.h"
#include "guard.h"
#include "listener.h"
#include "opts.h"
#include "redis_url.h"
#include "tls.h"
#include "user.h"

struct settings {
	struct config config;
	struct listener_address listen[OPTS_LIST_MAX]; /* config.listen.count */
	struct listener_address admin;	  /* when config.admin.text is set */
	struct listener_address feedback; /* the same */
	struct fastpath_address tables[OPTS_LIST_MAX];
	struct redis_url urls[OPTS_LIST_MAX]; /* config.redis.count */
	struct tls *tls;    /* owned; NULL when no URL wants it */
	struct user user;   /* whose name is empty without --user */
	struct guard guard; /* its texts are the config's */
};

/* Reads all; with --help or --version nothing but that. False with one line in
 * `error`, without secrets. To be freed either way. */
bool settings_read(struct settings *settings, int argc, char *const *argv,
		   char error[OPTS_ERROR_MAX]) MUST_CHECK;

void settings_free(struct settings *settings);

#endif
