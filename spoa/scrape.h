/* SPDX-License-Identifier: MIT */
/*
 * scrape: what Prometheus reads at /metrics, from the counters of the rooms.
 */
#ifndef SPOA_SCRAPE_H
#define SPOA_SCRAPE_H

#include "view.h"

#include <stdio.h>

/* Writes all families. */
void scrape_write(const struct view *view, FILE *out);

#endif
