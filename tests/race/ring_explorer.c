/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tries every order of steps in which publishers and the owner can use a ring, and every step at
 * which a publisher can die: depth first over the states of the world, each looked at once.
 *
 *   ring-explorer [--preemptions N] [SCENARIO...]
 *   ring-explorer --list
 *
 * Most scenarios let the turn be taken only so often from somebody who could go on; N is another
 * limit, -1 none. A failure ends the program with the steps that led to it. There is nothing random
 * in it.
 */
#include "tests/race/scenario.h"
#include "tests/race/world.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DEPTH_MAX 4096
#define SEEN_MIN (1U << 16)
#define TEXT_BYTES 128

/* A state on the way to where the search is. */
struct level {
    uint8_t *state;
    struct choice choices[WORLD_CHOICES_MAX];
    size_t choices_count;
    size_t next;
    int last_process; /* who did the last step */
    int preemptions_left;
    int deaths_left;
    struct choice choice; /* that led here */
    char text[TEXT_BYTES];
};

static struct level levels[DEPTH_MAX];
static size_t depth;

/* The states that were looked at, as 64 bits of each: of 10 million states, two would be taken for
 * one with a chance of 1 to 400,000. */
static uint64_t *hashes;
static size_t hashes_room;
static size_t hashes_count;

struct figures {
    uint64_t steps_count;
    uint64_t ends_count;
    size_t depth_max;
};

/* --- Failures --------------------------------------------------------------------------------- */

static void tell_step(size_t number)
{
    static const char *const kinds[] = {
        [CHOICE_RUN] = "",
        [CHOICE_TIME_OUT] = "waits no longer: ",
        [CHOICE_DIE] = "dies before: ",
        [CHOICE_FLUSH] = "an earlier store is seen; next: ",
    };
    const struct level *level = &levels[number];
    printf("%4zu  process %d  %s%s\n", number, level->choice.process, kinds[level->choice.kind],
           level->text);
}

void race_fail(const char *format, ...)
{
    va_list arguments;
    for (size_t i = 1; i <= depth; i++) {
        tell_step(i);
    }
    printf("FAILED: ");
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    (void)fflush(stdout);
    _exit(1);
}

/* --- Which states were seen ------------------------------------------------------------------- */

static bool hashes_put(uint64_t hash)
{
    size_t at = hash & (hashes_room - 1);
    while (hashes[at] != 0) {
        if (hashes[at] == hash) {
            return false;
        }
        at = (at + 1) & (hashes_room - 1);
    }
    hashes[at] = hash;
    hashes_count++;
    return true;
}

static void hashes_make_room(void)
{
    uint64_t *old = hashes;
    size_t old_room = hashes_room;
    if (2 * hashes_count < hashes_room) {
        return;
    }
    hashes_room = hashes_room == 0 ? SEEN_MIN : 2 * hashes_room;
    hashes_count = 0;
    hashes = calloc(hashes_room, sizeof(*hashes));
    if (hashes == NULL) {
        race_fail("out of memory after %zu states", old_room / 2);
    }
    for (size_t i = 0; i < old_room; i++) {
        if (old[i] != 0) {
            (void)hashes_put(old[i]);
        }
    }
    free(old);
}

/* Whether the state, with what may still happen in it, is a new one. */
static bool is_new(const struct level *level, bool counts_preemptions)
{
    uint64_t rest = (uint64_t)level->deaths_left;
    if (counts_preemptions) {
        rest = rest << 16 | (uint64_t)level->preemptions_left << 8 | (uint64_t)level->last_process;
    }
    uint64_t hash = world_hash() ^ (rest + 1) * 0xd6e8feb86659fd93ULL;
    hashes_make_room();
    return hashes_put(hash == 0 ? 1 : hash);
}

/* --- The search ------------------------------------------------------------------------------- */

/* Whether the choice takes the turn from somebody who could go on. */
static bool is_preemption(const struct level *level, const struct choice *choice)
{
    return choice->kind == CHOICE_RUN && choice->process != level->last_process &&
           world_can_run(level->last_process);
}

