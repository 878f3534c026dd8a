#include "gateway/responses_site.h"

#include <stdio.h>

#include "config/base/clock.h"
#include "gateway/api/openai_responses.h"
#include "gateway/api/read.h"
#include "gateway/exchange.h"
#include "gateway/query.h"

enum { PAGE = 20, PAGE_MAX = 100 };

static const char root[] = "/v1/responses/";

/* A path below the root: its id, and what follows that. */
struct place {
    struct tg_str id, tail;
    uint64_t number;
    bool ours; /* the id is of our form */
};

static struct place place_of(const struct gw_ask *ask)
{
    struct tg_str path = { ask->path.p + sizeof(root) - 1, ask->path.n - (sizeof(root) - 1) };
    struct place at = { .number = 0 };
    struct tg_str rest;
    while (at.id.n < path.n && path.p[at.id.n] != '/')
        at.id.n++;
    at.id.p = path.p;
    at.tail = (struct tg_str){ path.p + at.id.n, path.n - at.id.n };
    at.ours = oai_id_number(at.id, "resp_", &at.number, &rest) && rest.n == 0;
    return at;
}

static int64_t now_ms(void)
{
    return tg_mono_ns() / 1000000;
}

static void refuse(struct gw_app *app, struct gw_request *rq, struct api_error e)
{
    gw_router_refuse(app, rq, &oai_responses, &e);
}

static void not_found(struct gw_app *app, struct gw_request *rq, const struct place *at)
{
    refuse(app, rq, gw_failure(404, "invalid_request_error", NULL,
                               "Response with id '%.*s' not found.",
                               TG_FMT(api_short(at->id))));
}

/* The response of the path; NULL: the request was answered with 404. */
static struct gw_response *find(struct gw_app *app, struct gw_request *rq,
                                const struct gw_caller *who, const struct place *at)
{
    struct gw_response *r = NULL;
    if (app->responses && at->ours)
        r = gw_responses_find(app->responses, gw_caller_owner(who), at->number, false, now_ms());
    if (!r)
        not_found(app, rq, at);
    return r;
}

static void not_served(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask)
{
    refuse(app, rq, gw_failure(404, "invalid_request_error", "not_found",
                               "nothing is served at %.*s; see GET and DELETE /v1/responses/{id}, "
                               "GET /v1/responses/{id}/input_items",
                               TG_FMT(api_short(ask->path))));
}

static void respond(struct gw_app *app, struct gw_request *rq, struct tg_buf *out)
{
    if (out->failed)
        refuse(app, rq, gw_failure(503, "server_error", NULL, "out of memory"));
    else
        gw_http_respond(rq, 200, "application/json", tg_buf_str(out));
    tg_buf_free(out);
}

/* --- queries --------------------------------------------------------------------------------- */

/* A member that is a word out of a list; *which is left alone when it is absent. */
static bool read_word(struct tg_str query, const char *key, const char *const words[2],
                      size_t *which, struct api_error *e)
{
    struct tg_str value = gw_query_member(query, key);
    for (size_t i = 0; i < 2 && value.p; i++)
        if (gw_query_is(value, tg_str_of(words[i]))) {
            *which = i;
            return true;
        }
    if (!value.p)
        return true;
    *e = gw_failure(400, "invalid_request_error", NULL, "%s: must be %s or %s", key, words[0],
                    words[1]);
    snprintf(e->param, sizeof(e->param), "%s", key);
    return false;
}

static bool unsupported(const char *key, struct api_error *e)
{
    *e = gw_failure(400, "invalid_request_error", "unsupported_parameter",
                    "%s is not supported in this version", key);
    snprintf(e->param, sizeof(e->param), "%s", key);
    return false;
}

/* What may be included is what is told anyway: URLs of images, and thoughts as they were asked
 * for. */
static bool read_include(struct tg_str query, struct api_error *e)
{
    static const char *const keys[] = { "include", "include[]", "include%5B%5D", "include[0]",
                                        "include%5B0%5D" };
    static const char *const told[] = { "message.input_image.image_url",
                                        "reasoning.encrypted_content" };
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        struct tg_str value = gw_query_member(query, keys[i]);
        if (value.p && !gw_query_is(value, tg_str_of(told[0])) &&
            !gw_query_is(value, tg_str_of(told[1])))
            return unsupported("include", e);
    }
    return true;
}

static bool read_retrieval(struct tg_str query, struct api_error *e)
{
    static const char *const bools[2] = { "false", "true" };
    size_t stream = 0, obfuscation = 0;
    if (!read_word(query, "stream", bools, &stream, e) ||
        !read_word(query, "include_obfuscation", bools, &obfuscation, e) ||
        !read_include(query, e))
        return false;
    if (stream)
        return unsupported("stream", e);
    if (obfuscation)
        return unsupported("include_obfuscation", e);
    return !gw_query_member(query, "starting_after").p || unsupported("starting_after", e);
}

