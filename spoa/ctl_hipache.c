/* SPDX-License-Identifier: MIT */
/*
 * ctl_hipache: cuts the scheme and a final slash off.
 */
#include "ctl_hipache.h"

bool ctl_hipache_read(struct span url, struct span *target, const char **port,
		      const char **problem)
{
	const char *bracket;
	struct span rest;

	*problem = "is not http://ADDRESS:PORT";
	if (span_starts(url, "https://"))
		*problem = "targets are not spoken TLS to";
	if (!span_starts(url, "http://"))
		return false;
	rest = (struct span){url.p + 7, url.len - 7};
	if (rest.len > 0 && rest.p[rest.len - 1] == '/')
		rest.len--;
	if (rest.len > 0 && memchr(rest.p, '/', rest.len)) {
		*problem = "has a path";
		return false;
	}
	if (rest.len == 0 || memchr(rest.p, '@', rest.len))
		return false;
	*target = rest;
	bracket = memrchr(rest.p, ']', rest.len);
	if (bracket)
		rest = (struct span){bracket,
				     rest.len - (size_t)(bracket - rest.p)};
	*port = memchr(rest.p, ':', rest.len) ? "" : ":80";
	return true;
}
