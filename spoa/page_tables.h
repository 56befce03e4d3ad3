/* SPDX-License-Identifier: MIT */
/*
 * page_tables: the tables of the page.
 */
#ifndef SPOA_PAGE_TABLES_H
#define SPOA_PAGE_TABLES_H

#include "page.h"

/* Where the host goes that was asked for, and why. */
void page_put_host(const struct page *page, FILE *out);

/* The busiest routes. */
void page_put_routes(const struct page *page, FILE *out);

/* Targets that are doubted or down; nothing when none is. */
void page_put_failing(const struct page *page, FILE *out);

/* All answers since the start. */
void page_put_answers(const struct page *page, FILE *out);

#endif
