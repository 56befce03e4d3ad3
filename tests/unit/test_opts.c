/* SPDX-License-Identifier: MIT */
/*
 * opts: the defaults, the command line, the file, and what is said of each
 * mistake. The file's path reads FILE in what is expected.
 */
#include "kit.h"

#include "../../spoa/opts.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ARGS_MAX = 8 };

static struct {
	char path[40];
	struct config config;
	char error[OPTS_ERROR_MAX]; /* with FILE for the path */
	char text[8192];	    /* the configuration, printed */
} run;

static void write_file(const char *bytes, size_t len)
{
	int fd;

	strcpy(run.path, "/tmp/test_opts.XXXXXX");
	fd = mkstemp(run.path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static void print_list(const char *name, const struct opts_list *list)
{
	size_t i;

	strcat(run.text, name);
	for (i = 0; i < list->count; i++) {
		strcat(run.text, i ? "|" : "=");
		strcat(run.text, list->items[i].text);
	}
	strcat(run.text, "\n");
}

static void print_config(void)
{
	const struct config *c = &run.config;
	const char *file = c->redis_password_file.text;
	size_t len;

	run.text[0] = '\0';
	print_list("listen", &c->listen);
	print_list("redis", &c->redis);
	len = strlen(run.text);
	snprintf(run.text + len, sizeof(run.text) - len,
		 "password-file=%s\nroutes=%s\nttl=%lld\nnegative=%lld\n"
		 "stale=%lld\ntimeout=%lld\ncache=%lld\nconnections=%lld\n"
		 "waiting=%lld\nreuse=%d\nlevel=%d\nformat=%d\ncheck=%d\n",
		 file ? file : "none", c->routes.text, (long long)c->ttl_ms,
		 (long long)c->negative_ttl_ms, (long long)c->stale_ms,
		 (long long)c->lookup_timeout_ms, (long long)c->cache_size,
		 (long long)c->max_connections, (long long)c->max_waiting,
		 (int)c->reuse_port, (int)c->log_level, (int)c->log_format,
		 (int)c->check);
}

/* Puts FILE in place of the path in the error. */
static void hide_path(const char *error)
{
	const char *at = strstr(error, run.path);

	if (run.path[0] == '\0' || !at) {
		strcpy(run.error, error);
		return;
	}
	snprintf(run.error, sizeof(run.error), "%.*sFILE%s", (int)(at - error),
		 error, at + strlen(run.path));
}

/* Parses `args`; an argument FILE is the file's path. */
static bool parse(const char *const *args)
{
	char error[OPTS_ERROR_MAX] = "";
	char name[] = "spoa-router";
	char *argv[ARGS_MAX + 2] = {name};
	int argc = 1;
	bool good;

	for (; *args; args++)
		argv[argc++] = strdup(strcmp(*args, "FILE") ? *args : run.path);
	good = opts_parse(argc, argv, &run.config, error);
	if (good)
		print_config();
	hide_path(error);
	while (argc > 1)
		free(argv[--argc]);
	return good;
}

/* Parses a file of these bytes, then the arguments. */
static bool parse_file(const char *bytes, size_t len, const char *const *args)
{
	const char *all[ARGS_MAX + 1] = {"--config", "FILE"};
	size_t i;
	bool good;

	for (i = 2; *args; i++)
		all[i] = *args++;
	write_file(bytes, len);
	good = parse(all);
	unlink(run.path);
	return good;
}

static void done(void)
{
	opts_free(&run.config);
	run.path[0] = '\0';
}

/* The configuration has the line `expected`. */
static void assert_has(const char *row, const char *expected)
{
	char line[300];

	snprintf(line, sizeof(line), "%s\n", expected);
	if (!strstr(run.text, line))
		fail_msg("%s: no %sin\n%s", row, line, run.text);
}

/* One printable line, which begins with `begin` and holds `word`. */
static void assert_complains(const char *row, const char *begin,
			     const char *word)
{
	const char *p;

	if (strncmp(run.error, begin, strlen(begin)) != 0 ||
	    !strstr(run.error, word) || strstr(run.error, "SECRET"))
		fail_msg("%s: '%s'", row, run.error);
	for (p = run.error; *p != '\0'; p++)
		assert_true((unsigned char)*p >= ' ');
}

static void test_defaults(void **state)
{
	static const char *const args[] = {NULL};

	(void)state;
	assert_true(parse(args));
	assert_string_equal(run.text, "listen=127.0.0.1:12310\n"
				      "redis=redis://127.0.0.1:6379\n"
				      "password-file=none\n"
				      "routes=routes\n"
				      "ttl=10000\n"
				      "negative=1000\n"
				      "stale=86400000\n"
				      "timeout=50\n"
				      "cache=1000000\n"
				      "connections=4096\n"
				      "waiting=65536\n"
				      "reuse=0\n"
				      "level=1\n"
				      "format=0\n"
				      "check=0\n");
	assert_string_equal(run.error, "");
	assert_string_equal(run.config.listen.items[0].where, "--listen");
	done();
}

/* The command line */

static const struct {
	const char *args[ARGS_MAX];
	const char *expected;
} lines[] = {
	{{"--listen", "1.2.3.4:5"}, "listen=1.2.3.4:5"},
	{{"--listen=unix:/x,mode=0660"}, "listen=unix:/x,mode=0660"},
	{{"--listen", "a", "--ttl", "1", "--listen=b"}, "listen=a|b"},
	{{"--redis", "x", "--redis", "y"}, "redis=x|y"},
	{{"--redis-password-file", "/p"}, "password-file=/p"},
	{{"--routes", "a", "--routes", "b"}, "routes=b"},
	{{"--routes=a=b"}, "routes=a=b"},
	{{"--routes", "--x"}, "routes=--x"},
	{{"--reuse-port"}, "reuse=1"},
	{{"--check"}, "check=1"},
	{{"--log-level", "debug"}, "level=0"},
	{{"--log-level", "info"}, "level=1"},
	{{"--log-level", "warn"}, "level=2"},
	{{"--log-level", "error"}, "level=3"},
	{{"--log-format", "text"}, "format=0"},
	{{"--log-format", "json"}, "format=1"},
	{{"--cache-size", "1"}, "cache=1"},
	{{"--cache-size", "1000000000"}, "cache=1000000000"},
	{{"--max-connections", "7"}, "connections=7"},
	{{"--max-connections", "1000000"}, "connections=1000000"},
	{{"--max-waiting", "1"}, "waiting=1"},
	{{"--max-waiting", "10000000"}, "waiting=10000000"},

	{{"--ttl", "0"}, "ttl=0"},
	{{"--ttl", "5"}, "ttl=5000"},
	{{"--ttl", "500ms"}, "ttl=500"},
	{{"--ttl", "10s"}, "ttl=10000"},
	{{"--ttl", "5m"}, "ttl=300000"},
	{{"--ttl", "2h"}, "ttl=7200000"},
	{{"--ttl", "1d"}, "ttl=86400000"},
	{{"--ttl", "3000us"}, "ttl=3"},
	{{"--ttl", "0us"}, "ttl=0"},
	{{"--ttl", "007"}, "ttl=7000"},
	{{"--negative-ttl", "0"}, "negative=0"},
	{{"--negative-ttl", "2"}, "negative=2000"},
	{{"--stale", "0"}, "stale=0"},
	{{"--stale", "1d"}, "stale=86400000"},
	{{"--stale", "3650d"}, "stale=315360000000"},
	{{"--lookup-timeout", "1"}, "timeout=1"},
	{{"--lookup-timeout", "60000"}, "timeout=60000"},
	{{"--lookup-timeout", "1s"}, "timeout=1000"},
	{{"--lookup-timeout", "60s"}, "timeout=60000"},
};

static void test_command_line(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(lines); i++) {
		if (!parse(lines[i].args))
			fail_msg("%s: %s", lines[i].args[0], run.error);
		assert_has(lines[i].args[0], lines[i].expected);
		done();
	}
}

static const struct {
	const char *args[ARGS_MAX];
	const char *begin; /* of the message */
	const char *word;  /* that it holds */
} bad_lines[] = {
	{{"SECRET"}, "argument 1: ", ""},
	{{"--ttl", "1", "SECRET"}, "argument 3: ", ""},
	{{"-h"}, "argument 1: ", ""},
	{{""}, "argument 1: ", ""},
	{{"--"}, "--: ", ""},
	{{"--nope"}, "--nope: ", ""},
	{{"--nope", "1"}, "--nope: ", ""},
	{{"--tt", "1"}, "--tt: ", ""},
	{{"--ttls", "1"}, "--ttls: ", ""},
	{{"--TTL", "1"}, "--TTL: ", ""},
	{{"--redis-password=SECRET"}, "--redis-password: ", ""},
	{{"--redis-password", "SECRET"}, "--redis-password: ", ""},
	{{"--ttl"}, "--ttl: ", ""},
	{{"--ttl="}, "--ttl: ", ""},
	{{"--redis", "u:SECRET@h", "--listen"}, "--listen: ", ""},
	{{"--routes", ""}, "--routes: ", ""},
	{{"--check=on"}, "--check: ", ""},
	{{"--reuse-port=1"}, "--reuse-port: ", ""},
	{{"--log-level", "loud"},
	 "--log-level: ",
	 "debug, info, warn or error"},
	{{"--log-level", "INFO"}, "--log-level: ", ""},
	{{"--log-format", "xml"}, "--log-format: ", "text"},
	{{"--cache-size", "0"}, "--cache-size: ", "1 to 1000000000"},
	{{"--cache-size", "1000000001"}, "--cache-size: ", ""},
	{{"--cache-size", "-1"}, "--cache-size: ", ""},
	{{"--cache-size", "1k"}, "--cache-size: ", ""},
	{{"--cache-size", "1 "}, "--cache-size: ", ""},
	{{"--cache-size", "99999999999999999999"}, "--cache-size: ", ""},
	{{"--max-connections", "0"}, "--max-connections: ", ""},
	{{"--max-connections", "1000001"}, "--max-connections: ", "1000000"},
	{{"--max-waiting", "10000001"}, "--max-waiting: ", "10000000"},
	{{"--max-waiting", "0"}, "--max-waiting: ", ""},
	{{"--ttl", "366d"}, "--ttl: ", "365 days"},
	{{"--negative-ttl", "366d"}, "--negative-ttl: ", "366d"},
	{{"--stale", "3651d"}, "--stale: ", "3650 days"},
	{{"--ttl", "-1"}, "--ttl: ", "-1"},
	{{"--ttl", "+1"}, "--ttl: ", ""},
	{{"--ttl", " 1"}, "--ttl: ", ""},
	{{"--ttl", "1 "}, "--ttl: ", ""},
	{{"--ttl", "1 s"}, "--ttl: ", ""},
	{{"--ttl", "1.5"}, "--ttl: ", ""},
	{{"--ttl", "s"}, "--ttl: ", ""},
	{{"--ttl", "1S"}, "--ttl: ", ""},
	{{"--ttl", "1w"}, "--ttl: ", ""},
	{{"--ttl", "1h30m"}, "--ttl: ", ""},
	{{"--ttl", "0x10"}, "--ttl: ", ""},
	{{"--ttl", "1e3"}, "--ttl: ", ""},
	{{"--ttl", "9223372036854775807us"}, "--ttl: ", ""},
	{{"--ttl", "9223372036854775807"}, "--ttl: ", ""},
	{{"--ttl", "9223372036854775807d"}, "--ttl: ", ""},
	{{"--ttl", "99999999999999999999"}, "--ttl: ", ""},
	{{"--ttl", "106751991168d"}, "--ttl: ", ""},
	{{"--lookup-timeout", "0"}, "--lookup-timeout: ", "1 ms to 60 s"},
	{{"--lookup-timeout", "60001"}, "--lookup-timeout: ", ""},
	{{"--lookup-timeout", "2m"}, "--lookup-timeout: ", ""},
	{{"--config", "/nonexistent/file"}, "/nonexistent/file: ", ""},
	{{"--config", "/tmp"}, "/tmp: ", ""},
	{{"--config"}, "--config: ", ""},
};

static void test_bad_command_line(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad_lines); i++) {
		const char *const *args = bad_lines[i].args;

		if (parse(args))
			fail_msg("%s %s: taken", args[0], args[1]);
		assert_complains(args[0], bad_lines[i].begin,
				 bad_lines[i].word);
		done();
	}
}

