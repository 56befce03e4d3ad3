/* SPDX-License-Identifier: MIT */
/*
 * sieve: what Redis sends comes out as it is, but for what is too large, in
 * whatever pieces it arrives.
 */
#include "kit.h"

#include "../../spoa/sieve.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#define BYTES(text) ((struct span){text, sizeof(text) - 1})

enum { LIMIT = 20, OUT_MAX = 256 * 1024 };

static struct {
	char bytes[OUT_MAX];
	size_t len;
} out, reference;

/* Sends reads of `read_max` bytes at most through the sieve, each at the guard
 * page. False when the stream is broken. */
static bool sift(struct span bytes, size_t limit, size_t read_max)
{
	struct sieve sieve;

	out.len = 0;
	sieve_init(&sieve, limit);
	while (bytes.len > 0) {
		size_t len = bytes.len < read_max ? bytes.len : read_max;
		struct span in = {kit_guarded(bytes.p, len), len}, piece;
		enum sieve_result result;

		while ((result = sieve_next(&sieve, &in, &piece)) ==
		       SIEVE_PIECE) {
			assert_true(out.len + piece.len <= OUT_MAX);
			memcpy(out.bytes + out.len, piece.p, piece.len);
			out.len += piece.len;
		}
		if (result == SIEVE_BROKEN)
			return false;
		assert_int_equal(in.len, 0);
		bytes.p += len;
		bytes.len -= len;
	}
	return true;
}

static const struct {
	const char *name;
	struct span sent;
	struct span passed;
} good[] = {
	{"simple", BYTES("+OK\r\n"), BYTES("+OK\r\n")},
	{"error", BYTES("-ERR no\r\n"), BYTES("-ERR no\r\n")},
	{"integer", BYTES(":-12\r\n"), BYTES(":-12\r\n")},
	{"bulk", BYTES("$5\r\nhello\r\n"), BYTES("$5\r\nhello\r\n")},
	{"no bytes", BYTES("$0\r\n\r\n"), BYTES("$0\r\n\r\n")},
	{"nil", BYTES("$-1\r\n+OK\r\n"), BYTES("$-1\r\n+OK\r\n")},
	{"nil array", BYTES("*-1\r\n+OK\r\n"), BYTES("*-1\r\n+OK\r\n")},
	{"no elements", BYTES("*0\r\n+OK\r\n"), BYTES("*0\r\n+OK\r\n")},
	{"array", BYTES("*3\r\n$1\r\na\r\n$-1\r\n:1\r\n"),
	 BYTES("*3\r\n$1\r\na\r\n$-1\r\n:1\r\n")},
	{"four deep and again",
	 BYTES("*1\r\n*1\r\n*1\r\n*2\r\n:1\r\n:2\r\n*1\r\n*1\r\n*1\r\n*0\r\n"
	       "+x\r\n"),
	 BYTES("*1\r\n*1\r\n*1\r\n*2\r\n:1\r\n:2\r\n*1\r\n*1\r\n*1\r\n*0\r\n"
	       "+x\r\n")},
	{"nested", BYTES("*2\r\n*1\r\n$2\r\nab\r\n*2\r\n+x\r\n*0\r\n:1\r\n"),
	 BYTES("*2\r\n*1\r\n$2\r\nab\r\n*2\r\n+x\r\n*0\r\n:1\r\n")},
	{"line ends in a bulk", BYTES("$6\r\n\r\n$9\r\n\r\n+OK\r\n"),
	 BYTES("$6\r\n\r\n$9\r\n\r\n+OK\r\n")},
	{"at the limit", BYTES("$20\r\n01234567890123456789\r\n:1\r\n"),
	 BYTES("$20\r\n01234567890123456789\r\n:1\r\n")},
	{"above it", BYTES("$21\r\n012345678901234567890\r\n:1\r\n"),
	 BYTES("-TOOLARGE 21\r\n:1\r\n")},
	{"above, in an array",
	 BYTES("*3\r\n$2\r\nab\r\n$22\r\n$5\r\nhello\r\n+OK\r\n*1\r\n--\r\n"
	       "$3\r\nend\r\n+OK\r\n"),
	 BYTES("*3\r\n$2\r\nab\r\n-TOOLARGE 22\r\n$3\r\nend\r\n+OK\r\n")},
	{"two above",
	 BYTES("$21\r\n012345678901234567890\r\n"
	       "$30\r\n012345678901234567890123456789\r\n+OK\r\n"),
	 BYTES("-TOOLARGE 21\r\n-TOOLARGE 30\r\n+OK\r\n")},
	{"far above, not here yet", BYTES("$9000000000000000000\r\nabc"),
	 BYTES("-TOOLARGE 9000000000000000000\r\n")},
	{"65536 elements", BYTES("*65536\r\n"), BYTES("*65536\r\n")},
	{"65536 elements of two arrays", BYTES("*2\r\n*65534\r\n"),
	 BYTES("*2\r\n*65534\r\n")},
	{"a reply after another", BYTES("*1\r\n:1\r\n*65536\r\n"),
	 BYTES("*1\r\n:1\r\n*65536\r\n")},
};

