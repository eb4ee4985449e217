/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses of destinations, as users write them:
 *
 *     [ID]brokers/topic?property=value&property=value...
 *
 * "[ID]" names a destination (always there for a broker id, never for an event socket): 1 to
 * ADDRESS_ID_BYTES_MAX printable ASCII characters without ']'. White space before and after it is
 * skipped. brokers is a comma-separated list (spaces may follow a comma) of host[:port]; an IPv6
 * host stands in brackets. Brackets in front are a broker, not an ID, exactly when they hold an
 * IPv6 address and ':', ',' or '/' comes next: no broker can start with one of these, so
 * "[::1]:9092/t" has no ID and "[::1]h:9092/t" has the ID "::1".
 *
 * A property starts with "g." (librdkafka, global), "t." (librdkafka, topic) or "s." (this
 * project's: the fields ttl_ms to on_expire of struct address), or is "key=callid". None stands
 * twice. The first '=' ends a name. In values, %XX stands for a byte, so that '&' (%26), '%' (%25)
 * and what is not printable ASCII can be written; '+' and '=' stand for themselves. Only a secret
 * may have other bytes as they are (a PEM key with its line ends). A name that ends in ".file" and
 * whose stem is a secret takes the value from that file, see src/secret_file.h.
 *
 * Whether librdkafka accepts the g. and t. properties is not decided here but by
 * sink_rdkafka_check() (src/sink_rdkafka.h); address_parse() knows the form, the s. properties,
 * and what is secret.
 */
#ifndef SRC_ADDRESS_H
#define SRC_ADDRESS_H

#include "spool/base.h"
#include "spool/message.h"

/* The longest s.ttl.ms, 100 years: added to a wall clock's time, it cannot overflow. */
#define ADDRESS_TTL_MS_MAX (100ULL * 365 * 24 * 3600 * 1000)

enum address_scope {
    ADDRESS_SCOPE_GLOBAL, /* "g." */
    ADDRESS_SCOPE_TOPIC,  /* "t." */
};

/* A librdkafka property. Strings are owned by the address. */
struct address_property {
    enum address_scope scope;
    char *name;        /* without the prefix, and without ".file" when it came from a file */
    char *value;       /* decoded; a secret's bytes when is_secret: never to be printed */
    bool is_secret;    /* by its name, see address_is_secret(), or a URL with a user or a query */
    char *secret_path; /* the file that a secret was read from, else NULL */
    size_t position;   /* byte of the address text where the property starts, from 1 */
};

/* What to do with a publish to a destination that is at its own limit. */
enum address_on_full {
    ADDRESS_ON_FULL_REJECT,      /* "reject", the default */
    ADDRESS_ON_FULL_DROP_OLDEST, /* "drop-oldest" */
};

/* What becomes of an expired record. */
enum address_on_expire {
    ADDRESS_ON_EXPIRE_DEAD, /* "dead", the default: kept in the dead letters */
    ADDRESS_ON_EXPIRE_DROP, /* "drop" */
};

struct address {
    char *id;      /* NULL when the text has no [ID] */
    char *brokers; /* as librdkafka's bootstrap.servers takes it */
    char *topic;
    struct address_property *properties; /* in the order of the text */
    size_t properties_count;
    bool key_is_callid;               /* key=callid */
    bool has_ttl;                     /* the text says s.ttl.ms */
    bool has_on_full;                 /* and s.on.full */
    uint64_t ttl_ms;                  /* s.ttl.ms: 0 = none */
    uint64_t max_bytes;               /* s.max.bytes: 0 = none */
    uint64_t max_records;             /* s.max.records: 0 = none */
    enum address_on_full on_full;     /* s.on.full */
    enum address_on_expire on_expire; /* s.on.expire */
    char *identity; /* what the spool knows the destination by: "[ID]topic" for one with an ID, else
                       brokers, topic and the non-secret properties, sorted (docs/decisions/0002) */
    char *text;     /* the address with each secret's value as "***": the only form to show. It is
                       printable ASCII, and has no white space around the ID */
};

#define ADDRESS_E_MALFORMED 1 /* the message says what, and at which position */
#define ADDRESS_E_SECRET 2    /* a secret's file cannot be used; the message says which and why */

/* Reads an address from size_bytes of text (need not end in NUL). Reads secret files. The caller
 * frees it with address_free(). message is set for each result but 0, and never holds a secret's
 * value. 0, ADDRESS_E_MALFORMED, ADDRESS_E_SECRET, -ENOMEM. */
SPOOL_MUST_CHECK int address_parse(const char *text, size_t size_bytes,
                                   struct address **ret_address, struct message *message);

/* Frees *address and sets it to NULL; NULL is fine. Secrets are wiped first. */
void address_free(struct address **address);

/* Whether a librdkafka property's value is a secret, by its name (without prefix, in any case of
 * letters). It is what librdkafka itself marks as sensitive (rdkafka_conf.c, _RK_SENSITIVE), user
 * names included, what carries a secret in the middle of other text (sasl.jaas.config, and the
 * command sasl.kerberos.kinit.cmd), each ".pem" (a key may stand beside a certificate), and each
 * name with "pass" or "secret" in it, so that a misspelt name hides its value too. A path to a file
 * (ssl.key.location) is no secret. */
SPOOL_MUST_CHECK bool address_is_secret(const char *name);

#endif
