/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module as OpenSIPS sees it: what it exports, and its life. It has the name of the stock
 * module, so that configurations stay as they are.
 */
#include "src/opensips/alarms.h"
#include "src/opensips/avp.h"
#include "src/opensips/destination_table.h"
#include "src/opensips/event_socket.h"
#include "src/opensips/kafka_process.h"
#include "src/opensips/module_command.h"
#include "src/opensips/module_statistics.h"
#include "src/opensips/opensips.h"
#include "src/opensips/publish_function.h"
#include "src/opensips/report_route.h"
#include "src/opensips/settings.h"
#include "src/opensips/shared_state.h"
#include "src/sink_rdkafka.h"

#include <string.h>

/* --- Life ------------------------------------------------------------------------------------- */

/* A broker_id, while the configuration is read. What the Kafka client would not take is found here,
 * so that "opensips -C" finds it. */
static int module_add_broker(modparam_t type, void *value)
{
    (void)type;
    const char *text = value;
    struct message message;
    if (destination_table_new() != 0) {
        settings_refuse();
    }
    uint32_t count = destination_table_count();
    struct table_destination *destination =
        destination_table_add(text, strlen(text), true, &message);
    if (destination == NULL) {
        LM_ERR("broker_id: %s\n", message.text);
        settings_refuse();
    }
    if (destination_table_count() == count ||
        destination_table_find(destination->id, strlen(destination->id)) != destination) {
        LM_ERR("broker_id: the ID [%s] is there already\n", destination->id);
        settings_refuse();
    }
    const struct address *address = destination_table_read(destination, &message);
    if (address == NULL || sink_rdkafka_check(address, &message) != 0) {
        LM_ERR("broker_id: %s\n", message.text);
        settings_refuse();
    }
    return 0;
}

static int module_init(void)
{
    LM_INFO("kafka-spool " SPOOL_VERSION ": the spool is %s\n", settings.spool_dir);
    if (settings_check() != 0 || destination_table_new() != 0 || avp_init() != 0 ||
        shared_state_new() != 0 || report_route_init() != 0 || module_statistics_init() != 0 ||
        alarms_init() != 0) {
        return -1;
    }
    return event_socket_register();
}

/* --- What it exports -------------------------------------------------------------------------- */

static const param_export_t parameters[] = {
    {"broker_id", STR_PARAM | USE_FUNC_PARAM, (void *)module_add_broker},
    {"spool_dir", STR_PARAM | USE_FUNC_PARAM, (void *)settings_set_spool_dir},
    {"max_bytes", STR_PARAM | INT_PARAM | USE_FUNC_PARAM, (void *)settings_set_max_bytes},
    {"max_records", STR_PARAM | INT_PARAM | USE_FUNC_PARAM, (void *)settings_set_max_records},
    {"durability", STR_PARAM | USE_FUNC_PARAM, (void *)settings_set_durability},
    {"commit_timeout", INT_PARAM | USE_FUNC_PARAM, (void *)settings_set_commit_timeout},
    {"shutdown_flush", INT_PARAM | USE_FUNC_PARAM, (void *)settings_set_shutdown_flush},
    {"high_mark", INT_PARAM | USE_FUNC_PARAM, (void *)settings_set_high_mark},
    {"low_mark", INT_PARAM | USE_FUNC_PARAM, (void *)settings_set_low_mark},
    {"default_ttl", STR_PARAM | INT_PARAM | USE_FUNC_PARAM, (void *)settings_set_default_ttl},
    {"on_full", STR_PARAM | USE_FUNC_PARAM, (void *)settings_set_on_full},
    {NULL, 0, NULL},
};

/* clang-format off */
#define PUBLISH_PARAMETERS                                                                         \
    {                                                                                              \
        {CMD_PARAM_STR, publish_function_fix_destination, NULL},                                   \
        {CMD_PARAM_STR, NULL, NULL},                                                               \
        {CMD_PARAM_STR | CMD_PARAM_OPT, NULL, NULL},                                               \
        {CMD_PARAM_STR | CMD_PARAM_OPT | CMD_PARAM_STATIC, publish_function_fix_route,             \
         publish_function_free_route},                                                             \
        {CMD_PARAM_STR | CMD_PARAM_OPT, NULL, NULL},                                               \
        {0, NULL, NULL},                                                                           \
    }
/* clang-format on */

static const cmd_export_t functions[] = {
    {"kafka_publish", publish_function, PUBLISH_PARAMETERS, ALL_ROUTES},
    {NULL, NULL, {{0, NULL, NULL}}, 0},
};

static const acmd_export_t async_functions[] = {
    {"kafka_publish", publish_function_async, PUBLISH_PARAMETERS},
    {NULL, NULL, {{0, NULL, NULL}}},
};

static const proc_export_t processes[] = {
    {KAFKA_PROCESS_NAME, kafka_process_prepare, kafka_process_forked, kafka_process_run, 1,
     PROC_FLAG_HAS_IPC},
    {NULL, NULL, NULL, NULL, 0, 0},
};

__attribute__((visibility("default"))) extern const struct module_exports exports;

const struct module_exports exports = {
    .name = "event_kafka",
    .type = MOD_TYPE_DEFAULT,
    .ver_info = MODULE_VERSION,
    .dlflags = DEFAULT_DLFLAGS,
    .cmds = functions,
    .acmds = async_functions,
    .params = parameters,
    .mi_cmds = module_commands,
    .procs = processes,
    .init_f = module_init,
};
