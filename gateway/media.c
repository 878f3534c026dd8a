#include "gateway/media.h"

#include <stdio.h>

#include "config/base/alloc.h"
#include "gateway/exchange.h"
#include "providers/fetch.h"

enum { AT_ONCE = 4 /* fetches of one request */ };

struct item {
    struct gw_media *all;
    struct chat_media *media;
    enum chat_part_kind kind;
    struct prov_fetch *fetch; /* owned; holds what came, too */
};

struct gw_media {
    struct gw_exchange *x;
    int64_t held;                     /* bytes fetched */
    size_t n, next, running, arrived; /* of item: how many, the next to begin, ... */
    struct item item[];
};

/* An error of a part, in the client's words. */
static struct api_error refused(int status, const char *code, struct tg_str field,
                                const char *text)
{
    struct api_error e = gw_failure(
        status, status == 400 ? "invalid_request_error" : "server_error", code, "%.*s: %s",
        TG_FMT(field), text);
    snprintf(e.param, sizeof(e.param), "%.*s", TG_FMT(field));
    return e;
}

/* --- limits ---------------------------------------------------------------------------------- */

static bool check_part(const struct chat_part *p, const struct cfg_media_limits *limits, size_t n,
                       size_t total, struct api_error *e)
{
    char text[200] = "";
    const char *noun = chat_media_noun(p->kind);
    size_t size = p->media->data.n;
    if (n > limits->parts)
        snprintf(text, sizeof(text),
                 "the request has more than %u images, audio and video parts (limits.media.parts)",
                 (unsigned)limits->parts);
    else if (size > (size_t)limits->part)
        snprintf(text, sizeof(text), "the %s has %zu bytes, at most %lld are taken "
                 "(limits.media.part)", noun, size, (long long)limits->part);
    else if (total > (size_t)limits->total)
        snprintf(text, sizeof(text), "with this %s the request has %zu bytes of media, at most "
                 "%lld are taken (limits.media.total)", noun, total, (long long)limits->total);
    if (text[0])
        *e = refused(400, "media_too_large", p->media->field, text);
    return text[0] == '\0';
}

bool gw_media_check(const struct chat_request *r, const struct cfg_media_limits *limits,
                    struct api_error *e)
{
    size_t n = 0, total = 0;
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++) {
            const struct chat_part *p = &r->messages[i].parts[k];
            if (!p->media)
                continue;
            total += p->media->data.n;
            if (!check_part(p, limits, ++n, total, e))
                return false;
        }
    return true;
}

/* --- fetching -------------------------------------------------------------------------------- */

/* Those that are only a URL; put into m if it is not NULL. */
static size_t list_remote(const struct chat_request *r, struct gw_media *m)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_messages; i++)
        for (size_t k = 0; k < r->messages[i].n_parts; k++) {
            const struct chat_part *p = &r->messages[i].parts[k];
            if (!p->media || p->media->data.p)
                continue;
            if (m)
                m->item[n] = (struct item){ .all = m, .media = p->media, .kind = p->kind };
            n++;
        }
    return n;
}

bool gw_media_is_remote(const struct chat_request *r)
{
    return list_remote(r, NULL) > 0;
}

/* Ends the exchange, and with it all that is fetched: the caller touches nothing of it after. */
static void fail(struct gw_media *m, const struct item *at, bool ours, const char *why)
{
    char text[400];
    snprintf(text, sizeof(text), "the %s cannot be fetched: %s", chat_media_noun(at->kind), why);
    struct api_error e = refused(ours ? 503 : 400, ours ? "overloaded" : "media_not_fetched",
                                 at->media->field, text);
    gw_exchange_fail(m->x, &e, "media-not-fetched");
}

/* What all requests have fetched and hold is bounded as their bodies are. */
static bool may_hold(void *arg, size_t more)
{
    struct gw_media *m = ((struct item *)arg)->all;
    struct gw_app *app = m->x->app;
    int64_t n = (int64_t)more;
    if (n > m->x->config->settings->limits.bodies_in_flight - app->media_bytes)
        return false;
    app->media_bytes += n;
    m->held += n;
    return true;
}

static void start_more(struct gw_media *m);

static void on_done(void *arg, const struct prov_fetch_result *result)
{
    struct item *item = arg;
    struct gw_media *m = item->all;
    m->running--;
    if (!result->ok) {
        fail(m, item, result->ours, result->text);
        return;
    }
    item->media->data = result->data;
    item->media->type = result->type;
    if (++m->arrived < m->n) {
        start_more(m);
        return;
    }
    struct api_error e;
    if (gw_media_check(&m->x->prepared.request, &m->x->config->settings->limits.media, &e))
        gw_arrival_fetched(m->x);
    else
        gw_exchange_fail(m->x, &e, "invalid-request");
}

static void start_more(struct gw_media *m)
{
    const struct cfg_settings *s = m->x->config->settings;
    int64_t most = s->fetch.max_bytes < s->limits.media.part ? s->fetch.max_bytes
                                                             : s->limits.media.part;
    while (m->next < m->n && m->running < AT_ONCE) {
        struct item *item = &m->item[m->next++];
        struct tg_error err = { 0 };
        struct prov_fetch_request request = {
            .url = item->media->url,
            .kind = item->kind,
            .rules = &s->fetch,
            .bytes_max = (size_t)most,
            .timeout_ms = gw_exchange_left_ms(m->x, s->fetch.timeout_ms),
            .may_hold = may_hold,
            .done = on_done,
            .arg = item,
        };
        item->fetch = prov_fetch_start(m->x->app->upstream, &request, &err);
        if (!item->fetch) {
            fail(m, item, err.code == TG_NOMEM, err.text);
            return;
        }
        m->running++;
    }
}

bool gw_media_list(struct gw_exchange *x)
{
    const struct chat_request *r = &x->prepared.request;
    size_t n = list_remote(r, NULL);
    x->media = tg_calloc(1, sizeof(*x->media) + n * sizeof(struct item));
    if (!x->media) {
        struct api_error e = gw_failure(503, "server_error", NULL, "out of memory");
        gw_exchange_fail(x, &e, "out-of-memory");
        return false;
    }
    x->media->x = x;
    x->media->n = list_remote(r, x->media);
    if (!x->local_only)
        return true;
    const struct item *first = &x->media->item[0];
    struct api_error e = refused(400, "unsupported", first->media->field,
                                 "a request that stays on this machine fetches nothing; send the "
                                 "bytes, as base64");
    gw_exchange_fail(x, &e, "invalid-request");
    return false;
}

void gw_media_fetch(struct gw_exchange *x)
{
    start_more(x->media);
}

void gw_media_free(struct gw_media *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n; i++)
        prov_fetch_free(m->item[i].fetch);
    m->x->app->media_bytes -= m->held;
    tg_free(m);
}
