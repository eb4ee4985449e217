/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/notification.h"

#include "src/json_text.h"

#include <errno.h>
#include <jansson.h>

static void notification_decref(json_t **json)
{
    json_decref(*json);
}

static json_t *notification_value(const struct notification_parameter *parameter)
{
    if (parameter->is_number) {
        return json_integer(parameter->number);
    }
    return parameter->text.data == NULL ? json_null() : json_text_new(parameter->text);
}

/* Adds a parameter; jansson takes the value over, also when it fails. */
static int notification_add(json_t *parameters, const struct notification_parameter *parameter)
{
    json_t *value = notification_value(parameter);
    if (json_is_array(parameters)) {
        return json_array_append_new(parameters, value);
    }
    SPOOL_CLEANUP(notification_decref) json_t *name = json_text_new(parameter->name);
    if (name == NULL) {
        json_decref(value);
        return -1;
    }
    /* A NUL would end the name: as a key it is cut there. */
    return json_object_set_new(parameters, json_string_value(name), value);
}

int notification_build(struct span event, const struct notification_parameter *parameters,
                       size_t parameters_count, char **ret_text)
{
    SPOOL_CLEANUP(notification_decref) json_t *root = json_object();
    int failures = json_object_set_new(root, "jsonrpc", json_string("2.0"));
    failures |= json_object_set_new(root, "method", json_text_new(event));
    if (parameters_count > 0) {
        json_t *params = parameters[0].name.data != NULL ? json_object() : json_array();
        failures |= json_object_set_new(root, "params", params);
        for (size_t i = 0; failures == 0 && i < parameters_count; i++) {
            failures |= notification_add(params, &parameters[i]);
        }
    }
    char *text = failures == 0 ? json_dumps(root, JSON_COMPACT) : NULL;
    if (text == NULL) {
        return -ENOMEM;
    }
    *ret_text = text;
    return 0;
}
