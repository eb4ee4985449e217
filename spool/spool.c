/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spool/spool.h"

#include "spool/environment.h"
#include "spool/mdb_result.h"
#include "spool/owner_lock.h"
#include "spool/page/page_check.h"
#include "spool/point.h"
#include "spool/set_aside.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <uuid/uuid.h>

static int spool_check_config(const struct spool_config *config, struct message *message)
{
    if (config->max_bytes < SPOOL_BYTES_MIN || config->max_bytes > SPOOL_BYTES_MAX) {
        message_set(message, "%s: a limit of %" PRIu64 " bytes: it must be from %llu to %llu",
                    config->dir, config->max_bytes, SPOOL_BYTES_MIN, SPOOL_BYTES_MAX);
        return SPOOL_E_REFUSED;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < SPOOL_BYTES_MIN) {
        message_set(message,
                    "%s: this process may not write files above %" PRIu64 " bytes: raise its "
                    "RLIMIT_FSIZE (ulimit -f)",
                    config->dir, (uint64_t)limit.rlim_cur);
        return SPOOL_E_REFUSED;
    }
    return 0;
}

/* Beyond the process's limit for files a write is a signal (SIGXFSZ), so it is our limit too. The
 * map is a whole number of pages. */
static uint64_t spool_max_bytes(const struct spool_config *config)
{
    uint64_t max_bytes = config->max_bytes;
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < max_bytes) {
        max_bytes = limit.rlim_cur;
    }
    return max_bytes & ~((uint64_t)sysconf(_SC_PAGESIZE) - 1);
}

int spool_find_dir(struct spool *spool, struct message *message)
{
    const char *dir = spool->dir;
    spool->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Absolute, since LMDB opens by path, and a reopen may come after a chdir(). */
    char *absolute = spool->dir_fd < 0 ? NULL : realpath(dir, NULL);
    if (absolute == NULL) {
        message_set(message, "%s: cannot open the spool's folder: %s", dir, strerror(errno));
        return SPOOL_E_REFUSED;
    }
    free(spool->dir);
    spool->dir = absolute;
    return 0;
}