static void test_good_in_any_split(void **state)
{
	size_t i, read_max;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++) {
		for (read_max = 1; read_max <= good[i].sent.len; read_max++) {
			struct span passed = good[i].passed;

			if (!sift(good[i].sent, LIMIT, read_max) ||
			    out.len != passed.len ||
			    memcmp(out.bytes, passed.p, passed.len) != 0)
				fail_msg("%s by %zu: '%.*s'", good[i].name,
					 read_max, (int)out.len, out.bytes);
		}
	}
}

static const struct {
	const char *name;
	struct span sent;
} broken[] = {
	{"65537 elements", BYTES("*65537\r\n")},
	{"65537 elements of two arrays", BYTES("*2\r\n*65535\r\n")},
	{"of arrays side by side",
	 BYTES("*3\r\n*1\r\n:1\r\n*1\r\n:1\r\n*65532\r\n")},
	{"five arrays deep", BYTES("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n")},
	{"five deep behind others",
	 BYTES("*2\r\n*0\r\n*2\r\n:1\r\n*1\r\n*2\r\n$-1\r\n*1\r\n")},
	{"very many elements", BYTES("*9000000000000000000\r\n")},
	{"no number", BYTES("$\r\n")},
	{"a word", BYTES("$abc\r\n")},
	{"a number and more", BYTES("$5x\r\n")},
	{"a blank before", BYTES("$ 5\r\n")},
	{"a plus", BYTES("$+5\r\n")},
	{"a minus alone", BYTES("$-\r\n")},
	{"below nil", BYTES("$-2\r\n")},
	{"array below nil", BYTES("*-2\r\n")},
	{"a NUL", BYTES("$5\0\r\n")},
	{"a NUL and more", BYTES("$5\0x\r\n")},
	{"2^63", BYTES("$9223372036854775808\r\n")},
	{"2^63 - 1", BYTES("$9223372036854775807\r\n")},
	{"2^64", BYTES("$18446744073709551616\r\n")},
	{"many digits",
	 BYTES("$00000000000000000000000000000000000000000000000"
	       "0000000000000000000000000000000000000000005\r\n")},
	{"a head without end",
	 BYTES("$11111111111111111111111111111111111111111111111111111111111"
	       "11111111111111111111111111111111111111111111111111111111111")},
	{"no CR", BYTES("$5\nhello\r\n")},
	{"no CR in an array", BYTES("*5\nhello\r\n")},
	{"behind good ones", BYTES("+OK\r\n*1\r\n$x\r\n")},
};

static void test_broken_in_any_split(void **state)
{
	size_t i, read_max;

	(void)state;
	for (i = 0; i < ARRAY_LEN(broken); i++)
		for (read_max = 1; read_max <= broken[i].sent.len; read_max++)
			if (sift(broken[i].sent, LIMIT, read_max))
				fail_msg("%s by %zu: '%.*s'", broken[i].name,
					 read_max, (int)out.len, out.bytes);
}

/* A line of the longest length passes, with or without its end; a longer one
 * does not, however it comes. */
