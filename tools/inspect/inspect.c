/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/inspect.h"

#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OPTION_SPOOL = 0x1000,
    OPTION_JSON,
};

static const struct argp_option inspect_options[] = {
    {"spool", OPTION_SPOOL, "DIR", 0, "The spool's folder (" INSPECT_SPOOL_DEFAULT ")", 90},
    {"json", OPTION_JSON, NULL, 0, "Print JSON, one document a line", 90},
    {0},
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the parameters are argp's. */
static error_t inspect_parse_option(int key, char *argument, struct argp_state *state)
{
    struct inspect *inspect = state->input;
    switch (key) {
    case OPTION_SPOOL:
        inspect->spool_dir = argument;
        return 0;
    case OPTION_JSON:
        inspect->prints_json = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp inspect_argp = {.options = inspect_options, .parser = inspect_parse_option};

void inspect_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    argp_err_exit_status = INSPECT_EXIT_USAGE;
    argp_parse(argp, argc, argv, 0, NULL, input);
}

int inspect_become_owner(const char *spool_dir, struct message *message)
{
    struct stat status;
    /* Files that a visitor has to make (lock.mdb, an audit log) are the owner's and its group's. */
    umask(0027);
    if (geteuid() != 0) {
        return 0;
    }
    if (stat(spool_dir, &status) < 0) {
        message_set(message, "%s: cannot open the spool's folder: %s", spool_dir, strerror(errno));
        return SPOOL_E_REFUSED;
    }
    if (status.st_uid == 0) {
        return 0;
    }
    if (setgroups(1, &status.st_gid) < 0 || setgid(status.st_gid) < 0 ||
        setuid(status.st_uid) < 0) {
        message_set(message, "cannot become user id %ld, the owner of %s: %s", (long)status.st_uid,
                    spool_dir, strerror(errno));
        return -errno;
    }
    return 0;
}

enum inspect_exit inspect_open(struct inspect *inspect)
{
    struct message message;
    int r = inspect_become_owner(inspect->spool_dir, &message);
    if (r == 0) {
        r = spool_visit(inspect->spool_dir, clock_system(), &inspect->spool, &message);
    }
    if (r == SPOOL_E_DAMAGED) {
        inspect_say("%.800s; 'spool-inspect salvage' reads what can be read of it", message.text);
    } else if (r != 0) {
        inspect_say("%s", message.text);
    }
    return r == 0 ? INSPECT_EXIT_DONE : INSPECT_EXIT_SPOOL;
}

void inspect_say(const char *format, ...)
{
    char text[MESSAGE_BYTES_MAX];
    struct message message;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    message_set(&message, "%s", text);
    (void)fflush(stdout);
    (void)fprintf(stderr, "spool-inspect: %s\n", message.text);
}

uint64_t inspect_now_ms(void)
{
    return clock_system()->wall_ms(clock_system());
}

enum inspect_exit inspect_finish_output(enum inspect_exit code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        inspect_say("standard output: %s", strerror(errno));
        return INSPECT_EXIT_ATTENTION;
    }
    return code;
}
