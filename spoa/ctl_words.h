/* SPDX-License-Identifier: MIT */
/*
 * ctl_words: the words of a command line that make a route.
 *
 * `routectl set HOST 10.0.0.1:80 weight 3 10.0.0.2:80 backup balance source`
 * spares the quotes that a comma or a semicolon may need in a shell. Each word
 * may hold more than one: a whole route in quotes is one word. What comes out
 * is not judged here.
 */
#ifndef SPOA_CTL_WORDS_H
#define SPOA_CTL_WORDS_H

#include "base.h"

/* Writes the route that the words say to `to`, ended by NUL. False when it
 * does not fit. */
bool ctl_words_join(char *const *words, size_t count, char *to,
		    size_t size) MUST_CHECK;

#endif
