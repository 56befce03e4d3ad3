/* SPDX-License-Identifier: MIT */
/*
 * ctl_render: JSON of an agent, for people.
 *
 * A list of objects becomes a table; of an object, what is no list becomes a
 * table of names and values, and each list one of its own. What the agent adds
 * some day is shown without a change here.
 */
#ifndef SPOA_CTL_RENDER_H
#define SPOA_CTL_RENDER_H

#include "base.h"

#include <jansson.h>
#include <stdio.h>

/* Writes it to `out`; false when that failed. */
bool ctl_render(FILE *out, json_t *value) MUST_CHECK;

#endif
