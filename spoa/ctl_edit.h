/* SPDX-License-Identifier: MIT */
/*
 * ctl_edit: the commands that change single routes, and flush.
 *
 * Nothing is written that the agent would not use. Each write says on
 * KEY:changed what it changed, in the same transaction.
 */
#ifndef SPOA_CTL_EDIT_H
#define SPOA_CTL_EDIT_H

#include "ctl.h"

enum ctl_status ctl_edit_set(struct ctl *ctl) MUST_CHECK;
enum ctl_status ctl_edit_del(struct ctl *ctl) MUST_CHECK;
enum ctl_status ctl_edit_flush(struct ctl *ctl) MUST_CHECK;

#endif
