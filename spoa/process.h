/* SPDX-License-Identifier: MIT */
/*
 * process: what the system says of this process.
 */
#ifndef SPOA_PROCESS_H
#define SPOA_PROCESS_H

#include "base.h"

struct process_usage {
	int64_t cpu_ms;
	uint64_t resident_bytes;
	uint64_t virtual_bytes;
	uint64_t open_files;
	uint64_t max_files;
};

/* What cannot be read is 0. */
void process_measure(struct process_usage *usage);

#endif
