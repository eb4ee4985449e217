/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private to the forwarder's files: forward.c (life and steps), forward_feed.c (spool to sink),
 * forward_settle.c (reports to settlements). */
#ifndef SRC_FORWARD_PRIVATE_H
#define SRC_FORWARD_PRIVATE_H

#include "spool/histogram.h"
#include "spool/limits.h"
#include "src/backoff.h"
#include "src/forward.h"
#include "src/inflight.h"
#include "src/producer.h"
#include "src/retried.h"
#include "src/verdict.h"

#include <pthread.h>

/* What a host was told of a destination since it last delivered: only what is worse is news. */
enum forward_trouble {
    FORWARD_TROUBLE_NONE,
    FORWARD_TROUBLE_RETRY,
    FORWARD_TROUBLE_DOWN,
    FORWARD_TROUBLE_HELD,
};

struct forward_destination {
    struct forward *forward;
    uint32_t id;
    const struct address *address;
    struct producer *producer;
    struct sink_topic *topic;
    uint64_t topic_generation; /* the producer's when the topic was opened */

    enum forward_state state;
    enum verdict drain_reason; /* the worst verdict since it began to drain */
    bool takes_back;           /* when draining: the sink is still to be asked for what it holds */
    uint64_t wait_until_ms;
    struct backoff backoff;
    bool is_paused;
    enum forward_trouble trouble;
    uint64_t requeued_count; /* the spool's counter when it was last looked at */

    uint64_t given_back_count; /* the committer's when it was last looked at */

    uint64_t position; /* the next sequence to read */
    struct inflight_list produced;
    struct inflight_list settling;
    struct retried retried;
    size_t group_max;      /* so many suspects are in-flight together: see feed_may_join() */
    size_t rejected_count; /* records of rejected batches since it last went back */

    uint64_t last_progress_ms;
    uint64_t retries_count;
    uint64_t holds_count;
    struct histogram delivery_ms;
    uint64_t possible_duplicates_count;
    uint64_t last_delivered_wall_ms;
    int last_error;
    struct message last_error_text;
};

struct forward {
    struct forward_config config;
    pthread_mutex_t lock; /* of everything below */
    struct inflight_pool pool;
    struct producer producers[DESTINATIONS_MAX];
    size_t producers_count;
    struct forward_destination destinations[DESTINATIONS_MAX];
    size_t destinations_count;
    bool is_stopping;
    uint64_t look_at_ms; /* when what others changed in the spool is looked at again */
    bool must_look;      /* at once: it could not be read */
    uint64_t now_ms;
    uint64_t now_wall_ms;
    struct sink_report reports[READ_RECORDS_MAX];
    struct settlement settlements[READ_RECORDS_MAX];
    struct inflight *settled_entries[READ_RECORDS_MAX];
    size_t settlements_count;
};

/* --- forward_feed.c --------------------------------------------------------------------------- */

/* Reads a flowing destination's queue into its sink, as far as the window goes. Returns whether
 * there is more to read at once. */
SPOOL_MUST_CHECK bool forward_feed(struct forward_destination *destination);

/* --- forward_settle.c ------------------------------------------------------------------------- */

/* Takes what the producer's sink has: reports and health. */
void forward_take_reports(struct forward *forward, struct producer *producer);

/* Stages a settlement of an entry that is in no list; forward_hand_over() gives all staged ones to
 * the committer. */
void forward_stage(struct forward *forward, struct inflight *entry, enum settle_action action,
                   const struct sink_report *report);
void forward_hand_over(struct forward *forward);

/* Frees the entries whose settlements were committed. */
void forward_free_settled(struct forward_destination *destination);

/* The destination has to go back to its lowest record, for this reason. */
void forward_drain(struct forward_destination *destination, enum verdict reason);

/* The destination has to go back to its lowest record once the producer was made again, and so has
 * every other of that producer. */
void forward_lose_producer(struct forward *forward, struct producer *producer,
                           const struct message *reason);

/* Ends a lost producer whose records have no report: they are tried again. */
void forward_abandon(struct forward *forward, struct producer *producer);

/* Notes an error of the destination, for its status. */
void forward_note_error(struct forward_destination *destination, int error, const char *text);

/* The destination has this trouble, by the error that was noted last: the host is told if it does
 * not know yet. */
void forward_tell_trouble(struct forward_destination *destination, enum forward_trouble trouble);

/* Tells the host that a record became a dead letter, by the error that was noted last. */
void forward_tell_dead(struct forward_destination *destination);

#endif
