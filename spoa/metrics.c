/* SPDX-License-Identifier: MIT */
/*
 * metrics: the exposition format, line by line.
 */
#include "metrics.h"

#include <inttypes.h>

const int64_t metrics_bounds_us[METRICS_BUCKETS] = {
	10,   25,   50,	   100,	  250,	 500,	 1000,
	2500, 5000, 10000, 25000, 50000, 100000, 500000};

void metrics_observe(struct metrics_histogram *histogram, int64_t took_us,
		     uint64_t times)
{
	size_t i = 0;

	if (took_us < 0)
		took_us = 0;
	while (i < METRICS_BUCKETS && took_us > metrics_bounds_us[i])
		i++;
	histogram->counts[i] += times;
	histogram->sum_us += (uint64_t)took_us * times;
}

uint64_t metrics_total(const struct metrics_histogram *histogram,
		       const struct metrics_histogram *before)
{
	uint64_t total = 0;
	size_t i;

	for (i = 0; i <= METRICS_BUCKETS; i++)
		total += histogram->counts[i] - before->counts[i];
	return total;
}

/* Within a bucket the events are taken to be spread evenly. */
int64_t metrics_quantile(const struct metrics_histogram *histogram,
			 const struct metrics_histogram *before, double share)
{
	double rank = share * (double)metrics_total(histogram, before);
	double low_us = 0, count;
	size_t i;

	if (rank <= 0)
		return -1;
	for (i = 0; i < METRICS_BUCKETS; i++) {
		double high_us = (double)metrics_bounds_us[i];

		count = (double)(histogram->counts[i] - before->counts[i]);
		if (rank <= count)
			return (int64_t)(low_us +
					 (high_us - low_us) * rank / count);
		rank -= count;
		low_us = high_us;
	}
	return metrics_bounds_us[METRICS_BUCKETS - 1];
}

void metrics_head(FILE *out, const char *name, const char *type,
		  const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_label(FILE *out, const struct metrics_label *label)
{
	size_t i;

	fprintf(out, "%s=\"", label->name);
	for (i = 0; i < label->value.len; i++) {
		unsigned char c = (unsigned char)label->value.p[i];

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c >= ' ' && c <= '~')
			fputc(c, out);
		else
			fprintf(out, "\\\\x%02x", c);
	}
	fputc('"', out);
}

void metrics_sample(FILE *out, const char *name,
		    const struct metrics_label *labels, uint64_t value)
{
	char bracket = '{';

	fputs(name, out);
	for (; labels && labels->name; labels++) {
		fputc(bracket, out);
		put_label(out, labels);
		bracket = ',';
	}
	fprintf(out, "%s %" PRIu64 "\n", bracket == ',' ? "}" : "", value);
}

static uint64_t read_field(const struct metrics_row *row, const void *counters)
{
	const char *at = (const char *)counters + row->offset;
	uint64_t wide;
	uint32_t half;
	bool flag;

	if (row->width == sizeof(wide)) {
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
	if (row->width == sizeof(half)) {
		memcpy(&half, at, sizeof(half));
		return half;
	}
	memcpy(&flag, at, sizeof(flag));
	return flag;
}

void metrics_rows(FILE *out, const struct metrics_row *rows, size_t count,
		  const void *counters)
{
	size_t i;

	for (i = 0; i < count; i++) {
		const struct metrics_row *row = &rows[i];

		if (row->help)
			metrics_head(out, row->name, row->type, row->help);
		fputs(row->name, out);
		if (row->labels)
			fprintf(out, "{%s}", row->labels);
		fprintf(out, " %" PRIu64 "\n", read_field(row, counters));
	}
}

void metrics_seconds(FILE *out, const char *name, const char *type,
		     const char *help, int64_t ms)
{
	metrics_head(out, name, type, help);
	if (ms < 0)
		fprintf(out, "%s NaN\n", name);
	else
		fprintf(out, "%s %" PRId64 ".%03" PRId64 "\n", name, ms / 1000,
			ms % 1000);
}

static void put_bucket(FILE *out, const char *name,
		       const struct metrics_label *label, const char *bound,
		       uint64_t count)
{
	fprintf(out, "%s_bucket{", name);
	put_label(out, label);
	fprintf(out, ",le=\"%s\"} %" PRIu64 "\n", bound, count);
}

void metrics_histogram(FILE *out, const char *name, struct metrics_label label,
		       const struct metrics_histogram *histogram)
{
	uint64_t count = 0;
	char bound[24];
	size_t i;

	for (i = 0; i < METRICS_BUCKETS; i++) {
		count += histogram->counts[i];
		snprintf(bound, sizeof(bound), "%g",
			 (double)metrics_bounds_us[i] / 1e6);
		put_bucket(out, name, &label, bound, count);
	}
	count += histogram->counts[METRICS_BUCKETS];
	put_bucket(out, name, &label, "+Inf", count);
	fprintf(out, "%s_sum{", name);
	put_label(out, &label);
	fprintf(out, "} %.6f\n%s_count{", (double)histogram->sum_us / 1e6,
		name);
	put_label(out, &label);
	fprintf(out, "} %" PRIu64 "\n", count);
}
