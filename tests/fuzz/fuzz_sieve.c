/* SPDX-License-Identifier: MIT */
/*
 * fuzz_sieve: the input is a limit, the size of the reads and what Redis
 * sends. However it is split the same must come out, and nothing that was not
 * sent but the errors for bulks over the limit.
 */
#include "fuzz.h"

#include "../../spoa/sieve.h"

struct sifted {
	char *bytes;
	size_t len;
	bool is_broken;
};

static void append(struct sifted *out, struct span piece)
{
	if (piece.len == 0)
		return;
	out->bytes = realloc(out->bytes, out->len + piece.len);
	MUST(out->bytes != NULL);
	memcpy(out->bytes + out->len, piece.p, piece.len);
	out->len += piece.len;
}

/* Takes from one read, in memory that ends where the read does. */
static void sift_read(struct sieve *sieve, struct span bytes,
		      struct sifted *out)
{
	char *copy = malloc(bytes.len);
	struct span in = {copy, bytes.len}, piece = {0};
	enum sieve_result result;

	MUST(copy != NULL);
	memcpy(copy, bytes.p, bytes.len);
	while ((result = sieve_next(sieve, &in, &piece)) == SIEVE_PIECE) {
		MUST(piece.len > 0);
		append(out, piece);
	}
	MUST(result == SIEVE_BROKEN || in.len == 0);
	out->is_broken = result == SIEVE_BROKEN;
	free(copy);
}

static struct sifted sift(struct span bytes, size_t limit, size_t read_max)
{
	struct sifted out = {0};
	struct sieve sieve;

	sieve_init(&sieve, limit);
	while (bytes.len > 0 && !out.is_broken) {
		size_t len = bytes.len < read_max ? bytes.len : read_max;

		sift_read(&sieve, (struct span){bytes.p, len}, &out);
		bytes.p += len;
		bytes.len -= len;
	}
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct span sent = {(const char *)bytes, len};
	struct sifted whole, split;
	size_t shorter;

	if (len < 2)
		return 0;
	sent.p += 2;
	sent.len -= 2;
	whole = sift(sent, bytes[0], sent.len);
	split = sift(sent, bytes[0], bytes[1] + (size_t)1);
	/* Of a line that is too long the pieces before were passed on. */
	shorter = whole.len < split.len ? whole.len : split.len;
	MUST(whole.is_broken == split.is_broken);
	MUST(whole.is_broken || whole.len == split.len);
	MUST(shorter == 0 || !memcmp(whole.bytes, split.bytes, shorter));
	free(whole.bytes);
	free(split.bytes);
	return 0;
}
