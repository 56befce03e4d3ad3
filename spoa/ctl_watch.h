/* SPDX-License-Identifier: MIT */
/*
 * ctl_watch: shows changes as they happen, until it is stopped.
 *
 * Redis says that the hash changed, not what: the hash is read again and what
 * differs is shown. Messages on KEY:changed and KEY:events are shown as they
 * come.
 */
#ifndef SPOA_CTL_WATCH_H
#define SPOA_CTL_WATCH_H

#include "ctl.h"

/* Returns only when a connection is lost. */
enum ctl_status ctl_watch(struct ctl *ctl) MUST_CHECK;

#endif
