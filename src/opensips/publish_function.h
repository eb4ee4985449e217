/* SPDX-License-Identifier: GPL-2.0-or-later */
/* kafka_publish(broker_id, message, [key], [report_route], [headers]), as OpenSIPS calls it. */
#ifndef SRC_OPENSIPS_PUBLISH_FUNCTION_H
#define SRC_OPENSIPS_PUBLISH_FUNCTION_H

#include "spool/base.h"
#include "src/opensips/opensips.h"

/* The script function (cmd_function): waits for the commit. 1 accepted, -1 not; then
 * $avp(kafka_error) says why. */
SPOOL_MUST_CHECK int publish_function(struct sip_msg *message, void *destination, void *payload,
                                      void *key, void *report_route, void *headers, void *unused6,
                                      void *unused7, void *unused8);

/* The same for async() and launch() (acmd_function): resumed by an fd when the commit is there. */
SPOOL_MUST_CHECK int publish_function_async(struct sip_msg *message, async_ctx *context,
                                            void *destination, void *payload, void *key,
                                            void *report_route, void *headers, void *unused6,
                                            void *unused7, void *unused8);

/* Fixups of parameters: an ID to its destination, a route's name to a reference. They look up only,
 * so a reload of the script may run them again. 0, -1 (logged). */
SPOOL_MUST_CHECK int publish_function_fix_destination(void **parameter);
SPOOL_MUST_CHECK int publish_function_fix_route(void **parameter);
SPOOL_MUST_CHECK int publish_function_free_route(void **parameter);

#endif
