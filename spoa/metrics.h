/* SPDX-License-Identifier: MIT */
/*
 * metrics: counts, and the text that Prometheus reads them from.
 *
 * A family is a head, then samples. Names and labels are the caller's literals;
 * only label values may come from elsewhere, and are escaped. See
 * https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4).
 */
#ifndef SPOA_METRICS_H
#define SPOA_METRICS_H

#include "base.h"

#include <stdio.h>

enum { METRICS_BUCKETS = 14 };

/* Upper bounds in microseconds of the buckets; one without bound follows. */
extern const int64_t metrics_bounds_us[METRICS_BUCKETS];

struct metrics_histogram {
	uint64_t counts[METRICS_BUCKETS + 1]; /* not cumulative */
	uint64_t sum_us;
};

struct metrics_label {
	const char *name; /* a literal */
	struct span value;
};

/* Counts `times` events that took `took_us` each. */
void metrics_observe(struct metrics_histogram *histogram, int64_t took_us,
		     uint64_t times);

/* How many there are, less those of `before`. */
uint64_t metrics_total(const struct metrics_histogram *histogram,
		       const struct metrics_histogram *before);

/* What `share` of the events since `before` took at most, in microseconds, as
 * good as the buckets allow; -1 when there was none. */
int64_t metrics_quantile(const struct metrics_histogram *histogram,
			 const struct metrics_histogram *before, double share);

/* `type` is counter, gauge or histogram. */
void metrics_head(FILE *out, const char *name, const char *type,
		  const char *help);

/* One sample. `labels` ends with one without a name; NULL for none. */
void metrics_sample(FILE *out, const char *name,
		    const struct metrics_label *labels, uint64_t value);

/* A sample, and where in a struct of counters its value lies. */
struct metrics_row {
	const char *name;
	const char *labels; /* as they are written, or NULL */
	const char *type;
	const char *help; /* NULL: of the family in the row above */
	size_t offset;
	size_t width; /* bytes: a bool, or 32 or 64 bits without sign */
};

/* The last two of a row. */
#define METRICS_FIELD(type, field)                                             \
	offsetof(struct type, field), sizeof(((struct type *)0)->field)

/* Writes the samples of a table, with their heads. */
void metrics_rows(FILE *out, const struct metrics_row *rows, size_t count,
		  const void *counters);

/* A head and its one sample in seconds, from milliseconds; NaN when they are
 * negative: never. */
void metrics_seconds(FILE *out, const char *name, const char *type,
		     const char *help, int64_t ms);

/* The samples of a histogram of seconds; its head was written. */
void metrics_histogram(FILE *out, const char *name, struct metrics_label label,
		       const struct metrics_histogram *histogram);

#endif
