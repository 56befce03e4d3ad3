/* SPDX-License-Identifier: MIT */
/*
 * hash: SipHash-1-3 of a span. No state but the secret that the caller holds.
 */
#include "hash.h"

#include <endian.h>

struct sip {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void mix(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static inline void absorb(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	mix(s);
	s->v0 ^= word;
}

/* Eight bytes as a little-endian number on every machine. */
static inline uint64_t get_word(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

/* The same of the bytes behind the last whole word. Where there is a word
 * before them, the last eight bytes hold them all. */
static inline uint64_t get_rest(struct span text)
{
	size_t rest = text.len % 8;
	uint64_t word = 0;

	if (rest > 0 && text.len > 8)
		return get_word(text.p + text.len - 8) >> (64 - rest * 8);
	while (rest > 0)
		word = word << 8 | (uint8_t)text.p[--rest];
	return word;
}

uint64_t hash_span(const struct hash_secret *secret, struct span text)
{
	struct sip s = {
		.v0 = secret->k0 ^ 0x736f6d6570736575ULL,
		.v1 = secret->k1 ^ 0x646f72616e646f6dULL,
		.v2 = secret->k0 ^ 0x6c7967656e657261ULL,
		.v3 = secret->k1 ^ 0x7465646279746573ULL,
	};
	size_t whole = text.len / 8 * 8;
	size_t i;

	for (i = 0; i < whole; i += 8)
		absorb(&s, get_word(text.p + i));
	absorb(&s, (uint64_t)text.len << 56 | get_rest(text));
	s.v2 ^= 0xff;
	mix(&s);
	mix(&s);
	mix(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
