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

/* The first line of the file, or the environment; at most `size` - 1 bytes. */
static bool read_password(const struct opts_item *file, const char *variable,
			  char *password, size_t size,
			  char error[OPTS_ERROR_MAX])
{
	const char *value = getenv(variable);
	char line[2048] = "";
	FILE *stream;

	if (file->text) {
		stream = fopen(file->text, "re");
		if (!stream)
			return complain(error, file->where, strerror(errno));
		if (!fgets(line, sizeof(line), stream))
			line[0] = '\0';
		fclose(stream);
		line[strcspn(line, "\r\n")] = '\0';
		if (line[0] == '\0')
			return complain(error, file->where,
					"holds no password");
		value = line;
	}
	if (value && strlen(value) >= size)
		return complain(error, file->text ? file->where : variable,
				"a password has at most 511 bytes");
	snprintf(password, size, "%s", value ? value : "");
	return true;
}

bool redis_urls_read(const struct config *config,
		     struct redis_url urls[OPTS_LIST_MAX],
		     char error[OPTS_ERROR_MAX])
{
	const struct opts_list *list = &config->redis;
	char password[sizeof(urls[0].password)] = "";
	char sentinel[sizeof(urls[0].sentinel_password)] = "";
	const char *problem;
	const struct opts_item *user = &config->sentinel_user;
	size_t i;

	if (!read_password(&config->redis_password_file, "REDIS_PASSWORD",
			   password, sizeof(password), error) ||
	    !read_password(&config->sentinel_password_file, "SENTINEL_PASSWORD",
			   sentinel, sizeof(sentinel), error))
		return false;
	if (user->text && strlen(user->text) >= sizeof(urls[0].sentinel_user))
		return complain(error, user->where,
				"a user has at most 127 bytes");
	if (user->text && sentinel[0] == '\0')
		return complain(error, user->where,
				"needs a password: --sentinel-password-file or "
				"SENTINEL_PASSWORD");
	for (i = 0; i < list->count; i++) {
		struct redis_url *url = &urls[i];

		if (!redis_url_parse(list->items[i].text, url, &problem))
			return complain(error, list->items[i].where, problem);
		if (url->password[0] == '\0')
			memcpy(url->password, password, sizeof(password));
		snprintf(url->sentinel_user, sizeof(url->sentinel_user), "%s",
			 user->text ? user->text : "");
		memcpy(url->sentinel_password, sentinel, sizeof(sentinel));
	}
	return true;
}
