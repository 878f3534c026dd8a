#include "gateway/admin.h"

#include <stdio.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "gateway/exchange.h"
#include "gateway/gate.h"
#include "gateway/key_fields.h"
#include "gateway/models.h"
#include "gateway/query.h"
#include "gateway/reload.h"

enum { BODY_MAX = 64 << 10, TEXT_MAX = 4 << 20, PAGE = 100, PAGE_MAX = 1000 };

static const char root[] = "/admin/keys";

/* A change under way; rq is NULL when its client has gone. */
struct gw_admin_job {
    struct gw_admin_job *prev, *next;
    struct gw_app *app;
    struct gw_request *rq;
    const struct api_dialect *dialect;
    struct tel_key_op op;
};

/* What a path below /admin/keys means. */
struct target {
    struct tg_str id;
    bool all, rotate;
};

static bool read_target(struct tg_str path, struct target *t)
{
    *t = (struct target){ .all = path.n == sizeof(root) - 1 };
    if (t->all)
        return true;
    struct tg_str rest = { path.p + sizeof(root), path.n - sizeof(root) };
    static const char tail[] = "/rotate";
    const size_t n = sizeof(tail) - 1;
    if (rest.n > n && memcmp(rest.p + rest.n - n, tail, n) == 0) {
        t->rotate = true;
        rest.n -= n;
    }
    t->id = rest;
    return rest.n == TEL_KEY_ID && !memchr(rest.p, '/', rest.n) && !memchr(rest.p, 0, rest.n);
}

static struct api_error failure_of(enum tg_status status, const char *text)
{
    int code = status == TG_NOTFOUND                               ? 404
               : status == TG_INVALID || status == TG_UNSUPPORTED ? 400
               : status == TG_LIMIT                                ? 409
                                                                   : 503;
    struct api_error e = gw_failure(code, code < 500 ? "invalid_request_error" : "server_error",
                                    code == 404 ? "not_found" : NULL, "%.500s", text);
    size_t n = strcspn(e.message, ": ");
    if (code == 400 && e.message[n] == ':' && n < sizeof(e.param))
        snprintf(e.param, sizeof(e.param), "%.*s", (int)n, e.message);
    return e;
}

/* Secrets are never cached; out is freed. */
static void respond(struct gw_app *app, struct gw_request *rq, const struct api_dialect *dialect,
                    int status, struct tg_buf *out)
{
    struct api_error e = gw_failure(503, "server_error", NULL, "out of memory");
    if (out->failed) {
        gw_router_refuse(app, rq, dialect, &e);
    } else {
        gw_http_header(rq, "cache-control", TG_STR("no-store"));
        gw_http_respond(rq, status, "application/json", tg_buf_str(out));
    }
    if (out->p)
        explicit_bzero(out->p, out->n);
    tg_buf_free(out);
}

/* --- looking --- */

/* False: e. */
static bool find_page(const struct tel_keys *keys, struct tg_str query, size_t *first, size_t *end,
                      struct api_error *e)
{
    struct tg_str limit = gw_query_member(query, "limit"), after = gw_query_member(query, "after");
    uint64_t n = PAGE;
    if (limit.p && (!tg_parse_u64(limit, &n) || n < 1 || n > PAGE_MAX)) {
        *e = failure_of(TG_INVALID, "limit: must be a whole number from 1 to 1000");
        return false;
    }
    *first = 0;
    if (after.p) {
        const struct tel_api_key *k = tel_keys_by_id(keys, after);
        if (!k) {
            *e = failure_of(TG_INVALID, "after: no key has that id");
            return false;
        }
        *first = (size_t)(k - keys->key) + 1;
    }
    *end = keys->n - *first > n ? *first + (size_t)n : keys->n;
    return true;
}

