/* SPDX-License-Identifier: MIT */
/*
 * opts_table: the options there are.
 *
 * Names, defaults, bounds and the text of --help stand in this table and
 * nowhere else. The command line and the file are read by it, and the values in
 * force are shown and compared by it.
 */
#ifndef SPOA_OPTS_TABLE_H
#define SPOA_OPTS_TABLE_H

#include "opts.h"

#define SECOND_MS 1000LL
#define DAY_MS (86400 * SECOND_MS)

enum opts_kind {
	OPTS_FLAG,
	OPTS_TEXT,
	OPTS_LIST,
	OPTS_NUMBER,
	OPTS_DURATION,
	OPTS_CHOICE
};

struct opts_option {
	const char *name;
	enum opts_kind kind;
	size_t offset;	     /* of its place in struct config */
	const char *initial; /* the default as text, or NULL */
	int64_t min, max;    /* of OPTS_NUMBER, and of OPTS_DURATION in ms */
	int64_t unit_ms;     /* of an OPTS_DURATION without suffix */
	const char *value;   /* what --help calls the value; NULL: none */
	const char *help;
	const char *const *words; /* of an OPTS_CHOICE, by value; ends NULL */
	bool is_local;	/* only for the command line, and looked at first */
	bool is_live;	/* may be changed while the program runs ... */
	bool is_switch; /* ... but not from or to 0 */
};

extern const struct opts_option opts_table[];
extern const size_t opts_count; /* rows of it */

/* The words of an OPTS_CHOICE or an OPTS_FLAG. */
const char *const *opts_words(const struct opts_option *option);

#endif