static void test_lines_have_a_bound(void **state)
{
	static char line[4 * SIEVE_LINE_MAX];
	size_t i, read_max;

	(void)state;
	memset(line, 'x', sizeof(line));
	line[0] = '-';
	for (read_max = 1; read_max < 3000; read_max += 97) {
		assert_false(sift((struct span){line, sizeof(line)}, LIMIT,
				  read_max));
		assert_true(out.len <= SIEVE_LINE_MAX);
	}
	for (i = 0; i < 2; i++) {
		memcpy(line + SIEVE_LINE_MAX - 2, "\r\n-", 3);
		assert_true(sift((struct span){line, 2 * SIEVE_LINE_MAX - 8},
				 LIMIT, i ? 7 : sizeof(line)));
		assert_int_equal(out.len, 2 * SIEVE_LINE_MAX - 8);
	}
}

/* What is too much for one reply is left out of it, and the next reply begins
 * anew. */
static void test_a_reply_has_a_bound(void **state)
{
	enum { EACH = 16384, COUNT = SIEVE_REPLY_MAX / EACH };
	static char value[EACH + 2];
	struct sieve sieve;
	int turn, i;

	(void)state;
	sieve_init(&sieve, EACH);
	memset(value, 'v', EACH);
	memcpy(value + EACH, "\r\n", 2);
	for (turn = 0; turn < 2; turn++) {
		struct span in = BYTES("*65\r\n"), piece;

		assert_int_equal(sieve_next(&sieve, &in, &piece), SIEVE_PIECE);
		for (i = 0; i <= COUNT; i++) {
			in = BYTES("$16384\r\n");
			assert_int_equal(sieve_next(&sieve, &in, &piece),
					 SIEVE_PIECE);
			assert_int_equal(*piece.p, i < COUNT ? '$' : '-');
			in = (struct span){value, sizeof(value)};
			assert_int_equal(sieve_next(&sieve, &in, &piece),
					 i < COUNT ? SIEVE_PIECE : SIEVE_EMPTY);
		}
		assert_int_equal(sieve.depth, 0);
	}
}

/* Memory for a huge value never builds up: nothing of it is passed on. */
static void test_huge_bulk_is_dropped(void **state)
{
	static char megabyte[1024 * 1024];
	struct span in = BYTES("$10485760\r\n"), piece;
	struct sieve sieve;
	int i;

	(void)state;
	sieve_init(&sieve, 16384);
	assert_int_equal(sieve_next(&sieve, &in, &piece), SIEVE_PIECE);
	assert_true(span_is(piece, "-TOOLARGE 10485760\r\n"));
	for (i = 0; i < 10; i++) {
		in = (struct span){megabyte, sizeof(megabyte)};
		assert_int_equal(sieve_next(&sieve, &in, &piece), SIEVE_EMPTY);
		assert_int_equal(in.len, 0);
	}
	in = BYTES("\r\n+OK\r\n");
	assert_int_equal(sieve_next(&sieve, &in, &piece), SIEVE_PIECE);
	assert_true(span_is(piece, "+OK\r\n"));
	assert_int_equal(sieve_next(&sieve, &in, &piece), SIEVE_EMPTY);
}

/* A limit of nothing and one that nothing passes. */
static void test_limits(void **state)
{
	(void)state;
	assert_true(sift(BYTES("$0\r\n\r\n$1\r\nx\r\n"), 0, 100));
	assert_true(span_equal((struct span){out.bytes, out.len},
			       BYTES("$0\r\n\r\n-TOOLARGE 1\r\n")));
	assert_true(sift(BYTES("$1048576\r\nx"), SIZE_MAX, 100));
	assert_true(span_equal((struct span){out.bytes, out.len},
			       BYTES("$1048576\r\nx")));
	assert_true(sift(BYTES("$1048577\r\nx"), SIZE_MAX, 100));
	assert_true(span_equal((struct span){out.bytes, out.len},
			       BYTES("-TOOLARGE 1048577\r\n")));
}

/* Properties: random replies */

static struct {
	char sent[OUT_MAX];
	size_t sent_len;
} stream;

static void add(const char *bytes, size_t len)
{
	assert_true(stream.sent_len + len <= sizeof(stream.sent));
	memcpy(stream.sent + stream.sent_len, bytes, len);
	stream.sent_len += len;
}

static void add_expected(const char *bytes, size_t len)
{
	assert_true(reference.len + len <= sizeof(reference.bytes));
	memcpy(reference.bytes + reference.len, bytes, len);
	reference.len += len;
}

