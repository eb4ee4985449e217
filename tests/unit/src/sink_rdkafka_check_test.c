/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses are built by hand here, so that this tests what librdkafka and we say of properties
 * and nothing of how they are read. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "src/address.h"
#include "src/sink_rdkafka.h"

#define PROPERTIES_MAX 3

struct setting {
    enum address_scope scope;
    const char *name;
    const char *value;
};

#define G(name, value)                                                                             \
    {                                                                                              \
        ADDRESS_SCOPE_GLOBAL, name, value                                                          \
    }
#define T(name, value)                                                                             \
    {                                                                                              \
        ADDRESS_SCOPE_TOPIC, name, value                                                           \
    }

static char *text(const char *literal)
{
    return (char *)(uintptr_t)literal;
}

/* An address with these settings at the positions 10, 20, 30. */
static struct address address_of(const struct setting *settings,
                                 struct address_property properties[PROPERTIES_MAX])
{
    struct address address = {
        .brokers = text("127.0.0.1:9092"),
        .topic = text("cdr"),
        .properties = properties,
    };

    for (size_t i = 0; i < PROPERTIES_MAX && settings[i].name != NULL; i++) {
        properties[i] = (struct address_property){
            .scope = settings[i].scope,
            .name = text(settings[i].name),
            .value = text(settings[i].value),
            .is_secret = strstr(settings[i].name, "password") != NULL,
            .position = (i + 1) * 10,
        };
        address.properties_count++;
    }
    return address;
}

static int check(const struct setting *settings, struct message *message)
{
    struct address_property properties[PROPERTIES_MAX];
    struct address address = address_of(settings, properties);

    return sink_rdkafka_check(&address, message);
}

static void sink_rdkafka_check_takes_good_properties(void **state)
{
    static const struct setting table[][PROPERTIES_MAX] = {
        {{0}},
        {G("linger.ms", "100"), G("compression.codec", "lz4"), T("acks", "all")},
        {G("acks", "-1"), T("request.required.acks", "all"), G("max.in.flight", "5")},
        {G("debug", "broker,topic"), G("security.protocol", "sasl_ssl"), G("log_level", "7")},
        {G("sasl.mechanism", "PLAIN"), G("sasl.username", "me"), G("sasl.password", "hidden")},
        {G("enable.idempotence", "false"), T("acks", "1"), G("max.in.flight", "100")},
        {G("enable.idempotence", "false"), G("retries", "0"), T("queuing.strategy", "lifo")},
        {G("retries", "0"), G("retries", "5")},
        {T("message.timeout.ms", "30000"), T("partitioner", "murmur2_random")},
        {G("linger.ms", "0"), T("message.timeout.ms", "1")},
        {G("message.max.bytes", "5000000"), G("batch.size", "1000")},
        {G("client.id", "ours"), G("client.rack", "r1"), T("compression.level", "3")},
    };
    struct message message = {""};

    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(table); i++) {
        int r = check(table[i], &message);

        if (r != 0) {
            print_error("row %zu: %s\n", i, message.text);
        }
        assert_int_equal(r, 0);
    }
}

