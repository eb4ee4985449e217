/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The AVPs that the module gives to scripts. */
#ifndef SRC_OPENSIPS_AVP_H
#define SRC_OPENSIPS_AVP_H

#include "spool/base.h"

enum avp {
    AVP_ID, /* $avp(kafka_id) ... */
    AVP_STATUS,
    AVP_KEY,
    AVP_MSG,
    AVP_ERROR,
    AVP_PARTITION,
    AVP_OFFSET,
    AVP_ATTEMPTS,
    AVP_AGE,
    AVP_SPOOL_ID,
    AVP_COUNT,
};

/* Looks their names up, in mod_init. 0, -1 (logged). */
SPOOL_MUST_CHECK int avp_init(void);

/* Set an AVP of the current list in place of what it had. Without memory it stays unset, and that
 * is logged. */
void avp_set_text(enum avp avp, struct span text);
void avp_set_number(enum avp avp, int number);

/* Takes an AVP out of the current list. */
void avp_unset(enum avp avp);

#endif