/* A bulk of random bytes, and what is to become of it. */
static void add_bulk(void)
{
	char text[128];
	size_t len = (size_t)kit_random() % 41, i;
	int head = snprintf(text, sizeof(text), "$%zu\r\n", len);
	size_t whole = (size_t)head + len + 2;

	for (i = 0; i < len; i++)
		text[(size_t)head + i] =
			"\r\n$*+-:019a\0\xff"[kit_random() % 13];
	memcpy(text + whole - 2, "\r\n", 2);
	add(text, whole);
	if (len > LIMIT)
		whole = (size_t)snprintf(text, sizeof(text),
					 "-TOOLARGE %zu\r\n", len);
	add_expected(text, whole);
}

static void add_text(const char *text)
{
	add(text, strlen(text));
	add_expected(text, strlen(text));
}

static void add_reply(unsigned int depth)
{
	static const char *const lines[] = {"+OK\r\n", "-ERR x\r\n", ":-1\r\n",
					    "$-1\r\n", "*-1\r\n",    "*0\r\n"};
	char head[16];
	size_t count;

	switch (kit_random() % (depth < 3 ? 4 : 3)) {
	case 0:
		add_text(lines[kit_random() % ARRAY_LEN(lines)]);
		return;
	case 3:
		count = (size_t)kit_random() % 5;
		snprintf(head, sizeof(head), "*%zu\r\n", count);
		add_text(head);
		while (count-- > 0)
			add_reply(depth + 1);
		return;
	default:
		add_bulk();
		return;
	}
}

/* How many replies a reader makes of `bytes`, each freed; -1: an error. */
static int count_replies(struct span bytes)
{
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;
	int count = 0;

	redisReaderFeed(reader, bytes.p, bytes.len);
	while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply) {
		freeReplyObject(reply);
		count++;
	}
	if (reader->err)
		count = -1;
	redisReaderFree(reader);
	return count;
}

/* Whatever is sent and however it is split, the same comes out, and the reply
 * parser finds the same number of replies in it as in what was sent. */
static void test_random_replies_in_random_splits(void **state)
{
	int i, k;

	(void)state;
	for (i = 0; i < 3000; i++) {
		int count = 1 + (int)(kit_random() % 8);
		struct span sent;

		stream.sent_len = reference.len = 0;
		for (k = 0; k < count; k++)
			add_reply(0);
		sent = (struct span){stream.sent, stream.sent_len};
		assert_true(sift(sent, LIMIT, 1 + (size_t)kit_random() % 60));
		assert_int_equal(out.len, reference.len);
		assert_memory_equal(out.bytes, reference.bytes, out.len);
		assert_int_equal(count_replies(sent), count);
		assert_int_equal(
			count_replies((struct span){out.bytes, out.len}),
			count);
	}
}

/* Garbage and broken streams: the same verdict in any split, and what passed
 * is a beginning of the same bytes. */
static void test_garbage_in_random_splits(void **state)
{
	int i, k;

	(void)state;
	for (i = 0; i < 5000; i++) {
		struct span sent;
		bool whole;
		size_t shorter;

		stream.sent_len = reference.len = 0;
		for (k = 0; k < 4; k++)
			add_reply(0);
		for (k = (int)(kit_random() % 5); k > 0; k--)
			stream.sent[kit_random() % stream.sent_len] =
				"\r\n$*+-:019a\0\xff"[kit_random() % 13];
		sent = (struct span){stream.sent, stream.sent_len};
		whole = sift(sent, LIMIT, sent.len);
		memcpy(reference.bytes, out.bytes, out.len);
		reference.len = out.len;
		assert_int_equal(
			sift(sent, LIMIT, 1 + (size_t)kit_random() % 20),
			whole);
		shorter = out.len < reference.len ? out.len : reference.len;
		assert_memory_equal(out.bytes, reference.bytes, shorter);
		assert_true(!whole || out.len == reference.len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_in_any_split),
		cmocka_unit_test(test_broken_in_any_split),
		cmocka_unit_test(test_lines_have_a_bound),
		cmocka_unit_test(test_a_reply_has_a_bound),
		cmocka_unit_test(test_huge_bulk_is_dropped),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_random_replies_in_random_splits),
		cmocka_unit_test(test_garbage_in_random_splits),
	};

	return cmocka_run_group_tests_name("sieve", tests, NULL, NULL);
}
