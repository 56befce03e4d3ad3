/* SPDX-License-Identifier: MIT */
/*
 * fuzz: what the fuzz targets share. Each target hands its input to one room
 * and checks what must hold for any input; a fault ends the program.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "../../spoa/base.h"

#include <stdlib.h>

/* Ends the program, and so the run of the fuzzer, unless `fact` holds. */
#define MUST(fact)                                                             \
	do {                                                                   \
		if (!(fact))                                                   \
			abort();                                               \
	} while (0)

/* The target's entry point, by libFuzzer's name for it. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#endif
