#include "gateway/key_fields.h"

#include <stdio.h>
#include <time.h>

#include "config/base/json.h"
#include "policy/choose.h"

#define EXPIRES_MAX_MS (INT64_C(36525) * 86400000) /* a hundred years */

/* --- reading --- */

static enum tg_status copy(const char *field, struct tg_str text, char *to, size_t size,
                           struct tg_error *err)
{
    if (text.n >= size)
        return tg_fail(err, TG_INVALID, "%s: at most %zu bytes", field, size - 1);
    if (text.n && memchr(text.p, '\0', text.n))
        return tg_fail(err, TG_INVALID, "%s: has a NUL", field);
    if (text.n)
        memcpy(to, text.p, text.n);
    to[text.n] = '\0';
    return TG_OK;
}

static bool is_none(struct tg_str text)
{
    return tg_str_eq(text, TG_STR("none"));
}

static enum tg_status read_limit(const char *field, struct tg_str text, uint32_t max,
                                 uint32_t *out, struct tg_error *err)
{
    uint64_t n = 0;
    if (!is_none(text) && (!tg_parse_u64(text, &n) || n < 1 || n > max))
        return tg_fail(err, TG_INVALID, "%s: must be a whole number from 1 to %u, or none", field,
                       max);
    *out = (uint32_t)n;
    return TG_OK;
}

static enum tg_status read_budget(struct tel_key_spec *spec, struct tg_str text,
                                  struct tg_error *err)
{
    spec->has_budget = !is_none(text);
    if (!spec->has_budget || cfg_parse_budget(text, &spec->budget_nano, &spec->period))
        return TG_OK;
    return tg_fail(err, TG_INVALID, "budget: must be an amount for a day, week or month, such as "
                                    "\"$20/month\", or none");
}

static bool read_moment(const char *text, int64_t *ms)
{
    static const char *const forms[] = { "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d" };
    for (size_t i = 0; i < 2; i++) {
        struct tm tm = { 0 };
        const char *end = strptime(text, forms[i], &tm);
        if (!end || *end)
            continue;
        *ms = (int64_t)timegm(&tm) * 1000;
        return true;
    }
    return false;
}

static enum tg_status read_expires(struct tel_key_spec *spec, struct tg_str text, int64_t now_ms,
                                   struct tg_error *err)
{
    char copied[40];
    int64_t span;
    spec->expires_ms = 0;
    if (tg_str_eq(text, TG_STR("never")))
        return TG_OK;
    if (tg_parse_duration_ms(text, &span) && span > 0 && span <= EXPIRES_MAX_MS) {
        spec->expires_ms = now_ms + span;
        return TG_OK;
    }
    snprintf(copied, sizeof(copied), "%.*s", TG_FMT(text));
    if (text.n < sizeof(copied) && read_moment(copied, &spec->expires_ms))
        return TG_OK;
    return tg_fail(err, TG_INVALID, "expires: must be a time from now such as \"30d\", a date such "
                                    "as \"2027-01-31\" or \"2027-01-31T12:00:00Z\", or never");
}

static enum tg_status read_local_only(struct tel_key_spec *spec, struct tg_str text,
                                      struct tg_error *err)
{
    spec->local_only = tg_str_eq(text, TG_STR("true"));
    if (spec->local_only || tg_str_eq(text, TG_STR("false")))
        return TG_OK;
    return tg_fail(err, TG_INVALID, "local_only: must be true or false");
}

static const struct {
    const char *name;
    unsigned bit;
} fields[] = {
    { "name", TEL_KEY_NAME },         { "routes", TEL_KEY_ROUTES },
    { "models", TEL_KEY_MODELS },     { "tags", TEL_KEY_TAGS },
    { "local_only", TEL_KEY_LOCAL_ONLY }, { "budget", TEL_KEY_BUDGET },
    { "rpm", TEL_KEY_RPM },           { "tpm", TEL_KEY_TPM },
    { "concurrent", TEL_KEY_CONCURRENT }, { "expires", TEL_KEY_EXPIRES },
};

