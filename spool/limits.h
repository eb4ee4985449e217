/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every limit that the project puts on something, and how the limits relate. */
#ifndef SPOOL_LIMITS_H
#define SPOOL_LIMITS_H

#include <assert.h>

/* Destinations that one spool can hold, configured or not. Each has two named databases. */
#define DESTINATIONS_MAX 256

/* A record as encoded: key, headers, payload and report route together. Twice Kafka's default
 * message.max.bytes and more, so that the broker's limit is what users meet. */
#define RECORD_BYTES_MAX ((4U << 20) - 4096)
#define RECORD_HEADERS_MAX 256
#define REPORT_ROUTE_BYTES_MAX 255

/* One group commit. Bounds the write lock's time and the memory of a transaction. */
#define BATCH_RECORDS_MAX 4096
#define BATCH_BYTES_MAX (16U << 20)

/* Records read in one read transaction; it must be short, since a reader holds back the reuse of
 * free pages. */
#define READ_RECORDS_MAX 2048

/* In-flight records and bytes over all destinations: the duplicates that a crash can cause and
 * the memory that an outage can take are bounded by these. */
#define INFLIGHT_RECORDS_MAX 32768
#define INFLIGHT_BYTES_MAX (16U << 20)

/* An address, its ID, and its properties. */
#define ADDRESS_BYTES_MAX 8192
#define ADDRESS_ID_BYTES_MAX 64
#define ADDRESS_PROPERTIES_MAX 64
#define SECRET_FILE_BYTES_MAX (64U << 10)

/* The data file: smaller than this, LMDB cannot work with a reserve; larger, it is a typing error.
 */
#define SPOOL_BYTES_MIN (1ULL << 20)
#define SPOOL_BYTES_MAX (1ULL << 44)
#define SPOOL_BYTES_DEFAULT (4ULL << 30)

/* After so many owners that did not end in order, one after the other, the next one looks at every
 * page before LMDB does. */
#define SPOOL_CRASHES_MAX 2U

static_assert(BATCH_BYTES_MAX > RECORD_BYTES_MAX, "the largest record must fit into a batch");
static_assert(INFLIGHT_BYTES_MAX > RECORD_BYTES_MAX, "the largest record must fit the window");

#endif
