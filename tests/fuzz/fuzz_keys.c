/* Foreign input about API keys: the headers that carry them, the bodies of the admin API, the texts
 * of options. */
#include <stdio.h>

#include "gateway/auth.h"
#include "gateway/key_fields.h"
#include "gateway/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool held, const char *what)
{
    if (!held) {
        fprintf(stderr, "%s\n", what);
        __builtin_trap();
    }
}

/* What was read and is well formed must be printable again, and nothing but a key. */
static void body(struct tg_str text)
{
    static struct tel_key_spec spec;
    struct tg_error err;
    int64_t overlap;
    gw_key_read_overlap(text, &overlap, &err);
    gw_key_read_none(text, &err);
    if (gw_key_read(text, 1795176000000, &spec, &err) != TG_OK)
        return;
    check(memchr(spec.name, 0, sizeof(spec.name)) && memchr(spec.routes, 0, sizeof(spec.routes)),
          "a text without an end");
    check(spec.rpm <= 1000000 && spec.concurrent <= 65536, "a limit beyond its bounds");
    if (tel_key_check(&spec, 1795176000000, &err) != TG_OK)
        return;
    struct tel_api_key k = { .id = "key_0123456789ab", .name = tg_str_of(spec.name),
                             .routes = tg_str_of(spec.routes), .models = tg_str_of(spec.models),
                             .tags = tg_str_of(spec.tags), .has_budget = spec.has_budget,
                             .budget_nano = spec.budget_nano, .period = spec.period,
                             .expires_ms = spec.expires_ms };
    struct tg_buf out;
    tg_buf_init(&out, 1 << 16);
    check(gw_key_print(&k, NULL, 1795176000000, &out) == TG_OK, "a key that cannot be printed");
    tg_buf_free(&out);
}

/* NAME, zero, VALUE, zero, ... as headers. */
static void headers(const char *p, size_t n)
{
    struct gw_header all[8];
    struct gw_ask ask = { .headers = all };
    struct tg_str secret;
    while (n && ask.n_headers < 8) {
        struct tg_str part[2];
        for (int i = 0; i < 2; i++) {
            size_t end = strnlen(p, n);
            part[i] = (struct tg_str){ p, end };
            p += end < n ? end + 1 : end;
            n -= end < n ? end + 1 : end;
        }
        all[ask.n_headers++] = (struct gw_header){ part[0], part[1] };
    }
    if (gw_auth_secret(&ask, &secret) && secret.p)
        tel_secret_fits(secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const fields[] = { "name", "routes", "models", "tags", "local_only",
                                          "budget", "rpm", "tpm", "concurrent", "expires" };
    if (size == 0)
        return 0;
    struct tg_str text = { (const char *)data + 1, size - 1 };
    static struct tel_key_spec spec;
    struct tg_error err;
    if (data[0] == 0)
        headers(text.p, text.n);
    else if (data[0] <= sizeof(fields) / sizeof(*fields))
        gw_key_set(&spec, fields[data[0] - 1], text, 1795176000000, &err);
    else if (data[0] == 0xFF)
        gw_query_member(text, "after");
    else
        body(text);
    return 0;
}
