/* SPDX-License-Identifier: MIT */
/*
 * page: the page for people at `/`, what HAProxy's stats page is for HAProxy.
 *
 * It is whole without JavaScript; page.js puts a new one in its place every
 * other second. Style and script are files of their own, built in.
 */
#ifndef SPOA_PAGE_H
#define SPOA_PAGE_H

#include "listing.h"
#include "pace.h"
#include "session.h"
#include "view.h"

#include <stdio.h>

/* What a page is made of. */
struct page {
	const struct view *view;
	const struct pace *pace;
	const struct listing_row *routes; /* the busiest first */
	size_t route_count;
	const char *asked; /* the host that is asked for; NULL: none */
	const struct answer *answer; /* that it gets; NULL: none */
};

void page_write(const struct page *page, FILE *out);

/* The files that it names, and their bytes; made of spoa/page.css and
 * spoa/page.js. */
extern const char page_css[];
extern const size_t page_css_size;
extern const char page_js[];
extern const size_t page_js_size;

#endif
