/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/who.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>

/* The user that logged in, which sudo and su do not change; what the kernel gives for "none". */
#define WHO_LOGIN_FILE "/proc/self/loginuid"
#define WHO_NOBODY UINT32_MAX

/* The user's name, or "?" for one that has none. */
static void who_name(uid_t uid, char name[64])
{
    char buffer[2048];
    struct passwd entry;
    struct passwd *found = NULL;
    (void)snprintf(name, 64, "?");
    if (getpwuid_r(uid, &entry, buffer, sizeof(buffer), &found) == 0 && found != NULL) {
        (void)snprintf(name, 64, "%s", found->pw_name);
    }
}

static uint32_t who_logged_in(void)
{
    char text[32] = "";
    char *end = text;
    FILE *file = fopen(WHO_LOGIN_FILE, "re");
    if (file == NULL) {
        return WHO_NOBODY;
    }
    unsigned long uid = fgets(text, sizeof(text), file) != NULL ? strtoul(text, &end, 10) : 0;
    (void)fclose(file);
    return end == text ? WHO_NOBODY : (uint32_t)uid;
}

void who_print(char ret_text[WHO_BYTES])
{
    char name[64];
    char login_name[64];
    uid_t uid = getuid();
    uint32_t login = who_logged_in();
    who_name(uid, name);
    if (login == WHO_NOBODY || login == uid) {
        (void)snprintf(ret_text, WHO_BYTES, "%s (uid %u) with spool-inspect", name, uid);
        return;
    }
    who_name(login, login_name);
    (void)snprintf(ret_text, WHO_BYTES, "%s (uid %u, logged in as %s) with spool-inspect", name,
                   uid, login_name);
}
