/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "src/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "src/address.h"

static char *text(const char *literal)
{
    return (char *)(uintptr_t)literal;
}

/* A redact for up to three secrets; NULL ends the list. */
static struct redact *redact_of(const char *first, const char *second, const char *third)
{
    struct address_property properties[] = {
        {.name = text("ssl.key.password"), .value = text(first), .is_secret = true},
        {.name = text("client.id"), .value = text("visible")},
        {.name = text("sasl.password"), .value = text(second), .is_secret = true},
        {.name = text("sasl.username"), .value = text(third), .is_secret = true},
    };
    struct address address = {.properties = properties};
    struct redact *redact = NULL;

    while (address.properties_count < SPOOL_COUNT_OF(properties) &&
           properties[address.properties_count].value != NULL) {
        address.properties_count++;
    }
    assert_int_equal(redact_new(&address, &redact), 0);
    return redact;
}

static void assert_redacted(const struct redact *redact, const char *from, const char *to)
{
    char buffer[256];

    redact_text(redact, from, buffer, sizeof(buffer));
    assert_string_equal(buffer, to);
}

static void redact_text_hides_each_secret_wherever_it_stands(void **state)
{
    struct redact *redact = redact_of("s3cret", "hunter2", NULL);

    (void)state;
    assert_redacted(redact, "s3cret", "***");
    assert_redacted(redact, "a s3cret and hunter2.", "a *** and ***.");
    assert_redacted(redact, "s3crets3cret!", "******!");
    redact_free(&redact);
}

static void redact_text_leaves_other_text_alone(void **state)
{
    struct redact *redact = redact_of("s3cret", NULL, NULL);

    (void)state;
    assert_redacted(redact, "", "");
    assert_redacted(redact, "visible s3cre t", "visible s3cre t");
    redact_free(&redact);
}

static void redact_text_hides_a_secret_that_begins_with_another(void **state)
{
    struct redact *redact = redact_of("pass", "password1", NULL);

    (void)state;
    assert_redacted(redact, "is password1, or pass", "is ***, or ***");
    redact_free(&redact);
}

static void redact_text_hides_all_of_secrets_that_overlap(void **state)
{
    struct redact *redact = redact_of("abc", "cde", NULL);

    (void)state;
    assert_redacted(redact, "-abcde-", "-***-");
    redact_free(&redact);
}

static void redact_text_does_nothing_for_an_empty_secret(void **state)
{
    struct redact *redact = redact_of("", "x", NULL);

    (void)state;
    assert_redacted(redact, "ab", "ab");
    redact_free(&redact);
}

static void redact_text_never_shows_a_secret_when_it_cuts(void **state)
{
    struct redact *redact = redact_of("s3cret", NULL, NULL);
    char buffer[8];

    (void)state;
    redact_text(redact, "12345s3cret", buffer, sizeof(buffer));
    assert_string_equal(buffer, "12345**");
    redact_text(redact, "1234567s3cret", buffer, sizeof(buffer));
    assert_string_equal(buffer, "1234567");
    redact_free(&redact);
}

/* librdkafka says "Unrecognized sasl.oauthbearer.config beginning at: ..." */
static void redact_text_hides_parts_of_a_secret(void **state)
{
    struct redact *redact = redact_of("principal=admin token=\"s3cret-word\", x=no", NULL, NULL);

    (void)state;
    assert_redacted(redact, "beginning at: token=\"s3cret-word\", x=no",
                    "beginning at: ***=\"***\", x=no");
    assert_redacted(redact, "of admin.", "of ***.");
    redact_free(&redact);
}

static void redact_text_hides_the_beginning_of_a_secret_that_was_cut_off(void **state)
{
    struct redact *redact = redact_of("s3cret", "other s3cond", NULL);

    (void)state;
    assert_redacted(redact, "value: s3cre", "value: ***");
    assert_redacted(redact, "value: s3c", "value: s3c");
    assert_redacted(redact, "value: other s3", "value: ***");
    assert_redacted(redact, "value: s3con", "value: ***");
    redact_free(&redact);
}

static void redact_text_knows_no_parts_of_a_pem(void **state)
{
    struct address_property property = {
        .name = text("ssl.key.pem"), .value = text("BEGIN PRIVATE KEY"), .is_secret = true};
    struct address address = {.properties = &property, .properties_count = 1};
    struct redact *redact = NULL;

    (void)state;
    assert_int_equal(redact_new(&address, &redact), 0);
    assert_redacted(redact, "no PRIVATE key", "no PRIVATE key");
    assert_redacted(redact, "a BEGIN PRIVATE KEY!", "a ***!");
    redact_free(&redact);
}

static void redact_free_takes_null(void **state)
{
    struct redact *redact = NULL;

    (void)state;
    redact_free(&redact);
    assert_null(redact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redact_text_hides_each_secret_wherever_it_stands),
        cmocka_unit_test(redact_text_leaves_other_text_alone),
        cmocka_unit_test(redact_text_hides_a_secret_that_begins_with_another),
        cmocka_unit_test(redact_text_hides_all_of_secrets_that_overlap),
        cmocka_unit_test(redact_text_does_nothing_for_an_empty_secret),
        cmocka_unit_test(redact_text_never_shows_a_secret_when_it_cuts),
        cmocka_unit_test(redact_text_hides_parts_of_a_secret),
        cmocka_unit_test(redact_text_hides_the_beginning_of_a_secret_that_was_cut_off),
        cmocka_unit_test(redact_text_knows_no_parts_of_a_pem),
        cmocka_unit_test(redact_free_takes_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
