/* Calibrations: what they give, and their JSON: read back as written, refused by path. */
#include "policy/calibration_json.h"

#include <stdlib.h>

#include "config/base/alloc.h"
#include "tests/unit/check.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY "\"model\":\"" HEX "\",\"precision\":\"fast\",\"features\":2,\"span\":\"answer\"," \
            "\"thinking\":false"
#define BODY "\"made\":\"2026-11-29\",\"n\":100,\"right\":60,\"bias\":0.5,\"weights\":" \
             "{\"min_probability\":2},\"map\":{\"kind\":\"none\"},\"ece\":0.03,\"ece_raw\":0.2"

/* --- application ------------------------------------------------------------- */

static void maps_apply(void)
{
    struct pol_map none = { .kind = POL_MAP_NONE };
    struct pol_map platt = { .kind = POL_MAP_PLATT, .a = 2, .b = -1 };
    struct pol_map steps = { .kind = POL_MAP_ISOTONIC, .n = 3, .x = { 0.2, 0.5, 0.7 },
                             .y = { 0.1, 0.4, 0.9 } };
    struct pol_map one = { .kind = POL_MAP_ISOTONIC, .n = 1, .x = { 0.5 }, .y = { 0.3 } };
    for (double logit = -40; logit <= 40; logit += 0.25) {
        CHECK_NEAR(pol_map_apply(&none, logit), 1 / (1 + exp(-logit)), 1e-12);
        CHECK_NEAR(pol_map_apply(&platt, logit), 1 / (1 + exp(-(2 * logit - 1))), 1e-12);
        CHECK_NEAR(pol_map_apply(&one, logit), 0.3, 1e-12);
        CHECK(pol_map_apply(&steps, logit) >= pol_map_apply(&steps, logit - 0.1));
    }
    CHECK_NEAR(pol_map_apply(&steps, pol_logit(0.05)), 0.1, 1e-12);
    CHECK_NEAR(pol_map_apply(&steps, pol_logit(0.2)), 0.1, 1e-9);
    CHECK_NEAR(pol_map_apply(&steps, pol_logit(0.35)), 0.25, 1e-9);
    CHECK_NEAR(pol_map_apply(&steps, pol_logit(0.6)), 0.65, 1e-9);
    CHECK_NEAR(pol_map_apply(&steps, pol_logit(0.99)), 0.9, 1e-12);
    CHECK_NEAR(pol_map_apply(&steps, INFINITY), 0.9, 1e-12);
    CHECK(isfinite(pol_logit(0)) && isfinite(pol_logit(1)));
}

static void keys_are_compared_whole(void)
{
    struct pol_calibration list[2] = { { .bias = 1 }, { .bias = 2 } };
    struct pol_key key = { .model = HEX, .features = 2, .span = POL_SPAN_ANSWER };
    list[0].key = list[1].key = key;
    list[0].key.exact = true;
    CHECK(pol_calibration_find(list, 2, &key) == &list[1]);
    CHECK(!pol_calibration_find(list, 1, &key));
    struct pol_key other = key;
    other.span = POL_SPAN_WINDOW;
    CHECK(!pol_calibration_find(list, 2, &other));
    other = key;
    other.thinking = true;
    CHECK(!pol_calibration_find(list, 2, &other));
    other = key;
    other.features = 3;
    CHECK(!pol_calibration_find(list, 2, &other));
    other = key;
    other.model[63] = '0';
    CHECK(!pol_calibration_find(list, 2, &other));
    other.model[0] = list[1].key.model[0] = '\0'; /* not known: nothing fits, not even that */
    CHECK(!pol_calibration_find(list, 2, &other));
}

/* --- JSON ------------------------------------------------------------- */

static enum tg_status read_text(const char *text, struct pol_calibration **list, size_t *n,
                                size_t *stale, struct tg_error *err)
{
    struct tg_json *root;
    *list = NULL;
    if (tg_json_parse(tg_str_of(text), &root, err))
        CHECK_FAIL("the test's JSON: %s", err->text);
    enum tg_status status = pol_calibrations_parse(root, list, n, stale, err);
    tg_json_free(root);
    return status;
}

