/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/inspect/spark.h"

#include <string.h>

void spark_add(struct spark *spark, uint64_t value)
{
    spark->values[spark->next] = value;
    spark->next = (spark->next + 1) % SPARK_VALUES_MAX;
    if (spark->count < SPARK_VALUES_MAX) {
        spark->count++;
    }
}

/* The value that came before values ago; 0 is the newest. */
static uint64_t spark_value(const struct spark *spark, size_t ago)
{
    return spark->values[(spark->next + SPARK_VALUES_MAX - 1 - ago) % SPARK_VALUES_MAX];
}

void spark_draw(const struct spark *spark, size_t width, bool is_utf8, char *ret_text)
{
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    static const char *const ascii[] = {"_", ".", "-", "=", "+", "*", "#", "@"};
    uint64_t largest = 1;
    size_t shown = spark->count < width ? spark->count : width;
    for (size_t i = 0; i < shown; i++) {
        uint64_t value = spark_value(spark, i);
        largest = value > largest ? value : largest;
    }
    for (size_t i = 0; i < width; i++) {
        size_t ago = width - 1 - i;
        const char *character = " ";
        if (ago < shown) {
            uint64_t value = spark_value(spark, ago);
            double share = (double)value / (double)largest;
            /* The lowest is for nothing alone. */
            size_t level = value == 0 ? 0 : 1 + (size_t)(share * 6);
            character = is_utf8 ? blocks[level] : ascii[level];
        }
        size_t size = strlen(character);
        memcpy(ret_text, character, size);
        ret_text += size;
    }
    *ret_text = '\0';
}
