/* SPDX-License-Identifier: MIT */
/*
 * fuzz_opts: the input is the file of --config. It ends in a configuration
 * within the bounds, or in one printable line that names the file.
 */
#include "fuzz.h"

#include "../../spoa/opts.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* Each option has a line; a password is in none. */
static void check_value(void *context, const struct opts_value *value)
{
	size_t *count = context;

	MUST(*value->name != '\0' && value->text != NULL);
	MUST(value->where != NULL);
	++*count;
}

static void check_same(void *context, const char *name, bool is_live)
{
	(void)context;
	(void)name;
	(void)is_live;
	abort();
}

static void check_good(const struct config *config)
{
	size_t i, shown = 0;

	MUST(config->ttl_ms >= 0 && config->negative_ttl_ms >= 0);
	MUST(config->stale_ms >= 0 && config->lookup_timeout_ms >= 1);
	MUST(config->cache_size >= 1 && config->max_connections >= 1);
	MUST(config->max_waiting >= 1 && config->routes.text != NULL);
	MUST(config->listen.count >= 1 &&
	     config->listen.count <= OPTS_LIST_MAX);
	MUST(config->redis.count >= 1 && config->redis.count <= OPTS_LIST_MAX);
	for (i = 0; i < config->redis.count; i++) {
		MUST(*config->redis.items[i].text != '\0');
		MUST(*config->redis.items[i].where != '\0');
	}
	opts_show(config, check_value, &shown);
	MUST(shown > 20);
	opts_compare(config, config, check_same, NULL);
}

static void check_bad(const char *error, const char *path)
{
	MUST(!strncmp(error, path, strlen(path)));
	MUST(error[strlen(path)] == ':');
	MUST(memchr(error, '\0', OPTS_ERROR_MAX) != NULL);
	MUST(strpbrk(error, "\n\r\x1b") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char program[] = "spoa-router", option[] = "--config", path[40];
	char *argv[] = {program, option, path, NULL};
	char error[OPTS_ERROR_MAX] = "";
	int fd = memfd_create("config", MFD_CLOEXEC);
	struct config config;

	MUST(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (opts_parse(3, argv, &config, error))
		check_good(&config);
	else
		check_bad(error, path);
	opts_free(&config);
	close(fd);
	return 0;
}