/* Which items of n are asked for: count of them from first on, towards the end of the list or its
 * beginning. */
struct page {
    size_t first, count, total;
    bool backwards;
};

static size_t item_of(const struct page *p, size_t i)
{
    return p->backwards ? p->total - 1 - (p->first + i) : p->first + i;
}

static bool read_page(struct tg_str query, const struct gw_spans *items, struct page *p,
                      struct api_error *e)
{
    static const char *const orders[2] = { "asc", "desc" };
    struct tg_str limit = gw_query_member(query, "limit"), after = gw_query_member(query, "after");
    uint64_t most = PAGE;
    size_t order = 1;
    if (!read_word(query, "order", orders, &order, e) || !read_include(query, e))
        return false;
    if (limit.p && (!tg_parse_u64(limit, &most) || most < 1 || most > PAGE_MAX)) {
        *e = gw_failure(400, "invalid_request_error", NULL,
                        "limit: must be a whole number from 1 to %d", PAGE_MAX);
        return false;
    }
    *p = (struct page){ .total = items->n, .backwards = order == 1 };
    if (after.p) {
        while (p->first < p->total && !gw_query_is(after, gw_span_id(items, item_of(p, 0))))
            p->first++;
        if (p->first == p->total) {
            *e = gw_failure(400, "invalid_request_error", NULL, "after: no item has that id");
            return false;
        }
        p->first++;
    }
    p->count = p->total - p->first < most ? p->total - p->first : (size_t)most;
    return true;
}

static void print_items(const struct gw_spans *items, const struct page *p, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < p->count; i++) {
        struct tg_str text = gw_span_text(items, item_of(p, i));
        if (i)
            tg_buf_addc(out, ',');
        tg_buf_add(out, text.p, text.n);
    }
    static const char *const keys[] = { "],\"first_id\":", ",\"last_id\":" };
    for (size_t i = 0; i < 2; i++) {
        struct tg_str id = { NULL, 0 };
        if (p->count)
            id = gw_span_id(items, item_of(p, i ? p->count - 1 : 0));
        tg_buf_adds(out, keys[i]);
        if (id.n)
            tg_buf_addf(out, "\"%.*s\"", TG_FMT(id)); /* escaped as it stands */
        else
            tg_buf_adds(out, "null");
    }
    tg_buf_addf(out, ",\"has_more\":%s}", p->first + p->count < p->total ? "true" : "false");
}

/* --- what is answered ------------------------------------------------------------------------ */

void gw_responses_get(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                      const struct gw_caller *who)
{
    struct place at = place_of(ask);
    bool items = tg_str_eq(at.tail, TG_STR("/input_items"));
    struct api_error e = { 0 };
    struct page page;
    if (at.tail.n && !items) {
        not_served(app, rq, ask);
        return;
    }
    struct gw_response *r = find(app, rq, who, &at);
    if (!r)
        return;
    if (items ? !read_page(ask->query, &r->input, &page, &e) : !read_retrieval(ask->query, &e)) {
        refuse(app, rq, e);
    } else if (items) {
        struct tg_buf out;
        tg_buf_init(&out, SIZE_MAX / 2); /* bounded by what is kept */
        print_items(&r->input, &page, &out);
        respond(app, rq, &out);
    } else {
        gw_http_respond(rq, 200, "application/json",
                        (struct tg_str){ r->output.text, r->output.n_text });
    }
    gw_response_unref(app->responses, r);
}

void gw_responses_remove(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                         const struct gw_caller *who)
{
    struct place at = place_of(ask);
    if (at.tail.n) {
        not_served(app, rq, ask);
        return;
    }
    if (!app->responses || !at.ours ||
        !gw_responses_delete(app->responses, gw_caller_owner(who), at.number, now_ms())) {
        not_found(app, rq, &at);
        return;
    }
    struct tg_buf out;
    tg_buf_init(&out, 200);
    tg_buf_addf(&out, "{\"id\":\"%.*s\",\"object\":\"response\",\"deleted\":true}",
                TG_FMT(at.id));
    respond(app, rq, &out);
}

void gw_responses_post(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                       const struct gw_caller *who)
{
    struct place at = place_of(ask);
    if (!tg_str_eq(at.tail, TG_STR("/cancel"))) {
        not_served(app, rq, ask);
        return;
    }
    struct gw_response *r = find(app, rq, who, &at);
    if (!r)
        return;
    gw_response_unref(app->responses, r);
    refuse(app, rq, gw_failure(400, "invalid_request_error", NULL,
                               "Cannot cancel a synchronous response: background is not supported "
                               "in this version, and closing the connection ends a request"));
}