static unsigned bit_of(const char *field)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
        if (strcmp(field, fields[i].name) == 0)
            return fields[i].bit;
    return 0;
}

enum tg_status gw_key_set(struct tel_key_spec *spec, const char *field, struct tg_str text,
                          int64_t now_ms, struct tg_error *err)
{
    unsigned bit = bit_of(field);
    spec->set |= bit;
    switch (bit) {
    case TEL_KEY_NAME:
        return copy(field, text, spec->name, sizeof(spec->name), err);
    case TEL_KEY_ROUTES:
        return copy(field, text, spec->routes, sizeof(spec->routes), err);
    case TEL_KEY_MODELS:
        return copy(field, text, spec->models, sizeof(spec->models), err);
    case TEL_KEY_TAGS:
        return copy(field, text, spec->tags, sizeof(spec->tags), err);
    case TEL_KEY_LOCAL_ONLY:
        return read_local_only(spec, text, err);
    case TEL_KEY_BUDGET:
        return read_budget(spec, text, err);
    case TEL_KEY_RPM:
        return read_limit(field, text, 1000000, &spec->rpm, err);
    case TEL_KEY_TPM:
        return read_limit(field, text, 1000000000, &spec->tpm, err);
    case TEL_KEY_CONCURRENT:
        return read_limit(field, text, 65536, &spec->concurrent, err);
    case TEL_KEY_EXPIRES:
        return read_expires(spec, text, now_ms, err);
    default:
        return tg_fail(err, TG_NOTFOUND, "%.80s: no such field", field);
    }
}

/* ["a", "b"] as a,b. */
static enum tg_status join(const char *field, const struct tg_json *v, struct tg_buf *out,
                           struct tg_error *err)
{
    struct tg_str item;
    for (const struct tg_json *e = tg_json_first(v); e; e = tg_json_next(e)) {
        if (!tg_json_string(e, &item) || item.n == 0 || memchr(item.p, ',', item.n))
            return tg_fail(err, TG_INVALID, "%s: must be an array of texts without commas", field);
        if (out->n)
            tg_buf_addc(out, ',');
        tg_buf_add(out, item.p, item.n);
    }
    return TG_OK;
}

/* As the option of the same name would have it. */
static enum tg_status word_of(const char *field, const struct tg_json *v, struct tg_buf *out,
                              struct tg_error *err)
{
    const unsigned lists = TEL_KEY_ROUTES | TEL_KEY_MODELS | TEL_KEY_TAGS;
    const unsigned numbers = TEL_KEY_RPM | TEL_KEY_TPM | TEL_KEY_CONCURRENT;
    unsigned bit = bit_of(field);
    struct tg_str text;
    int64_t n;
    if (tg_json_is(v, TG_JSON_NULL) && bit & (lists | numbers | TEL_KEY_BUDGET | TEL_KEY_EXPIRES)) {
        tg_buf_adds(out, bit & lists ? "" : bit == TEL_KEY_EXPIRES ? "never" : "none");
        return TG_OK;
    }
    if (bit & lists && tg_json_is(v, TG_JSON_ARRAY))
        return join(field, v, out, err);
    if (bit & numbers && tg_json_int(v, &n)) {
        tg_buf_addf(out, "%lld", (long long)n);
        return TG_OK;
    }
    if (bit == TEL_KEY_LOCAL_ONLY && tg_json_is(v, TG_JSON_BOOL)) {
        tg_json_print(v, out);
        return TG_OK;
    }
    if (bit & (TEL_KEY_NAME | TEL_KEY_BUDGET | TEL_KEY_EXPIRES) && tg_json_string(v, &text)) {
        tg_buf_add(out, text.p, text.n);
        return TG_OK;
    }
    return tg_fail(err, TG_INVALID, "%s: must be %s, is %s", field,
                   bit & lists                  ? "an array of texts"
                   : bit & numbers              ? "a whole number or null"
                   : bit == TEL_KEY_LOCAL_ONLY  ? "true or false"
                                                : "a text",
                   tg_json_type_name(tg_json_type(v)));
}

