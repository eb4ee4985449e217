/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table against the client's own list, and against what the design promises of each kind of
 * failure. */
#include "src/verdict.h"

#include <librdkafka/rdkafka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct expected {
    rd_kafka_resp_err_t error;
    enum verdict verdict;
};

static void verdict_error_name_knows_every_code_of_the_client(void **state)
{
    const struct rd_kafka_err_desc *descs;
    size_t descs_count;
    size_t known_count = 0;

    (void)state;
    rd_kafka_get_err_descs(&descs, &descs_count);
    for (size_t i = 0; i < descs_count; i++) {
        if (descs[i].desc == NULL) {
            continue; /* a hole in the client's list, or the mark of a range's begin or end */
        }
        known_count++;
        assert_string_equal(verdict_error_name(descs[i].code), descs[i].name);
    }
    assert_true(known_count > 100);
}

static void verdict_of_error_keeps_the_promise_of_each_kind_of_failure(void **state)
{
    static const struct expected table[] = {
        {RD_KAFKA_RESP_ERR_NO_ERROR, VERDICT_DELIVERED},
        {RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER, VERDICT_DELIVERED},
        {RD_KAFKA_RESP_ERR__TRANSPORT, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR__TIMED_OUT, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR__QUEUE_FULL, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR_INVALID_MSG, VERDICT_RETRY},
        {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR__AUTHENTICATION, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR__SSL, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_INVALID_REQUIRED_ACKS, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, VERDICT_HOLD},
        {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, VERDICT_DEAD},
        {RD_KAFKA_RESP_ERR_INVALID_RECORD, VERDICT_DEAD},
        {RD_KAFKA_RESP_ERR__FATAL, VERDICT_FATAL},
        {RD_KAFKA_RESP_ERR__FENCED, VERDICT_FATAL},
        {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, VERDICT_FATAL},
        {RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, VERDICT_FATAL},
        {RD_KAFKA_RESP_ERR__PURGE_QUEUE, VERDICT_RETURNED},
        {RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, VERDICT_RETURNED},
    };

    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(table); i++) {
        enum verdict verdict = verdict_of_error(table[i].error);

        if (verdict != table[i].verdict) {
            print_error("%s: %s\n", rd_kafka_err2name(table[i].error), verdict_name(verdict));
        }
        assert_int_equal(verdict, table[i].verdict);
    }
}

static void verdict_of_error_lets_only_success_and_dead_records_leave_the_spool(void **state)
{
    size_t delivered_count = 0;
    size_t dead_count = 0;

    (void)state;
    for (int error = -1000; error <= 1000; error++) {
        delivered_count += verdict_of_error(error) == VERDICT_DELIVERED;
        dead_count += verdict_of_error(error) == VERDICT_DEAD;
    }
    assert_int_equal(delivered_count, 2);
    assert_int_equal(dead_count, 2);
}

static void verdict_of_error_keeps_a_record_with_an_unknown_code(void **state)
{
    static const int codes[] = {-100000, -201, -200, -2, 149, 150, 32767, 100000};

    (void)state;
    for (size_t i = 0; i < SPOOL_COUNT_OF(codes); i++) {
        assert_int_equal(verdict_of_error(codes[i]), VERDICT_RETRY);
        assert_string_equal(verdict_error_name(codes[i]), "unknown");
    }
}

static void verdict_name_is_different_for_each_verdict(void **state)
{
    (void)state;
    for (int i = 0; i < VERDICT_COUNT; i++) {
        assert_string_not_equal(verdict_name((enum verdict)i), "unknown");
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(verdict_name((enum verdict)i), verdict_name((enum verdict)j));
        }
    }
    assert_string_equal(verdict_name(VERDICT_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdict_error_name_knows_every_code_of_the_client),
        cmocka_unit_test(verdict_of_error_keeps_the_promise_of_each_kind_of_failure),
        cmocka_unit_test(verdict_of_error_lets_only_success_and_dead_records_leave_the_spool),
        cmocka_unit_test(verdict_of_error_keeps_a_record_with_an_unknown_code),
        cmocka_unit_test(verdict_name_is_different_for_each_verdict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
