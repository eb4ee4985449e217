/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few words that every other file uses.
 *
 * Results of functions that can fail, in the whole project:
 *   < 0   -errno, unexpected: pass it up unchanged, never match on it
 *   0     done
 *   > 0   a result that this module's header names (MODULE_E_REASON); the direct caller
 *         handles it
 * Out-parameters are named ret_..., stand last, and change only when the result is 0.
 */
#ifndef SPOOL_BASE_H
#define SPOOL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* The result carries information that must not be dropped. */
#define SPOOL_MUST_CHECK __attribute__((warn_unused_result))

/* Checks a printf-like function's arguments. */
#define SPOOL_PRINTF(format_at, arguments_at)                                                      \
    __attribute__((format(printf, format_at, arguments_at)))

/* An owning local: free_function (which takes a pointer to the local) runs when it leaves scope. */
#define SPOOL_CLEANUP(free_function) __attribute__((cleanup(free_function)))

/* Hands the value of an owning local to somebody else: the local is NULL afterwards. */
#define SPOOL_TAKE(pointer)                                                                        \
    __extension__({                                                                                \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

/* For owning locals from malloc() and friends: SPOOL_CLEANUP(spool_free). */
static inline void spool_free(void *pointer)
{
    free(*(void **)pointer);
}

/* For owning local fds; negative means none: SPOOL_CLEANUP(spool_close_fd). */
static inline void spool_close_fd(const int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

#define SPOOL_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Bytes that somebody else owns. data NULL means "none", which differs from empty. */
struct span {
    const void *data;
    size_t size_bytes;
};

#endif
