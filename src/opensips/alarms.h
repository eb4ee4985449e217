/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Alarms: OpenSIPS's events E_KAFKA_... and the status/report group "kafka". An event is raised
 * when something begins or ends, not again and again.
 */
#ifndef SRC_OPENSIPS_ALARMS_H
#define SRC_OPENSIPS_ALARMS_H

#include "src/host.h"

/* Publishes the events and registers the identifiers, in mod_init. 0, -1 (logged). */
SPOOL_MUST_CHECK int alarms_init(void);

/* Something that the pipeline told. destination: an identity, empty for none. In the main loop of
 * the Kafka process, as what follows. */
void alarms_tell(enum host_event event, const char *destination, const char *text);

/* The spool cannot be opened, or (text NULL) is open. */
void alarms_spool(const char *text);

/* Looks at the statistics: marks, full, stalled. */
void alarms_step(void);

#endif
