/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module's parameters. Each is checked when OpenSIPS reads it or, where several must fit
 * together, in mod_init: a bad one stops OpenSIPS with a message that names it.
 */
#ifndef SRC_OPENSIPS_SETTINGS_H
#define SRC_OPENSIPS_SETTINGS_H

#include "spool/base.h"
#include "spool/message.h"
#include "spool/spool.h"
#include "src/address.h"

/* OpenSIPS kills its processes 5 s after it told them to stop. */
#define SETTINGS_SHUTDOWN_FLUSH_MS_MAX 3500

struct settings {
    const char *spool_dir;
    uint64_t max_bytes;
    uint64_t max_records; /* 0: no limit */
    enum spool_durability durability;
    uint64_t commit_timeout_ms;
    uint64_t shutdown_flush_ms;
    unsigned high_mark_percent;
    unsigned low_mark_percent;
    /* For destinations whose address does not say. */
    uint64_t default_ttl_ms; /* 0: none */
    enum address_on_full on_full;
};

/* The settings, with their defaults until OpenSIPS has read its configuration. Constant after
 * mod_init. */
extern struct settings settings;

/* Ends OpenSIPS while it reads its configuration, when the reason was logged. If a parameter's
 * function returned an error instead, OpenSIPS would log the lines around the parameter, and
 * passwords with them (docs/decisions/0018). */
_Noreturn void settings_refuse(void);

/* OpenSIPS's parameter functions (param_func_t): type is a modparam_t, value an int in a pointer or
 * a string. 0, or OpenSIPS is ended. */
SPOOL_MUST_CHECK int settings_set_spool_dir(unsigned type, void *value);
SPOOL_MUST_CHECK int settings_set_max_bytes(unsigned type, void *value);
SPOOL_MUST_CHECK int settings_set_max_records(unsigned type, void *value);
SPOOL_MUST_CHECK int settings_set_durability(unsigned type, void *value);
SPOOL_MUST_CHECK int settings_set_commit_timeout(unsigned type, void *value);
SPOOL_MUST_CHECK int settings_set_shutdown_flush(unsigned type, void *value);
SPOOL_MUST_CHECK int settings_set_high_mark(unsigned type, void *value);
SPOOL_MUST_CHECK int settings_set_low_mark(unsigned type, void *value);
SPOOL_MUST_CHECK int settings_set_default_ttl(unsigned type, void *value);
SPOOL_MUST_CHECK int settings_set_on_full(unsigned type, void *value);

/* Whether the settings fit together. 0, -1 (logged). */
SPOOL_MUST_CHECK int settings_check(void);

/* Gives an address the settings' defaults for what it does not say. While the configuration is
 * read, they may yet change. */
void settings_complete_address(struct address *address);

#endif
