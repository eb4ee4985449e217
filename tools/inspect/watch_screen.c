/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/watch_screen.h"

#include "tools/inspect/output.h"
#include "tools/inspect/spark.h"

#include <curses.h>
#include <errno.h>
#include <inttypes.h>
#include <langinfo.h>
#include <string.h>

/* From this width on there is room for pictures of the rates too, and for errors. */
#define SCREEN_WIDE 140
#define SCREEN_NAME_MIN 12
#define SCREEN_NAME_MAX 40
#define SCREEN_REASONS_MAX 4
#define SCREEN_REASON_LINES_MAX 3
#define SCREEN_TEXT_MAX 1024

enum {
    PAIR_GOOD = 1,
    PAIR_SO_SO,
    PAIR_BAD,
};

struct screen_history {
    struct spark depth;
    struct spark in;
    struct spark out;
};

struct watch_screen {
    SCREEN *terminal;
    bool is_utf8;
    bool is_frozen;
    int scrolled; /* destinations above the first that is shown */
    const struct snapshot *snapshot;
    char spool_dir[256];
    struct message why;
    struct screen_history histories[DESTINATIONS_MAX + 1];
};

int watch_screen_open(struct watch_screen **ret_screen)
{
    struct watch_screen *screen = calloc(1, sizeof(*screen));
    if (screen == NULL) {
        return -ENOMEM;
    }
    screen->terminal = newterm(NULL, stdout, stdin);
    if (screen->terminal == NULL) {
        free(screen);
        return -ENOTTY;
    }
    screen->is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    (void)cbreak();
    (void)noecho();
    (void)curs_set(0);
    (void)keypad(stdscr, TRUE);
    if (output_has_colours() && start_color() == OK) {
        (void)use_default_colors();
        (void)init_pair(PAIR_GOOD, COLOR_GREEN, -1);
        (void)init_pair(PAIR_SO_SO, COLOR_YELLOW, -1);
        (void)init_pair(PAIR_BAD, COLOR_RED, -1);
    }
    *ret_screen = screen;
    return 0;
}

void watch_screen_close(struct watch_screen **screen_at)
{
    struct watch_screen *screen = SPOOL_TAKE(*screen_at);
    if (screen != NULL) {
        (void)endwin();
        delscreen(screen->terminal);
        free(screen);
    }
}

/* --- Pieces ----------------------------------------------------------------------------------- */

/* As wide characters, and so that nothing in it can control the terminal. Returns how many. */
static size_t screen_widen(const char *text, wchar_t ret_wide[SCREEN_TEXT_MAX])
{
    SPOOL_CLEANUP(spool_free)
    char *shown = output_text_new((struct span){text, strlen(text)}, SCREEN_TEXT_MAX - 1);
    size_t length = shown == NULL ? 0 : mbstowcs(ret_wide, shown, SCREEN_TEXT_MAX - 1);
    if (length == (size_t)-1) {
        /* A terminal that is not of UTF-8. */
        length = 0;
        for (const char *at = shown; *at != '\0' && length < SCREEN_TEXT_MAX - 1; at++) {
            ret_wide[length++] = (unsigned char)*at < 0x80 ? (wchar_t)*at : L'?';
        }
    }
    ret_wide[length] = L'\0';
    return length;
}

/* Text at a place, cut to a width. */
static void screen_text(int row, int column, int width, const char *text)
{
    wchar_t wide[SCREEN_TEXT_MAX];
    if (width > 0 && row < LINES && column < COLS) {
        (void)screen_widen(text, wide);
        (void)mvaddnwstr(row, column, wide, width);
    }
}

