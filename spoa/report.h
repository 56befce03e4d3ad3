/* SPDX-License-Identifier: MIT */
/*
 * report: reads a line in which HAProxy says that a request failed.
 *
 * The line is a syslog message (RFC 5424) whose structured data begins with an
 * element of ours, of this form and version:
 *
 *   <131>1 TIME HOST APP PID MSGID [router1 tsc="SC--" ip="10.0.0.1" port="80"]
 *
 * What stands behind the element holds what clients said, and is never looked
 * at. Only a connection that could not be made (SC, sC) is the fault of the
 * target for sure: all else HAProxy calls an error too (a 500 of an
 * application, a client that went away), and it says nothing.
 */
#ifndef SPOA_REPORT_H
#define SPOA_REPORT_H

#include "base.h"

enum report_kind {
	REPORT_FAILED,	  /* the connection to this target could not be made */
	REPORT_OTHER,	  /* a line of ours that says nothing of a target */
	REPORT_MALFORMED, /* no line of ours */
};

struct report {
	uint8_t address[16]; /* network order */
	size_t address_len;  /* 4 or 16 */
	uint16_t port;
};

/* Reads a datagram; fills `*report` with REPORT_FAILED only. */
enum report_kind report_parse(struct span line,
			      struct report *report) MUST_CHECK;

#endif