/* These two are for people who may have got the rest wrong, too. */
static void test_help_and_version_come_first(void **state)
{
	static const char *const help[] = {"--ttl", "x", "--help", NULL};
	static const char *const version[] = {"--version", "--config",
					      "/nonexistent", NULL};

	(void)state;
	assert_true(parse(help));
	assert_int_equal(run.config.help, 1);
	done();
	assert_true(parse(version));
	assert_int_equal(run.config.version, 1);
	done();
}

/* The file */

#define TEXT(text) text, sizeof(text) - 1

static const struct {
	const char *bytes;
	size_t len;
	const char *expected;
} files[] = {
	{TEXT(""), "ttl=10000"},
	{TEXT("ttl = 5\n"), "ttl=5000"},
	{TEXT("ttl=5\n"), "ttl=5000"},
	{TEXT("ttl = 5"), "ttl=5000"},
	{TEXT("ttl = 5\r\n"), "ttl=5000"},
	{TEXT("stale = 1h\r\nttl = 5\r\n"), "ttl=5000"},
	{TEXT("  ttl = 5\n"), "ttl=5000"},
	{TEXT("\tttl\t=\t5\t\n"), "ttl=5000"},
	{TEXT("ttl = 5   \n"), "ttl=5000"},
	{TEXT("\n\n  \nttl = 5\n\n"), "ttl=5000"},
	{TEXT("# ttl = 4\nttl = 5\n"), "ttl=5000"},
	{TEXT("; ttl = 4\n  # x\n\t; y\nttl = 5\n"), "ttl=5000"},
	{TEXT("stale = 1h\n  ttl = 5\n"), "ttl=5000"}, /* no continuation */
	{TEXT("stale = 1h\n  ttl = 5\n"), "stale=3600000"},
	{TEXT("reuse-port = on\n"), "reuse=1"},
	{TEXT("reuse-port = off\n"), "reuse=0"},
	{TEXT("log-level = error\nlog-format = json\n"), "level=3"},
	{TEXT("routes = a=b\n"), "routes=a=b"},
	{TEXT("routes = a b\n"), "routes=a b"},
	{TEXT("routes = a:b\n"), "routes=a:b"},
	{TEXT("routes = a[b]\n"), "routes=a[b]"},
	{TEXT("routes = \"a\"\n"), "routes=\"a\""},
	{TEXT("routes = a;b\n"), "routes=a;b"},
	{TEXT("routes = a ;b\n"), "routes=a ;b"},
	{TEXT("routes = ;\n"), "routes=;"},
	{TEXT("routes = a#b\n"), "routes=a#b"},
	{TEXT("routes = a # b\n"), "routes=a # b"},
	{TEXT("routes = #\n"), "routes=#"},
	{TEXT("routes = \xc3\xa9\n"), "routes=\xc3\xa9"},
	{TEXT("redis = redis://u:p;q ;r@h:1/2\n"),
	 "redis=redis://u:p;q ;r@h:1/2"},
	{TEXT("redis = a\nttl = 5\nredis = b\nredis = c\n"), "redis=a|b|c"},
	{TEXT("listen = unix:/x,mode=0660\nlisten = [::1]:1\n"),
	 "listen=unix:/x,mode=0660|[::1]:1"},
};

