/* SPDX-License-Identifier: MIT */
/*
 * tls: OpenSSL's client, carried by libevent_openssl.
 */
#include "tls.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef WITH_TLS

#include <arpa/inet.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

enum { CA, CERT, KEY, FILES };

/* Tells one version of a file from the next. */
struct stamp {
	struct timespec changed;
	ino_t inode;
	off_t size;
};

struct tls {
	struct tls_options options;
	SSL_CTX *context; /* of the files as they were at `stamps` */
	struct stamp stamps[FILES];
};

/* The oldest error of OpenSSL, which explains those after it. */
static const char *take_error(void)
{
	const char *reason = ERR_reason_error_string(ERR_get_error());

	ERR_clear_error();
	return reason ? reason : "refused by OpenSSL";
}

static bool complain(char why[TLS_WHY_MAX], const char *what, const char *path)
{
	snprintf(why, TLS_WHY_MAX, "%s %.100s: %.60s", what, path,
		 take_error());
	return false;
}

static bool load_files(SSL_CTX *context, const struct tls_options *options,
		       char why[TLS_WHY_MAX])
{
	/* A certificate and its key may share a file. */
	const char *key = options->key ? options->key : options->cert;

	if (options->ca
		    ? !SSL_CTX_load_verify_locations(context, options->ca, NULL)
		    : !SSL_CTX_set_default_verify_paths(context))
		return complain(why, "--redis-ca",
				options->ca ? options->ca : "of the system");
	if (!options->cert)
		return true;
	if (SSL_CTX_use_certificate_chain_file(context, options->cert) != 1)
		return complain(why, "--redis-cert", options->cert);
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		return complain(why, "--redis-key", key);
	return true;
}

static SSL_CTX *new_context(const struct tls_options *options,
			    char why[TLS_WHY_MAX])
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context) {
		snprintf(why, TLS_WHY_MAX, "TLS: %.100s", take_error());
		return NULL;
	}
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	/* A server that is killed says no goodbye, and RESP has lengths. */
	SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (load_files(context, options, why))
		return context;
	SSL_CTX_free(context);
	return NULL;
}

static void take_stamps(const struct tls_options *options,
			struct stamp stamps[FILES])
{
	const char *const paths[FILES] = {[CA] = options->ca,
					  [CERT] = options->cert,
					  [KEY] = options->key};
	size_t i;

	memset(stamps, 0, FILES * sizeof(*stamps));
	for (i = 0; i < FILES; i++) {
		struct stat file;

		if (!paths[i] || stat(paths[i], &file) != 0)
			continue;
		stamps[i].changed = file.st_mtim;
		stamps[i].inode = file.st_ino;
		stamps[i].size = file.st_size;
	}
}

/* Reads the files again when they changed. */
static bool renew(struct tls *tls, char why[TLS_WHY_MAX])
{
	struct stamp stamps[FILES];
	SSL_CTX *context;

	take_stamps(&tls->options, stamps);
	if (tls->context && !memcmp(stamps, tls->stamps, sizeof(stamps)))
		return true;
	context = new_context(&tls->options, why);
	if (!context)
		return false;
	SSL_CTX_free(tls->context);
	tls->context = context;
	memcpy(tls->stamps, stamps, sizeof(stamps));
	return true;
}

struct tls *tls_new(const struct tls_options *options, char why[TLS_WHY_MAX])
{
	struct tls *tls = calloc(1, sizeof(*tls));

	snprintf(why, TLS_WHY_MAX, "out of memory");
	if (!tls)
		return NULL;
	tls->options = *options;
	if (renew(tls, why))
		return tls;
	tls_free(tls);
	return NULL;
}

void tls_free(struct tls *tls)
{
	if (!tls)
		return;
	SSL_CTX_free(tls->context);
	free(tls);
}

/* The certificate must name the host, or hold the address. */
static bool expect_host(SSL *ssl, const char *host)
{
	unsigned char room[sizeof(struct in6_addr)];
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (inet_pton(AF_INET, host, room) == 1 ||
	    inet_pton(AF_INET6, host, room) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	X509_VERIFY_PARAM_set_hostflags(param,
					X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) == 1 &&
	       SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct bufferevent *tls_open(struct tls *tls, struct event_base *base,
			     const char *host, char why[TLS_WHY_MAX])
{
	struct bufferevent *transport;
	SSL *ssl;

	if (!renew(tls, why))
		return NULL;
	ssl = SSL_new(tls->context);
	if (!ssl || !expect_host(ssl, host)) {
		snprintf(why, TLS_WHY_MAX, "TLS: %.100s", take_error());
		SSL_free(ssl);
		return NULL;
	}
	transport = bufferevent_openssl_socket_new(base, -1, ssl,
						   BUFFEREVENT_SSL_CONNECTING,
						   BEV_OPT_CLOSE_ON_FREE);
	if (!transport) {
		snprintf(why, TLS_WHY_MAX, "out of memory");
		SSL_free(ssl);
	}
	return transport;
}

bool tls_explain(struct bufferevent *transport, char why[TLS_WHY_MAX])
{
	SSL *ssl = bufferevent_openssl_get_ssl(transport);
	unsigned long error = bufferevent_get_openssl_error(transport);
	long verdict = ssl ? SSL_get_verify_result(ssl) : X509_V_OK;
	const char *reason = ERR_reason_error_string(error);

	if (!ssl || error == 0 || ERR_SYSTEM_ERROR(error))
		return false;
	/* libevent puts SSL_ERROR_SYSCALL itself there, which has no reason. */
	if (verdict == X509_V_OK && !reason)
		return false;
	if (verdict != X509_V_OK)
		snprintf(why, TLS_WHY_MAX,
			 "TLS: the server's certificate: %.100s",
			 X509_verify_cert_error_string(verdict));
	else
		snprintf(why, TLS_WHY_MAX, "TLS: %.100s", reason);
	return true;
}

#else /* no OpenSSL */

struct tls *tls_new(const struct tls_options *options, char why[TLS_WHY_MAX])
{
	(void)options;
	snprintf(why, TLS_WHY_MAX,
		 "TLS is not built in (make TLS=1 needs "
		 "libssl-dev)");
	return NULL;
}

void tls_free(struct tls *tls)
{
	(void)tls;
}

struct bufferevent *tls_open(struct tls *tls, struct event_base *base,
			     const char *host, char why[TLS_WHY_MAX])
{
	(void)tls;
	(void)base;
	(void)host;
	snprintf(why, TLS_WHY_MAX, "TLS is not built in");
	return NULL;
}

bool tls_explain(struct bufferevent *transport, char why[TLS_WHY_MAX])
{
	(void)transport;
	(void)why;
	return false;
}

#endif
