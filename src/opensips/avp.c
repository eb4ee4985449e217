/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/opensips/avp.h"

#include "src/opensips/opensips.h"

#include <string.h>
static const char *const avp_names[AVP_COUNT] = {
    [AVP_ID] = "kafka_id",         [AVP_STATUS] = "kafka_status",
    [AVP_KEY] = "kafka_key",       [AVP_MSG] = "kafka_msg",
    [AVP_ERROR] = "kafka_error",   [AVP_PARTITION] = "kafka_partition",
    [AVP_OFFSET] = "kafka_offset", [AVP_ATTEMPTS] = "kafka_attempts",
    [AVP_AGE] = "kafka_age",       [AVP_SPOOL_ID] = "kafka_spool_id",
};

static int avp_ids[AVP_COUNT];

int avp_init(void)
{
    for (int i = 0; i < AVP_COUNT; i++) {
        str name = {(char *)(uintptr_t)avp_names[i], (int)strlen(avp_names[i])};
        if (parse_avp_spec(&name, &avp_ids[i]) < 0) {
            LM_ERR("cannot name the AVP %s\n", avp_names[i]);
            return -1;
        }
    }
    return 0;
}

void avp_unset(enum avp avp)
{
    destroy_avps(0, avp_ids[avp], 1);
}

static void avp_add(enum avp avp, unsigned short flags, int_str value)
{
    avp_unset(avp);
    if (add_avp(flags, avp_ids[avp], value) < 0) {
        LM_ERR("no memory for $avp(%s)\n", avp_names[avp]);
    }
}

void avp_set_text(enum avp avp, struct span text)
{
    int_str value;
    value.s.s = (char *)(uintptr_t)text.data;
    value.s.len = (int)text.size_bytes;
    avp_add(avp, AVP_VAL_STR, value);
}

void avp_set_number(enum avp avp, int number)
{
    int_str value;
    value.n = number;
    avp_add(avp, 0, value);
}