static void answer_list(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                        const struct api_dialect *dialect)
{
    const struct tel_keys *keys = app->keys;
    size_t first = 0, end = 0;
    struct api_error e;
    if (!find_page(keys, ask->query, &first, &end, &e)) {
        gw_router_refuse(app, rq, dialect, &e);
        return;
    }
    struct tg_buf out;
    int64_t now_ms = tg_wall_ms();
    tg_buf_init(&out, TEXT_MAX);
    tg_buf_adds(&out, "{\"keys\":[");
    for (size_t i = first; i < end; i++) {
        tg_buf_adds(&out, i > first ? ",\n" : "\n");
        gw_key_print(&keys->key[i], NULL, now_ms, &out);
    }
    tg_buf_addf(&out, "],\n\"has_more\":%s}\n", end < keys->n ? "true" : "false");
    respond(app, rq, dialect, 200, &out);
}

static void answer_key(struct gw_app *app, struct gw_request *rq, const struct api_dialect *dialect,
                       struct tg_str id, const char *secret, int status)
{
    const struct tel_api_key *k = tel_keys_by_id(app->keys, id);
    struct tg_buf out;
    if (!k) {
        struct api_error e = failure_of(TG_NOTFOUND, "no key has that id; GET /admin/keys lists "
                                                     "them");
        gw_router_refuse(app, rq, dialect, &e);
        return;
    }
    tg_buf_init(&out, TEXT_MAX);
    gw_key_print(k, secret, tg_wall_ms(), &out);
    tg_buf_adds(&out, "\n");
    respond(app, rq, dialect, status, &out);
}

/* --- changing --- */

static void drop(struct gw_admin_job *job)
{
    if (job->prev)
        job->prev->next = job->next;
    else
        job->app->admin_jobs = job->next;
    if (job->next)
        job->next->prev = job->prev;
    explicit_bzero(job->op.secret, sizeof(job->op.secret));
    tg_free(job);
}

/* The change is on disk, or has failed; the loop's keys have it. */
static void on_done(void *arg)
{
    struct gw_admin_job *job = arg;
    struct gw_app *app = job->app;
    struct tel_key_op *op = &job->op;
    static const char *const words[] = { "key-created", "key-updated", "key-rotated",
                                         "key-revoked" };
    gw_gate_sync(app);
    if (!op->status)
        tg_log(TG_LOG_INFO, words[op->kind], "%s, by the admin API", op->id);
    if (job->rq && op->status) {
        struct api_error e = failure_of(op->status, op->err.text);
        gw_router_refuse(app, job->rq, job->dialect, &e);
    } else if (job->rq) {
        answer_key(app, job->rq, job->dialect, tg_str_of(op->id),
                   op->secret[0] ? op->secret : NULL, op->kind == TEL_KEY_CREATE ? 201 : 200);
    }
    drop(job);
}

static enum tg_status fail_body(struct tg_error *err)
{
    return tg_fail(err, TG_INVALID, "the body is above 64 KiB");
}

static enum tg_status read_op(struct gw_app *app, const struct gw_ask *ask, const struct target *t,
                              struct tel_key_op *op, struct tg_error *err)
{
    enum tg_status status = TG_OK;
    if (!t->all)
        snprintf(op->id, sizeof(op->id), "%.*s", TG_FMT(t->id));
    if (ask->body.n > BODY_MAX)
        return fail_body(err);
    if (op->kind == TEL_KEY_ROTATE)
        return gw_key_read_overlap(ask->body, &op->overlap_ms, err);
    if (op->kind == TEL_KEY_REVOKE)
        return TG_OK;
    int64_t now_ms = tg_wall_ms();
    status = gw_key_read(ask->body, now_ms, &op->spec, err);
    if (!status)
        status = tel_key_check(&op->spec, now_ms, err);
    return status ? status : gw_key_check_names(&op->spec, app->now->settings, err);
}

