/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The addresses of address_test.c: each mistake with its message, and what is good. */
#ifndef TESTS_UNIT_SRC_ADDRESS_CASES_H
#define TESTS_UNIT_SRC_ADDRESS_CASES_H

/* Stands in the place of secrets, and must never be seen again. */
#define CANARY "c4n4ry"

#define TOPIC_CHARACTERS                                                                           \
    "a topic is made of letters, digits, '.', '_' and '-'; '?' comes before properties"
#define TOPIC_MISSING "the topic is missing: write brokers/topic"
#define HOST_MISSING "a broker's host is missing: write host:port"
#define BROKER_FORM "a broker is host:port, the host made of letters, digits, '.', '-', '_'"
#define BRACKETS "only an IPv6 address can stand in brackets here"
#define PORT "a port is a number from 1 to 65535, and an IPv6 host stands in brackets"
#define AFTER_ID "a host must follow the ID, or an IPv6 address stand in the brackets"
#define PREFIX                                                                                     \
    "a property's name starts with g., t. or s., or is key; a '&' in a value is written %26"
#define EQUALS "a property has no '='; a '&' in a value is written %26"
#define NAME_CHARACTERS "a property's name is made of letters, digits, '.', '_' and '-'"
#define HEX "'%' needs two hexadecimal digits; '%' itself is written %25"
#define PRINTABLE "a byte that is not printable ASCII is written %XX"
#define TTL "s.ttl.ms takes a whole number from 0 (none) to 3153600000000, without sign or unit"
#define BYTES                                                                                      \
    "s.max.bytes takes a whole number from 0 (none) to 17592186044416, without sign or unit"
#define RECORDS                                                                                    \
    "s.max.records takes a whole number from 0 (none) to 17592186044416, without sign or unit"
#define UNKNOWN                                                                                    \
    " is unknown; there are s.ttl.ms, s.max.bytes, s.max.records, s.on.full and s.on.expire"
#define MUST_START "the path of a secret's file must start with '/'"

