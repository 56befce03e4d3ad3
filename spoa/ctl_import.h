/* SPDX-License-Identifier: MIT */
/*
 * ctl_import: many routes at once.
 *
 * What is there already is not written again. Either every line is good or
 * nothing is written; then chunks go out, each a transaction of its own.
 */
#ifndef SPOA_CTL_IMPORT_H
#define SPOA_CTL_IMPORT_H

#include "ctl.h"

enum ctl_status ctl_import(struct ctl *ctl) MUST_CHECK;

/* Prints what ctl_import would do; CTL_REFUSED when that is something. */
enum ctl_status ctl_import_diff(struct ctl *ctl) MUST_CHECK;

#endif
