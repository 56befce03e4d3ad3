/* SPDX-License-Identifier: MIT */
/*
 * ctl_explain: which route answers a host, and why.
 *
 * With --admin the agent itself says it, cache and checks included. Without,
 * the same rooms judge what Redis holds now: that is what an agent answers
 * that has just asked.
 */
#ifndef SPOA_CTL_EXPLAIN_H
#define SPOA_CTL_EXPLAIN_H

#include "ctl.h"

/* CTL_DONE when there is a target, CTL_MISSING when no field matches, else
 * CTL_REFUSED. */
enum ctl_status ctl_explain(struct ctl *ctl) MUST_CHECK;

#endif
