/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/broker/admin_change.h"

#include "tests/broker/client.h"

#include <string.h>

#define REQUEST_WAIT_MS 2000
#define TEXT_BYTES_MAX 512
#define NAME_BYTES_MAX 128

static void free_event(rd_kafka_event_t **event)
{
    if (*event != NULL) {
        rd_kafka_event_destroy(SPOOL_TAKE(*event));
    }
}

/* What the error of one answered request comes to. */
static int judge(rd_kafka_resp_err_t error, const char *text, struct message *message)
{
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        return EXIT_DONE;
    }
    message_set(message, "%s: %s", rd_kafka_err2name(error),
                text != NULL ? text : rd_kafka_err2str(error));
    return error == RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT || error == RD_KAFKA_RESP_ERR_NOT_CONTROLLER
               ? EXIT_INCOMPLETE
               : EXIT_FAILED;
}

static bool is_answered(rd_kafka_event_t *event)
{
    return event != NULL && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* --- Partitions ------------------------------------------------------------------------------- */

/* Whether the topic has so many partitions, each with a leader. */
static bool has_partitions(rd_kafka_t *client, const char *name, long count)
{
    SPOOL_CLEANUP(client_metadata_free) const struct rd_kafka_metadata *metadata = NULL;

    if (rd_kafka_metadata(client, 1, NULL, &metadata, REQUEST_WAIT_MS) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        metadata = NULL;
        return false;
    }
    for (int i = 0; i < metadata->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *topic = &metadata->topics[i];
        if (strcmp(topic->topic, name) != 0) {
            continue;
        }
        long led_count = 0;
        for (int j = 0; j < topic->partition_cnt; j++) {
            led_count += topic->partitions[j].leader >= 0;
        }
        return led_count == count;
    }
    return false;
}

static int ask_for_partitions(rd_kafka_t *client, const char *name, size_t count,
                              struct message *message)
{
    char text[TEXT_BYTES_MAX];
    rd_kafka_NewPartitions_t *wanted = rd_kafka_NewPartitions_new(name, count, text, sizeof(text));
    if (wanted == NULL) {
        message_set(message, "%s", text);
        return EXIT_FAILED;
    }
    SPOOL_CLEANUP(client_queue_free) rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreatePartitions(client, &wanted, 1, NULL, queue);
    rd_kafka_NewPartitions_destroy(wanted);
    SPOOL_CLEANUP(free_event)
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, REQUEST_WAIT_MS);
    if (!is_answered(event)) {
        return EXIT_INCOMPLETE;
    }
    size_t results_count;
    const rd_kafka_topic_result_t **results = rd_kafka_CreatePartitions_result_topics(
        rd_kafka_event_CreatePartitions_result(event), &results_count);
    return judge(rd_kafka_topic_result_error(results[0]),
                 rd_kafka_topic_result_error_string(results[0]), message);
}

int change_partitions(rd_kafka_t *client, char **words, struct message *message)
{
    long count;

    if (!client_parse_number(words[2], 1, 10000, &count)) {
        message_set(message, "COUNT must be a positive number");
        return EXIT_FAILED;
    }
    if (has_partitions(client, words[1], count)) {
        return EXIT_DONE;
    }
    int result = ask_for_partitions(client, words[1], (size_t)count, message);
    if (result == EXIT_DONE) {
        return has_partitions(client, words[1], count) ? EXIT_DONE : EXIT_INCOMPLETE;
    }
    /* An earlier try may have made them; their leaders come a moment later. */
    return strncmp(message->text, "INVALID_PARTITIONS", 18) == 0 ? EXIT_INCOMPLETE : result;
}

/* --- Settings --------------------------------------------------------------------------------- */

static void free_resource(rd_kafka_ConfigResource_t **resource)
{
    if (*resource != NULL) {
        rd_kafka_ConfigResource_destroy(SPOOL_TAKE(*resource));
    }
}

static bool add_setting(rd_kafka_ConfigResource_t *resource, const char *setting,
                        struct message *message)
{
    const char *equals = strchr(setting, '=');
    char name[NAME_BYTES_MAX];

    if (strcmp(setting, "-") == 0) {
        return true;
    }
    if (equals == NULL || (size_t)(equals - setting) >= sizeof(name)) {
        message_set(message, "a setting must be NAME=VALUE, or -");
        return false;
    }
    memcpy(name, setting, (size_t)(equals - setting));
    name[equals - setting] = '\0';
    if (rd_kafka_ConfigResource_set_config(resource, name, equals + 1) !=
        RD_KAFKA_RESP_ERR_NO_ERROR) {
        message_set(message, "the setting \"%s\" was refused", name);
        return false;
    }
    return true;
}

