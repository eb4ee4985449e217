/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writes every record that the mock cluster accepts to a file, as lines of record_line.h. The mock
 * cluster forgets, so the recorder holds the producers back (socket_hooks.h, the gate) and checks
 * that the offsets of each partition have no gap:
 *
 *   R1  received := bytes that came in so far
 *   R2  targets  := the end offset of every partition of every topic. The mock cluster's one
 *       thread answers after it has appended what was complete in R1
 *   R3  read until every partition has reached its target; an offset that is not the next one is
 *       a loss, and is said, never passed over
 *   R4  release R1's bytes: the producers may send that much again
 */
#ifndef TESTS_BROKER_RECORDER_H
#define TESTS_BROKER_RECORDER_H

#include "spool/base.h"
#include "spool/message.h"

struct recorder;

/* Starts the thread. Returns NULL with a message. */
struct recorder *recorder_open(const char *bootstraps, const char *path, struct message *message);

/* Waits until everything that had been received at the call is in the file. Returns false with a
 * message if a record was lost, the file cannot be written, or it takes too long. */
bool recorder_sync(struct recorder *recorder, uint64_t *ret_records_count, struct message *message);

/* Stops the thread without another sync. */
void recorder_close(struct recorder **recorder);

#endif