static int spool_open_dir(struct spool *spool, struct message *message)
{
    const char *dir = spool->dir;
    if (spool->config.may_create && mkdir(dir, 0750) < 0 && errno != EEXIST) {
        message_set(message, "%s: cannot make the spool's folder: %s", dir, strerror(errno));
        return errno == ENOSPC ? SPOOL_E_DISK_FULL : SPOOL_E_REFUSED;
    }
    SPOOL_POINT("spool.folder_made");
    int r = spool_find_dir(spool, message);
    if (r != 0) {
        return r;
    }
    dir = spool->dir;
    if (faccessat(spool->dir_fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0) {
        message_set(message,
                    "%s: cannot write into the spool's folder (%s): give it to user id %ld", dir,
                    strerror(errno), (long)geteuid());
        return SPOOL_E_REFUSED;
    }
    return 0;
}

int spool_check_file(struct spool *spool, const char *file, bool must_exist,
                     struct message *message)
{
    struct stat status;
    if (fstatat(spool->dir_fd, file, &status, AT_SYMLINK_NOFOLLOW) < 0) {
        if (errno == ENOENT && !must_exist) {
            return 0;
        }
        message_set(message, "%s/%s: %s: there is no spool in this folder", spool->dir, file,
                    strerror(errno));
        return SPOOL_E_REFUSED;
    }
    if (!S_ISREG(status.st_mode)) {
        message_set(message, "%s/%s: not a regular file: move it away", spool->dir, file);
        return SPOOL_E_REFUSED;
    }
    if (faccessat(spool->dir_fd, file, R_OK | W_OK, AT_EACCESS) == 0) {
        return 0;
    }
    if (errno == EROFS) {
        message_set(message, "%s/%s: the file system is read-only: mount it for writing",
                    spool->dir, file);
    } else {
        message_set(message,
                    "%s/%s: belongs to user id %ld and cannot be written by user id %ld: "
                    "give the folder's files to the user that runs this program",
                    spool->dir, file, (long)status.st_uid, (long)geteuid());
    }
    return SPOOL_E_REFUSED;
}

/* A file cannot be written: by us, or by anybody. SPOOL_E_REFUSED, -errno. */
static int spool_refuse(const struct spool *spool, const char *what, int error,
                        struct message *message)
{
    if (error == EROFS || error == EACCES || error == EPERM) {
        message_set(message, "%s: cannot %s (%s): check owner, mode and mount", spool->dir, what,
                    strerror(error));
        return SPOOL_E_REFUSED;
    }
    message_set(message, "%s: cannot %s: %s", spool->dir, what, strerror(error));
    return -error;
}

static int spool_take_owner_lock(struct spool *spool, struct message *message)
{
    char owner[OWNER_TEXT_BYTES];
    int r = spool_check_file(spool, OWNER_LOCK_FILE, false, message);
    if (r != 0) {
        return r;
    }
    r = owner_lock_take(spool->dir_fd, spool->config.owner_name, owner, &spool->owner_fd,
                        &spool->crashes_count);
    if (r == OWNER_LOCK_E_OWNED) {
        message_set(message, "%s: the spool is in use by %s: only one process can own it",
                    spool->dir, owner);
        return SPOOL_E_OWNED;
    }
    if (r == OWNER_LOCK_E_DISK_FULL) {
        message_set(message, "%s: the disk is full: cannot make %s", spool->dir, OWNER_LOCK_FILE);
        return SPOOL_E_DISK_FULL;
    }
    if (r < 0) {
        r = spool_refuse(spool, "make " OWNER_LOCK_FILE, -r, message);
    }
    return r;
}

/* Claims the disk that opening needs: LMDB maps the lock file and writes through the map. */
static int spool_claim(struct spool *spool, struct message *message)
{
    int r = claim_lock_file(spool->dir_fd, SPOOL_LOCK_FILE);
    if (r == 0) {
        r = claim_open(&spool->claim, spool->dir_fd, SPOOL_DATA_FILE, spool->config.max_bytes);
    }
    if (r == 0 && claim_up_to(&spool->claim, SPOOL_BYTES_MIN) == CLAIM_E_DISK_FULL &&
        spool->claim.claimed_bytes < SPOOL_BYTES_MIN) {
        r = CLAIM_E_DISK_FULL;
    }
    if (r == CLAIM_E_DISK_FULL) {
        message_set(message,
                    "%s: the disk is full: a spool needs at least %llu KiB: free some space and "
                    "start again",
                    spool->dir, (SPOOL_BYTES_MIN + (64 << 10)) >> 10);
        return SPOOL_E_DISK_FULL;
    }
    if (r < 0) {
        r = spool_refuse(spool, "prepare the spool's files", -r, message);
    }
    return r;
}

/* Looks at every page after owners that crashed in a row: a damaged one can be what LMDB dies of,
 * again and again. */
static int spool_doubt(struct spool *spool, struct message *message)
{
    if (spool->crashes_count < SPOOL_CRASHES_MAX) {
        return 0;
    }
    int r = page_check_state(spool->dir_fd, spool->dir, message);
    if (r == 0) {
        owner_lock_absolve(spool->owner_fd, spool->config.owner_name);
    } else if (r < 0) {
        message_set(message, "%s: cannot look for damage: %s", spool->dir, strerror(-r));
    }
    return r == PAGE_CHECK_E_DAMAGED ? ENVIRONMENT_E_DAMAGED : r;
}

static int spool_open_environment(struct spool *spool, struct message *message)
{
    int r = spool_claim(spool, message);
    if (r == 0) {
        r = spool_doubt(spool, message);
    }
    if (r == 0) {
        r = environment_open(spool, message);
    }
    if (r != 0) {
        claim_close(&spool->claim);
    }
    return r;
}

/* What was read before damage was found, or all of it. */
static void spool_forget_destinations(struct spool *spool)
{
    for (uint32_t i = 1; i <= DESTINATIONS_MAX; i++) {
        free(SPOOL_TAKE(spool->destinations[i].identity));
        free(SPOOL_TAKE(spool->destinations[i].address));
    }
}

/* Puts a damaged spool aside and starts a new one in its place. */
static int spool_replace(struct spool *spool, struct message *message)
{
    SPOOL_CLEANUP(spool_free) char *name = NULL;
    struct message damage = *message;
    spool->crashes_count = 0; /* the damage was found; what comes in its place is new */
    spool_forget_destinations(spool);
    int r = set_aside(spool->dir_fd, spool->config.clock->wall_ms(spool->config.clock), &name);
    if (r < 0) {
        message_set(message, "%.600s; it cannot be set aside: %s", damage.text, strerror(-r));
        return SPOOL_E_REFUSED;
    }
    if (asprintf(&spool->set_aside_path, "%s/%s", spool->dir, name) < 0) {
        spool->set_aside_path = NULL;
        message_set(message, "%s: out of memory", spool->dir);
        return -ENOMEM;
    }
    return spool_open_environment(spool, message);
}

/* A file that a power loss takes out of its folder is lost with all that was flushed into it. LMDB
 * flushes files only. */
static int spool_flush_dirs(struct spool *spool, struct message *message)
{
    SPOOL_CLEANUP(spool_close_fd)
    int parent_fd = openat(spool->dir_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* A parent that we may not open is one that we did not write to. */
    if (fsync(spool->dir_fd) < 0 || (parent_fd >= 0 && fsync(parent_fd) < 0)) {
        message_set(message, "%s: cannot flush the folder: %s", spool->dir, strerror(errno));
        return -errno;
    }
    return 0;
}

static int spool_open_files(struct spool *spool, struct message *message)
{
    int r = spool_open_dir(spool, message);
    if (r == 0) {
        r = spool_check_file(spool, SPOOL_DATA_FILE, !spool->config.may_create, message);
    }
    if (r == 0) {
        r = spool_check_file(spool, SPOOL_LOCK_FILE, false, message);
    }
    if (r == 0) {
        r = spool_take_owner_lock(spool, message);
    }
    if (r == 0) {
        r = spool_open_environment(spool, message);
        if (r == ENVIRONMENT_E_DAMAGED) {
            r = spool_replace(spool, message);
        }
    }
    if (r == 0) {
        SPOOL_POINT("spool.flushing");
        r = spool_flush_dirs(spool, message);
        SPOOL_POINT("spool.flushed");
    }
    return r == ENVIRONMENT_E_DAMAGED ? SPOOL_E_REFUSED : r;
}

int spool_new(const struct spool_config *config, struct spool **ret_spool, struct message *message)
{
    struct spool *spool = calloc(1, sizeof(*spool));
    char *dir = strdup(config->dir);
    if (spool == NULL || dir == NULL) {
        free(spool);
        free(dir);
        message_set(message, "%s: out of memory", config->dir);
        return -ENOMEM;
    }
    spool->config = *config;
    spool->dir = dir;
    spool->dir_fd = -1;
    spool->owner_fd = -1;
    spool->claim.fd = -1;
    pthread_rwlock_init(&spool->env_lock, NULL);
    pthread_mutex_init(&spool->oldest_lock, NULL);
    pthread_mutex_init(&spool->destinations_lock, NULL);
    *ret_spool = spool;
    return 0;
}

int spool_open(const struct spool_config *config, struct spool **ret_spool, struct message *message)
{
    int r = spool_check_config(config, message);
    if (r != 0) {
        return r;
    }
    SPOOL_CLEANUP(spool_close) struct spool *spool = NULL;
    r = spool_new(config, &spool, message);
    if (r != 0) {
        return r;
    }
    spool->config.max_bytes = spool_max_bytes(config);
    r = spool_open_files(spool, message);
    if (r != 0) {
        return r;
    }
    *ret_spool = SPOOL_TAKE(spool);
    return 0;
}

void spool_close(struct spool **spool_at)
{
    struct spool *spool = SPOOL_TAKE(*spool_at);
    if (spool == NULL) {
        return;
    }
    environment_close(spool);
    SPOOL_POINT("spool.closed");
    visit_close_view(spool);
    claim_close(&spool->claim);
    spool_forget_destinations(spool);
    owner_lock_end(&spool->owner_fd);
    spool_close_fd(&spool->dir_fd);
    pthread_mutex_destroy(&spool->destinations_lock);
    pthread_mutex_destroy(&spool->oldest_lock);
    pthread_rwlock_destroy(&spool->env_lock);
    free(spool->set_aside_path);
    free(spool->dir);
    free(spool);
}

int spool_reopen(struct spool *spool, struct message *message)
{
    pthread_rwlock_wrlock(&spool->env_lock);
    environment_close(spool);
    SPOOL_POINT("spool.reopening");
    int r = environment_open(spool, message);
    SPOOL_POINT("spool.reopened");
    if (r == 0) {
        atomic_store(&spool->is_latched, false);
    } else {
        /* Whatever the reason: there is no environment, so nothing can be read or written. */
        atomic_store(&spool->is_latched, true);
        r = r > 0 ? SPOOL_E_LATCHED : r;
    }
    pthread_rwlock_unlock(&spool->env_lock);
    return r;
}

bool spool_is_latched(const struct spool *spool)
{
    return atomic_load(&spool->is_latched);
}

const char *spool_set_aside_path(const struct spool *spool)
{
    return spool->set_aside_path;
}

const char *spool_uuid(const struct spool *spool)
{
    return spool->uuid_text;
}

struct clock *spool_clock(const struct spool *spool)
{
    return spool->config.clock;
}

void spool_id_print(const struct spool *spool, const uint8_t *origin_uuid, uint64_t sequence,
                    char ret_text[SPOOL_ID_BYTES])
{
    char uuid_text[37];
    if (origin_uuid != NULL) {
        uuid_unparse_lower(origin_uuid, uuid_text);
    } else {
        memcpy(uuid_text, spool->uuid_text, sizeof(uuid_text));
    }
    snprintf(ret_text, SPOOL_ID_BYTES, "%s:%" PRIu64, uuid_text, sequence);
}
