/* SPDX-License-Identifier: MIT */
/*
 * redis_url: takes a URL apart with libevent's parser, which knows RFC 3986; a
 * list of sentinels is none, and is cut by hand.
 */
#include "redis_url.h"

#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>

enum { PORT_DEFAULT = 6379, SENTINEL_PORT = 26379, DB_MAX = 1000000 };

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

static void name_server(struct redis_url *url)
{
	snprintf(url->name, sizeof(url->name),
		 strchr(url->host, ':') ? "[%s]:%u/%u" : "%s:%u/%u", url->host,
		 url->port, url->db);
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
	name_server(url);
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

bool redis_url_split(struct span text, struct span *host, uint16_t *port)
{
	const char *colon = memrchr(text.p, ':', text.len);
	size_t len = colon ? text.len - 1 - (size_t)(colon - text.p) : 0;
	char digits[8];
	char *end;
	unsigned long n;

	if (len == 0 || colon[1] < '0' || colon[1] > '9' ||
	    !copy_text(digits, sizeof(digits), colon + 1, len))
		return false;
	n = strtoul(digits, &end, 10);
	*host = (struct span){text.p, (size_t)(colon - text.p)};
	if (host->len > 1 && *text.p == '[' && colon[-1] == ']')
		*host = (struct span){text.p + 1, host->len - 2};
	*port = (uint16_t)n;
	return *end == '\0' && n > 0 && n <= UINT16_MAX;
}

static bool has_any(struct span text, const char *of)
{
	for (; *of != '\0'; of++)
		if (memchr(text.p, *of, text.len))
			return true;
	return false;
}

bool redis_url_is_same(const struct redis_address *a,
		       const struct redis_address *b)
{
	return a->port == b->port && !strcmp(a->host, b->host);
}

/* One of the sentinels: HOST, HOST:PORT, [IP6] or [IP6]:PORT. */
static bool read_sentinel(struct span text, struct redis_url *url)
{
	struct redis_address *to = &url->sentinels[url->sentinel_count];
	bool is_plain = text.len == 0 || text.p[0] != '[';
	struct span host = text;

	if (url->sentinel_count == REDIS_SENTINELS_MAX)
		return false;
	url->sentinel_count++;
	to->port = SENTINEL_PORT;
	if (!is_plain && text.p[text.len - 1] == ']')
		host = (struct span){text.p + 1, text.len - 2};
	else if (has_any(text, ":") && !redis_url_split(text, &host, &to->port))
		return false;
	return host.len > 0 && !has_any(host, is_plain ? "[] :" : "[] ") &&
	       copy_text(to->host, sizeof(to->host), host.p, host.len);
}

static bool read_sentinels(struct span list, struct redis_url *url)
{
	while (list.len > 0) {
		const char *comma = memchr(list.p, ',', list.len);
		size_t len = comma ? (size_t)(comma - list.p) : list.len;

		if (!read_sentinel((struct span){list.p, len}, url))
			return false;
		list.p += len + (comma != NULL);
		list.len -= len + (comma != NULL);
		if (comma && list.len == 0)
			return false;
	}
	return url->sentinel_count > 0;
}

/* What stands behind the `?`: db=N and read=replica, with & between. */
static bool read_query(const char *text, struct redis_url *url)
{
	for (;;) {
		size_t len = strcspn(text, "&");
		char word[64];

		if (!copy_text(word, sizeof(word), text, len))
			return false;
		if (!strcmp(word, "read=replica"))
			url->reads_replica = true;
		else if (strncmp(word, "db=", 3) != 0 || word[3] == '\0' ||
			 !read_db(word + 3, &url->db))
			return false;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

/* What stands behind `redis-sentinel://`. */
static const char *read_sentinel_url(const char *text, struct redis_url *url)
{
	const char *slash = strchr(text, '/');
	const char *query = slash ? strchr(slash, '?') : NULL;
	const char *at;
	char userinfo[1024];

	if (!slash)
		return "needs a name: redis-sentinel://host:port,.../NAME";
	at = memrchr(text, '@', (size_t)(slash - text));
	if (at && (!copy_text(userinfo, sizeof(userinfo), text,
			      (size_t)(at - text)) ||
		   strchr(userinfo, '@') || !read_userinfo(userinfo, url)))
		return "has a bad user or password (percent-encode them)";
	text = at ? at + 1 : text;
	if (!read_sentinels((struct span){text, (size_t)(slash - text)}, url))
		return "has a bad list of sentinels: host:port,host:port";
	slash++;
	if (query && !read_query(query + 1, url))
		return "has a bad query: ?db=N, ?read=replica or both with &";
	if (!decode(slash, query ? (size_t)(query - slash) : strlen(slash),
		    url->master, sizeof(url->master)) ||
	    url->master[0] == '\0' || strpbrk(url->master, "/# \r\n"))
		return "needs a name: redis-sentinel://host:port,.../NAME";
	snprintf(url->name, sizeof(url->name), "%s/%u", url->master, url->db);
	return NULL;
}

bool redis_url_lead(const struct redis_url *url, struct span host,
		    uint16_t port, struct redis_url *to)
{
	if (to != url)
		*to = *url;
	to->port = port;
	to->path[0] = '\0';
	if (host.len == 0 ||
	    !copy_text(to->host, sizeof(to->host), host.p, host.len))
		return false;
	name_server(to);
	if (to->master[0] != '\0')
		snprintf(to->name, sizeof(to->name),
			 strchr(to->host, ':') ? "%s at [%s]:%u/%u"
					       : "%s at %s:%u/%u",
			 to->master, to->host, to->port, to->db);
	return true;
}

static const char *read_plain(const char *text, struct redis_url *url)
{
	struct evhttp_uri *uri = evhttp_uri_parse(text);
	const char *scheme = uri ? evhttp_uri_get_scheme(uri) : NULL;
	const char *problem;

	url->is_tls = scheme && !strcmp(scheme, "rediss");
	if (!uri)
		problem = "is not a URL (percent-encode user and password)";
	else if (!scheme || (strcmp(scheme, "redis") != 0 && !url->is_tls))
		problem = "must start with redis://, rediss://, "
			  "redis-sentinel:// or unix:/";
	else
		problem = read_tcp(uri, url);
	if (uri)
		evhttp_uri_free(uri);
	return problem;
}

bool redis_url_parse(const char *text, struct redis_url *url,
		     const char **problem)
{
	memset(url, 0, sizeof(*url));
	if (!strncmp(text, "unix:", 5)) {
		*problem = read_unix(text + 5, url);
	} else if (!strncmp(text, "redis-sentinel://", 17)) {
		*problem = read_sentinel_url(text + 17, url);
	} else if (!strncmp(text, "rediss-sentinel://", 18)) {
		url->is_tls = true;
		*problem = read_sentinel_url(text + 18, url);
	} else {
		*problem = read_plain(text, url);
	}
	return !*problem;
}
