/* SPDX-License-Identifier: MIT */
/*
 * ctl_report: rows for people, in columns, or for programs, as JSON.
 *
 * Cells may come from strangers: for people, bytes that a terminal could obey
 * are escaped as \xNN.
 */
#ifndef SPOA_CTL_REPORT_H
#define SPOA_CTL_REPORT_H

#include "base.h"

#include <stdio.h>

enum { CTL_REPORT_COLUMNS = 8 };

struct ctl_cell {
	enum { CTL_NOTHING, CTL_TEXT, CTL_NUMBER } kind;
	struct span text;
	int64_t number;
};

static inline struct ctl_cell ctl_span(struct span text)
{
	return (struct ctl_cell){.kind = CTL_TEXT, .text = text};
}

static inline struct ctl_cell ctl_text(const char *text)
{
	return ctl_span(span_of(text));
}

static inline struct ctl_cell ctl_number(int64_t number)
{
	return (struct ctl_cell){.kind = CTL_NUMBER, .number = number};
}

struct ctl_report;

/* `columns` are names in lower case, borrowed: the keys of JSON, and in upper
 * case the head of the columns. NULL without memory. */
struct ctl_report *ctl_report_new(FILE *out, bool json,
				  const char *const *columns, size_t count);

/* Adds a row of as many cells as there are columns; they are copied. */
void ctl_report_row(struct ctl_report *report, const struct ctl_cell *cells);

/* Writes what was added and frees the report. Without rows people read
 * nothing and programs an empty list. False when memory ran out on the way or
 * `out` failed. */
bool ctl_report_end(struct ctl_report *report) MUST_CHECK;

/* Writes text with \xNN for what is no printable ASCII, and \\ for \. */
void ctl_report_escape(FILE *out, struct span text);

#endif
