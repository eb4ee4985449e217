/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pausing a destination: an operator's wish that its queue is not forwarded for now. It is kept in
 * the spool, so it outlives the program that forwards and the one that was told. Publishing goes
 * on, and what is in-flight is still settled.
 */
#ifndef SPOOL_PAUSE_H
#define SPOOL_PAUSE_H

#include "spool/audit.h"
#include "spool/base.h"
#include "spool/spool.h"

/* Pauses the destination, or lets it go on; in a short write transaction of its own, from any
 * thread but a batch's. A running forwarder sees it within a second. Pausing what is paused already
 * keeps the first time. 0, SPOOL_E_DISK_FULL, SPOOL_E_LATCHED, -errno; message is set for each but
 * 0. */
SPOOL_MUST_CHECK int spool_pause(struct spool *spool, uint32_t destination, bool pauses,
                                 struct message *message);

/* The same, with an entry of the audit log in the same transaction, if it changes anything. */
SPOOL_MUST_CHECK int spool_pause_audited(struct spool *spool, uint32_t destination, bool pauses,
                                         const struct audit_entry *entry, struct message *message);

/* Since when the destination is paused, 0: it is not. One short read transaction. 0, -errno. */
SPOOL_MUST_CHECK int spool_paused_since(struct spool *spool, uint32_t destination,
                                        uint64_t *ret_since_wall_ms);

#endif