static enum tg_status read_member(const struct tg_json *v, int64_t now_ms,
                                  struct tel_key_spec *spec, struct tg_error *err)
{
    struct tg_buf word;
    const char *field = tg_json_key(v);
    if (!bit_of(field))
        return tg_fail(err, TG_INVALID, "%.80s: no such member", field);
    tg_buf_init(&word, 2 * TEL_KEY_LIST_MAX);
    enum tg_status status = word_of(field, v, &word, err);
    if (!status && word.failed)
        status = word.failed == TG_LIMIT ? tg_fail(err, TG_INVALID, "%s: is too long", field)
                                         : tg_fail(err, TG_NOMEM, "out of memory");
    if (!status)
        status = gw_key_set(spec, field, tg_buf_str(&word), now_ms, err);
    tg_buf_free(&word);
    return status;
}

static enum tg_status parse_object(struct tg_str body, struct tg_json **root, struct tg_error *err)
{
    struct tg_error cause;
    enum tg_status status = tg_json_parse(body, root, &cause);
    if (status)
        return tg_fail(err, status, "%s", cause.text);
    if (tg_json_is(*root, TG_JSON_OBJECT))
        return TG_OK;
    tg_json_free(*root);
    *root = NULL;
    return tg_fail(err, TG_INVALID, "the body must be a JSON object");
}

enum tg_status gw_key_read(struct tg_str body, int64_t now_ms, struct tel_key_spec *spec,
                           struct tg_error *err)
{
    struct tg_json *root = NULL;
    *spec = (struct tel_key_spec){ 0 };
    enum tg_status status = parse_object(body, &root, err);
    for (const struct tg_json *v = tg_json_first(root); !status && v; v = tg_json_next(v))
        status = read_member(v, now_ms, spec, err);
    tg_json_free(root);
    return status;
}

enum tg_status gw_key_read_overlap(struct tg_str body, int64_t *overlap_ms, struct tg_error *err)
{
    struct tg_json *root = NULL;
    struct tg_str text;
    *overlap_ms = TEL_KEY_OVERLAP_MS;
    if (body.n == 0)
        return TG_OK;
    enum tg_status status = parse_object(body, &root, err);
    for (const struct tg_json *v = tg_json_first(root); !status && v; v = tg_json_next(v))
        if (strcmp(tg_json_key(v), "overlap") != 0)
            status = tg_fail(err, TG_INVALID, "%.80s: no such member", tg_json_key(v));
        else if (!tg_json_string(v, &text) || !tg_parse_duration_ms(text, overlap_ms))
            status = tg_fail(err, TG_INVALID, "overlap: must be a time such as \"24h\", or \"0s\"");
    tg_json_free(root);
    return status;
}

enum tg_status gw_key_read_none(struct tg_str body, struct tg_error *err)
{
    struct tg_json *root = NULL;
    enum tg_status status = body.n ? parse_object(body, &root, err) : TG_OK;
    const struct tg_json *v = status ? NULL : tg_json_first(root);
    if (v)
        status = tg_fail(err, TG_INVALID, "%.80s: no such member", tg_json_key(v));
    tg_json_free(root);
    return status;
}

/* --- names of the configuration --- */

static void add_names(const struct cfg_settings *s, char out[300])
{
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < s->n_routes && n < 200; i++)
        n += (size_t)snprintf(out + n, 300 - n, "%s, ", s->routes[i].name);
    snprintf(out + n, 300 - n, "local");
}

enum tg_status gw_key_check_names(const struct tel_key_spec *spec, const struct cfg_settings *s,
                                  struct tg_error *err)
{
    struct tg_str item;
    struct pol_choice choice;
    struct tg_str routes = tg_str_of(spec->set & TEL_KEY_ROUTES ? spec->routes : "");
    struct tg_str models = tg_str_of(spec->set & TEL_KEY_MODELS ? spec->models : "");
    for (size_t at = 0; tel_list_next(routes, &at, &item);) {
        bool known = tg_str_eq(item, TG_STR("local"));
        for (size_t i = 0; i < s->n_routes; i++)
            known = known || tg_str_eq(item, tg_str_of(s->routes[i].name));
        char names[300];
        add_names(s, names);
        if (!known)
            return tg_fail(err, TG_INVALID, "routes: no route is named \"%.*s\"; there are %s",
                           (int)(item.n > 80 ? 80 : item.n), item.p, names);
    }
    for (size_t at = 0; tel_list_next(models, &at, &item);)
        if (!pol_choose(s, item, &choice) || (!choice.local && !choice.provider.n))
            return tg_fail(err, TG_INVALID,
                           "models: \"%.*s\" is no PROVIDER/MODEL of an entry of providers",
                           (int)(item.n > 80 ? 80 : item.n), item.p);
    return TG_OK;
}

