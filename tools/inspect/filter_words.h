/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A filter in words, for people: in answers and in the audit log. */
#ifndef TOOLS_INSPECT_FILTER_WORDS_H
#define TOOLS_INSPECT_FILTER_WORDS_H

#include "tools/inspect/filter.h"

#define FILTER_WORDS_BYTES 800

/* Prints what the filter says ("destination k1, key 'call-1', older than 5m 0s"), cut if it is
 * long; "all" for one that is empty. Control characters become '?'. */
void filter_print_words(const struct filter *filter, char ret_words[FILTER_WORDS_BYTES]);

#endif
