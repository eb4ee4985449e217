/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/spark.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void assert_drawn(const struct spark *spark, size_t width, bool is_utf8,
                         const char *expected)
{
    char text[SPARK_VALUES_MAX * SPARK_CHARACTER_BYTES + 1];
    spark_draw(spark, width, is_utf8, text);
    assert_string_equal(text, expected);
}

static void spark_draws_the_last_values(void **state)
{
    struct spark spark = {0};
    (void)state;
    assert_drawn(&spark, 3, false, "   ");
    spark_add(&spark, 0);
    assert_drawn(&spark, 3, false, "  _");
    spark_add(&spark, 7);
    assert_drawn(&spark, 3, false, " _@");
    spark_add(&spark, 1);
    spark_add(&spark, 4);
    assert_drawn(&spark, 4, false, "_@.+");
    assert_drawn(&spark, 4, true, "▁█▂▅");
    /* What has left the picture is no measure any more. */
    assert_drawn(&spark, 2, false, "-@");
    assert_drawn(&spark, 0, false, "");
}

static void spark_shows_the_smallest_value_as_more_than_nothing(void **state)
{
    struct spark spark = {0};
    (void)state;
    spark_add(&spark, UINT64_MAX);
    spark_add(&spark, 1);
    spark_add(&spark, 0);
    assert_drawn(&spark, 3, false, "@._");
}

static void spark_forgets_the_oldest(void **state)
{
    struct spark spark = {0};
    char text[SPARK_VALUES_MAX * SPARK_CHARACTER_BYTES + 1];
    (void)state;
    spark_add(&spark, 1000);
    for (int i = 0; i < SPARK_VALUES_MAX; i++) {
        spark_add(&spark, 1);
    }
    spark_draw(&spark, SPARK_VALUES_MAX, false, text);
    assert_int_equal(strlen(text), SPARK_VALUES_MAX);
    assert_int_equal(strspn(text, "@"), SPARK_VALUES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spark_draws_the_last_values),
        cmocka_unit_test(spark_shows_the_smallest_value_as_more_than_nothing),
        cmocka_unit_test(spark_forgets_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
