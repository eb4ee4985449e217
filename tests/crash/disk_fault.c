/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/disk_fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

static struct {
    struct disk_fault fault;
    _Atomic uint64_t calls[DISK_CALL_ANY + 1];
    atomic_bool has_hit;
    uint64_t slow_ms;
    uint64_t stop_at_bytes; /* 0: never */
    atomic_bool has_stopped;
} faults;

const char *disk_call_name(enum disk_call call)
{
    static const char *const names[] = {
        [DISK_CALL_OPEN] = "open",     [DISK_CALL_MKDIR] = "mkdir", [DISK_CALL_RENAME] = "rename",
        [DISK_CALL_UNLINK] = "unlink", [DISK_CALL_READ] = "read",   [DISK_CALL_WRITE] = "write",
        [DISK_CALL_SIZE] = "size",     [DISK_CALL_CLAIM] = "claim", [DISK_CALL_FLUSH] = "flush",
        [DISK_CALL_MAP] = "map",       [DISK_CALL_ANY] = "any",
    };
    return names[call];
}

void disk_fault_arm(const struct disk_fault *fault)
{
    memset(&faults.fault, 0, sizeof(faults.fault));
    if (fault != NULL) {
        faults.fault = *fault;
    }
    for (size_t i = 0; i < SPOOL_COUNT_OF(faults.calls); i++) {
        atomic_store(&faults.calls[i], 0);
    }
    atomic_store(&faults.has_hit, false);
}

uint64_t disk_fault_calls(enum disk_call call)
{
    return atomic_load(&faults.calls[call]);
}

bool disk_fault_has_hit(void)
{
    return atomic_load(&faults.has_hit);
}

bool disk_fault_hits(enum disk_call call, int *ret_error)
{
    uint64_t number = atomic_fetch_add(&faults.calls[call], 1) + 1;
    uint64_t any = atomic_fetch_add(&faults.calls[DISK_CALL_ANY], 1) + 1;
    const struct disk_fault *fault = &faults.fault;
    if (fault->count == 0 || (fault->call != DISK_CALL_ANY && fault->call != call) ||
        (fault->error == 0 && call != DISK_CALL_WRITE)) {
        return false;
    }
    number = fault->call == DISK_CALL_ANY ? any : number;
    if (number < fault->nth || number - fault->nth >= fault->count) {
        return false;
    }
    atomic_store(&faults.has_hit, true);
    *ret_error = fault->error;
    return true;
}

void disk_fault_wait(void)
{
    struct timespec pause = {(time_t)(faults.slow_ms / 1000),
                             (long)(faults.slow_ms % 1000) * 1000000};
    if (faults.slow_ms > 0) {
        while (nanosleep(&pause, &pause) < 0 && errno == EINTR) {
        }
    }
}

void disk_fault_stop(size_t size_bytes)
{
    if (faults.stop_at_bytes > 0 && size_bytes >= faults.stop_at_bytes &&
        !atomic_exchange(&faults.has_stopped, true)) {
        (void)raise(SIGSTOP);
    }
}

__attribute__((constructor)) static void fault_begin(void)
{
    const char *text = getenv("DISK_FAULT");
    const char *slow = getenv("DISK_SLOW_MS");
    const char *stop = getenv("DISK_STOP_AT_BYTES");
    faults.slow_ms = slow == NULL ? 0 : strtoull(slow, NULL, 10);
    faults.stop_at_bytes = stop == NULL ? 0 : strtoull(stop, NULL, 10);
    for (int call = 0; text != NULL && call <= DISK_CALL_ANY; call++) {
        size_t length = strlen(disk_call_name((enum disk_call)call));
        if (strncmp(text, disk_call_name((enum disk_call)call), length) == 0 &&
            text[length] == ':') {
            char *rest;
            struct disk_fault fault = {.call = (enum disk_call)call, .count = 1};
            fault.error = (int)strtol(text + length + 1, &rest, 10);
            fault.nth = strtoull(rest + (*rest == ':'), &rest, 10);
            fault.count = *rest == ':' ? strtoull(rest + 1, NULL, 10) : 1;
            disk_fault_arm(&fault);
        }
    }
}
