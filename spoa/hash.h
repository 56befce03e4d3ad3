/* SPDX-License-Identifier: MIT */
/*
 * hash: keyed hashing for tables whose keys come from the internet.
 *
 * SipHash-1-3 with a secret per process, so that nobody outside can choose
 * hosts that collide. Source: Aumasson and Bernstein, "SipHash: a fast
 * short-input PRF", with the round numbers that Rust and Python use for tables.
 */
#ifndef SPOA_HASH_H
#define SPOA_HASH_H

#include "base.h"

/* Drawn once at start from the system's random source. */
struct hash_secret {
	uint64_t k0;
	uint64_t k1;
};

uint64_t hash_span(const struct hash_secret *secret, struct span text);

#endif
