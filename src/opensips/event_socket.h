/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Event sockets "kafka:brokers/topic?properties": the module as a transport of OpenSIPS's event
 * interface. */
#ifndef SRC_OPENSIPS_EVENT_SOCKET_H
#define SRC_OPENSIPS_EVENT_SOCKET_H

#include "spool/base.h"

/* Registers the transport, in mod_init. 0, -1 (logged). */
SPOOL_MUST_CHECK int event_socket_register(void);

#endif
