/* SPDX-License-Identifier: MIT */
/*
 * ctl_read: the commands that show what the hash holds, and judge it.
 */
#ifndef SPOA_CTL_READ_H
#define SPOA_CTL_READ_H

#include "ctl.h"

enum ctl_status ctl_read_get(struct ctl *ctl) MUST_CHECK;
enum ctl_status ctl_read_ls(struct ctl *ctl) MUST_CHECK;
enum ctl_status ctl_read_export(struct ctl *ctl) MUST_CHECK;
enum ctl_status ctl_read_check(struct ctl *ctl) MUST_CHECK;

#endif
