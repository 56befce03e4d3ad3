/* SPDX-License-Identifier: MIT */
/*
 * reserve: small pieces of memory for libevent when there are no others.
 *
 * libevent 2.1.12 reads through a null pointer when evhttp has no memory for
 * the second part of a connection, which nothing can refuse it before, and when
 * a name is given up for whose answer evdns had no memory. The rooms bound
 * both.
 */
#ifndef SPOA_RESERVE_H
#define SPOA_RESERVE_H

#include "base.h"

/* libevent allocates through this room from now on. To be called before any
 * other function of libevent. */
void reserve_lend(void);

/* As malloc, realloc and free, for each other's memory only. */
void *reserve_malloc(size_t size);
void *reserve_realloc(void *old, size_t size);
void reserve_free(void *piece);

#endif