static int change_settings(rd_kafka_t *client, rd_kafka_ResourceType_t type, char **words,
                           struct message *message)
{
    SPOOL_CLEANUP(free_resource)
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(type, words[1]);
    if (resource == NULL || !add_setting(resource, words[2], message)) {
        return EXIT_FAILED;
    }
    SPOOL_CLEANUP(client_queue_free) rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AlterConfigs(client, &resource, 1, NULL, queue);
    SPOOL_CLEANUP(free_event)
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, REQUEST_WAIT_MS);
    if (!is_answered(event)) {
        return EXIT_INCOMPLETE;
    }
    size_t count;
    const rd_kafka_ConfigResource_t **results =
        rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event), &count);
    return judge(rd_kafka_ConfigResource_error(results[0]),
                 rd_kafka_ConfigResource_error_string(results[0]), message);
}

int change_topic(rd_kafka_t *client, char **words, struct message *message)
{
    return change_settings(client, RD_KAFKA_RESOURCE_TOPIC, words, message);
}

int change_broker(rd_kafka_t *client, char **words, struct message *message)
{
    return change_settings(client, RD_KAFKA_RESOURCE_BROKER, words, message);
}

/* --- What users may do ------------------------------------------------------------------------ */

static void print_principal(const char *user, char text[NAME_BYTES_MAX])
{
    (void)snprintf(text, NAME_BYTES_MAX, "User:%s", user);
}

static int judge_error(const rd_kafka_error_t *error, struct message *message)
{
    return error == NULL ? EXIT_DONE
                         : judge(rd_kafka_error_code(error), rd_kafka_error_string(error), message);
}

int change_allow(rd_kafka_t *client, char **words, struct message *message)
{
    char principal[NAME_BYTES_MAX];
    char text[TEXT_BYTES_MAX];

    print_principal(words[2], principal);
    rd_kafka_AclBinding_t *binding = rd_kafka_AclBinding_new(
        RD_KAFKA_RESOURCE_TOPIC, words[1], RD_KAFKA_RESOURCE_PATTERN_LITERAL, principal, "*",
        RD_KAFKA_ACL_OPERATION_WRITE, RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, text, sizeof(text));
    if (binding == NULL) {
        message_set(message, "%s", text);
        return EXIT_FAILED;
    }
    SPOOL_CLEANUP(client_queue_free) rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateAcls(client, &binding, 1, NULL, queue);
    rd_kafka_AclBinding_destroy(binding);
    SPOOL_CLEANUP(free_event)
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, REQUEST_WAIT_MS);
    if (!is_answered(event)) {
        return EXIT_INCOMPLETE;
    }
    size_t count;
    const rd_kafka_acl_result_t **results =
        rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(event), &count);
    return judge_error(rd_kafka_acl_result_error(results[0]), message);
}

int change_forbid(rd_kafka_t *client, char **words, struct message *message)
{
    char principal[NAME_BYTES_MAX];
    char text[TEXT_BYTES_MAX];

    print_principal(words[2], principal);
    rd_kafka_AclBindingFilter_t *filter = rd_kafka_AclBindingFilter_new(
        RD_KAFKA_RESOURCE_TOPIC, words[1], RD_KAFKA_RESOURCE_PATTERN_LITERAL, principal, "*",
        RD_KAFKA_ACL_OPERATION_WRITE, RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, text, sizeof(text));
    if (filter == NULL) {
        message_set(message, "%s", text);
        return EXIT_FAILED;
    }
    SPOOL_CLEANUP(client_queue_free) rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_DeleteAcls(client, &filter, 1, NULL, queue);
    rd_kafka_AclBinding_destroy(filter);
    SPOOL_CLEANUP(free_event)
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, REQUEST_WAIT_MS);
    if (!is_answered(event)) {
        return EXIT_INCOMPLETE;
    }
    size_t count;
    const rd_kafka_DeleteAcls_result_response_t **results =
        rd_kafka_DeleteAcls_result_responses(rd_kafka_event_DeleteAcls_result(event), &count);
    return judge_error(rd_kafka_DeleteAcls_result_response_error(results[0]), message);
}