/* Text in lines of a width, a few at most. Returns how many. */
static int screen_paragraph(int row, int column, int width, const char *text)
{
    wchar_t wide[SCREEN_TEXT_MAX];
    size_t left = screen_widen(text, wide);
    const wchar_t *at = wide;
    int lines = 0;
    while (left > 0 && lines < SCREEN_REASON_LINES_MAX && width > 0 && row + lines < LINES) {
        size_t size = left < (size_t)width ? left : (size_t)width;
        size_t end = size;
        while (size < left && end > 0 && at[end] != L' ') {
            end--;
        }
        size = end > 0 ? end : size;
        (void)mvaddnwstr(row + lines, column, at, (int)size);
        lines++;
        while (size < left && at[size] == L' ') {
            size++;
        }
        at += size;
        left -= size;
    }
    return lines;
}

static void screen_right(int row, int column, int width, const char *text)
{
    int length = (int)strlen(text);
    screen_text(row, length < width ? column + width - length : column, width, text);
}

static void screen_spark(const struct watch_screen *screen, int row, int column, int width,
                         const struct spark *spark)
{
    char text[SPARK_VALUES_MAX * SPARK_CHARACTER_BYTES + 1];
    width = width < SPARK_VALUES_MAX ? width : SPARK_VALUES_MAX;
    if (width > 0) {
        spark_draw(spark, (size_t)width, screen->is_utf8, text);
        screen_text(row, column, width, text);
    }
}

static attr_t screen_colour(enum verdict_kind kind)
{
    int pair = kind == VERDICT_HEALTHY    ? PAIR_GOOD
               : kind < VERDICT_ATTENTION ? PAIR_SO_SO
                                          : PAIR_BAD;
    return A_BOLD | (has_colors() ? (attr_t)COLOR_PAIR(pair) : 0);
}

/* --- The head --------------------------------------------------------------------------------- */

static int screen_draw_head(const struct watch_screen *screen)
{
    const struct snapshot *snapshot = screen->snapshot;
    char line[512];
    char time[OUTPUT_WORD_BYTES];
    int row = 0;
    output_time(snapshot->taken_wall_ms, time);
    screen_text(row, 0, COLS - 21, screen->spool_dir);
    screen_right(row++, COLS - 20, 20, time);
    enum verdict_kind verdict = snapshot_verdict(snapshot);
    (void)attron(screen_colour(verdict));
    screen_text(row, 0, COLS, snapshot_verdict_name(verdict));
    (void)attroff(screen_colour(verdict));
    if (screen->is_frozen) {
        screen_right(row, COLS - 20, 20, "frozen (p)");
    }
    row++;
    for (size_t i = 0; i < snapshot->reasons_count && i < SCREEN_REASONS_MAX; i++) {
        row += screen_paragraph(row, 2, COLS - 2, snapshot->reasons[i].text.text);
    }
    const struct spool_space *space = &snapshot->space;
    char used[OUTPUT_WORD_BYTES];
    char limit[OUTPUT_WORD_BYTES];
    char disk[OUTPUT_WORD_BYTES];
    output_bytes(space->used_bytes, used);
    output_bytes(space->limit_bytes, limit);
    output_bytes(snapshot->disk_free_bytes, disk);
    (void)snprintf(
        line, sizeof(line), "owner %s; %s of %s used (%.0f %%), disk %s free",
        snapshot->is_owned ? snapshot->owner : "nobody", used, limit,
        space->limit_bytes > 0 ? 100 * (double)space->used_bytes / (double)space->limit_bytes : 0,
        disk);
    screen_text(row++, 0, COLS, line);
    return row + 1;
}

/* --- The destinations ------------------------------------------------------------------------- */

/* Where the columns are, for the terminal's width. */
struct screen_columns {
    int name;  /* width */
    int spark; /* width of a picture, 0: none */
    bool is_wide;
    int depth;
    int age;
    int in;
    int out;
    int error; /* 0: none */
    int state;
    int dead;
};

#define WIDTH_STATE 14
#define WIDTH_DEPTH 9
#define WIDTH_AGE 8
#define WIDTH_RATE 8
#define WIDTH_DEAD 6

