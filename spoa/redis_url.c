/* SPDX-License-Identifier: MIT */
/*
 * redis_url: takes a URL apart with libevent's parser, which knows RFC 3986.
 */
#include "redis_url.h"

#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>

enum { PORT_DEFAULT = 6379, DB_MAX = 1000000 };

/* Copies without a NUL in the middle; false when it does not fit. */
static bool copy_text(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size || memchr(from, '\0', len))
		return false;
	memcpy(to, from, len);
	to[len] = '\0';
	return true;
}

static bool decode(const char *from, size_t len, char *to, size_t size)
{
	char copy[3 * sizeof(((struct redis_url *)0)->password)]; /* %xx each */
	size_t decoded_len;
	char *decoded;
	bool fits;

	if (!copy_text(copy, sizeof(copy), from, len))
		return false;
	decoded = evhttp_uridecode(copy, 0, &decoded_len);
	if (!decoded)
		return false;
	fits = copy_text(to, size, decoded, decoded_len);
	free(decoded);
	return fits;
}

static bool read_userinfo(const char *userinfo, struct redis_url *url)
{
	const char *colon;

	if (!userinfo)
		return true;
	colon = strchr(userinfo, ':');
	if (!colon)
		colon = userinfo + strlen(userinfo);
	if (!decode(userinfo, (size_t)(colon - userinfo), url->user,
		    sizeof(url->user)))
		return false;
	return *colon == '\0' || decode(colon + 1, strlen(colon + 1),
					url->password, sizeof(url->password));
}

/* A database number; an empty text is database 0. */
static bool read_db(const char *text, unsigned int *db)
{
	char *end;
	unsigned long n = 0;

	if (*text != '\0' && (*text < '0' || *text > '9'))
		return false;
	n = strtoul(text, &end, 10);
	*db = (unsigned int)n;
	return *end == '\0' && n <= DB_MAX;
}

/* An IPv6 address loses its brackets. */
static bool read_host(const char *host, struct redis_url *url)
{
	size_t len = host ? strlen(host) : 0;

	if (len > 1 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	return len > 0 && copy_text(url->host, sizeof(url->host), host, len);
}

static const char *read_tcp(const struct evhttp_uri *uri, struct redis_url *url)
{
	const char *path = evhttp_uri_get_path(uri);
	int port = evhttp_uri_get_port(uri);
	const char *host = evhttp_uri_get_host(uri);

	if (!host || !read_host(host, url))
		return "needs a host: redis://host:port";
	if (port == 0 || port > 65535)
		return "has a bad port";
	url->port = (uint16_t)(port < 0 ? PORT_DEFAULT : port);
	if (!read_userinfo(evhttp_uri_get_userinfo(uri), url))
		return "has a bad user or password";
	if (path && *path != '\0' && !read_db(path + 1, &url->db))
		return "has a bad database number";
	if (evhttp_uri_get_query(uri) || evhttp_uri_get_fragment(uri))
		return "has text after the database";
	snprintf(url->name, sizeof(url->name),
		 strchr(url->host, ':') ? "[%s]:%u/%u" : "%s:%u/%u", url->host,
		 url->port, url->db);
	return NULL;
}

static const char *read_unix(const char *text, struct redis_url *url)
{
	const char *query = strchr(text, '?');
	size_t len = query ? (size_t)(query - text) : strlen(text);

	if (text[0] != '/')
		return "needs an absolute path: unix:/path";
	if (!copy_text(url->path, sizeof(url->path), text, len))
		return "has a path of more than 107 bytes";
	if (query && (strncmp(query, "?db=", 4) != 0 || query[4] == '\0' ||
		      !read_db(query + 4, &url->db)))
		return "has a bad query: ?db=N";
	snprintf(url->name, sizeof(url->name), "%s", url->path);
	return NULL;
}

bool redis_url_parse(const char *text, struct redis_url *url,
		     const char **problem)
{
	struct evhttp_uri *uri;
	const char *scheme;

	memset(url, 0, sizeof(*url));
	if (!strncmp(text, "unix:", 5)) {
		*problem = read_unix(text + 5, url);
		return !*problem;
	}
	if (!strncmp(text, "rediss://", 9)) {
		*problem = "TLS to Redis is not built in";
		return false;
	}
	if (!strncmp(text, "redis-sentinel://", 17)) {
		*problem = "Sentinel is not built in";
		return false;
	}
	uri = evhttp_uri_parse(text);
	scheme = uri ? evhttp_uri_get_scheme(uri) : NULL;
	if (!uri)
		*problem = "is not a URL (percent-encode user and password)";
	else if (!scheme || strcmp(scheme, "redis") != 0)
		*problem = "must start with redis:// or unix:/";
	else
		*problem = read_tcp(uri, url);
	if (uri)
		evhttp_uri_free(uri);
	return !*problem;
}
