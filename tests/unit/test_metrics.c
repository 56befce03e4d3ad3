/* SPDX-License-Identifier: MIT */
/*
 * metrics: the text format, and how a histogram counts.
 */
#include "kit.h"

#include "../../spoa/metrics.h"

struct counters {
	bool flag;
	uint32_t half;
	uint64_t wide;
};

static const struct metrics_row rows[] = {
	{"a_total", NULL, "counter", "All of them.",
	 METRICS_FIELD(counters, wide)},
	{"b", "kind=\"x\"", "gauge", "Some.", METRICS_FIELD(counters, half)},
	{"b", "kind=\"y\"", "gauge", NULL, METRICS_FIELD(counters, flag)},
};

static void test_families(void **state)
{
	const struct counters counters = {
		.wide = UINT64_MAX, .half = 7, .flag = true};
	const struct metrics_label labels[] = {
		{"status", span_of("ok")}, {"source", span_of("cache")}, {0}};
	FILE *out = kit_stream();

	(void)state;
	metrics_rows(out, rows, ARRAY_LEN(rows), &counters);
	metrics_seconds(out, "c_seconds", "gauge", "Time.", 1002);
	metrics_seconds(out, "d_seconds", "counter", "Never.", -1);
	metrics_sample(out, "e", labels, 3);
	kit_expect(out, "# HELP a_total All of them.\n# TYPE a_total counter\n"
			"a_total 18446744073709551615\n"
			"# HELP b Some.\n# TYPE b gauge\nb{kind=\"x\"} 7\n"
			"b{kind=\"y\"} 1\n"
			"# HELP c_seconds Time.\n# TYPE c_seconds gauge\n"
			"c_seconds 1.002\n"
			"# HELP d_seconds Never.\n# TYPE d_seconds counter\n"
			"d_seconds NaN\n"
			"e{status=\"ok\",source=\"cache\"} 3\n");
}

static void test_label_values_stay_within_their_quotes(void **state)
{
	const struct metrics_label labels[] = {
		{"host", {"a\"b\\c\nd\xff\0", 9}}, {0}};
	FILE *out = kit_stream();

	(void)state;
	metrics_sample(out, "m", labels, 1);
	kit_expect(out, "m{host=\"a\\\"b\\\\c\\\\x0ad\\\\xff\\\\x00\"} 1\n");
}

/* A bound belongs to its bucket, as Prometheus' `le` says. */
static void test_histogram(void **state)
{
	struct metrics_histogram histogram = {0};
	uint64_t total = 0;
	size_t i;

	(void)state;
	metrics_observe(&histogram, -5, 1);
	metrics_observe(&histogram, metrics_bounds_us[0], 2);
	metrics_observe(&histogram, metrics_bounds_us[0] + 1, 4);
	metrics_observe(&histogram, INT32_MAX, 8);
	assert_int_equal(histogram.counts[0], 3);
	assert_int_equal(histogram.counts[1], 4);
	assert_int_equal(histogram.counts[METRICS_BUCKETS], 8);
	for (i = 0; i <= METRICS_BUCKETS; i++)
		total += histogram.counts[i];
	assert_int_equal(total, 15);
	for (i = 1; i < METRICS_BUCKETS; i++)
		assert_true(metrics_bounds_us[i] > metrics_bounds_us[i - 1]);
}

static void test_histogram_text_is_cumulative(void **state)
{
	struct metrics_histogram histogram = {0};
	FILE *out = kit_stream();
	const char *text;

	(void)state;
	metrics_observe(&histogram, 1, 2);
	metrics_observe(&histogram, INT32_MAX, 1);
	metrics_histogram(out, "h_seconds",
			  (struct metrics_label){"from", span_of("cache")},
			  &histogram);
	text = kit_written(out);
	assert_non_null(strstr(
		text, "h_seconds_bucket{from=\"cache\",le=\"1e-05\"} 2\n"));
	assert_non_null(strstr(
		text, "h_seconds_bucket{from=\"cache\",le=\"0.5\"} 2\n"));
	assert_non_null(
		strstr(text, "h_seconds_bucket{from=\"cache\",le=\"+Inf\"} 3\n"
			     "h_seconds_sum{from=\"cache\"} 2147.483649\n"
			     "h_seconds_count{from=\"cache\"} 3\n"));
}

static void test_quantiles(void **state)
{
	struct metrics_histogram before = {0}, now;

	(void)state;
	metrics_observe(&before, 20, 1000);
	now = before;
	assert_int_equal(metrics_quantile(&now, &before, 0.5), -1);
	assert_int_equal(metrics_total(&now, &before), 0);
	metrics_observe(&now, 200, 100); /* within 100 to 250 */
	assert_int_equal(metrics_total(&now, &before), 100);
	assert_int_equal(metrics_quantile(&now, &before, 0.5), 175);
	assert_int_equal(metrics_quantile(&now, &before, 1), 250);
	metrics_observe(&now, 5, 300);
	assert_int_equal(metrics_quantile(&now, &before, 0.5), 6);
	metrics_observe(&now, INT32_MAX, 10000);
	assert_int_equal(metrics_quantile(&now, &before, 0.99),
			 metrics_bounds_us[METRICS_BUCKETS - 1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_label_values_stay_within_their_quotes),
		cmocka_unit_test(test_histogram),
		cmocka_unit_test(test_quantiles),
		cmocka_unit_test(test_histogram_text_is_cumulative),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
