/* SPDX-License-Identifier: MIT */
/*
 * ctl_agent: the commands that a running agent answers, by --admin or the
 * admin of the agent's own file.
 *
 * The agent answers in JSON. With --json it is passed on, else shown as tables.
 */
#ifndef SPOA_CTL_AGENT_H
#define SPOA_CTL_AGENT_H

#include "ctl.h"

/* Is there an agent to be asked? */
bool ctl_agent_is_named(const struct ctl *ctl);

/* Each is CTL_MISUSED when no agent is named, CTL_AWAY when it does not
 * answer, CTL_REFUSED or CTL_MISSING when it says so. */
enum ctl_status ctl_agent_config(struct ctl *ctl) MUST_CHECK;
enum ctl_status ctl_agent_explain(struct ctl *ctl) MUST_CHECK;
enum ctl_status ctl_agent_top(struct ctl *ctl) MUST_CHECK;

/* Has this one agent alone read the hosts, or all, again. */
enum ctl_status ctl_agent_flush(struct ctl *ctl) MUST_CHECK;

#endif
