/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The payload of an event: a JSON-RPC notification, with the event's name as method and its
 * parameters as params: an object when they have names, an array when they have none, nothing when
 * there are none. Their order is kept, numbers are numbers.
 */
#ifndef SRC_NOTIFICATION_H
#define SRC_NOTIFICATION_H

#include "spool/base.h"

struct notification_parameter {
    struct span name; /* data NULL: none */
    bool is_number;
    int64_t number;
    struct span text; /* when it is no number; data NULL: null */
};

/* Builds the JSON of an event, in one line. Whether params is an object is decided by the first
 * parameter; of two with one name the last one counts. A byte that is not UTF-8 is carried as the
 * character of that code (U+0080 to U+00FF). The caller frees *ret_text with free(). 0, -ENOMEM. */
SPOOL_MUST_CHECK int notification_build(struct span event,
                                        const struct notification_parameter *parameters,
                                        size_t parameters_count, char **ret_text);

#endif
