/* SPDX-License-Identifier: MIT */
/*
 * ctl_agent: the commands that a running agent answers, by --admin.
 */
#ifndef SPOA_CTL_AGENT_H
#define SPOA_CTL_AGENT_H

#include "ctl.h"

/* Asks and prints the answer. CTL_MISUSED without --admin, CTL_AWAY when there
 * is no agent, CTL_REFUSED or CTL_MISSING when it says so. */
enum ctl_status ctl_agent_ask(struct ctl *ctl, const char *method,
			      const char *target) MUST_CHECK;

enum ctl_status ctl_agent_config(struct ctl *ctl) MUST_CHECK;
enum ctl_status ctl_agent_explain(struct ctl *ctl) MUST_CHECK;

/* Has this one agent alone read the hosts, or all, again. */
enum ctl_status ctl_agent_flush(struct ctl *ctl) MUST_CHECK;

#endif
