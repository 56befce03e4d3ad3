/* SPDX-License-Identifier: MIT */
/*
 * fuzz_opts: the input is the file of --config, and behind a NUL what is read
 * in its place by a reload. Each ends in a configuration within the bounds, or
 * in one printable line that names the file; what the reload adopts is within
 * them too, and differs from the file in nothing that may change.
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
	MUST(opts_is_default(config, "ttl") || config->ttl_ms >= 0);
	opts_compare(config, config, check_same, NULL);
}

static void check_bad(const char *error, const char *path)
{
	MUST(!strncmp(error, path, strlen(path)));
	MUST(error[strlen(path)] == ':');
	MUST(memchr(error, '\0', OPTS_ERROR_MAX) != NULL);
	MUST(strpbrk(error, "\n\r\x1b") == NULL);
}

/* What may change is as in the file now. */
static void check_fixed(void *context, const char *name, bool is_live)
{
	(void)context;
	MUST(*name != '\0' && !is_live);
}

/* Reads it as a start or a reload does; the caller frees. */
static bool read_config(struct span file, struct config *config)
{
	char program[] = "spoa-router", option[] = "--config", path[40];
	char *argv[] = {program, option, path, NULL};
	char error[OPTS_ERROR_MAX] = "";
	int fd = memfd_create("config", MFD_CLOEXEC);
	bool is_good;

	MUST(fd >= 0 && write(fd, file.p, file.len) == (ssize_t)file.len);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	is_good = opts_parse(3, argv, config, error);
	if (is_good)
		check_good(config);
	else
		check_bad(error, path);
	close(fd);
	return is_good;
}

/* A reload adopts what may change; what then differs may not. */
static void reload(struct config *config, struct span file)
{
	struct config next;

	if (read_config(file, &next)) {
		opts_adopt(config, &next);
		check_good(config);
	}
	opts_free(&next);
	if (read_config(file, &next))
		opts_compare(config, &next, check_fixed, NULL);
	opts_free(&next);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const uint8_t *nul = len > 0 ? memchr(bytes, '\0', len) : NULL;
	size_t first = nul ? (size_t)(nul - bytes) : len;
	struct config config;

	if (read_config((struct span){(const char *)bytes, first}, &config) &&
	    nul)
		reload(&config,
		       (struct span){(const char *)nul + 1, len - first - 1});
	opts_free(&config);
	return 0;
}