static void test_file(void **state)
{
	static const char *const none[] = {NULL};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(files); i++) {
		if (!parse_file(files[i].bytes, files[i].len, none))
			fail_msg("%s%s", files[i].bytes, run.error);
		assert_has(files[i].bytes, files[i].expected);
		done();
	}
}

static const struct {
	const char *bytes;
	size_t len;
	const char *begin; /* of the message */
	const char *word;  /* that it holds */
} bad_files[] = {
	{TEXT("nope = 1\n"), "FILE:1: ", ""},
	{TEXT("\n# x\nnope = 1\nttl = 5\n"), "FILE:3: ", ""},
	{TEXT("ttl = 5\r\n\r\nnope = 1\r\n"), "FILE:3: ", ""},
	{TEXT("tt = 1\n"), "FILE:1: ", ""},
	{TEXT("ttls = 1\n"), "FILE:1: ", ""},
	{TEXT("TTL = 1\n"), "FILE:1: ", ""},
	{TEXT("--ttl = 1\n"), "FILE:1: ", ""},
	{TEXT("= 1\n"), "FILE:1: ", ""},
	{TEXT("ttl = x\n"), "FILE:1: ", "ttl"},
	{TEXT("stale = 1\nttl = -1\n"), "FILE:2: ", "ttl"},
	{TEXT("ttl =\n"), "FILE:1: ", "ttl"},
	{TEXT("ttl = \t \n"), "FILE:1: ", "ttl"},
	{TEXT("ttl\n"), "FILE:1: ", "name = value"},
	{TEXT("ttl 5\n"), "FILE:1: ", "name = value"},
	{TEXT("ttl: 5\n"), "FILE:1: ", "name = value"},
	{TEXT("SECRET\n"), "FILE:1: ", "name = value"},
	{TEXT("redis: redis://u:SECRET@h\n"), "FILE:1: ", "name = value"},
	{TEXT("redis redis://u:SECRET@h\n"), "FILE:1: ", "name = value"},
	{TEXT("redis-password = SECRET\n"), "FILE:1: ", ""},
	{TEXT("ttl = 5\n[router]\n"), "FILE:2: ", "section"},
	{TEXT("[router\n"), "FILE:1: ", "section"},
	{TEXT(" [router]\nttl = 5\n"), "FILE:1: ", "section"},
	{TEXT("[a = b\n"), "FILE:1: ", "section"},
	{TEXT("ttl = 1\nstale = 2\nttl = 3\n"), "FILE:3: ", "ttl"},
	{TEXT("ttl = 1\nttl = 1\n"), "FILE:2: ", "ttl"},
	{TEXT("reuse-port\n"), "FILE:1: ", "name = value"},
	{TEXT("reuse-port = yes\n"), "FILE:1: ", "on or off"},
	{TEXT("reuse-port = 1\n"), "FILE:1: ", "reuse-port"},
	{TEXT("log-level = loud\n"), "FILE:1: ", "log-level"},
	{TEXT("check = on\n"), "FILE:1: ", ""},
	{TEXT("config = x\n"), "FILE:1: ", ""},
	{TEXT("help = on\n"), "FILE:1: ", ""},
	{TEXT("version = on\n"), "FILE:1: ", ""},
	{TEXT("routes = a\x01"
	      "b\n"),
	 "FILE:1: ", ""},
	{TEXT("routes = a\0b\n"), "FILE:1: ", ""},
	{TEXT("routes = a\x1b[31m\n"), "FILE:1: ", ""},
	{TEXT("routes = a\rb\n"), "FILE:1: ", ""},
	{TEXT("\0\n"), "FILE:1: ", ""},
	{TEXT("\xef\xbb\xbf[a = b\nttl = 5\n"), "FILE:1: ", ""},
	{TEXT("ttl = 1 ; a comment\n"), "FILE:1: ", "ttl"},
	{TEXT("ttl = 1 # a comment\n"), "FILE:1: ", "ttl"},
	{TEXT("redis = u:SECRET@h\nnope = u:SECRET@h\n"), "FILE:2: ", ""},
};