static struct screen_columns screen_lay_out(void)
{
    struct screen_columns columns = {.is_wide = COLS >= SCREEN_WIDE};
    int fixed = WIDTH_STATE + WIDTH_DEPTH + WIDTH_AGE + 2 * WIDTH_RATE + WIDTH_DEAD + 7;
    int left = COLS - fixed;
    columns.name = columns.is_wide ? SCREEN_NAME_MAX : left * 3 / 5;
    columns.name = columns.name < SCREEN_NAME_MIN ? SCREEN_NAME_MIN : columns.name;
    columns.name = columns.name > SCREEN_NAME_MAX ? SCREEN_NAME_MAX : columns.name;
    left -= columns.name;
    columns.spark = columns.is_wide ? left / 5 : left;
    columns.spark = columns.spark > 2 ? columns.spark - 1 : 0;
    int pictures = columns.is_wide ? columns.spark + 1 : 0;
    columns.state = columns.name + 1;
    columns.depth = columns.state + WIDTH_STATE + 1;
    columns.age = columns.depth + WIDTH_DEPTH + 1 + (columns.spark > 0 ? columns.spark + 1 : 0);
    columns.in = columns.age + WIDTH_AGE + 1;
    columns.out = columns.in + WIDTH_RATE + 1 + pictures;
    columns.dead = columns.out + WIDTH_RATE + 1 + pictures;
    columns.error = columns.is_wide ? columns.dead + WIDTH_DEAD + 1 : 0;
    return columns;
}

static void screen_draw_titles(int row, const struct screen_columns *columns)
{
    (void)attron(A_REVERSE);
    (void)mvhline(row, 0, ' ', COLS);
    screen_text(row, 0, columns->name, "DESTINATION");
    screen_text(row, columns->state, WIDTH_STATE, "STATE");
    screen_right(row, columns->depth, WIDTH_DEPTH, "DEPTH");
    screen_right(row, columns->age, WIDTH_AGE, "OLDEST");
    screen_right(row, columns->in, WIDTH_RATE, "IN/s");
    screen_right(row, columns->out, WIDTH_RATE, "OUT/s");
    screen_right(row, columns->dead, WIDTH_DEAD, "DEAD");
    if (columns->error > 0) {
        screen_text(row, columns->error, COLS - columns->error, "LAST ERROR");
    }
    (void)attroff(A_REVERSE);
}

static void screen_rate(const struct snapshot *snapshot, uint64_t per_ks, char word[32])
{
    if (!snapshot->is_live) {
        (void)snprintf(word, 32, "-");
    } else {
        (void)snprintf(word, 32, per_ks < 100000000 ? "%.1f" : "%.0f", (double)per_ks / 1000);
    }
}

static void screen_draw_destination(const struct watch_screen *screen, int row, uint32_t id,
                                    const struct screen_columns *columns)
{
    const struct snapshot *snapshot = screen->snapshot;
    const struct snapshot_destination *it = &snapshot->destinations[id];
    const struct screen_history *history = &screen->histories[id];
    char word[OUTPUT_WORD_BYTES];
    screen_text(row, 0, columns->name, it->identity);
    screen_text(row, columns->state, WIDTH_STATE, snapshot_state(snapshot, id));
    (void)snprintf(word, sizeof(word), "%" PRIu64, it->counters.values[COUNTER_QUEUE_RECORDS]);
    screen_right(row, columns->depth, WIDTH_DEPTH, word);
    screen_spark(screen, row, columns->depth + WIDTH_DEPTH + 1, columns->spark, &history->depth);
    output_duration(snapshot_age_ms(snapshot, id), word);
    screen_right(row, columns->age, WIDTH_AGE, it->oldest_wall_ms != 0 ? word : "-");
    screen_rate(snapshot, it->live.in_per_ks, word);
    screen_right(row, columns->in, WIDTH_RATE, word);
    screen_rate(snapshot, it->live.out_per_ks, word);
    screen_right(row, columns->out, WIDTH_RATE, word);
    (void)snprintf(word, sizeof(word), "%" PRIu64, it->counters.values[COUNTER_DEAD_RECORDS]);
    screen_right(row, columns->dead, WIDTH_DEAD, word);
    if (columns->is_wide) {
        screen_spark(screen, row, columns->in + WIDTH_RATE + 1, columns->spark, &history->in);
        screen_spark(screen, row, columns->out + WIDTH_RATE + 1, columns->spark, &history->out);
        screen_text(row, columns->error, COLS - columns->error, it->live.last_error_text);
    }
}

