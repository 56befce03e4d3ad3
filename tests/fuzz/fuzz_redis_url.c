/* SPDX-License-Identifier: MIT */
/*
 * fuzz_redis_url: the input is the URL of --redis, and, behind its first NUL,
 * a place that a node of a cluster names.
 */
#include "fuzz.h"

#include "../../spoa/redis_url.h"

static void check_host(const char *host)
{
	MUST(host[0] != '\0' && strpbrk(host, "[] /@") == NULL);
}

static void check_good(const struct redis_url *url)
{
	size_t i;

	MUST(url->name[0] != '\0');
	MUST((url->host[0] != '\0') + (url->path[0] != '\0') +
		     (url->master[0] != '\0') ==
	     1);
	if (url->host[0] != '\0') {
		MUST(strpbrk(url->host, "[]") == NULL);
		MUST(url->port > 0);
	}
	if (url->path[0] != '\0')
		MUST(url->path[0] == '/');
	MUST((url->master[0] != '\0') == (url->sentinel_count > 0));
	MUST(url->sentinel_count <= REDIS_SENTINELS_MAX);
	for (i = 0; i < url->sentinel_count; i++) {
		check_host(url->sentinels[i].host);
		MUST(url->sentinels[i].port > 0);
	}
}

/* What is followed must be a server that can be named. */
static void check_lead(const struct redis_url *url, struct span place)
{
	char *copy = malloc(place.len);
	struct redis_url to;
	struct span host;
	uint16_t port;

	MUST(copy != NULL || place.len == 0);
	if (place.len > 0)
		memcpy(copy, place.p, place.len);
	place.p = copy;
	if (redis_url_split(place, &host, &port)) {
		MUST(port > 0 && host.len < place.len);
		MUST(host.p >= copy && host.p <= copy + place.len);
		if (redis_url_lead(url, host, port, &to)) {
			MUST(host.len > 0 && strlen(to.host) == host.len);
			MUST(to.port == port && to.path[0] == '\0');
			MUST(!strcmp(to.password, url->password));
		}
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text = malloc(len + 1);
	const char *problem = "";
	struct redis_url url;
	size_t used;

	MUST(text != NULL);
	if (len > 0)
		memcpy(text, bytes, len);
	text[len] = '\0';
	used = strlen(text);
	if (redis_url_parse(text, &url, &problem)) {
		MUST(problem == NULL);
		check_good(&url);
		if (used < len)
			check_lead(&url, (struct span){text + used + 1,
						       len - used - 1});
	} else {
		MUST(problem != NULL && *problem != '\0');
	}
	free(text);
	return 0;
}