static void test_bad_file(void **state)
{
	static const char *const none[] = {NULL};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad_files); i++) {
		if (parse_file(bad_files[i].bytes, bad_files[i].len, none))
			fail_msg("taken: %s", bad_files[i].bytes);
		assert_complains(bad_files[i].bytes, bad_files[i].begin,
				 bad_files[i].word);
		done();
	}
}

static void test_file_is_closed(void **state)
{
	static const char *const none[] = {NULL};
	int before = dup(STDERR_FILENO), after;

	(void)state;
	close(before);
	assert_true(parse_file(TEXT("ttl = 1\n"), none));
	done();
	assert_false(parse_file(TEXT("ttl = x\n"), none));
	done();
	after = dup(STDERR_FILENO);
	close(after);
	assert_int_equal(after, before);
}

/* The command line wins, and its lists replace the file's. */
static void test_command_line_wins(void **state)
{
	static const char bytes[] = "ttl = 5\nstale = 6\nredis = a\nredis = b\n"
				    "listen = c\n";
	static const char *const args[] = {"--ttl",   "7", "--redis", "x",
					   "--redis", "y", NULL};

	(void)state;
	assert_true(parse_file(TEXT(bytes), args));
	assert_has(bytes, "ttl=7000");
	assert_has(bytes, "stale=6000");
	assert_has(bytes, "redis=x|y");
	assert_has(bytes, "listen=c");
	assert_non_null(strstr(run.config.listen.items[0].where, ":5"));
	assert_string_equal(run.config.redis.items[1].where, "--redis");
	done();
}