/* Keeps the world as a level that is to be looked at from all sides. */
static void enter(const struct scenario *scenario, struct figures *figures)
{
    struct level *level = &levels[depth];
    if (level->state == NULL) {
        level->state = malloc(world_state_bytes());
    }
    if (level->state == NULL || depth + 1 == DEPTH_MAX) {
        race_fail("the search is too deep");
    }
    world_save(level->state);
    level->choices_count = world_choices(level->choices, level->deaths_left > 0);
    level->next = 0;
    figures->depth_max = depth > figures->depth_max ? depth : figures->depth_max;
    if (level->choices_count == 0) {
        figures->ends_count++;
        scenario_end(scenario);
    }
}

/* Goes one step on from the deepest level; false when the level has no step left. */
static bool go_on(const struct scenario *scenario, struct figures *figures)
{
    struct level *level = &levels[depth];
    if (level->next == level->choices_count) {
        return false;
    }
    const struct choice choice = level->choices[level->next++];
    struct level *deeper = &levels[depth + 1];
    bool counts_preemptions = scenario->preemptions_max >= 0;
    world_restore(level->state);
    deeper->preemptions_left =
        level->preemptions_left - (counts_preemptions && is_preemption(level, &choice) ? 1 : 0);
    if (deeper->preemptions_left < 0) {
        return true;
    }
    deeper->deaths_left = level->deaths_left - (choice.kind == CHOICE_DIE ? 1 : 0);
    deeper->last_process = choice.kind == CHOICE_RUN || choice.kind == CHOICE_TIME_OUT
                               ? choice.process
                               : level->last_process;
    deeper->choice = choice;
    (void)snprintf(deeper->text, sizeof(deeper->text), "%s", world_text(choice.process));
    depth++;
    figures->steps_count++;
    world_do(&choice);
    if (is_new(deeper, counts_preemptions)) {
        enter(scenario, figures);
    } else {
        depth--;
    }
    return true;
}

/* Forgets all but the first state. */
static void begin_anew(const struct scenario *scenario, struct figures *figures)
{
    free(hashes);
    hashes = NULL;
    hashes_room = hashes_count = 0;
    *figures = (struct figures){0};
    depth = 0;
    levels[0].preemptions_left = scenario->preemptions_max >= 0 ? scenario->preemptions_max : 0;
    levels[0].deaths_left = scenario->deaths_count;
    if (levels[0].state != NULL) {
        world_restore(levels[0].state);
    }
    enter(scenario, figures);
}

static void search_all(const struct scenario *scenario, struct figures *figures)
{
    begin_anew(scenario, figures);
    for (;;) {
        if (go_on(scenario, figures)) {
            if (world_has_learnt()) {
                begin_anew(scenario, figures);
            }
        } else if (depth == 0) {
            return;
        } else {
            depth--;
        }
    }
}

static void search(const struct scenario *scenario)
{
    struct figures figures;
    struct timespec begin;
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    scenario_begin(scenario);
    search_all(scenario, &figures);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%-14s %3d %9zu states %10" PRIu64 " steps %5" PRIu64 " ends, %3zu deep, %5.1f s: %s\n",
           scenario->name, scenario->preemptions_max, hashes_count, figures.steps_count,
           figures.ends_count, figures.depth_max,
           (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9,
           scenario->text);
    (void)fflush(stdout);
    scenario_free();
    for (size_t i = 0; i < DEPTH_MAX; i++) {
        free(levels[i].state);
        levels[i] = (struct level){0};
    }
}

static bool is_wanted(const struct scenario *scenario, int names_count, char **names)
{
    for (int i = 0; i < names_count; i++) {
        if (strcmp(names[i], scenario->name) == 0) {
            return true;
        }
    }
    return names_count == 0;
}

static void list(void)
{
    for (size_t i = 0; i < scenarios_count; i++) {
        printf("%-14s %3d  %s\n", scenarios[i].name, scenarios[i].preemptions_max,
               scenarios[i].text);
    }
}

int main(int argc, char **argv)
{
    int count = 0;
    int first = argc > 2 && strcmp(argv[1], "--preemptions") == 0 ? 3 : 1;
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        list();
        return 0;
    }
    for (size_t i = 0; i < scenarios_count; i++) {
        struct scenario scenario = scenarios[i];
        if (is_wanted(&scenario, argc - first, argv + first)) {
            if (first == 3) {
                scenario.preemptions_max = (int)strtol(argv[2], NULL, 10);
            }
            search(&scenario);
            count++;
        }
    }
    if (count == 0) {
        (void)fprintf(stderr, "ring-explorer: no such scenario; see --list\n");
        return 2;
    }
    return 0;
}