static void screen_draw_destinations(struct watch_screen *screen, int row)
{
    const struct snapshot *snapshot = screen->snapshot;
    struct screen_columns columns = screen_lay_out();
    screen_draw_titles(row++, &columns);
    int room = LINES - row - 1;
    int count = (int)snapshot->destinations_count;
    int scrolled_max = count > room && room > 0 ? count - room : 0;
    screen->scrolled = screen->scrolled > scrolled_max ? scrolled_max : screen->scrolled;
    for (int i = 0; i < room && i + screen->scrolled < count; i++) {
        screen_draw_destination(screen, row + i, (uint32_t)(i + screen->scrolled + 1), &columns);
    }
    if (scrolled_max > 0) {
        char line[64];
        (void)snprintf(line, sizeof(line), "%d to %d of %d (up, down)", screen->scrolled + 1,
                       screen->scrolled + room, count);
        screen_right(LINES - 1, COLS - 40, 40, line);
    }
}

static void screen_draw(struct watch_screen *screen)
{
    (void)erase();
    if (screen->snapshot != NULL) {
        screen_draw_destinations(screen, screen_draw_head(screen));
    } else {
        screen_text(0, 0, COLS, screen->spool_dir);
        (void)attron(screen_colour(VERDICT_ATTENTION));
        screen_text(1, 0, COLS, screen->why.text);
        (void)attroff(screen_colour(VERDICT_ATTENTION));
    }
    screen_text(LINES - 1, 0, COLS / 2, "q quit  p freeze");
    (void)refresh();
}

/* --- Life ------------------------------------------------------------------------------------- */

void watch_screen_update(struct watch_screen *screen, const char *spool_dir,
                         const struct snapshot *snapshot, const char *why)
{
    screen->snapshot = snapshot;
    (void)snprintf(screen->spool_dir, sizeof(screen->spool_dir), "%s", spool_dir);
    if (snapshot == NULL) {
        message_set(&screen->why, "%s", why);
    } else {
        for (uint32_t i = 1; i <= snapshot->destinations_count; i++) {
            const struct snapshot_destination *it = &snapshot->destinations[i];
            spark_add(&screen->histories[i].depth, it->counters.values[COUNTER_QUEUE_RECORDS]);
            spark_add(&screen->histories[i].in, it->live.in_per_ks);
            spark_add(&screen->histories[i].out, it->live.out_per_ks);
        }
    }
    screen_draw(screen);
}

void watch_screen_freeze(struct watch_screen *screen, bool is_frozen)
{
    screen->is_frozen = is_frozen;
    screen_draw(screen);
}

enum watch_key watch_screen_wait(struct watch_screen *screen, uint64_t timeout_ms)
{
    timeout((int)timeout_ms);
    switch (getch()) {
    case 'q':
        return WATCH_KEY_QUIT;
    case 'p':
        return WATCH_KEY_FREEZE;
    case KEY_UP:
        screen->scrolled -= screen->scrolled > 0 ? 1 : 0;
        screen_draw(screen);
        return WATCH_KEY_NONE;
    case KEY_DOWN:
        screen->scrolled++;
        screen_draw(screen);
        return WATCH_KEY_NONE;
    case KEY_RESIZE:
        screen_draw(screen);
        return WATCH_KEY_NONE;
    default:
        return WATCH_KEY_NONE;
    }
}
