/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/host.h"

#include <assert.h>

const char *host_event_name(enum host_event event)
{
    static const char *const names[HOST_EVENT_COUNT] = {
        [HOST_EVENT_CLIENT_LOG] = "client_log",
        [HOST_EVENT_BROKERS_DOWN] = "brokers_down",
        [HOST_EVENT_BROKERS_UP] = "brokers_up",
        [HOST_EVENT_HELD] = "held",
        [HOST_EVENT_RETRY] = "retry",
        [HOST_EVENT_DEAD_LETTER] = "dead_letter",
        [HOST_EVENT_PRODUCER_LOST] = "producer_lost",
        [HOST_EVENT_TROUBLE] = "trouble",
        [HOST_EVENT_MENDED] = "mended",
        [HOST_EVENT_SET_ASIDE] = "set_aside",
    };
    assert(event < HOST_EVENT_COUNT);
    return names[event];
}
