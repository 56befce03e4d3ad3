/* SPDX-License-Identifier: MIT */
/*
 * scrape: what Prometheus reads at /metrics, from the counters of the rooms.
 */
#ifndef SPOA_SCRAPE_H
#define SPOA_SCRAPE_H

#include "http.h"
#include "listing.h"
#include "view.h"

#include <stdio.h>

enum { SCRAPE_ROUTES = 20 }; /* routes with a sample of their own */

/* What the admin side knows besides. */
struct scrape_admin {
	const struct http_counters *http;
	const struct listing_row *routes; /* the busiest first */
	size_t route_count;
};

/* Writes all families. */
void scrape_write(const struct view *view, const struct scrape_admin *admin,
		  FILE *out);

#endif