/* --- printing --- */

const char *gw_key_state_name(enum tel_key_state state)
{
    static const char *const names[] = { "active", "expired", "revoked" };
    return names[state];
}

void gw_key_print_time(int64_t ms, char out[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc;
    out[0] = '\0';
    if (gmtime_r(&seconds, &utc))
        strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

void gw_key_print_budget(const struct tel_api_key *k, char out[64])
{
    static const char *const periods[] = { "", "/day", "/week", "/month" };
    out[0] = '\0';
    if (!k->has_budget)
        return;
    int n = snprintf(out, 40, "$%lld.%09lld", (long long)(k->budget_nano / 1000000000),
                     (long long)(k->budget_nano % 1000000000));
    while (n > 2 && out[n - 1] == '0') /* whole dollars without a fraction, cents as two digits */
        n--;
    if (out[n - 1] == '.')
        n--;
    snprintf(out + n, 64 - (size_t)n, "%s", periods[k->period]);
}

static void add_time(struct tg_buf *out, const char *name, int64_t ms)
{
    char text[32];
    gw_key_print_time(ms, text);
    if (ms)
        tg_buf_addf(out, ",\"%s\":\"%s\"", name, text);
    else
        tg_buf_addf(out, ",\"%s\":null", name);
}

static void add_list(struct tg_buf *out, const char *name, struct tg_str list)
{
    struct tg_str item;
    bool more = false;
    tg_buf_addf(out, ",\"%s\":[", name);
    for (size_t at = 0; tel_list_next(list, &at, &item); more = true) {
        tg_buf_adds(out, more ? "," : "");
        tg_buf_add_json(out, item);
    }
    tg_buf_adds(out, "]");
}

static void add_limit(struct tg_buf *out, const char *name, uint32_t limit)
{
    if (limit)
        tg_buf_addf(out, ",\"%s\":%u", name, limit);
    else
        tg_buf_addf(out, ",\"%s\":null", name);
}

enum tg_status gw_key_print(const struct tel_api_key *k, const char *secret, int64_t now_ms,
                            struct tg_buf *out)
{
    char budget[64];
    tg_buf_addf(out, "{\"id\":\"%s\",\"name\":", k->id);
    tg_buf_add_json(out, k->name);
    if (secret)
        tg_buf_addf(out, ",\"key\":\"%s\"", secret);
    tg_buf_addf(out, ",\"prefix\":\"%s\",\"state\":\"%s\"", k->prefix,
                gw_key_state_name(tel_key_state(k, now_ms)));
    add_time(out, "created", k->created_ms);
    add_time(out, "rotated", k->rotated_ms);
    add_time(out, "old_secret_until", k->old_until_ms > now_ms ? k->old_until_ms : 0);
    add_time(out, "expires", k->expires_ms);
    add_time(out, "revoked", k->revoked_ms);
    add_list(out, "routes", k->routes);
    add_list(out, "models", k->models);
    add_list(out, "tags", k->tags);
    tg_buf_addf(out, ",\"local_only\":%s", k->local_only ? "true" : "false");
    gw_key_print_budget(k, budget);
    tg_buf_addf(out, k->has_budget ? ",\"budget\":\"%s\"" : ",\"budget\":null", budget);
    add_limit(out, "rpm", k->rpm);
    add_limit(out, "tpm", k->tpm);
    add_limit(out, "concurrent", k->concurrent);
    return tg_buf_adds(out, "}");
}
