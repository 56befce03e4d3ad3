/* SPDX-License-Identifier: MIT */
/*
 * snapshot: entries to a file in slices, and back.
 */
#include "snapshot.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

enum {
	FIRST_MS = 5 * 1000,   /* before the first file */
	PERIOD_MS = 60 * 1000, /* between two files */
	WORN_SHARE = 8,	       /* of --stale: older files are written anew */
	SLICE_MS = 1,	       /* between two slices */
	SLICE = 500,	       /* entries */
	PATH_BYTES = 4096,
	ABSENT = 0xffff, /* the length of a text that is not there */
	HEAD_BYTES = 11, /* of an entry */
	TRAILER_BYTES = 17,
};

static const char magic[16] = "spoa-snapshot 1\n";

/* A file that is being written. The thread gets it whole, and nothing else. */
struct draft {
	FILE *stream;
	uint64_t count;	   /* entries so far */
	uint64_t checksum; /* of the bytes so far */
	bool failed;
	int error;   /* errno of the first failure */
	int done_fd; /* the thread's word to the loop */
	char temporary[PATH_BYTES];
	char path[PATH_BYTES];
};

struct snapshot {
	struct snapshot_options options;
	struct draft *draft;	/* or NULL */
	bool is_settling;	/* the thread has the draft */
	uint64_t saved_changes; /* of the cache, in the last good file */
	int64_t saved_ms;	/* when it was written, or we started */
	uint64_t draft_changes; /* of the cache, when the draft began */
	struct event *timer;
	struct event *settled; /* the thread is done */
	int done_fd;
	struct snapshot_counters counters;
};

/* SipHash keyed by the sum so far: each byte counts, and its place. */
static uint64_t add_to_checksum(uint64_t checksum, const void *bytes,
				size_t len)
{
	const struct hash_secret key = {checksum, len};

	return hash_span(&key, (struct span){bytes, len});
}

static void put(struct draft *draft, const void *bytes, size_t len)
{
	if (draft->failed || len == 0)
		return;
	draft->checksum = add_to_checksum(draft->checksum, bytes, len);
	if (fwrite(bytes, 1, len, draft->stream) != len) {
		draft->failed = true;
		draft->error = errno;
	}
}

static void put_uint64(struct draft *draft, uint64_t n)
{
	n = htole64(n);
	put(draft, &n, sizeof(n));
}

static uint64_t get_uint64(const char *bytes)
{
	uint64_t n;

	memcpy(&n, bytes, sizeof(n));
	return le64toh(n);
}

