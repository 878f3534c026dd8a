#include "config/base/log.h"

#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/json.h"
#include "tests/unit/check.h"

/* What one tg_log call wrote, into out (terminated); the pipe holds more than the longest line. */
static size_t captured(char *out, size_t cap, enum tg_log_level level, const char *text)
{
    int ends[2];
    CHECK_INT(pipe(ends), 0);
    tg_log_set_fd(ends[1]);
    tg_log(level, "test", "%s", text);
    tg_log_set_fd(2);
    close(ends[1]);
    size_t n = 0;
    ssize_t got;
    while (n + 1 < cap && (got = read(ends[0], out + n, cap - 1 - n)) > 0)
        n += (size_t)got;
    close(ends[0]);
    out[n] = '\0';
    return n;
}

/* Nobody reads: the log goes on without waiting, and tells what it left out once somebody does. */
static void a_stopped_reader_stops_nobody(void)
{
    static char text[1 << 20];
    int ends[2];
    CHECK_INT(pipe(ends), 0);
    tg_log_set_fd(ends[1]);
    for (int i = 0; i < 5000; i++)
        tg_log(TG_LOG_WARN, "test", "line %d of many, with some length to it to fill the pipe", i);
    ssize_t got = read(ends[0], text, sizeof(text) - 1);
    CHECK(got > 0 && got < 5000 * 60);
    tg_log(TG_LOG_WARN, "test", "the last");
    tg_log_set_fd(2);
    got = read(ends[0], text, sizeof(text) - 1);
    CHECK(got > 0);
    text[got] = '\0';
    CHECK(strstr(text, "log-dropped") && strstr(text, "the last"));
    close(ends[0]);
    close(ends[1]);
}

static void one_json_object_a_line(void)
{
    char line[30000];
    size_t n = captured(line, sizeof(line), TG_LOG_WARN, "quote \" line\nbreak \xFF");
    CHECK(n > 1 && line[n - 1] == '\n');
    CHECK(memchr(line, '\n', n) == line + n - 1);
    struct tg_json *root;
    struct tg_str text;
    CHECK_INT(tg_json_parse((struct tg_str){ line, n }, &root, NULL), TG_OK);
    CHECK(tg_json_string(tg_json_get(root, "text"), &text));
    CHECK_STR(text.p, "quote \" line\nbreak \xEF\xBF\xBD");
    CHECK(tg_json_string(tg_json_get(root, "level"), &text));
    CHECK_STR(text.p, "warn");
    tg_json_free(root);
}

static void levels(void)
{
    char line[1000];
    CHECK_INT(captured(line, sizeof(line), TG_LOG_DEBUG, "x"), 0);
    tg_log_set_level(TG_LOG_ERROR);
    CHECK_INT(captured(line, sizeof(line), TG_LOG_WARN, "x"), 0);
    CHECK(captured(line, sizeof(line), TG_LOG_ERROR, "x") > 0);
    tg_log_set_level(TG_LOG_INFO);
}

static void worst_case_text_is_not_dropped(void)
{
    char text[6000], line[40000];
    memset(text, 1, sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    size_t n = captured(line, sizeof(line), TG_LOG_INFO, text);
    CHECK(n > 4000 && line[n - 1] == '\n');
}

static void secrets_are_masked(void)
{
    char line[20000], text[6000];
    CHECK_INT(tg_log_secret(TG_STR("short")), TG_OK); /* too short to be told from words */
    CHECK_INT(tg_log_secret(TG_STR("sk-secret-1")), TG_OK);
    CHECK_INT(tg_log_secret(TG_STR("sk-secret-1-and-more")), TG_OK);
    CHECK_INT(tg_log_secret(TG_STR("sk-\"quoted\"-key")), TG_OK);
    captured(line, sizeof(line), TG_LOG_ERROR,
             "short sk-secret-1 sk-secret-1-and-more sk-secret-1sk-secret-1 sk-\"quoted\"-key");
    CHECK(strstr(line, "short"));
    CHECK(!strstr(line, "secret"));
    CHECK(!strstr(line, "and-more"));
    CHECK(!strstr(line, "quoted"));
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text + 4095 - 14, "sk-secret-1-and-more", 20); /* the cut falls inside it */
    captured(line, sizeof(line), TG_LOG_ERROR, text);
    CHECK(!strstr(line, "sk-s") && !strstr(line, "-an"));
    char own[] = "Authorization: Bearer sk-secret-1";
    tg_log_mask(own);
    CHECK_STR(own, "Authorization: Bearer ***********");
}

static bool masked(const char *secret)
{
    char text[64];
    snprintf(text, sizeof(text), "%s", secret);
    tg_log_mask(text);
    return strcmp(text, secret) != 0;
}

/* Keys change at reloads for as long as the process lives; those in use are named each time. */
static void old_secrets_make_way(void)
{
    char name[32];
    tg_alloc_fail_nth(1);
    CHECK_INT(tg_log_secret(TG_STR("never-stored-1")), TG_NOMEM);
    tg_alloc_fail_nth(0);
    CHECK(!masked("never-stored-1"));
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "%0*d-number", 3 + i % 7, i);
        CHECK_INT(tg_log_secret(tg_str_of(name)), TG_OK);
        CHECK_INT(tg_log_secret(TG_STR("sk-in-use-1")), TG_OK);
        CHECK(masked(name) && masked("sk-in-use-1"));
    }
    for (int i = 138; i < 200; i++) {
        snprintf(name, sizeof(name), "%0*d-number", 3 + i % 7, i);
        CHECK(masked(name));
    }
    CHECK(!masked("000-number")); /* bounded */
}

/* The first at once, then one in TG_LOG_SELDOM_S, which knows how many were left out. */
static void a_line_that_comes_too_often(void)
{
    const int64_t second = 1000000000, span = TG_LOG_SELDOM_S * second;
    struct tg_log_seldom line = { 0 }, other = { 0 };
    uint64_t untold = 9;
    CHECK(tg_log_seldom(&line, 5, &untold) && untold == 0);
    for (int i = 0; i < 100; i++)
        CHECK(!tg_log_seldom(&line, 5 + i * second / 100, &untold));
    CHECK(tg_log_seldom(&other, 6, &untold) && untold == 0);
    CHECK(!tg_log_seldom(&line, 4 + span, &untold));
    CHECK(tg_log_seldom(&line, 5 + span, &untold) && untold == 101);
    CHECK(!tg_log_seldom(&line, 5 + span, &untold));
    CHECK(tg_log_seldom(&line, 5 + 3 * span, &untold) && untold == 1);
    CHECK(tg_log_seldom(&line, 5 + 5 * span, &untold) && untold == 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_stopped_reader_stops_nobody),
        CASE(one_json_object_a_line),
        CASE(levels),
        CASE(worst_case_text_is_not_dropped),
        CASE(secrets_are_masked),
        CASE(old_secrets_make_way),
        CASE(a_line_that_comes_too_often),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
