/* SPDX-License-Identifier: MIT */
/*
 * ctl_tls: a plain socket whose other end is a server with TLS.
 *
 * hiredis 0.14 speaks no TLS, and the agent's own does by libevent: a thread
 * runs a loop of its own that carries bytes between the two until the socket is
 * closed.
 */
#ifndef SPOA_CTL_TLS_H
#define SPOA_CTL_TLS_H

#include "base.h"

#include "tls.h"

struct ctl_tls;

/* Connects and shakes hands within `timeout_ms`; what `options` point to must
 * outlive it. `*fd` is the plain socket, which is the caller's. NULL with the
 * reason in `why`. */
struct ctl_tls *ctl_tls_open(const struct tls_options *options,
			     const char *host, uint16_t port, int timeout_ms,
			     int *fd, char why[TLS_WHY_MAX]) MUST_CHECK;

/* Waits for the end of the thread, so the caller closes the socket before. */
void ctl_tls_close(struct ctl_tls *tls);

#endif
