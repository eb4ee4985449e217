/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ends things that take long to end, each on a thread of its own, so that nobody waits for them. */
#ifndef SRC_REAPER_H
#define SRC_REAPER_H

#include "spool/base.h"

/* Calls end(thing) on another thread; on this one when none is to be had. */
void reaper_end(void (*end)(void *thing), void *thing);

/* Waits until all have ended, at most timeout_ms. Returns whether they have. */
bool reaper_settle(uint64_t timeout_ms);

#endif
