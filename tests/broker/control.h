/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control channel: commands from standard input and, if wanted, from a unix socket. */
#ifndef TESTS_BROKER_CONTROL_H
#define TESTS_BROKER_CONTROL_H

#include "spool/message.h"

struct embedded_broker;

/* Serves commands until quit, SIGTERM or SIGINT; without a socket, also until the end of standard
 * input. SIGTERM and SIGINT must be blocked in every thread. Returns false with a message when
 * the socket cannot be opened. socket_path may be NULL. */
bool control_serve(struct embedded_broker *broker, const char *socket_path,
                   struct message *message);

#endif