/* A bad value in the file is bad although the command line has another. */
static void test_file_is_read_whole(void **state)
{
	static const char *const args[] = {"--ttl", "7", NULL};

	(void)state;
	assert_false(parse_file(TEXT("ttl = x\n"), args));
	assert_complains("", "FILE:1: ", "ttl");
	done();
}

/* Lines of any length are read whole or refused, never cut. */
static void test_long_lines(void **state)
{
	static const char *const none[] = {NULL};
	static char line[5000];
	size_t len, taken = 0;

	(void)state;
	for (len = 1; len < 4900; len += len < 1100 ? 1 : 97) {
		int at = snprintf(line, sizeof(line), "ttl = 1\nroutes = ");

		memset(line + at, 'x', len);
		line[(size_t)at + len] = '\n';
		if (parse_file(line, (size_t)at + len + 1, none)) {
			assert_int_equal(strlen(run.config.routes.text), len);
			assert_int_equal(taken, len - 1);
			taken = len;
		} else {
			assert_complains("long", "FILE:2: ", "long");
		}
		done();
	}
	assert_true(taken > 100);
}

/* A comment may be as long as it likes. */
static void test_long_comment(void **state)
{
	static const char *const none[] = {NULL};
	static char line[5000];

	(void)state;
	memset(line, 'x', sizeof(line));
	line[0] = '#';
	memcpy(line + sizeof(line) - 9, "\nttl = 5\n", 9);
	assert_true(parse_file(line, sizeof(line), none));
	assert_has("comment", "ttl=5000");
	done();
}

