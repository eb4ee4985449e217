/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the MI commands do, in the Kafka process. */
#ifndef SRC_OPENSIPS_KAFKA_COMMAND_H
#define SRC_OPENSIPS_KAFKA_COMMAND_H

#include "spool/base.h"
#include "spool/message.h"

struct pipeline;
struct json_t;

enum kafka_command_kind {
    KAFKA_COMMAND_STATUS,
    KAFKA_COMMAND_LIST,
    KAFKA_COMMAND_PAUSE,
    KAFKA_COMMAND_RESUME,
    KAFKA_COMMAND_REQUEUE,
    KAFKA_COMMAND_DROP,
    KAFKA_COMMAND_FLUSH,
};

#define KAFKA_COMMAND_TEXT_BYTES 1024

struct kafka_command {
    enum kafka_command_kind kind;
    char destination[KAFKA_COMMAND_TEXT_BYTES]; /* an ID, an identity, or a number; empty: all */
    char to[KAFKA_COMMAND_TEXT_BYTES];          /* requeue: another destination; empty: the same */
    bool is_dead;                               /* list, drop: dead letters, not what waits */
    uint64_t sequence;                          /* requeue, drop: this record; 0: all */
    uint64_t from;                              /* list: from this sequence on */
    uint64_t count;                             /* list: at most so many */
};

#define KAFKA_COMMAND_LIST_MAX 1000

/* Does a command, in the main loop. The answer is a JSON object of the caller's (json_decref());
 * NULL: it failed, the message says why. */
SPOOL_MUST_CHECK struct json_t *kafka_command_do(struct pipeline *pipeline,
                                                 const struct kafka_command *command,
                                                 struct message *message);

#endif