static const struct {
    const char *text;
    const char *message;
} malformed[] = {
    /* The whole, and the ID */
    {"", "byte 1: " HOST_MISSING},
    {"   ", "byte 4: " HOST_MISSING},
    {"[", "byte 1: '[' has no ']': write [ID] or [IPv6 address]"},
    {"[k1h:9092/t", "byte 1: '[' has no ']': write [ID] or [IPv6 address]"},
    {"[]h:9092/t", "byte 1: an ID in brackets has 1 to 64 characters"},
    {"[k\t1]h/t", "byte 3: an ID is made of printable ASCII characters"},
    {"[k\xc3\xa4]h/t", "byte 3: an ID is made of printable ASCII characters"},
    {"[k1]", "byte 5: " HOST_MISSING},
    {"[k1]:9092/t", "byte 5: " AFTER_ID},
    {"[::zz]:9092/t", "byte 7: " AFTER_ID},
    {"[1.2.3.4]:9092/t", "byte 10: " AFTER_ID},
    {"[k1],h/t", "byte 5: " AFTER_ID},
    {"[k1]/t", "byte 5: " AFTER_ID},
    {"[k1] :9092/t", "byte 6: " HOST_MISSING},
    {"[k1][k2]h/t", "byte 5: " BRACKETS},
    {"[::1]", "byte 6: " HOST_MISSING},
    /* Brokers */
    {"/t", "byte 1: " HOST_MISSING},
    {":9092/t", "byte 1: " HOST_MISSING},
    {"::1:9092/t", "byte 1: " HOST_MISSING},
    {",h/t", "byte 1: " HOST_MISSING},
    {"h,/t", "byte 3: " HOST_MISSING},
    {"h,,i/t", "byte 3: " HOST_MISSING},
    {"h, /t", "byte 4: " HOST_MISSING},
    {"\xc3\xa4/t", "byte 1: " HOST_MISSING},
    {"h i/t", "byte 2: " BROKER_FORM},
    {"h:1 ,i/t", "byte 4: " BROKER_FORM},
    {"h;i/t", "byte 2: " BROKER_FORM},
    {"user@h/t", "byte 5: " BROKER_FORM},
    {"user:" CANARY "@h/t", "byte 6: " PORT},
    {"h:/t", "byte 3: " PORT},
    {"h:0/t", "byte 3: " PORT},
    {"h:65536/t", "byte 3: " PORT},
    {"h:4294968389/t", "byte 3: " PORT},
    {"h:99999999999999999999999/t", "byte 3: " PORT},
    {"h:09092/t", "byte 3: " PORT},
    {"h:-1/t", "byte 3: " PORT},
    {"h:+1/t", "byte 3: " PORT},
    {"h:http/t", "byte 3: " PORT},
    {"h:9092x/t", "byte 7: " BROKER_FORM},
    {"h:9092:1/t", "byte 3: " PORT},
    {"fe80::1/t", "byte 6: " PORT},
    {"h,[::1/t", "byte 3: " BRACKETS},
    {"h,[::1%]/t", "byte 3: " BRACKETS},
    {"h,[::1%sixteen-letters-]/t", "byte 3: " BRACKETS},
    {"h,[::1%eth 0]/t", "byte 3: " BRACKETS},
    {"h,[1.2.3.4]:9092/t", "byte 3: " BRACKETS},
    {"h,[0000:0000:0000:0000:0000:0000:255.255.255.2555]/t", "byte 3: " BRACKETS},
    {"h,[::1]x/t", "byte 8: " BROKER_FORM},
    {"PLAINTEXT://h:9092/t",
     "byte 10: a broker has no protocol in front: use g.security.protocol instead"},
    /* Topic */
    {"h", "byte 2: " TOPIC_MISSING},
    {"h:9092", "byte 7: " TOPIC_MISSING},
    {"h:9092?g.a=b", "byte 7: " TOPIC_MISSING},
    {"h/", "byte 3: " TOPIC_MISSING},
    {"h/?g.a=b", "byte 3: " TOPIC_MISSING},
    {"h/.", "byte 3: a topic cannot be '.' or '..'"},
    {"h/..?g.a=b", "byte 3: a topic cannot be '.' or '..'"},
    {"h/a/b", "byte 4: " TOPIC_CHARACTERS},
    {"h/a b", "byte 4: " TOPIC_CHARACTERS},
    {"h/t\n", "byte 4: " TOPIC_CHARACTERS},
    {"h/t%41", "byte 4: " TOPIC_CHARACTERS},
    {"h/t&g.sasl.password=" CANARY, "byte 4: " TOPIC_CHARACTERS},
    /* The form of properties */
    {"h/t?", "byte 5: a property is missing: write name=value, or take out the '?' before"},
    {"h/t?&g.a=b", "byte 5: a property is missing: write name=value, or take out the '?' before"},
    {"h/t?g.a=b&", "byte 11: a property is missing: write name=value, or take out the '&' before"},
    {"h/t?g.a=b&&g.c=d",
     "byte 11: a property is missing: write name=value, or take out the '&' before"},
    {"h/t?g.a", "byte 5: " EQUALS},
    {"h/t?g.sasl.password&" CANARY, "byte 5: " EQUALS},
    {"h/t?g.sasl.password=abc&" CANARY, "byte 25: " EQUALS},
    {"h/t?g.sasl.password=abc&" CANARY "=", "byte 25: " PREFIX},
    {"h/t?=b", "byte 5: " PREFIX},
    {"h/t?a=b", "byte 5: " PREFIX},
    {"h/t?G.a=b", "byte 5: " PREFIX},
    {"h/t?sasl.password=" CANARY, "byte 5: " PREFIX},
    {"h/t?keys=callid", "byte 5: " PREFIX},
    {"h/t?g.=" CANARY, "byte 7: " NAME_CHARACTERS},
    {"h/t?t.=b", "byte 7: " NAME_CHARACTERS},
    {"h/t?g.a b=c", "byte 8: " NAME_CHARACTERS},
    {"h/t?g.sasl%2epassword=" CANARY, "byte 11: " NAME_CHARACTERS},
    {"h/t?g.a?b=" CANARY, "byte 8: " NAME_CHARACTERS},
    /* Values */
    {"h/t?g.a=%", "byte 9: " HEX},
    {"h/t?g.a=x%4", "byte 10: " HEX},
    {"h/t?g.a=%&g.b=41", "byte 9: " HEX},
    {"h/t?g.a=%4&g.b=1", "byte 9: " HEX},
    {"h/t?g.a=%g1", "byte 9: " HEX},
    {"h/t?g.a=%1g", "byte 9: " HEX},
    {"h/t?g.a=%%41", "byte 9: " HEX},
    {"h/t?g.sasl.password=" CANARY "%zz", "byte 27: " HEX},
    {"h/t?g.sasl.password=%00" CANARY, "byte 21: %00 cannot stand in a value"},
    {"h/t?g.a=\n", "byte 9: " PRINTABLE},
    {"h/t?g.client.id=Z\xc3\xbcrich", "byte 18: " PRINTABLE},
    {"h/t?g.sasl.password=", "byte 20: g.sasl.password needs a value"},
    {"h/t?g.ssl.key.pem=&g.sasl.password=" CANARY, "byte 18: g.ssl.key.pem needs a value"},
    /* What cannot stand here, or not twice */
    {"h/t?g.bootstrap.servers=i", "byte 5: g.bootstrap.servers conflicts with the brokers in front "
                                  "of the topic: add its brokers there"},
    {"h/t?g.metadata.broker.list=i", "byte 5: g.metadata.broker.list conflicts with the brokers in "
                                     "front of the topic: add its brokers there"},
    {"h/t?g.a=1&g.b=2&g.a=3", "byte 17: g.a is given twice, first at byte 5"},
    {"h/t?t.acks=all&t.acks=all", "byte 16: t.acks is given twice, first at byte 5"},
    {"h/t?g.sasl.password=" CANARY "&g.sasl.password=x" CANARY,
     "byte 28: g.sasl.password is given twice, first at byte 5"},
    {"h/t?g.sasl.password=" CANARY "&g.sasl.password.file=/" CANARY,
     "byte 28: g.sasl.password is given twice, first at byte 5"},
    {"h/t?g.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn.password=",
     "byte 84: g.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn needs a value"},
    {"h/t?key=", "byte 9: key can only be callid"},
    {"h/t?key=" CANARY, "byte 9: key can only be callid"},
    {"h/t?key=callid&key=callid", "byte 16: key is given twice"},
    {"h/t?g.linger.ms.file=/f",
     "byte 5: g.linger.ms is no secret: give its value here, without .file"},
    {"h/t?t.acks.file=/f", "byte 5: t.acks is no secret: give its value here, without .file"},
    {"h/t?g.ssl.key.location.file=/f",
     "byte 5: g.ssl.key.location is no secret: give its value here, without .file"},
    {"h/t?g.sasl.password.file=", "byte 25: g.sasl.password needs a value"},
    /* The s. properties */
    {"h/t?s.ttl=1", "byte 5: s.ttl" UNKNOWN},
    {"h/t?s.TTL.MS=1", "byte 5: s.TTL.MS" UNKNOWN},
    {"h/t?s.sasl.password=" CANARY, "byte 5: s.sasl.password" UNKNOWN},
    {"h/t?s.ttl.ms.file=/f", "byte 5: s.ttl.ms.file" UNKNOWN},
    {"h/t?s.ttl.ms=", "byte 14: " TTL},
    {"h/t?s.ttl.ms=-1", "byte 14: " TTL},
    {"h/t?s.ttl.ms=+1", "byte 14: " TTL},
    {"h/t?s.ttl.ms= 1", "byte 14: " TTL},
    {"h/t?s.ttl.ms=1s", "byte 14: " TTL},
    {"h/t?s.ttl.ms=0x10", "byte 14: " TTL},
    {"h/t?s.ttl.ms=1.5", "byte 14: " TTL},
    {"h/t?s.ttl.ms=3153600000001", "byte 14: " TTL},
    {"h/t?s.ttl.ms=18446744073709551617", "byte 14: " TTL},
    {"h/t?s.max.bytes=1k", "byte 17: " BYTES},
    {"h/t?s.max.bytes=17592186044417", "byte 17: " BYTES},
    {"h/t?s.max.records=99999999999999999999999999999999", "byte 19: " RECORDS},
    {"h/t?s.max.records=%2D1", "byte 19: " RECORDS},
    {"h/t?s.max.bytes=%4", "byte 17: " HEX},
    {"h/t?s.ttl.ms=1&s.ttl.ms=1", "byte 16: s.ttl.ms is given twice"},
    {"h/t?s.on.full=", "byte 15: s.on.full is either reject or drop-oldest"},
    {"h/t?s.on.full=drop", "byte 15: s.on.full is either reject or drop-oldest"},
    {"h/t?s.on.expire=Dead", "byte 17: s.on.expire is either dead or drop"},
    {"h/t?s.on.expire=" CANARY, "byte 17: s.on.expire is either dead or drop"},
};

