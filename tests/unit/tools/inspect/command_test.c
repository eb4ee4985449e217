/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct command *find(int *used, int count, const char *first, const char *second)
{
    const char *words[] = {first, second};
    *used = 0;
    return command_find(count, (char **)(uintptr_t)words, used);
}

static void command_find_takes_one_word_or_two(void **state)
{
    int used;
    (void)state;
    assert_ptr_equal(find(&used, 1, "status", NULL)->run, status_run);
    assert_int_equal(used, 1);
    assert_ptr_equal(find(&used, 2, "ls", "ls")->run, ls_run);
    assert_int_equal(used, 1);
    assert_ptr_equal(find(&used, 2, "dead", "ls")->run, dead_ls_run);
    assert_int_equal(used, 2);
    assert_null(find(&used, 1, "dead", NULL));
    assert_null(find(&used, 2, "dead", "status"));
    assert_null(find(&used, 2, "ls ", "x"));
    assert_null(find(&used, 0, NULL, NULL));
}

static void command_table_fits_its_list(void **state)
{
    (void)state;
    assert_ptr_equal(command_table[0].run, status_run); /* the default */
    for (const struct command *command = command_table; command->name != NULL; command++) {
        size_t size =
            strlen(command->name) + (command->group != NULL ? strlen(command->group) + 1 : 0);
        assert_non_null(command->run);
        assert_in_range(size, 1, 14);
        assert_in_range(strlen(command->summary), 1, 62); /* one line of 80 columns */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_find_takes_one_word_or_two),
        cmocka_unit_test(command_table_fits_its_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
