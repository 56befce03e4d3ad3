/* SPDX-License-Identifier: MIT */
/*
 * reload: reads the configuration again while the agent runs.
 *
 * In two phases: first all is read and judged, as at a start; only when nothing
 * is wrong with it, what may change while running is put in force. What may not
 * is named in the log and stays as it was.
 */
#ifndef SPOA_RELOAD_H
#define SPOA_RELOAD_H

#include "agent.h"

/* Does so with the command line of the start. False when something is wrong:
 * then nothing has changed. The log says it either way. */
bool reload_settings(struct agent *agent, int argc, char *const *argv);

#endif
