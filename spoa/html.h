/* SPDX-License-Identifier: MIT */
/*
 * html: writes what is known into a page, for people.
 *
 * Texts may come from strangers: whatever they hold, they stay texts, within an
 * element or within a quoted attribute.
 */
#ifndef SPOA_HTML_H
#define SPOA_HTML_H

#include "base.h"

#include <stdio.h>

/* What is no printable ASCII is shown as `\xNN`. */
void html_text(FILE *out, struct span text);

/* The same, cut after `max` bytes. */
void html_start(FILE *out, struct span text, size_t max);

/* 1234567 as 1,234,567. */
void html_number(FILE *out, uint64_t number);

/* Time in the largest unit that leaves a figure or two: 850 ms, 12 s, 3 min;
 * below 0 it is a dash. */
void html_time(FILE *out, int64_t us);

/* Bytes, likewise: 3.4 MB. */
void html_bytes(FILE *out, uint64_t bytes);

#endif
