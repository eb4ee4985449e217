/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The destinations that this OpenSIPS knows, in memory that its processes share: those of the
 * parameter broker_id, and those of event sockets, which may come in any process at any time. The
 * Kafka process opens each in the spool; only then can be published to it. None ever leaves the
 * table: another subscription to the same address finds it again.
 *
 *     EMPTY ──► PENDING ──► OPEN         destination_table_add, destination_resolve
 *                  └──────► REFUSED      the Kafka client or the spool does not take it
 */
#ifndef SRC_OPENSIPS_DESTINATION_TABLE_H
#define SRC_OPENSIPS_DESTINATION_TABLE_H

#include "spool/base.h"
#include "spool/limits.h"
#include "spool/message.h"
#include "src/address.h"
#include "src/publish.h"

#include <stdatomic.h>

enum table_state {
    TABLE_EMPTY,
    TABLE_PENDING,
    TABLE_OPEN,
    TABLE_REFUSED,
};

struct table_destination {
    _Atomic uint32_t state;                  /* a futex: enum table_state */
    char id[ADDRESS_ID_BYTES_MAX + 1];       /* empty: of an event socket */
    char address[3 * ADDRESS_BYTES_MAX + 1]; /* without secrets */
    char identity[3 * ADDRESS_BYTES_MAX + 1];
    bool key_is_callid;
    struct publish_target target; /* when OPEN */
    struct message refusal;       /* when REFUSED */
    /* As it was written, with secrets: for the Kafka process alone. */
    size_t text_bytes;
    char text[ADDRESS_BYTES_MAX];
};

/* Makes the table, before the first fork. 0, -1 (logged). */
SPOOL_MUST_CHECK int destination_table_new(void);

/* Finds the destination of that address, or adds it as PENDING. In any process. has_id: whether the
 * address must have an [ID] (of a broker) or must have none (of an event socket). The table's own;
 * NULL: refused, the message says why. */
SPOOL_MUST_CHECK struct table_destination *
destination_table_add(const char *text, size_t size_bytes, bool has_id, struct message *message);

/* The destination with that ID; NULL: there is none. */
struct table_destination *destination_table_find(const char *id, size_t size_bytes);

/* How many there are, and each of them. */
SPOOL_MUST_CHECK uint32_t destination_table_count(void);
struct table_destination *destination_table_at(uint32_t index);

/* Waits until the Kafka process has opened or refused it, at most timeout_ms. Returns its state. */
enum table_state destination_table_wait(struct table_destination *destination, uint64_t timeout_ms);

/* Publishes to it, as publish() does; waits first until it is open, within the same time. The
 * outcome is counted. */
SPOOL_MUST_CHECK enum outcome destination_publish(struct table_destination *destination,
                                                  struct record *record, uint64_t *ret_sequence);

/* Waits until it can be published to, within the commit timeout. OUTCOME_ACCEPTED, or why not. */
SPOOL_MUST_CHECK enum outcome destination_wait_open(struct table_destination *destination);

/* Wipes the addresses that this process has read, and keeps none from now on: a core file of it, or
 * of one that it forks, has no secrets then. The table keeps them for the Kafka process, in memory
 * that is in no core file. */
void destination_table_forget(void);

/* --- For the Kafka process ------------------------------------------------------------------- */

/* The destination's address, secrets included: as it was read before the fork, else it is read now.
 * It lives until the process ends, or destination_table_forget(). NULL: it cannot be read, the
 * message says why. */
SPOOL_MUST_CHECK const struct address *destination_table_read(struct table_destination *destination,
                                                              struct message *message);

/* Sets what became of a PENDING one, and wakes who waits for it. */
void destination_table_open(struct table_destination *destination,
                            const struct publish_target *target);
void destination_table_refuse(struct table_destination *destination, const struct message *message);

#endif