static uint64_t time_of_day(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void put_entry(struct draft *draft, struct span field,
		      const struct route *route, int64_t age_ms)
{
	struct span text = route ? route_text(route) : (struct span){0};
	uint16_t len = route ? (uint16_t)text.len : ABSENT;
	uint8_t head[HEAD_BYTES] = {(uint8_t)field.len, (uint8_t)(len & 0xff),
				    (uint8_t)(len >> 8)};
	uint64_t age = htole64((uint64_t)age_ms);

	memcpy(head + 3, &age, sizeof(age));
	put(draft, head, sizeof(head));
	put(draft, field.p, field.len);
	put(draft, text.p, text.len);
	draft->count++;
}

static void put_trailer(struct draft *draft)
{
	put(draft, "", 1);
	put_uint64(draft, draft->count);
	put_uint64(draft, draft->checksum);
	if (fflush(draft->stream) != 0 && !draft->failed) {
		draft->failed = true;
		draft->error = errno;
	}
}

/* NULL, with nothing left behind, when it cannot be made. */
static FILE *open_temporary(const char *path)
{
	int fd = open(path,
		      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW |
			      O_NONBLOCK,
		      0600);
	FILE *stream = fd >= 0 ? fdopen(fd, "w") : NULL;
	int why = errno;

	if (fd >= 0 && !stream) {
		close(fd);
		unlink(path);
		errno = why;
	}
	return stream;
}

static void warn_unwritten(const char *path, int error)
{
	log_warn("snapshot cannot be written", log_text("file", path),
		 log_text("error", strerror(error)));
}

/* Opens the temporary file beside the real one. */
static struct draft *open_draft(const struct snapshot *snapshot)
{
	struct draft *draft = calloc(1, sizeof(*draft));

	if (!draft) {
		warn_unwritten(snapshot->options.path, ENOMEM);
		return NULL;
	}
	draft->done_fd = snapshot->done_fd;
	snprintf(draft->path, sizeof(draft->path), "%s",
		 snapshot->options.path);
	snprintf(draft->temporary, sizeof(draft->temporary), "%.4000s.new",
		 snapshot->options.path);
	draft->stream = open_temporary(draft->temporary);
	if (!draft->stream) {
		warn_unwritten(draft->temporary, errno);
		free(draft);
		return NULL;
	}
	put(draft, magic, sizeof(magic));
	put_uint64(draft, time_of_day());
	return draft;
}

/* Brings the draft to the disk and puts it in place, or removes it. */
static void settle(struct draft *draft)
{
	if (!draft->failed && fsync(fileno(draft->stream)) != 0) {
		draft->failed = true;
		draft->error = errno;
	}
	if (fclose(draft->stream) != 0 && !draft->failed) {
		draft->failed = true;
		draft->error = errno;
	}
	if (!draft->failed && rename(draft->temporary, draft->path) != 0) {
		draft->failed = true;
		draft->error = errno;
	}
	if (draft->failed)
		unlink(draft->temporary);
}

static void finish_draft(struct snapshot *snapshot)
{
	struct draft *draft = snapshot->draft;

	if (draft->failed) {
		snapshot->counters.failures++;
		warn_unwritten(draft->temporary, draft->error);
	} else {
		snapshot->saved_changes = snapshot->draft_changes;
		snapshot->saved_ms = loop_now(snapshot->options.loop);
		snapshot->counters.saved_ms = snapshot->saved_ms;
		snapshot->counters.entries = draft->count;
		snapshot->counters.writes++;
		log_debug("snapshot written", log_text("file", draft->path),
			  log_number("entries", (int64_t)draft->count));
	}
	free(draft);
	snapshot->draft = NULL;
}

/* The thread: fsync may take seconds, which the loop must not. */
static void *settle_aside(void *context)
{
	struct draft *draft = context;
	uint64_t done = 1;

	settle(draft);
	if (write(draft->done_fd, &done, sizeof(done)) != sizeof(done))
		abort(); /* an eventfd takes it, or our own memory is broken */
	return NULL;
}

static void start_thread(struct snapshot *snapshot)
{
	pthread_attr_t attributes;
	pthread_t thread;

	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	snapshot->is_settling =
		pthread_create(&thread, &attributes, settle_aside,
			       snapshot->draft) == 0;
	pthread_attr_destroy(&attributes);
	if (snapshot->is_settling)
		return;
	settle(snapshot->draft);
	finish_draft(snapshot);
}

/* Without a change the file grows old, but what is known may not: it was asked
 * for again. */
static bool is_due(const struct snapshot *snapshot)
{
	int64_t age_ms = loop_now(snapshot->options.loop) - snapshot->saved_ms;

	return cache_count(snapshot->options.cache)->changes !=
		       snapshot->saved_changes ||
	       age_ms > snapshot->options.stale_ms / WORN_SHARE;
}

static bool is_empty(const struct snapshot *snapshot)
{
	const struct cache_counters *count =
		cache_count(snapshot->options.cache);

	return count->values + count->absents == 0;
}

static void begin(struct snapshot *snapshot)
{
	snapshot->draft = open_draft(snapshot);
	snapshot->counters.failures += !snapshot->draft;
	snapshot->draft_changes = cache_count(snapshot->options.cache)->changes;
	cache_begin_walk(snapshot->options.cache);
}

/* Writes up to `max` entries; false when all are written. */
static bool write_slice(struct snapshot *snapshot, size_t max)
{
	struct cache *cache = snapshot->options.cache;
	struct draft *draft = snapshot->draft;
	int64_t now_ms = loop_now(snapshot->options.loop);
	int64_t age_ms;
	struct span field;
	const void *value;

	for (; max > 0; max--) {
		if (draft->failed ||
		    !cache_walk(cache, now_ms, &field, &value, &age_ms)) {
			put_trailer(draft);
			return false;
		}
		if (age_ms < snapshot->options.stale_ms)
			put_entry(draft, field, value, age_ms);
	}
	return true;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct snapshot *snapshot = context;

	(void)fd;
	(void)what;
	loop_arm(snapshot->timer, PERIOD_MS);
	if (snapshot->is_settling)
		return;
	if (!snapshot->draft && is_due(snapshot) && !is_empty(snapshot))
		begin(snapshot);
	if (!snapshot->draft)
		return;
	if (write_slice(snapshot, SLICE))
		loop_arm(snapshot->timer, SLICE_MS);
	else
		start_thread(snapshot);
}

static void on_settled(evutil_socket_t fd, short what, void *context)
{
	struct snapshot *snapshot = context;
	uint64_t done;

	(void)what;
	if (read(fd, &done, sizeof(done)) != sizeof(done))
		return;
	snapshot->is_settling = false;
	finish_draft(snapshot);
}

void snapshot_write(struct snapshot *snapshot)
{
	uint64_t done;

	/* The thread's word comes by the same eventfd, which we wait for. */
	if (snapshot->is_settling) {
		int flags = fcntl(snapshot->done_fd, F_GETFL);

		fcntl(snapshot->done_fd, F_SETFL, flags & ~O_NONBLOCK);
		if (read(snapshot->done_fd, &done, sizeof(done)) ==
		    sizeof(done))
			finish_draft(snapshot);
		snapshot->is_settling = false;
	}
	if (!snapshot->draft && !is_empty(snapshot))
		begin(snapshot);
	if (!snapshot->draft)
		return;
	while (write_slice(snapshot, SLICE))
		;
	settle(snapshot->draft);
	finish_draft(snapshot);
}

/* Reads the whole file into `*bytes`, the caller's. Returns 0 or an errno. */
static int read_file(const char *path, char **bytes, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;

	*bytes = NULL;
	*len = 0;
	if (fd < 0)
		return errno;
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		*bytes = malloc((size_t)status.st_size + 1);
	while (*bytes && *len < (size_t)status.st_size) {
		ssize_t part =
			read(fd, *bytes + *len, (size_t)status.st_size - *len);

		if (part <= 0)
			break;
		*len += (size_t)part;
	}
	close(fd);
	return *bytes ? 0 : EINVAL;
}

/* The length of the entry at `p`, which is followed by at least a trailer; 0
 * when there is none or it does not fit. */
static size_t entry_length(const char *p, const char *end)
{
	const uint8_t *head = (const uint8_t *)p;
	size_t left = (size_t)(end - p);
	size_t len;

	if (left < HEAD_BYTES || head[0] == 0)
		return 0;
	len = (size_t)(head[1] | head[2] << 8);
	len = HEAD_BYTES + head[0] + (len == ABSENT ? 0 : len);
	return len <= left ? len : 0;
}

/* Goes over the entries as they were written, adding them up. Returns what is
 * wrong with the file, or NULL. */
static const char *verify(const char *bytes, size_t len, uint64_t *count)
{
	const char *p = bytes + sizeof(magic) + 8;
	const char *end = bytes + len - TRAILER_BYTES;
	uint64_t checksum = 0;
	size_t size;

	if (len < sizeof(magic) || memcmp(bytes, magic, sizeof(magic) - 2) != 0)
		return "not a snapshot";
	if (memcmp(bytes, magic, sizeof(magic)) != 0)
		return "of another version";
	if (len < sizeof(magic) + 8 + TRAILER_BYTES)
		return "cut off";
	checksum = add_to_checksum(checksum, bytes, sizeof(magic));
	checksum = add_to_checksum(checksum, bytes + sizeof(magic), 8);
	for (*count = 0; (size = entry_length(p, end)) > 0; ++*count) {
		size_t field = (uint8_t)p[0];
		size_t text = size - HEAD_BYTES - field;

		checksum = add_to_checksum(checksum, p, HEAD_BYTES);
		checksum = add_to_checksum(checksum, p + HEAD_BYTES, field);
		if (text > 0)
			checksum = add_to_checksum(
				checksum, p + HEAD_BYTES + field, text);
		p += size;
	}
	if (p != end || *p != 0 || get_uint64(p + 1) != *count)
		return "cut off or damaged";
	checksum = add_to_checksum(checksum, p, 1);
	checksum = add_to_checksum(checksum, p + 1, 8);
	return get_uint64(p + 9) == checksum ? NULL : "damaged";
}

/* `file_ms` is the age of the file; each entry has its own on top. */
static void restore(struct snapshot *snapshot, const char *bytes, size_t len,
		    uint64_t file_ms)
{
	uint64_t stale_ms = (uint64_t)snapshot->options.stale_ms;
	const char *p = bytes + sizeof(magic) + 8;
	const char *end = bytes + len - TRAILER_BYTES;
	int64_t now_ms = loop_now(snapshot->options.loop);
	size_t size;

	for (; (size = entry_length(p, end)) > 0; p += size) {
		size_t field_len = (uint8_t)p[0];
		struct span field = {p + HEAD_BYTES, field_len};
		struct span text = {field.p + field_len,
				    size - HEAD_BYTES - field_len};
		bool is_absent = (uint8_t)p[1] == 0xff && (uint8_t)p[2] == 0xff;
		uint64_t age_ms = get_uint64(p + 3);

		if (age_ms >= stale_ms || file_ms >= stale_ms - age_ms)
			continue;
		resolver_restore(snapshot->options.resolver, field,
				 is_absent ? NULL : &text,
				 (int64_t)(age_ms + file_ms), now_ms);
	}
}

const struct snapshot_counters *snapshot_count(const struct snapshot *snapshot)
{
	return &snapshot->counters;
}

static void refuse(struct snapshot *snapshot, const char *problem)
{
	const char *path = snapshot->options.path;

	snapshot->counters.failures++;
	log_warn("snapshot refused", log_text("file", path),
		 log_text("error", problem));
}

void snapshot_read(struct snapshot *snapshot)
{
	const char *path = snapshot->options.path;
	uint64_t count = 0, written, now;
	const char *problem;
	char *bytes;
	size_t len;
	int error;

	error = read_file(path, &bytes, &len);
	if (error != 0) {
		if (error != ENOENT)
			refuse(snapshot, strerror(error));
		return;
	}
	problem = verify(bytes, len, &count);
	if (problem) {
		refuse(snapshot, problem);
		free(bytes);
		return;
	}
	written = get_uint64(bytes + sizeof(magic));
	now = time_of_day();
	if (written > now)
		written = now;
	if (now - written < (uint64_t)snapshot->options.stale_ms)
		restore(snapshot, bytes, len, now - written);
	log_info("snapshot read", log_text("file", path),
		 log_number("entries", (int64_t)count),
		 log_number("age_s", (int64_t)(now - written) / 1000));
	free(bytes);
	snapshot->counters.is_read = true;
	snapshot->counters.entries = count;
	snapshot->counters.saved_ms =
		loop_now(snapshot->options.loop) - (int64_t)(now - written);
	snapshot->saved_changes = cache_count(snapshot->options.cache)->changes;
}

void snapshot_set_stale(struct snapshot *snapshot, int64_t stale_ms)
{
	snapshot->options.stale_ms = stale_ms;
}

struct snapshot *snapshot_new(const struct snapshot_options *options)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	struct event_base *base = options->loop->base;

	if (!snapshot)
		return NULL;
	snapshot->options = *options;
	snapshot->saved_ms = loop_now(options->loop);
	snapshot->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	snapshot->timer = evtimer_new(base, on_timer, snapshot);
	snapshot->settled =
		event_new(base, snapshot->done_fd, EV_READ | EV_PERSIST,
			  on_settled, snapshot);
	if (snapshot->done_fd < 0 || !snapshot->timer || !snapshot->settled) {
		snapshot_free(snapshot);
		return NULL;
	}
	event_add(snapshot->settled, NULL);
	loop_arm(snapshot->timer, FIRST_MS);
	return snapshot;
}

void snapshot_free(struct snapshot *snapshot)
{
	if (!snapshot)
		return;
	if (snapshot->timer)
		event_free(snapshot->timer);
	if (snapshot->settled)
		event_free(snapshot->settled);
	if (snapshot->done_fd >= 0)
		close(snapshot->done_fd);
	free(snapshot);
}