static void what_is_printed_reads_back(void)
{
    struct pol_calibration in[3], *out;
    size_t n, stale;
    struct tg_error err = { 0 };
    memset(in, 0, sizeof(in));
    for (size_t i = 0; i < 3; i++) {
        in[i].key = (struct pol_key){ .model = HEX, .features = 2, .exact = i == 1,
                                      .span = i == 2 ? POL_SPAN_WINDOW : POL_SPAN_ANSWER };
        strcpy(in[i].made, "2026-11-29");
        in[i].n = 1500;
        in[i].right = 930;
        in[i].bias = -1.0 / 3;
        in[i].weight[POL_MIN_PROBABILITY] = 1e-17 + 4.0 / 7;
        in[i].weight[POL_FEW_TOKENS] = -12345.678;
        in[i].map.kind = (enum pol_map_kind)i;
        in[i].ece = 0.03125;
        in[i].ece_raw = 0.25;
    }
    in[1].map.a = 1.0 / 7;
    in[1].map.b = -2.0 / 7;
    in[2].map.n = POL_MAP_POINTS_MAX;
    for (size_t i = 0; i < POL_MAP_POINTS_MAX; i++) {
        in[2].map.x[i] = (double)i / 257;
        in[2].map.y[i] = (double)(i / 2) / 300;
    }
    struct tg_buf b;
    tg_buf_init(&b, 1 << 20);
    CHECK_INT(pol_calibrations_print(in, 3, &b), TG_OK);
    if (read_text(b.p, &out, &n, &stale, &err) != TG_OK)
        CHECK_FAIL("%s", err.text);
    CHECK_INT(n, 3);
    CHECK_INT(stale, 0);
    for (size_t i = 0; i < 3; i++) {
        CHECK(pol_key_equal(&in[i].key, &out[i].key));
        CHECK_STR(out[i].made, "2026-11-29");
        CHECK(in[i].n == out[i].n && in[i].right == out[i].right);
        CHECK_NEAR(in[i].bias, out[i].bias, 0);
        CHECK(memcmp(in[i].weight, out[i].weight, sizeof(in[i].weight)) == 0);
        CHECK(in[i].map.kind == out[i].map.kind && in[i].map.n == out[i].map.n);
        CHECK(memcmp(in[i].map.x, out[i].map.x, sizeof(in[i].map.x)) == 0);
        CHECK(memcmp(in[i].map.y, out[i].map.y, sizeof(in[i].map.y)) == 0);
        CHECK_NEAR(in[i].map.a, out[i].map.a, 0);
        CHECK_NEAR(in[i].map.b, out[i].map.b, 0);
        CHECK_NEAR(out[i].ece, 0.03125, 1e-9);
    }
    tg_free(out);
    tg_buf_free(&b);
}

