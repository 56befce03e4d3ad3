/* SPDX-License-Identifier: MIT */
/*
 * fuzz_snapshot: the input is a snapshot file without its count and checksum,
 * which are put right unless its first byte is odd: else nothing but damage
 * would be tried. What was read is written again, by the loop or, with its
 * second bit, at the end, and read into another cache: it must be the same. The
 * third bit takes the folder away, the fourth puts another in the file's place,
 * the fifth ends it in the middle of the loop's writing.
 */
#include "away.h"
#include "fuzz.h"

#include "../../spoa/log.h"
#include "../../spoa/snapshot.h"

#include "hasty.h"

#include <endian.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	DAMAGED = 1,
	AT_END = 2,
	NO_FOLDER = 4,
	IS_FOLDER = 8,
	CUTS_IN = 16
}; /* of the first byte */
enum { HEAD = 24, ENTRY_HEAD = 11, STALE_MS = 86400 * 1000 };
enum { TURNS_MAX = 50000 };

static const struct hash_secret secret = {1, 2};

/* What the cache of one life holds. */
struct life {
	struct loop loop;
	struct store store;
	struct cache *cache;
	struct resolver *resolver;
	struct snapshot *snapshot;
};

static void ignore_bad(void *context, const struct bad_route *bad)
{
	(void)context;
	MUST(bad->field.len > 0);
}

static void begin_life(struct life *life, const char *path)
{
	const struct cache_options lives = {.values_max = 64,
					    .ttl_ms = 10000,
					    .negative_ms = 1000,
					    .stale_ms = STALE_MS};
	const struct resolver_options options = {.lookup_timeout_ms = 50,
						 .waiting_max = 1,
						 .bad_route = ignore_bad};
	struct snapshot_options kept = {
		.loop = &life->loop, .path = path, .stale_ms = STALE_MS};

	*life = (struct life){.store = STORE_AWAY};
	MUST(loop_init(&life->loop));
	kept.cache = life->cache = cache_new(&lives, &secret);
	MUST(life->cache != NULL);
	kept.resolver = life->resolver =
		resolver_new(&options, &secret, life->cache, &life->store);
	MUST(life->resolver != NULL);
	life->snapshot = snapshot_new(&kept);
	MUST(life->snapshot != NULL);
	snapshot_set_stale(life->snapshot, STALE_MS);
	snapshot_read(life->snapshot);
	MUST(snapshot_count(life->snapshot)->entries <= 64);
}

static void end_life(struct life *life)
{
	snapshot_free(life->snapshot);
	resolver_free(life->resolver);
	cache_free(life->cache);
	loop_fini(&life->loop);
}

static void put_number(uint8_t *to, uint64_t number)
{
	number = htole64(number);
	memcpy(to, &number, sizeof(number));
}

static uint64_t add_up(uint64_t sum, const uint8_t *bytes, size_t len)
{
	const struct hash_secret key = {sum, len};

	return hash_span(&key, (struct span){(const char *)bytes, len});
}

/* Writes the trailer that belongs to these bytes, up to the first that is no
 * whole entry. Returns the length with it. */
static size_t put_right(uint8_t *bytes, size_t len)
{
	uint64_t count = 0, sum = add_up(0, bytes, 16);
	size_t at = HEAD;

	sum = add_up(sum, bytes + 16, 8);
	while (len - at >= ENTRY_HEAD && bytes[at] > 0) {
		size_t field = bytes[at];
		size_t text = (size_t)(bytes[at + 1] | bytes[at + 2] << 8);

		text = text == 0xffff ? 0 : text;
		if (field + text > len - at - ENTRY_HEAD)
			break;
		sum = add_up(sum, bytes + at, ENTRY_HEAD);
		sum = add_up(sum, bytes + at + ENTRY_HEAD, field);
		if (text > 0)
			sum = add_up(sum, bytes + at + ENTRY_HEAD + field,
				     text);
		at += ENTRY_HEAD + field + text;
		count++;
	}
	bytes[at] = 0;
	put_number(bytes + at + 1, count);
	sum = add_up(sum, bytes + at, 1);
	sum = add_up(sum, bytes + at + 1, 8);
	put_number(bytes + at + 9, sum);
	return at + 17;
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
	FILE *file = fopen(path, "we");

	MUST(file != NULL);
	MUST(fwrite(bytes, 1, len, file) == len);
	MUST(fclose(file) == 0);
}

/* All of `before` is in `after`, and no more. */
static void compare(struct cache *before, struct cache *after)
{
	const struct cache_counters *was = cache_count(before);
	struct span field;
	const void *value;
	int64_t age_ms;

	MUST(cache_count(after)->values == was->values);
	MUST(cache_count(after)->absents <= was->absents);
	cache_begin_walk(before);
	while (cache_walk(before, 0, &field, &value, &age_ms)) {
		const struct route *other = cache_find(after, field);

		if (!value)
			continue;
		MUST(other != NULL);
		MUST(span_equal(route_text(value), route_text(other)));
	}
}

static void remove_folder(const char *path)
{
	char folder[64];

	snprintf(folder, sizeof(folder), "%.*s",
		 (int)(strrchr(path, '/') - path), path);
	unlink(path);
	MUST(rmdir(folder) == 0);
}

/* Lets the loop write the file; its end comes from a thread. */
static void write_slices(struct life *life, const char *path)
{
	struct stat before, now;
	size_t turns;

	MUST(stat(path, &before) == 0);
	for (turns = 0; turns < TURNS_MAX; turns++) {
		loop_turn(&life->loop);
		if (stat(path, &now) == 0 && now.st_ino != before.st_ino)
			break;
		usleep(100);
	}
	MUST(turns < TURNS_MAX);
}

static void live_twice(const char *path, uint8_t how)
{
	const struct store_value value = {.kind = STORE_VALUE,
					  .text = {"10.0.0.1:80", 11}};
	struct life first, second;

	begin_life(&first, path);
	MUST(cache_count(first.cache)->values <= 64);
	/* Something changed, so that there is something to write. */
	resolver_learn(first.resolver, (struct span){"x", 1}, &value,
		       loop_now(&first.loop), cache_epoch(first.cache),
		       loop_now(&first.loop));
	if (how & NO_FOLDER)
		remove_folder(path);
	else if (how & IS_FOLDER)
		MUST(unlink(path) == 0 && mkdir(path, 0700) == 0);
	else if (how & CUTS_IN)
		loop_turn(&first.loop);
	else if (!(how & AT_END))
		write_slices(&first, path);
	snapshot_write(first.snapshot);
	if (how & NO_FOLDER) {
		snapshot_read(first.snapshot);
	} else if (how & IS_FOLDER) {
		snapshot_read(first.snapshot);
		MUST(rmdir(path) == 0);
	} else {
		begin_life(&second, path);
		compare(first.cache, second.cache);
		end_life(&second);
	}
	end_life(&first);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char folder[] = "/dev/shm/fuzz-XXXXXX", path[40];
	uint8_t *copy;

	if (len < HEAD + 1)
		return 0;
	copy = malloc(len - 1 + 17);
	MUST(copy != NULL && mkdtemp(folder) != NULL);
	log_setup(LOG_ERROR, LOG_TEXT);
	memcpy(copy, bytes + 1, len - 1);
	len = bytes[0] & DAMAGED ? len - 1 : put_right(copy, len - 1);
	snprintf(path, sizeof(path), "%s/s", folder);
	write_file(path, copy, len);
	live_twice(path, bytes[0]);
	if (!(bytes[0] & NO_FOLDER))
		remove_folder(path);
	free(copy);
	return 0;
}
