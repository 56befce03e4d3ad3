/* SPDX-License-Identifier: MIT */
/*
 * kit: what the unit tests share. Include it first: it brings cmocka and what
 * cmocka needs.
 */
#ifndef TESTS_UNIT_KIT_H
#define TESTS_UNIT_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../../spoa/base.h"

/* A copy of `len` bytes that ends where a page begins that cannot be touched:
 * one byte too far traps. Valid until the next call. */
char *kit_guarded(const void *bytes, size_t len);

/* A stream into memory, one at a time. kit_written ends it: the text lives
 * until the next one, and has no NUL. kit_expect compares that. */
FILE *kit_stream(void);
const char *kit_written(FILE *stream);
void kit_expect(FILE *stream, const char *expected);

/* Random numbers that repeat for the same seed. The seed is the environment's
 * SEED or the time; it is printed once. */
uint64_t kit_random(void);

/* Lets the n-th allocation from now on fail, once; 0 lets none. Counts malloc,
 * calloc, realloc and strdup of the whole program. */
void kit_fail_allocation(unsigned int n);

/* Did the failure that was asked for happen? */
bool kit_did_fail(void);

/* Allocations since the program began. */
uint64_t kit_allocations(void);

/* A hash of a few fields, for a store of the test's own; zeroes begin it. */
struct kit_hash {
	struct {
		char field[300];
		char value[300];
	} rows[32];
	size_t count;
};

/* Sets a field; with NULL removes it. */
void kit_hset(struct kit_hash *hash, const char *field, const char *value);

/* Its value, which lives in the hash; NULL when there is none. */
const char *kit_hget(const struct kit_hash *hash, struct span field);

#endif
