/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forwarder: step 3 of the flow. One state machine for all destinations; each has its own read
 * position, window and state, so none blocks another.
 *
 *        FLOWING ─────────► DRAINING     a record must be tried again: nothing is read until
 *           ▲                   │        nothing is in-flight and every settlement committed
 *           │                   ▼
 *           └─────────────── WAITING     a backoff, or held; then from the lowest sequence again
 *
 * Going back always drains first, so records reach the sink in the order of their sequences, and
 * none that was delivered is read again. What the sink has not delivered is taken back from it
 * then: it must not overtake the record that failed. It has no thread and no time of its own:
 * forward_step() does what is due. Its functions may be called from any thread of the owner's
 * process.
 */
#ifndef SRC_FORWARD_H
#define SRC_FORWARD_H

#include "spool/base.h"
#include "spool/committer.h"
#include "spool/spool.h"
#include "src/address.h"
#include "src/host.h"
#include "src/sink.h"

struct forward;

struct forward_config {
    struct spool *spool;
    struct committer *committer;
    struct sink_maker *maker;
    struct clock *clock;
    struct host *host;
    uint64_t seed; /* for the jitter of the backoff */
};

enum forward_state {
    FORWARD_FLOWING,
    FORWARD_DRAINING,
    FORWARD_WAITING,
    FORWARD_STATE_COUNT,
};

/* A destination as it is now. */
struct forward_status {
    enum forward_state state;
    bool is_held;    /* it needs an operator, as far as known; tried again slowly */
    bool is_paused;  /* by spool_pause(), as last looked at */
    bool is_stalled; /* in-flight, and nothing delivered for a while */
    size_t inflight_records;
    size_t inflight_bytes;
    uint64_t retry_in_ms; /* when waiting */
    uint64_t retries_count;
    uint64_t holds_count;     /* of these: an operator is needed */
    uint64_t delivery_ms_p50; /* from the first attempt to the report, of the last minutes */
    uint64_t delivery_ms_p99;
    uint64_t possible_duplicates_count; /* records tried again that may have been persisted */
    uint64_t producers_lost_count;
    uint64_t last_delivered_wall_ms; /* 0: not since the start */
    int last_error;                  /* the client's code, 0: none since the last delivery */
    struct message last_error_text;
};

SPOOL_MUST_CHECK int forward_new(const struct forward_config *config, struct forward **ret_forward);

/* Frees *forward and sets it to NULL; NULL is fine. Closes the sinks; what is in-flight stays in
 * the spool. */
void forward_free(struct forward **forward);

/* Forwards the destination of that number to the address, from now on. The address is borrowed for
 * the forwarder's life. The Kafka client is opened when there is something to send. 0, -errno
 * (-EEXIST: it has an address). */
SPOOL_MUST_CHECK int forward_add(struct forward *forward, uint32_t id,
                                 const struct address *address);

/* Does what is due: takes reports, settles, reads, produces. Never waits. Returns after how many
 * milliseconds it wants to be called again, at the latest; 0: at once. */
SPOOL_MUST_CHECK uint64_t forward_step(struct forward *forward);

/* The fds that become readable when a sink has something. Returns how many, at most fds_max. */
size_t forward_fds(struct forward *forward, int *fds, size_t fds_max);

/* Ends the wait of a destination (0: of all) after an error: it is tried again now. For operators,
 * who know that the cause is mended. */
void forward_retry_now(struct forward *forward, uint32_t id);

/* Reads no more from any queue; reports are still taken. */
void forward_stop(struct forward *forward);

/* Takes back from the sinks what can be taken back (after forward_stop()). */
void forward_purge(struct forward *forward);

/* Whether nothing is in-flight and every settlement was committed. */
SPOOL_MUST_CHECK bool forward_is_idle(struct forward *forward);

/* 0, or -ENOENT when the destination has no address. */
SPOOL_MUST_CHECK int forward_status(struct forward *forward, uint32_t id,
                                    struct forward_status *ret_status);

/* A state's name ("flowing"). Static. */
const char *forward_state_name(enum forward_state state);

#endif
