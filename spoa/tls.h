/* SPDX-License-Identifier: MIT */
/*
 * tls: TLS towards Redis, as a kind of bufferevent.
 *
 * Out of the files of the options it makes the client's side of one connection,
 * which believes only a server whose certificate is of a known authority and
 * names the host that was asked for. Files are read again when they changed.
 * Nothing else in the program knows OpenSSL; built without it (`make TLS=0`),
 * every call fails and says so.
 */
#ifndef SPOA_TLS_H
#define SPOA_TLS_H

#include "base.h"

struct bufferevent;
struct event_base;
struct tls;

enum { TLS_WHY_MAX = 200 };

/* Paths; NULL is none. Without `ca` the system's authorities count. */
struct tls_options {
	const char *ca;
	const char *cert;
	const char *key;
};

/* NULL when the files cannot be used or TLS is not built in: `why` says which
 * and what for. What the options point to must live as long. */
struct tls *tls_new(const struct tls_options *options, char why[TLS_WHY_MAX]);
void tls_free(struct tls *tls);

/* A transport, not connected yet, that shakes hands with `host`, a name or an
 * address, before it says that it is connected. It closes its socket when it
 * is freed. NULL as with tls_new. */
struct bufferevent *tls_open(struct tls *tls, struct event_base *base,
			     const char *host, char why[TLS_WHY_MAX]);

/* Why a transport of tls_open failed; false when it was not for TLS. */
bool tls_explain(struct bufferevent *transport, char why[TLS_WHY_MAX]);

#endif
