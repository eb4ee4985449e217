/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/crash/below_alloc.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define IN_PLACE_OF(name) __asm__(name) __attribute__((visibility("default")))
#define RANGES_MAX 16

static struct {
    uintptr_t from[RANGES_MAX];
    uintptr_t to[RANGES_MAX];
    size_t ranges_count;
    uint64_t nth;
    uint64_t count;
    _Atomic uint64_t calls;
    atomic_bool is_armed;
    atomic_bool has_hit;
} alloc;

/* The code of whose calls can fail. */
static int note_range(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    bool is_ours = info->dlpi_name[0] == '\0' || strstr(info->dlpi_name, "liblmdb") != NULL ||
                   strstr(info->dlpi_name, "libjansson") != NULL;
    for (size_t i = 0; is_ours && i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X) != 0 &&
            alloc.ranges_count < RANGES_MAX) {
            alloc.from[alloc.ranges_count] = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            alloc.to[alloc.ranges_count] =
                alloc.from[alloc.ranges_count] + info->dlpi_phdr[i].p_memsz;
            alloc.ranges_count++;
        }
    }
    return 0;
}

void below_alloc_arm(uint64_t nth, uint64_t count)
{
    if (alloc.ranges_count == 0) {
        (void)dl_iterate_phdr(note_range, NULL);
    }
    alloc.nth = nth;
    alloc.count = count;
    atomic_store(&alloc.calls, 0);
    atomic_store(&alloc.has_hit, false);
    atomic_store(&alloc.is_armed, true);
}

uint64_t below_alloc_disarm(void)
{
    atomic_store(&alloc.is_armed, false);
    return atomic_load(&alloc.calls);
}

bool below_alloc_has_hit(void)
{
    return atomic_load(&alloc.has_hit);
}

static bool fails(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    bool is_ours = false;
    if (!atomic_load(&alloc.is_armed)) {
        return false;
    }
    for (size_t i = 0; i < alloc.ranges_count; i++) {
        is_ours |= at >= alloc.from[i] && at < alloc.to[i];
    }
    if (!is_ours) {
        return false;
    }
    uint64_t number = atomic_fetch_add(&alloc.calls, 1) + 1;
    if (number < alloc.nth || number - alloc.nth >= alloc.count) {
        return false;
    }
    atomic_store(&alloc.has_hit, true);
    errno = ENOMEM;
    return true;
}

/* The next one of that name: the sanitizer's, or the C library's. */
#define NEXT(name)                                                                                 \
    static __typeof__(&alloc_##name) next;                                                         \
    if (next == NULL) {                                                                            \
        next = (__typeof__(&alloc_##name))dlsym(RTLD_NEXT, #name);                                 \
    }

void *alloc_malloc(size_t size) IN_PLACE_OF("malloc");
void *alloc_calloc(size_t count, size_t size) IN_PLACE_OF("calloc");
void *alloc_realloc(void *pointer, size_t size) IN_PLACE_OF("realloc");
int alloc_posix_memalign(void **ret_pointer, size_t alignment, size_t size)
    IN_PLACE_OF("posix_memalign");
char *alloc_strdup(const char *text) IN_PLACE_OF("strdup");
char *alloc_strndup(const char *text, size_t size) IN_PLACE_OF("strndup");
int alloc_vasprintf(char **ret_text, const char *format, va_list arguments)
    IN_PLACE_OF("vasprintf");
int alloc_asprintf(char **ret_text, const char *format, ...) IN_PLACE_OF("asprintf");
char *alloc_realpath(const char *path, char *resolved) IN_PLACE_OF("realpath");

void *alloc_malloc(size_t size)
{
    NEXT(malloc)
    return fails(__builtin_return_address(0)) ? NULL : next(size);
}

void *alloc_calloc(size_t count, size_t size)
{
    NEXT(calloc)
    return fails(__builtin_return_address(0)) ? NULL : next(count, size);
}

void *alloc_realloc(void *pointer, size_t size)
{
    NEXT(realloc)
    return fails(__builtin_return_address(0)) ? NULL : next(pointer, size);
}

int alloc_posix_memalign(void **ret_pointer, size_t alignment, size_t size)
{
    NEXT(posix_memalign)
    return fails(__builtin_return_address(0)) ? ENOMEM : next(ret_pointer, alignment, size);
}

char *alloc_strdup(const char *text)
{
    NEXT(strdup)
    return fails(__builtin_return_address(0)) ? NULL : next(text);
}

char *alloc_strndup(const char *text, size_t size)
{
    NEXT(strndup)
    return fails(__builtin_return_address(0)) ? NULL : next(text, size);
}

int alloc_vasprintf(char **ret_text, const char *format, va_list arguments)
{
    NEXT(vasprintf)
    return fails(__builtin_return_address(0)) ? -1 : next(ret_text, format, arguments);
}

int alloc_asprintf(char **ret_text, const char *format, ...)
{
    static __typeof__(&alloc_vasprintf) next;
    if (next == NULL) {
        next = (__typeof__(&alloc_vasprintf))dlsym(RTLD_NEXT, "vasprintf");
    }
    if (fails(__builtin_return_address(0))) {
        return -1;
    }
    va_list arguments;
    va_start(arguments, format);
    int r = next(ret_text, format, arguments);
    va_end(arguments);
    return r;
}

char *alloc_realpath(const char *path, char *resolved)
{
    NEXT(realpath)
    return fails(__builtin_return_address(0)) ? NULL : next(path, resolved);
}
