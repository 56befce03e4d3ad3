/* SPDX-License-Identifier: MIT */
/*
 * ctl_lines: the file that `routectl import` reads and `export` writes.
 *
 *   # a comment, and blank lines
 *   app1.cloud.com   192.168.1.1:9000
 *   *.shop.com<TAB>10.0.0.7:80, 10.0.0.8:80; balance source
 *
 * Blanks part field and route. After a TAB the route counts byte for byte, so
 * that an export is exact; else blanks at both its ends are dropped.
 */
#ifndef SPOA_CTL_LINES_H
#define SPOA_CTL_LINES_H

#include "base.h"

enum ctl_line { CTL_LINE_BLANK, CTL_LINE_PAIR, CTL_LINE_NO_ROUTE };

/* Takes one line apart, with or without its end. The spans live in `line`. */
enum ctl_line ctl_lines_read(struct span line, struct span *field,
			     struct span *value) MUST_CHECK;

/* Can a line hold this pair, so that reading gives the same bytes? Such a line
 * is `field TAB value` and has nothing but printable ASCII. */
bool ctl_lines_can_hold(struct span field, struct span value);

#endif
