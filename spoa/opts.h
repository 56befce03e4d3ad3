/* SPDX-License-Identifier: MIT */
/*
 * opts: the options, from one table, the command line and a file.
 *
 * Strings go in, a struct config comes out, or one line that says what is
 * wrong and where. Names, defaults, bounds and the text of --help stand in the
 * table and nowhere else. What an address or a URL means is not judged here.
 */
#ifndef SPOA_OPTS_H
#define SPOA_OPTS_H

#include "base.h"

enum {
	OPTS_LIST_MAX = 64,   /* uses of a repeatable option */
	OPTS_COUNT_MAX = 64,  /* options there are */
	OPTS_ERROR_MAX = 512, /* bytes of an error line */
	OPTS_TEXT_MAX = 512,  /* bytes of a value that is shown */
};

/* A text and where it was given. */
struct opts_item {
	char *text;  /* owned */
	char *where; /* owned; "FILE:LINE" or "--name" */
};

struct opts_list {
	struct opts_item items[OPTS_LIST_MAX];
	size_t count;
};

/* Times in milliseconds, texts owned. */
struct config {
	struct opts_list listen;
	struct opts_list redis;
	struct opts_list allow_target;
	struct opts_list deny_target;
	struct opts_item redis_password_file; /* text may be NULL */
	struct opts_item sentinel_user;	      /* as are these: */
	struct opts_item sentinel_password_file;
	struct opts_item redis_ca;
	struct opts_item redis_cert;
	struct opts_item redis_key;
	struct opts_item routes;
	struct opts_item snapshot; /* the file; text may be NULL */
	struct opts_item admin;	   /* text may be NULL */
	int64_t admin_public;	   /* 0 or 1 */
	struct opts_list haproxy_socket;
	struct opts_item feedback; /* text may be NULL */
	int64_t ttl_ms;
	int64_t negative_ttl_ms;
	int64_t stale_ms;
	int64_t lookup_timeout_ms;
	int64_t check_interval_ms; /* 0: no checks */
	int64_t check_timeout_ms;
	int64_t check_fall;
	int64_t check_rise;
	int64_t cache_size;
	int64_t max_connections;
	int64_t max_waiting;
	int64_t preload; /* 0 or 1, as are these: */
	int64_t empty_guard;
	int64_t reuse_port;
	int64_t seccomp;
	struct opts_item user;	 /* text may be NULL */
	int64_t log_level;	 /* enum log_level */
	int64_t log_format;	 /* enum log_format */
	struct opts_item config; /* the file; text may be NULL */
	int64_t check;		 /* 0 or 1, as are these: */
	int64_t version;
	int64_t help;
	char *where[OPTS_COUNT_MAX]; /* of each option; owned, or NULL */
};

/* A value in force, for people. */
struct opts_value {
	const char *name;
	const char *text;  /* without passwords */
	const char *where; /* "FILE:LINE: name", "--name" or "default" */
};

/* Reads defaults, then the file of --config, then the command line; a later
 * one wins, a list replaces the earlier list. False with one line in `error`,
 * which never holds the value of an option that may be secret. The config
 * must be freed either way. */
bool opts_parse(int argc, char *const *argv, struct config *config,
		char error[OPTS_ERROR_MAX]) MUST_CHECK;

void opts_free(struct config *config);

/* Was the option given neither in the file nor on the command line? */
bool opts_is_default(const struct config *config, const char *name);

/* Calls `show` for each value in force; a repeatable option has several. */
void opts_show(const struct config *config,
	       void (*show)(void *context, const struct opts_value *value),
	       void *context);

/* Calls `changed` for each option that `next` gives another value; `is_live`
 * says whether it may be changed while the program runs. */
void opts_compare(const struct config *config, const struct config *next,
		  void (*changed)(void *context, const char *name,
				  bool is_live),
		  void *context);

/* Gives `config` what may be changed while the program runs, and the place
 * where each value that is in force stands; `next` gets the old values, to be
 * freed. */
void opts_adopt(struct config *config, struct config *next);

/* Writes the text of --help to stdout. */
void opts_print_help(void);

#endif