static void test_64_uses(void **state)
{
	static const char *const none[] = {NULL};
	static char bytes[65 * 12];
	size_t i;

	(void)state;
	for (i = 0; i < 65; i++)
		memcpy(bytes + i * 12, "listen = xx\n", 12);
	assert_true(parse_file(bytes, 64 * 12, none));
	assert_int_equal(run.config.listen.count, 64);
	done();
	assert_false(parse_file(bytes, 65 * 12, none));
	assert_complains("65", "FILE:65: ", "64");
	done();
}

/* However long what is wrong is, the message fits and ends. */
static void test_long_mistakes(void **state)
{
	static char word[3000];
	const char *args[] = {word, word, NULL};
	const char *value[] = {"--ttl", word, NULL};

	(void)state;
	memset(word, 'x', sizeof(word) - 1);
	assert_false(parse(args));
	done();
	assert_false(parse(value));
	assert_complains("value", "--ttl: ", "");
	done();
	memcpy(word, "--", 2);
	assert_false(parse(args));
	assert_complains("name", "--xxx", "");
	assert_true(strlen(run.error) < OPTS_ERROR_MAX);
	done();
}

static void test_without_memory(void **state)
{
	static const char *const args[] = {"--listen", "a", "--routes", "b",
					   NULL};
	unsigned int n;
	bool failed = true;

	(void)state;
	for (n = 1; failed; n++) {
		bool good;

		/* the test's own copies of the arguments come first */
		kit_fail_allocation(n + 6);
		good = parse_file(TEXT("redis = x\nlisten = y\nroutes = z\n"),
				  args);
		failed = kit_did_fail();
		kit_fail_allocation(0);
		assert_int_equal(good, !failed);
		if (failed)
			assert_non_null(strstr(run.error, "memory"));
		done();
	}
	assert_true(n > 10);
}

