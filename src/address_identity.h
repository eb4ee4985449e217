/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an address's destination is known by in the spool: a part of src/address.c. */
#ifndef SRC_ADDRESS_IDENTITY_H
#define SRC_ADDRESS_IDENTITY_H

#include "spool/base.h"

struct address;

/* The identity of an address whose other fields are set, by the rules of
 * docs/decisions/0002. The caller frees it. 0, -ENOMEM. */
SPOOL_MUST_CHECK int address_identity_new(const struct address *address, char **ret_identity);

#endif