static void *change(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct api_dialect *dialect, const struct target *t,
                    enum tel_key_op_kind kind)
{
    struct gw_admin_job *job = tg_calloc(1, sizeof(*job));
    struct tg_error err = { .text = "out of memory" };
    enum tg_status status = TG_NOMEM;
    if (job) {
        job->op = (struct tel_key_op){ .kind = kind, .fn = on_done, .arg = job };
        status = read_op(app, ask, t, &job->op, &err);
    }
    if (!status && tel_key_ask(app->store, &job->op) != TG_OK)
        status = tg_fail(&err, TG_IO, "too many changes are under way; try again");
    if (status) {
        struct api_error e = failure_of(status, err.text);
        tg_free(job);
        gw_router_refuse(app, rq, dialect, &e);
        return NULL;
    }
    job->app = app;
    job->rq = rq;
    job->dialect = dialect;
    job->next = app->admin_jobs;
    if (job->next)
        job->next->prev = job;
    app->admin_jobs = job;
    return job;
}

/* --- paths and methods --- */

static void *refuse_method(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                           const struct api_dialect *dialect, const char *allowed)
{
    struct api_error e = gw_failure(405, "invalid_request_error", "method_not_allowed",
                                    "%.*s takes %s", TG_FMT(ask->path), allowed);
    gw_http_header(rq, "allow", tg_str_of(allowed));
    gw_router_refuse(app, rq, dialect, &e);
    return NULL;
}

void *gw_admin_keys(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask)
{
    const struct api_dialect *dialect = gw_dialect_asked(ask);
    struct target t;
    bool get = tg_str_eq(ask->method, TG_STR("GET")) || ask->head;
    bool post = tg_str_eq(ask->method, TG_STR("POST"));
    if (!read_target(ask->path, &t)) {
        struct api_error e = failure_of(TG_NOTFOUND, "there is nothing at this path; keys are at "
                                                     "/admin/keys/ID and /admin/keys/ID/rotate");
        gw_router_refuse(app, rq, dialect, &e);
        return NULL;
    }
    if (t.all && post)
        return change(app, rq, ask, dialect, &t, TEL_KEY_CREATE);
    if (t.rotate)
        return post ? change(app, rq, ask, dialect, &t, TEL_KEY_ROTATE)
                    : refuse_method(app, rq, ask, dialect, "POST");
    if (!t.all && tg_str_eq(ask->method, TG_STR("PATCH")))
        return change(app, rq, ask, dialect, &t, TEL_KEY_UPDATE);
    if (!t.all && tg_str_eq(ask->method, TG_STR("DELETE")))
        return change(app, rq, ask, dialect, &t, TEL_KEY_REVOKE);
    if (!get)
        return refuse_method(app, rq, ask, dialect,
                             t.all ? "GET, HEAD, POST" : "GET, HEAD, PATCH, DELETE");
    if (t.all)
        answer_list(app, rq, ask, dialect);
    else
        answer_key(app, rq, dialect, t.id, NULL, 200);
    return NULL;
}

void *gw_admin_reload(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask)
{
    const struct api_dialect *dialect = gw_dialect_asked(ask);
    struct tg_error err;
    if (!tg_str_eq(ask->method, TG_STR("POST")))
        return refuse_method(app, rq, ask, dialect, "POST");
    enum tg_status status = ask->body.n > BODY_MAX ? fail_body(&err)
                                                   : gw_key_read_none(ask->body, &err);
    if (status == TG_OK)
        return gw_reload_wait(app, rq, dialect);
    struct api_error e = failure_of(status, err.text);
    gw_router_refuse(app, rq, dialect, &e);
    return NULL;
}

bool gw_admin_gone(struct gw_app *app, const void *context)
{
    for (struct gw_admin_job *job = app->admin_jobs; job; job = job->next)
        if (job == context) {
            job->rq = NULL;
            return true;
        }
    return gw_reload_gone(app, context);
}

void gw_admin_free(struct gw_app *app)
{
    while (app->admin_jobs)
        drop(app->admin_jobs);
}
