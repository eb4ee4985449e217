/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the fields of LMDB 0.9's pages are, on 64-bit machines; numbers are in the byte order of
 * the machine. docs/decisions/0011-a-page-reader-of-our-own.md draws them. */
#ifndef SPOOL_PAGE_LAYOUT_H
#define SPOOL_PAGE_LAYOUT_H

#include "spool/base.h"

#include <string.h>

/* The head of each page. Behind it: two bytes for each node, that say where it is. */
#define PAGE_AT_NUMBER 0
#define PAGE_AT_FLAGS 10
#define PAGE_AT_LOWER 12    /* where the list of nodes ends */
#define PAGE_AT_UPPER 14    /* where the nodes begin */
#define PAGE_AT_OVERFLOW 12 /* u32: how many pages a value has */
#define PAGE_AT_NODES 16

#define PAGE_FLAG_BRANCH 0x01U
#define PAGE_FLAG_LEAF 0x02U
#define PAGE_FLAG_OVERFLOW 0x04U
#define PAGE_FLAG_META 0x08U

/* The head of each node; then key and value. */
#define PAGE_IN_NODE_SIZE 0       /* u32: of a leaf's value */
#define PAGE_IN_NODE_CHILD_HIGH 4 /* u16: of a branch's child: the bits above those at 0 */
#define PAGE_IN_NODE_FLAGS 4      /* u16: of a leaf's value */
#define PAGE_IN_NODE_KEY_SIZE 6   /* u16 */
#define PAGE_NODE_HEAD_BYTES 8U

#define PAGE_VALUE_ON_OVERFLOW 0x01U
#define PAGE_VALUE_IS_TREE 0x02U

/* A meta page. */
#define PAGE_AT_MAGIC 16
#define PAGE_AT_VERSION 20
#define PAGE_AT_MAP_BYTES 32
#define PAGE_AT_FREE_LIST 40 /* its first word is the page size */
#define PAGE_AT_MAIN 88
#define PAGE_AT_LAST_PAGE 136
#define PAGE_AT_TXN 144
#define PAGE_META_MAGIC 0xBEEFC0DEU
#define PAGE_META_VERSION 1U

static inline uint16_t page_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint32_t page_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static inline uint64_t page_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

#endif