/* What is refused, and the words that must be in the message. */
static const struct {
    struct setting settings[PROPERTIES_MAX];
    const char *begins; /* the message's first words */
    const char *holds;  /* and what else is in it */
} refused_table[] = {
    /* what librdkafka does not know */
    {{G("foo", "1")}, "g.foo (position 10): ", "has no property of this name"},
    {{T("foo", "1")}, "t.foo (position 10): ", "has no property of this name"},
    {{G("Linger.ms", "1")}, "g.Linger.ms (position 10): ", "has no property"},
    {{G("", "1")}, "g. (position 10): ", "has no property"},
    {{T("linger.ms", "1")}, "t.linger.ms (position 10): ", "write g.linger.ms"},
    {{T("acks", "all"), T("client.id", "x")}, "t.client.id (position 20): ", "g.client.id"},
    /* what it does not take */
    {{G("acks", "bogus")}, "g.acks (position 10): ", "does not take \"bogus\""},
    {{T("acks", "9999")}, "t.acks (position 10): ", "does not take \"9999\""},
    {{G("linger.ms", "-1")}, "g.linger.ms (position 10): ", "range"},
    {{G("linger.ms", "soon")}, "g.linger.ms (position 10): ", "soon"},
    {{G("compression.codec", "rar")}, "g.compression.codec (position 10): ", "rar"},
    {{G("enable.idempotence", "perhaps")}, "g.enable.idempotence (position 10): ", "perhaps"},
    {{T("partitioner", "best")}, "t.partitioner (position 10): ", "best"},
    {{G("security.protocol", "tls")}, "g.security.protocol (position 10): ", "tls"},
    {{G("debug", "everything")}, "g.debug (position 10): ", "everything"},
    {{G("message.max.bytes", "10")}, "g.message.max.bytes (position 10): ", "range"},
    /* what is ours */
    {{G("bootstrap.servers", "b:1")}, "g.bootstrap.servers (position 10): ", "start of the"},
    {{G("metadata.broker.list", "b")}, "g.metadata.broker.list (position 10): ", "start of"},
    {{G("transactional.id", "t")}, "g.transactional.id (position 10): ", "transactions"},
    {{G("transaction.timeout.ms", "1")}, "g.transaction.timeout.ms (position 10): ", "not in"},
    {{G("delivery.report.only.error", "true")}, "g.delivery.report.only.error ", "delivery"},
    {{G("enabled_events", "1")}, "g.enabled_events (position 10): ", "may not be set"},
    {{G("log.queue", "false")}, "g.log.queue (position 10): ", "may not be set"},
    {{G("statistics.interval.ms", "1")}, "g.statistics.interval.ms ", "may not be set"},
    {{G("dr_cb", "0x1")}, "g.dr_cb (position 10): ", "code"},
    {{G("dr_msg_cb", "0x1")}, "g.dr_msg_cb (position 10): ", "code"},
    {{G("background_event_cb", "0x1")}, "g.background_event_cb (position 10): ", "code"},
    {{T("partitioner_cb", "0x1")}, "t.partitioner_cb (position 10): ", "code"},
    {{G("opaque", "x")}, "g.opaque (position 10): ", "code"},
    {{T("opaque", "x")}, "t.opaque (position 10): ", "code"},
    {{G("default_topic_conf", "x")}, "g.default_topic_conf (position 10): ", "code"},
    {{G("interceptors", "x")}, "g.interceptors (position 10): ", "code"},
    {{G("ssl_key", "x")}, "g.ssl_key (position 10): ", "ssl.key.location"},
    {{G("plugin.library.paths", "/x.so")}, "g.plugin.library.paths ", "foreign code"},
    {{G("internal.termination.signal", "9")}, "g.internal.termination.signal ", "signals"},
    {{G("test.mock.num.brokers", "3")}, "g.test.mock.num.brokers ", "swallow the records"},
    {{G("ut_handle_ProduceResponse", "x")}, "g.ut_handle_ProduceResponse ", "own tests"},
    /* what is for consumers */
    {{G("group.id", "x")}, "g.group.id (position 10): ", "for consumers"},
    {{G("fetch.min.bytes", "1")}, "g.fetch.min.bytes (position 10): ", "for consumers"},
    {{T("auto.offset.reset", "earliest")}, "t.auto.offset.reset ", "for consumers"},
    {{G("enable.auto.commit", "true")}, "g.enable.auto.commit ", "for consumers"},
    /* what idempotence does not allow */
    {{T("acks", "1")}, "t.acks (position 10): must be all", "g.enable.idempotence=false"},
    {{T("acks", "0")}, "t.acks (position 10): must be all", "idempotence is on"},
    {{G("acks", "1")}, "g.acks (position 10): must be all", "idempotence is on"},
    {{G("acks", "1"), T("acks", "all")}, "g.acks (position 10): must be all", ""},
    {{G("acks", "all"), T("acks", "2")}, "t.acks (position 20): must be all", ""},
    {{G("request.required.acks", "1")}, "g.request.required.acks (position 10): must", "all"},
    {{G("max.in.flight", "6")}, "g.max.in.flight (position 10): must be at most 5", ""},
    {{G("max.in.flight.requests.per.connection", "9")},
     "g.max.in.flight.requests.per.connection (position 10): must be at most 5",
     ""},
    {{G("retries", "0")}, "g.retries (position 10): must be at least 1", ""},
    {{G("message.send.max.retries", "0")}, "g.message.send.max.retries ", "at least 1"},
    {{G("enable.idempotence", "true"), G("retries", "0")}, "g.retries (position 20): ", ""},
    {{T("queuing.strategy", "lifo")}, "t.queuing.strategy (position 10): must be fifo", ""},
    {{G("queue.buffering.backpressure.threshold", "2")},
     "g.queue.buffering.backpressure.threshold (position 10): must be 1",
     ""},
    /* a time-out that would come before a batch is sent */
    {{T("message.timeout.ms", "5")}, "t.message.timeout.ms (position 10): ", "linger.ms"},
    {{T("delivery.timeout.ms", "3")}, "t.delivery.timeout.ms (position 10): ", "is 5"},
    {{G("linger.ms", "200"), G("message.timeout.ms", "100")},
     "g.message.timeout.ms (position 20): ",
     "is 200"},
};