static const struct {
    const char *text;
    const char *identity;
    const char *shown; /* NULL: as the text */
} good[] = {
    {"127.0.0.1:9092/topic1?t.message.timeout.ms=1000&key=callid",
     "127.0.0.1:9092/topic1?t.message.timeout.ms=1000&key=callid", NULL},
    {"[k1]127.0.0.1:9092/topic1?g.linger.ms=100&t.acks=all", "[k1]topic1", NULL},
    {"h/t", "h/t", NULL},
    {"h:1/t", "h:1/t", NULL},
    {"h:65535/t", "h:65535/t", NULL},
    /* ID or broker */
    {"[::1]:9092/t", "[::1]:9092/t", NULL},
    {"[::1]/t", "[::1]/t", NULL},
    {"[::1],h/t", "[::1],h/t", NULL},
    {"[::1]h:9092/t", "[::1]t", NULL},
    {"[::1][::1]:9092/t", "[::1]t", NULL},
    {"[k1][::1]:9092,h:1/t", "[k1]t", NULL},
    {"[fe80::1%eth0]:9092/t", "[fe80::1%eth0]:9092/t", NULL},
    {"[::1%fifteen-letters]/t", "[::1%fifteen-letters]/t", NULL},
    {"[::ffff:1.2.3.4]:1/t", "[::ffff:1.2.3.4]:1/t", NULL},
    {"[a [/:,?&=%41!]h/t", "[a [/:,?&=%41!]t", NULL},
    {" \t[k1]\r\n h/t", "[k1]t", "[k1]h/t"},
    {"  h/t", "h/t", "h/t"},
    /* Brokers: their order, case and repetition change no identity */
    {"B:1,a:2,B:1,c/t", "a:2,b:1,c/t", NULL},
    {"c,a:2,  b:1/t", "a:2,b:1,c/t", NULL},
    {"kafka-1.example.com,kafka_2/T.o_p-1", "kafka-1.example.com,kafka_2/T.o_p-1", NULL},
    {"h/...", "h/...", NULL},
    /* Properties: neither do their order, the spelling of values, secrets, spelt-out defaults */
    {"h/t?t.acks=1&g.b=2&g.a=1&s.ttl.ms=5&key=callid&g.t.acks=3",
     "h/t?g.a=1&g.b=2&g.t.acks=3&t.acks=1&key=callid&s.ttl.ms=5", NULL},
    {"h/t?g.a=%41%2b%26%25%3d%7e%C3%a4%0a", "h/t?g.a=A+%26%25=~%C3%A4%0A", NULL},
    {"h/t?g.a=A+%26%25=~%c3%A4%0A", "h/t?g.a=A+%26%25=~%C3%A4%0A", NULL},
    {"h/t?g.a=", "h/t?g.a=", NULL},
    {"h/t?g.a=b=c==/?d", "h/t?g.a=b=c==/?d", NULL},
    {"h/t?g.sasl.username=" CANARY "&g.a=1&g.sasl.password=x", "h/t?g.a=1",
     "h/t?g.sasl.username=***&g.a=1&g.sasl.password=***"},
    {"h/t?g.ssl.key.pem=-----\n" CANARY "+/==\n-----\xff&t.acks=1", "h/t?t.acks=1",
     "h/t?g.ssl.key.pem=***&t.acks=1"},
    {"h/t?g.SASL.Password=%63anary&t.sasl.password=" CANARY, "h/t",
     "h/t?g.SASL.Password=***&t.sasl.password=***"},
    {"[k]h/t?g.sasl.password=%2A&s.ttl.ms=5", "[k]t", "[k]h/t?g.sasl.password=***&s.ttl.ms=5"},
    {"h/t?g.ssl.key.location=/k.pem&g.sasl.oauthbearer.assertion.private.key.file=/p",
     "h/t?g.sasl.oauthbearer.assertion.private.key.file=/p&g.ssl.key.location=/k.pem", NULL},
    {"h/t?s.ttl.ms=0&s.max.bytes=00&s.max.records=%30&s.on.full=reject&s.on.expire=dead", "h/t",
     NULL},
    {"h/t?s.on.full=drop-oldest&s.on.expire=drop&s.max.records=3&s.max.bytes=0002&s.ttl.ms=1",
     "h/t?s.max.bytes=2&s.max.records=3&s.on.expire=drop&s.on.full=drop-oldest&s.ttl.ms=1", NULL},
    {"h/t?s.ttl.ms=3153600000000&s.max.bytes=17592186044416",
     "h/t?s.max.bytes=17592186044416&s.ttl.ms=3153600000000", NULL},
};

#endif