/* Each option of the contract stands in --help with its default. */
static void test_help(void **state)
{
	static const char *const words[] = {"--listen ",
					    "127.0.0.1:12310",
					    "--reuse-port",
					    "--redis ",
					    "redis://127.0.0.1:6379",
					    "--redis-password-file ",
					    "--routes ",
					    "[routes]",
					    "--ttl ",
					    "--negative-ttl ",
					    "--stale ",
					    "86400",
					    "--lookup-timeout ",
					    "--cache-size ",
					    "1000000",
					    "--max-connections ",
					    "4096",
					    "--max-waiting ",
					    "65536",
					    "--log-level ",
					    "--log-format ",
					    "--config ",
					    "--check",
					    "--version",
					    "--help"};
	static char text[16384];
	FILE *file = tmpfile();
	int old = dup(STDOUT_FILENO);
	size_t i, len;

	(void)state;
	fflush(stdout);
	assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
	opts_print_help();
	fflush(stdout);
	dup2(old, STDOUT_FILENO);
	close(old);
	rewind(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[len] = '\0';
	for (i = 0; i < ARRAY_LEN(words); i++)
		if (!strstr(text, words[i]))
			fail_msg("no %s in\n%s", words[i], text);
}

static void show(void *context, const struct opts_value *value)
{
	FILE *out = context;

	fprintf(out, "%s=%s (%s)\n", value->name, value->text, value->where);
}

/* What is in force and whence; a password is never shown. */
static void test_show(void **state)
{
	static const char *const args[] = {
		"--redis=redis://me:SECRET@h:1/2", "--negative-ttl=90s",
		"--lookup-timeout=1500us", "--log-level=warn", NULL};
	static const char *const expected[] = {
		"listen=127.0.0.1:12310 (default)\n",
		"redis=redis://me:***@h:1/2 (--redis)\n",
		"ttl=0s (FILE:1: ttl)\n",
		"negative-ttl=90s (--negative-ttl)\n",
		"stale=1d (default)\n",
		"lookup-timeout=2ms (--lookup-timeout)\n",
		"reuse-port=off (default)\n",
		"log-level=warn (--log-level)\n",
		"max-waiting=7 (FILE:2: max-waiting)\n",
		"snapshot= (default)\n"};
	static const char file[] = "ttl = 0\nmax-waiting = 7\n";
	char *text = NULL;
	size_t size, i;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_true(parse_file(file, sizeof(file) - 1, args));
	opts_show(&run.config, show, out);
	fclose(out);
	for (i = 0; i < ARRAY_LEN(expected); i++) {
		const char *at = strstr(expected[i], "FILE");
		char line[200];

		snprintf(line, sizeof(line), "%.*s%s%s",
			 (int)(at ? at - expected[i] : 0), expected[i],
			 at ? run.path : "", at ? at + 4 : expected[i]);
		if (!strstr(text, line))
			fail_msg("no %s in\n%s", line, text);
	}
	assert_null(strstr(text, "SECRET"));
	assert_null(strstr(text, "config="));
	free(text);
	done();
}

static void note_change(void *context, const char *name, bool is_live)
{
	fprintf(context, "%s%s ", name, is_live ? "" : "!");
}

static void test_compare(void **state)
{
	static const char *const before[] = {
		"--redis", "redis://a", "--redis", "redis://b",
		"--ttl",   "7",		NULL};
	static const char *const after[] = {
		"--redis", "redis://a",	 "--ttl", "8", "--log-level",
		"debug",   "--snapshot", "/x",	  NULL};
	struct config old;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_true(parse(before));
	old = run.config;
	assert_true(parse(after));
	opts_compare(&old, &old, note_change, out);
	assert_int_equal(ftell(out), 0);
	opts_compare(&old, &run.config, note_change, out);
	fclose(out);
	assert_string_equal(text, "redis! ttl snapshot! log-level ");
	free(text);
	opts_free(&old);
	done();
}

static void show_changed(void *context, const struct opts_value *value)
{
	if (strcmp(value->where, "default") != 0)
		fprintf(context, "%s=%s(%s) ", value->name, value->text,
			value->where);
}

/* What cannot change keeps its value and its place. */
static void test_adopt(void **state)
{
	static const char *const before[] = {"--ttl",
					     "7",
					     "--routes",
					     "old",
					     "--check-interval",
					     "3",
					     "--deny-target",
					     "10.0.0.1",
					     NULL};
	static const char *const after[] = {"--ttl=8",	"--routes",
					    "new",	"--check-interval",
					    "0",	"--deny-target",
					    "10.0.0.2", "--deny-target",
					    "10.0.0.3", NULL};
	struct config old;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	assert_true(parse(before));
	old = run.config;
	assert_true(parse(after));
	opts_adopt(&old, &run.config);
	opts_show(&old, show_changed, out);
	fclose(out);
	assert_string_equal(text, "routes=old(--routes) ttl=8s(--ttl) "
				  "deny-target=10.0.0.2(--deny-target) "
				  "deny-target=10.0.0.3(--deny-target) "
				  "check-interval=3s(--check-interval) ");
	free(text);
	opts_free(&old);
	done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_command_line),
		cmocka_unit_test(test_bad_command_line),
		cmocka_unit_test(test_help_and_version_come_first),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_bad_file),
		cmocka_unit_test(test_file_is_closed),
		cmocka_unit_test(test_command_line_wins),
		cmocka_unit_test(test_file_is_read_whole),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_long_comment),
		cmocka_unit_test(test_64_uses),
		cmocka_unit_test(test_long_mistakes),
		cmocka_unit_test(test_without_memory),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_adopt),
	};

	return cmocka_run_group_tests_name("opts", tests, NULL, NULL);
}
