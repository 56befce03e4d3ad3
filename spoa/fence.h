/* SPDX-License-Identifier: MIT */
/*
 * fence: what the program may ask of the kernel once it serves.
 *
 * Whoever takes it over finds no exec, no new kinds of sockets, no memory to
 * run code from. What it may not ask fails with EPERM: a library that tries
 * something new is refused that, not the whole service. Nothing else in the
 * program knows libseccomp; built without it (`make SECCOMP=0`) a fence cannot
 * be had.
 */
#ifndef SPOA_FENCE_H
#define SPOA_FENCE_H

#include "base.h"

enum { FENCE_WHY_MAX = 200 };

/* Is it built in? */
bool fence_is_known(void);

/* Puts it up, for all threads and for good. False with `why`. */
bool fence_raise(char why[FENCE_WHY_MAX]) MUST_CHECK;

#endif
