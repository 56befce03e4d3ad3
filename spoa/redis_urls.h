/* SPDX-License-Identifier: MIT */
/*
 * redis_urls: the servers that the configuration names, with the password that
 * stands elsewhere.
 *
 * In this order: the password of the URL, the first line of
 * --redis-password-file, the environment's REDIS_PASSWORD. Sentinels have a
 * user and a password of their own, or none: --sentinel-user,
 * --sentinel-password-file, SENTINEL_PASSWORD.
 */
#ifndef SPOA_REDIS_URLS_H
#define SPOA_REDIS_URLS_H

#include "opts.h"
#include "redis_url.h"

/* Reads the `config->redis.count` URLs. False with one line in `error`, which
 * holds no part of a URL. */
bool redis_urls_read(const struct config *config,
		     struct redis_url urls[OPTS_LIST_MAX],
		     char error[OPTS_ERROR_MAX]) MUST_CHECK;

#endif
