/* SPDX-License-Identifier: MIT */
/*
 * hash: the reference function and what a table wants of it.
 */
#include "kit.h"

#include <stdio.h>

#include "../../spoa/hash.h"

/* SipHash-1-3 of the bytes 0, 1, 2, ... with the key 0, 1, ..., 15: the first
 * vectors that other implementations test with. */
static void test_known_values(void **state)
{
	const struct hash_secret secret = {0x0706050403020100ULL,
					   0x0f0e0d0c0b0a0908ULL};
	static const struct {
		size_t len;
		uint64_t hash;
	} rows[] = {
		{0, 0xabac0158050fc4dcULL},  {1, 0xc9f49bf37d57ca93ULL},
		{7, 0xd3927d989bb11140ULL},  {11, 0x70c118c1f94dc352ULL},
		{15, 0xd320d86d2a519956ULL}, {23, 0x525a0e7fdae6c123ULL},
	};
	char bytes[64];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		char *text = kit_guarded(bytes, rows[i].len);

		assert_int_equal(
			hash_span(&secret, (struct span){text, rows[i].len}),
			rows[i].hash);
	}
}

static void test_secret_and_length_count(void **state)
{
	const struct hash_secret a = {1, 2}, b = {1, 3};
	const char zeros[16] = {0};
	size_t i;

	(void)state;
	assert_int_not_equal(hash_span(&a, span_of("app1.cloud.com")),
			     hash_span(&b, span_of("app1.cloud.com")));
	for (i = 0; i + 1 < sizeof(zeros); i++)
		assert_int_not_equal(
			hash_span(&a, (struct span){zeros, i}),
			hash_span(&a, (struct span){zeros, i + 1}));
}

/* Whoever finds hosts that share a bucket under one secret has found nothing
 * about another: they are spread as any hosts are. */
static void test_collisions_end_with_the_secret(void **state)
{
	enum { FIELDS = 512, BUCKETS = 256 };
	const struct hash_secret a = {kit_random(), kit_random()};
	const struct hash_secret b = {kit_random(), kit_random()};
	unsigned int in_bucket[BUCKETS] = {0}, found = 0, most = 0;
	char text[32];
	size_t i, bucket;

	(void)state;
	for (i = 0; found < FIELDS; i++) {
		snprintf(text, sizeof(text), "h%zu.example", i);
		if (hash_span(&a, span_of(text)) % BUCKETS != 0)
			continue;
		found++;
		bucket = hash_span(&b, span_of(text)) % BUCKETS;
		most = ++in_bucket[bucket] > most ? in_bucket[bucket] : most;
	}
	assert_in_range(most, 2, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_values),
		cmocka_unit_test(test_secret_and_length_count),
		cmocka_unit_test(test_collisions_end_with_the_secret),
	};

	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
