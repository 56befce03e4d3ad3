/* SPDX-License-Identifier: MIT */
/*
 * redis_urls: goes through --redis and puts the password in.
 */
#include "redis_urls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static bool complain(char error[OPTS_ERROR_MAX], const char *where,
		     const char *what)
{
	snprintf(error, OPTS_ERROR_MAX, "%.300s: %.200s", where, what);
	return false;
}

/* The first line of the file, or the environment. */
static bool read_password(const struct config *config, char *password,
			  size_t size, char error[OPTS_ERROR_MAX])
{
	const struct opts_item *file = &config->redis_password_file;
	const char *variable = getenv("REDIS_PASSWORD");
	FILE *stream;
	bool got;

	if (!file->text) {
		snprintf(password, size, "%s", variable ? variable : "");
		return true;
	}
	stream = fopen(file->text, "re");
	if (!stream)
		return complain(error, file->where, strerror(errno));
	got = fgets(password, (int)size, stream) != NULL;
	fclose(stream);
	password[strcspn(password, "\r\n")] = '\0';
	if (!got || password[0] == '\0')
		return complain(error, file->where, "holds no password");
	return true;
}

bool redis_urls_read(const struct config *config,
		     struct redis_url urls[OPTS_LIST_MAX],
		     char error[OPTS_ERROR_MAX])
{
	const struct opts_list *list = &config->redis;
	char password[sizeof(urls[0].password)] = "";
	const char *problem;
	size_t i;

	if (!read_password(config, password, sizeof(password), error))
		return false;
	for (i = 0; i < list->count; i++) {
		struct redis_url *url = &urls[i];

		if (!redis_url_parse(list->items[i].text, url, &problem))
			return complain(error, list->items[i].where, problem);
		if (url->password[0] == '\0')
			memcpy(url->password, password, sizeof(password));
	}
	return true;
}