static void sink_rdkafka_check_names_what_it_refuses(void **state)
{
    struct message message;

    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(refused_table); i++) {
        int r;

        message.text[0] = '\0';
        r = check(refused_table[i].settings, &message);
        if (r != SINK_E_REJECTED || strstr(message.text, refused_table[i].begins) != message.text ||
            strstr(message.text, refused_table[i].holds) == NULL) {
            print_error("row %zu, %s: %d \"%s\"\n", i, refused_table[i].begins, r, message.text);
        }
        assert_int_equal(r, SINK_E_REJECTED);
        assert_true(strstr(message.text, refused_table[i].begins) == message.text);
        assert_non_null(strstr(message.text, refused_table[i].holds));
    }
}

/* librdkafka has no secret with a range of values; the mark alone must keep a value out. */
static void sink_rdkafka_check_never_shows_a_secret(void **state)
{
    struct address_property property = {
        .scope = ADDRESS_SCOPE_GLOBAL,
        .name = text("linger.ms"),
        .value = text("hunter2"),
        .is_secret = true,
        .position = 7,
    };
    struct address address = {
        .brokers = text("127.0.0.1:9092"),
        .topic = text("cdr"),
        .properties = &property,
        .properties_count = 1,
    };
    struct message message;

    (void)state;
    assert_int_equal(sink_rdkafka_check(&address, &message), SINK_E_REJECTED);
    assert_null(strstr(message.text, "hunter2"));
    assert_non_null(strstr(message.text, "g.linger.ms (position 7): "));
}

static size_t threads_count(void)
{
    DIR *tasks = opendir("/proc/self/task");
    size_t count = 0;

    assert_non_null(tasks);
    while (readdir(tasks) != NULL) {
        count++;
    }
    assert_int_equal(closedir(tasks), 0);
    return count;
}

static void sink_rdkafka_check_starts_no_thread(void **state)
{
    static const struct setting settings[PROPERTIES_MAX] = {
        G("security.protocol", "sasl_ssl"),
        G("sasl.username", "me"),
        G("sasl.password", "hidden"),
    };
    size_t before = threads_count();
    struct message message;

    (void)state;
    assert_int_equal(check(settings, &message), 0);
    assert_int_equal(threads_count(), before);
}

static void sink_rdkafka_record_bytes_max_follows_message_max_bytes(void **state)
{
    static const struct setting none[PROPERTIES_MAX] = {{0}};
    static const struct setting larger[PROPERTIES_MAX] = {G("message.max.bytes", "2000000")};
    struct address_property properties[PROPERTIES_MAX];
    struct address address = address_of(none, properties);
    size_t bytes_max = sink_rdkafka_record_bytes_max(&address);

    (void)state;
    assert_in_range(bytes_max, 999000, 999999);
    address = address_of(larger, properties);
    assert_int_equal(sink_rdkafka_record_bytes_max(&address), bytes_max + 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sink_rdkafka_check_takes_good_properties),
        cmocka_unit_test(sink_rdkafka_check_names_what_it_refuses),
        cmocka_unit_test(sink_rdkafka_check_never_shows_a_secret),
        cmocka_unit_test(sink_rdkafka_check_starts_no_thread),
        cmocka_unit_test(sink_rdkafka_record_bytes_max_follows_message_max_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
