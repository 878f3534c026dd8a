#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/json.h"
#include "config/catalogue.h"
#include "providers/pull.h"

enum { LIST_MAX = 8 << 20, LIST_HOPS_MAX = 4 };

/* The text of a listing under way. */
struct listing {
    const struct prov_pull *p;
    struct tg_buf text;
    int status;
    char location[PROV_LOCATION_MAX];
};

static enum prov_get_next on_head(void *arg, const struct prov_get_head *head)
{
    struct listing *l = arg;
    l->status = head->status;
    memcpy(l->location, head->location, sizeof(l->location));
    return head->status == 200 && !head->encoded ? PROV_GET_BODY : PROV_GET_SKIP;
}

static bool on_body(void *arg, const char *p, size_t n)
{
    struct listing *l = arg;
    return tg_buf_add(&l->text, p, n) == TG_OK;
}

static bool on_tick(void *arg)
{
    struct listing *l = arg;
    return l->p->on_progress(l->p->arg, PROV_PULL_WAITING, 0, -1);
}

/* Redirects are followed on the host that was named only: a repository may have been renamed. */
static enum tg_status load(struct prov_getter *g, struct listing *l, const char *url,
                           struct tg_error *err)
{
    char now[PROV_LOCATION_MAX], next[PROV_LOCATION_MAX];
    const struct prov_pull *p = l->p;
    snprintf(now, sizeof(now), "%s", url);
    for (int hops = 0; hops < LIST_HOPS_MAX; hops++) {
        bool safe = prov_url_check(now, false, NULL) == TG_OK;
        struct prov_get request = {
            .url = now,
            .token = safe ? p->token : NULL,
            .ca_file = p->ca_file,
            .connect_ms = p->connect_ms,
            .stall_ms = p->stall_ms,
            .on_head = on_head,
            .on_body = on_body,
            .on_tick = on_tick,
            .arg = l,
        };
        struct prov_get_result result;
        l->status = 0;
        prov_get(g, &request, &result);
        if (result.end == PROV_GET_CANCELLED)
            return tg_fail(err, TG_CANCELLED, "stopped");
        if (l->text.failed)
            return tg_fail(err, l->text.failed, "%.200s: the list is too long", now);
        if (result.end != PROV_GET_DONE)
            return tg_fail(err, TG_IO, "%.200s: %s", now, result.text);
        if (l->status == 200)
            return TG_OK;
        bool moved = l->status >= 301 && l->status <= 308 && l->location[0] &&
                     prov_url_follow(now, l->location, next, sizeof(next), NULL) == TG_OK &&
                     prov_url_same_origin(now, next);
        if (!moved)
            break;
        memcpy(now, next, sizeof(now));
    }
    bool refused = l->status == 401 || l->status == 403 || l->status == 404;
    return tg_fail(err, TG_NOTFOUND, "%.200s: HTTP %d%s%s", now, l->status,
                   refused ? ": is the repository's name right? One that is private or gated "
                             "needs a token of an account that may read it, in HF_TOKEN"
                           : "",
                   refused && p->token ? " (one is set)" : "");
}

static enum tg_status read_list(struct tg_str text, const char *url,
                                void (*on_file)(void *arg, struct tg_str path, int64_t size),
                                void *arg, struct tg_error *err)
{
    struct tg_json *root;
    struct tg_error why;
    enum tg_status status = tg_json_parse(text, &root, &why);
    if (status)
        return tg_fail(err, status, "%.200s: %s", url, why.text);
    for (const struct tg_json *f = tg_json_first(root); f; f = tg_json_next(f)) {
        struct tg_str path;
        int64_t size;
        if (!tg_json_string(tg_json_get(f, "path"), &path) || !cfg_model_path_ok(path) ||
            path.n < 5 || memcmp(path.p + path.n - 5, ".gguf", 5) != 0)
            continue; /* also what could not be fetched by that name */
        if (!tg_json_int(tg_json_get(f, "size"), &size) || size < 0)
            size = -1;
        on_file(arg, path, size);
    }
    tg_json_free(root);
    return TG_OK;
}

enum tg_status prov_pull_list(struct prov_getter *g, const struct prov_pull *p, const char *host,
                              const char *repository,
                              void (*on_file)(void *arg, struct tg_str path, int64_t size),
                              struct tg_error *err)
{
    char url[PATH_MAX];
    enum tg_status status = prov_url_check(host, p->insecure, err);
    if (status)
        return status;
    if (snprintf(url, sizeof(url), "%s/api/models/%s/tree/main?recursive=true", host, repository) >=
        (int)sizeof(url))
        return tg_fail(err, TG_INVALID, "the URL is too long");
    struct listing *l = tg_calloc(1, sizeof(*l));
    if (!l)
        return tg_fail(err, TG_NOMEM, "out of memory");
    l->p = p;
    tg_buf_init(&l->text, LIST_MAX);
    status = load(g, l, url, err);
    if (status == TG_OK)
        status = read_list(tg_buf_str(&l->text), url, on_file, p->arg, err);
    tg_buf_free(&l->text);
    tg_free(l);
    return status;
}
