/* SPDX-License-Identifier: MIT */
/*
 * ctl_tls: a plain socket whose other end is a server with TLS.
 *
 * hiredis 0.14 speaks no TLS, and the agent's own does by libevent: a thread
 * runs a loop of its own that carries bytes between the two. It ends with the
 * socket, or with the process.
 */
#ifndef SPOA_CTL_TLS_H
#define SPOA_CTL_TLS_H

#include "base.h"

#include "tls.h"

/* Connects and shakes hands within `timeout_ms`; what `options` point to must
 * live as long as the process. Returns the plain socket, which is the
 * caller's, or -1 with the reason in `why`. */
int ctl_tls_open(const struct tls_options *options, const char *host,
		 uint16_t port, int timeout_ms,
		 char why[TLS_WHY_MAX]) MUST_CHECK;

#endif