/* One calibration with a piece replaced. */
static void with(char *out, size_t n, const char *from, const char *to)
{
    static const char good[] = "{\"version\":1,\"calibrations\":[{" KEY "," BODY "}]}";
    const char *at = strstr(good, from);
    CHECK(at);
    snprintf(out, n, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
}

static void everything_wrong_is_named(void)
{
#define AT "calibrations[0]."
    static const struct {
        const char *from, *to, *error;
    } wrong[] = {
        { "\"version\":1", "\"version\":2", "version: must be a whole number from 1 to 1" },
        { "\"version\":1,", "", "version: is missing" },
        { "\"version\":1,", "\"version\":1,\"more\":1,", "more: is not known here" },
        { "[{" KEY "," BODY "}]", "{}", "calibrations: must be a list" },
        { "{" KEY "," BODY "}", "7", "calibrations[0]: must be an object" },
        { "\"model\":\"01", "\"model\":\"0A", AT "model: must be the SHA-256" },
        { "\"model\":\"01", "\"model\":\"1", AT "model: must be the SHA-256" },
        { "\"model\":\"" HEX "\"", "\"model\":null", AT "model: is null" },
        { "\"fast\"", "\"quick\"", AT "precision: must be \"fast\" or \"exact\"" },
        { "\"features\":2", "\"features\":0", AT "features: must be a whole number" },
        { "\"answer\"", "true", AT "span: must be \"window\" or \"answer\"" },
        { "\"thinking\":false", "\"thinking\":0", AT "thinking: must be true or false" },
        { "2026-11-29", "29.11.2026", AT "made: must be a date" },
        { "\"n\":100", "\"n\":0", AT "n: must be a whole number from 1" },
        { "\"right\":60", "\"right\":101", AT "right: must be a whole number from 0 to 100" },
        { "\"bias\":0.5", "\"bias\":1e7", AT "bias: must be a number from -1e+06" },
        { "\"bias\":0.5", "\"bias\":null", AT "bias: must be a number" },
        { "\"min_probability\":2", "\"min_probabilty\":2",
          AT "weights.min_probabilty: there is no feature of that name" },
        { "\"min_probability\":2", "\"min_probability\":\"2\"",
          AT "weights.min_probability: must be a number" },
        { "{\"min_probability\":2}", "[]", AT "weights: must be an object" },
        { "{\"kind\":\"none\"}", "{\"kind\":\"spline\"}", AT "map.kind: must be" },
        { "{\"kind\":\"none\"}", "{\"kind\":\"none\",\"a\":1}", AT "map.a: is not known here" },
        { "{\"kind\":\"none\"}", "{\"kind\":\"platt\",\"a\":-1,\"b\":0}",
          AT "map.a: must be a number from 0" },
        { "{\"kind\":\"none\"}", "{\"kind\":\"platt\",\"a\":1}", AT "map.b: is missing" },
        { "{\"kind\":\"none\"}", "{\"kind\":\"isotonic\",\"x\":[0.1,0.2],\"y\":[0.5,0.4]}",
          AT "map.y[1]: falls" },
        { "{\"kind\":\"none\"}", "{\"kind\":\"isotonic\",\"x\":[0.2,0.2],\"y\":[0.4,0.5]}",
          AT "map.x[1]: does not rise" },
        { "{\"kind\":\"none\"}", "{\"kind\":\"isotonic\",\"x\":[0.2,0.3],\"y\":[0.4]}",
          AT "map.y: must have as many numbers as x" },
        { "{\"kind\":\"none\"}", "{\"kind\":\"isotonic\",\"x\":[],\"y\":[]}",
          AT "map.x: must be a list of 1 to 256" },
        { "{\"kind\":\"none\"}", "{\"kind\":\"isotonic\",\"x\":[0.2,1.3],\"y\":[0.4,0.5]}",
          AT "map.x[1]: must be a number from 0 to 1" },
        { "\"ece\":0.03", "\"ece\":-0.03", AT "ece: must be a number from 0 to 1" },
        { ",\"ece_raw\":0.2", "", AT "ece_raw: is missing" },
        { "\"ece_raw\":0.2", "\"ece_raw\":0.2,\"note\":\"\"", AT "note: is not known here" },
        { "{" KEY "," BODY "}", "{" KEY "," BODY "},{" KEY "," BODY "}",
          "calibrations[1]: has the key of one before it" },
    };
    char text[2048];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct pol_calibration *list;
        size_t n = 9, stale = 9;
        struct tg_error err = { 0 };
        with(text, sizeof(text), wrong[i].from, wrong[i].to);
        enum tg_status status = read_text(text, &list, &n, &stale, &err);
        if (status != TG_INVALID || strstr(err.text, wrong[i].error) != err.text)
            CHECK_FAIL("%s: status %d, \"%s\"", text, status, err.text);
        CHECK(!list && n == 0 && stale == 0);
    }
}

static void good_ones_are_read(void)
{
    char text[2048];
    struct pol_calibration *list;
    size_t n, stale;
    struct tg_error err = { 0 };
    with(text, sizeof(text), "{\"min_probability\":2}", "{}"); /* the bias alone */
    CHECK_INT(read_text(text, &list, &n, &stale, &err), TG_OK);
    CHECK_INT(n, 1);
    CHECK_NEAR(list[0].weight[POL_MIN_PROBABILITY], 0, 0);
    tg_free(list);
    with(text, sizeof(text), "\"features\":2", "\"features\":3"); /* of another time */
    CHECK_INT(read_text(text, &list, &n, &stale, &err), TG_OK);
    CHECK(n == 0 && stale == 1);
    tg_free(list);
    CHECK_INT(read_text("{\"version\":1,\"calibrations\":[]}", &list, &n, &stale, &err), TG_OK);
    CHECK(n == 0 && stale == 0 && list);
    tg_free(list);
    struct tg_json *root = NULL;
    CHECK_INT(tg_json_parse(tg_str_of(text), &root, &err), TG_OK);
    tg_alloc_fail_nth(1);
    CHECK_INT(pol_calibrations_parse(root, &list, &n, &stale, &err), TG_NOMEM);
    tg_alloc_fail_nth(0);
    tg_json_free(root);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(maps_apply), CASE(keys_are_compared_whole), CASE(what_is_printed_reads_back),
        CASE(everything_wrong_is_named), CASE(good_ones_are_read),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
