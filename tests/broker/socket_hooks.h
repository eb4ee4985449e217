/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What librdkafka's mock cluster cannot do, done at its sockets. This program defines bind,
 * getsockname, accept, poll and recvmsg itself, so that librdkafka calls ours:
 *
 *   fixed ports   bind() gives the mock brokers the ports that were asked for, and getsockname()
 *                 names others if clients are to connect elsewhere
 *   hang          poll() and recvmsg() find nothing, as with a stopped broker: the kernel takes
 *                 connections and bytes, and nobody answers
 *   cut           after injected Produce errors the connection ends, unread. The mock cluster does
 *                 not check an idempotent producer's sequences (2.0.2 to 2.8 do so for
 *                 transactions only): it would accept request 2 after it had refused request 1,
 *                 which a real broker never does, and so break the order
 *   gate          the mock cluster keeps about 5 MB a partition and then drops the oldest. With
 *                 a recorder, recvmsg() lets producers send only what the recorder can still read
 *
 * Clients whose address is HOOKS_PRIVATE_ADDRESS (the recorder) are not hung, cut or held.
 */
#ifndef TESTS_BROKER_SOCKET_HOOKS_H
#define TESTS_BROKER_SOCKET_HOOKS_H

#include "spool/base.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#define HOOKS_BROKERS_MAX 16
#define HOOKS_PRIVATE_ADDRESS 0x7f000002U /* 127.0.0.2 */

/* The next count sockets that are bound to a free port get first_port, first_port + 1, ... The mock
 * cluster believes, and so tells clients, that they are told_port, told_port + 1, ...: somebody who
 * listens there and passes on (a proxy) is between clients and brokers then. */
void hooks_fix_ports(uint16_t first_port, uint16_t told_port, int count);

/* Says which broker clients find at which port. Call before clients connect. */
void hooks_set_cluster(rd_kafka_mock_cluster_t *cluster, const uint16_t *ports, int count);

/* While it holds, no further request is looked at, so that what is pushed in the meantime counts
 * for the next one as a whole. */
void hooks_set_holding(bool is_holding);

void hooks_set_hung(int broker, bool is_hung);

/* Ends the broker's connections when its injected Produce errors are used up. */
void hooks_cut_after_errors(int broker);

/* From now on only a few megabytes may be received beyond what was released. */
void hooks_close_gate(void);
void hooks_open_gate(void);

/* Bytes received from clients that are held by the gate. */
uint64_t hooks_received_bytes(void);

/* The recorder has everything that was in the first received_bytes. */
void hooks_release(uint64_t received_bytes);

/* Whether librdkafka calls our functions: false until a client has connected. */
bool hooks_are_called(void);

/* librdkafka's connect_cb for private clients: they connect to the brokers themselves. */
int hooks_connect_privately(int fd, const struct sockaddr *address, int address_size,
                            const char *id, void *opaque);

#endif
