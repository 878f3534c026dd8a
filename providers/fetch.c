#include "providers/fetch.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/host.h"
#include "providers/download.h"
#include "providers/http_client.h"

enum { URL_MAX = 16384, LOCATION_MAX = 8192, CONNECT_MS = 5000 };

/* Life: a transfer for the URL, another one for each redirect, then done. */
struct prov_fetch {
    struct prov_http *http;
    struct prov_fetch_request request;
    struct prov_transfer *transfer;
    int64_t deadline_ns;
    uint32_t redirects;
    bool https, not_public;
    const struct chat_media_type *said; /* by Content-Type; NULL: it says nothing */
    struct tg_buf data;
    char url[URL_MAX]; /* as curl writes it */
    char location[LOCATION_MAX];
};

static void finish(struct prov_fetch *f, bool ours, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* f may be freed inside. */
static void finish(struct prov_fetch *f, bool ours, const char *fmt, ...)
{
    struct prov_fetch_result result = { .ours = ours };
    va_list args;
    va_start(args, fmt);
    vsnprintf(result.text, sizeof(result.text), fmt, args);
    va_end(args);
    for (char *p = result.text; *p; p++) /* a stranger's words may be among them */
        *p = *p < 0x20 || *p > 0x7E ? '?' : *p;
    prov_transfer_free(f->transfer);
    f->transfer = NULL;
    f->request.done(f->request.arg, &result);
}

/* Whether the address that a socket would be connected to is one of the public internet. */
static bool may_connect(void *arg, const struct sockaddr *address)
{
    struct prov_fetch *f = arg;
    unsigned char bytes[16];
    size_t n = 0;
    if (address->sa_family == AF_INET) {
        n = 4;
        memcpy(bytes, &((const struct sockaddr_in *)(const void *)address)->sin_addr, n);
    } else if (address->sa_family == AF_INET6) {
        n = 16;
        memcpy(bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, n);
    }
    if (n && (f->request.rules->allow_private || !cfg_not_public(bytes, n)))
        return true;
    f->not_public = true;
    return false;
}

/* Content-Type without its parameters. */
static struct tg_str bare_type(struct tg_str type)
{
    const char *semicolon = type.n ? memchr(type.p, ';', type.n) : NULL;
    if (semicolon)
        type.n = (size_t)(semicolon - type.p);
    return tg_str_trim(type);
}

static void go_on(struct prov_fetch *f);

static void on_head(void *arg, const struct prov_http_head *head)
{
    struct prov_fetch *f = arg;
    char next[URL_MAX];
    struct tg_str type = bare_type(head->content_type);
    if (head->status >= 301 && head->status <= 308 && head->status != 304) {
        if (!f->location[0] || prov_url_follow(f->url, f->location, next, sizeof(next), NULL)) {
            finish(f, false, "its server redirects to what is no URL");
        } else if (f->redirects++ >= f->request.rules->redirects) {
            finish(f, false, "its server redirects more than %u times",
                   (unsigned)f->request.rules->redirects);
        } else {
            memcpy(f->url, next, strlen(next) + 1);
            go_on(f);
        }
        return;
    }
    if (head->status != 200) {
        finish(f, false, "its server answered %d", head->status);
        return;
    }
    f->said = chat_media_named(f->request.kind, type);
    bool silent = type.n == 0 || tg_str_ieq(type, TG_STR("application/octet-stream")) ||
                  tg_str_ieq(type, TG_STR("binary/octet-stream"));
    if (!f->said && !silent)
        finish(f, false, "its server says that it is \"%.*s\"", type.n > 64 ? 64 : (int)type.n,
               type.p);
}

static size_t on_body(void *arg, struct tg_str data)
{
    struct prov_fetch *f = arg;
    if (data.n > f->request.bytes_max - f->data.n)
        finish(f, false, "it is larger than %zu bytes", f->request.bytes_max);
    else if (!f->request.may_hold(f->request.arg, data.n) ||
             tg_buf_add(&f->data, data.p, data.n))
        finish(f, true, "there is not enough memory now; try again");
    return data.n;
}

static void on_done(void *arg, const struct prov_http_result *end)
{
    struct prov_fetch *f = arg;
    struct prov_fetch_result result = { .ok = true, .data = tg_buf_str(&f->data) };
    if (f->not_public && end->end != PROV_HTTP_DONE) {
        finish(f, false, "its host has no address on the public internet");
        return;
    }
    if (end->end != PROV_HTTP_DONE) {
        finish(f, end->end == PROV_HTTP_NOMEM, "%s", end->text);
        return;
    }
    result.type = f->said ? f->said : chat_media_found(f->request.kind, result.data);
    if (!result.type || !chat_media_fits(result.type, result.data)) {
        finish(f, false, f->said ? "its first bytes are not those of %s" : "it is no %s",
               f->said ? f->said->name : chat_media_noun(f->request.kind));
        return;
    }
    prov_transfer_free(f->transfer);
    f->transfer = NULL;
    f->request.done(f->request.arg, &result);
}

/* Whether the URL may be fetched; its text is written anew. */
static enum tg_status check(struct prov_fetch *f, struct tg_error *err)
{
    struct prov_place place;
    char url[URL_MAX];
    enum tg_status status = prov_url_place(f->url, &place, url, sizeof(url));
    if (status == TG_NOMEM)
        return tg_fail(err, TG_NOMEM, "out of memory");
    if (status)
        return tg_fail(err, TG_INVALID, "the URL is malformed, or has a user's name");
    bool https = place.scheme_port == 443;
    if (f->https && !https)
        return tg_fail(err, TG_INVALID, "its server redirects from https to http");
    if (!cfg_fetch_allows(f->request.rules, tg_str_of(place.host), place.port, place.scheme_port))
        return tg_fail(err, TG_INVALID,
                       "%s%.100s, port %u, is not among the hosts that may be asked "
                       "(media.fetch.hosts)",
                       f->redirects ? "its server redirects, and " : "", place.host,
                       (unsigned)place.port);
    f->https = https;
    memcpy(f->url, url, strlen(url) + 1);
    return TG_OK;
}

static enum tg_status ask(struct prov_fetch *f, struct tg_error *err)
{
    static const char *const headers[] = { "User-Agent: tollgate/" TG_VERSION,
                                           "Accept: image/*, audio/*, video/*" };
    int64_t left_ms = (f->deadline_ns - tg_mono_ns()) / 1000000;
    enum tg_status status = check(f, err);
    if (status)
        return status;
    f->not_public = false;
    if (left_ms <= 0)
        return tg_fail(err, TG_INVALID, "it was not there in time");
    struct prov_http_request request = {
        .url = f->url,
        .headers = headers,
        .n_headers = sizeof(headers) / sizeof(*headers),
        .location = f->location,
        .location_max = sizeof(f->location),
        .connect_timeout_ms = left_ms < CONNECT_MS ? left_ms : CONNECT_MS,
        .idle_timeout_ms = left_ms,
        .timeout_ms = left_ms,
        .handlers = { on_head, on_body, on_done },
        .may_connect = may_connect,
        .arg = f,
    };
    f->transfer = prov_transfer_start(f->http, &request, err);
    return f->transfer ? TG_OK : TG_NOMEM;
}

/* The next transfer, for the redirect's URL. */
static void go_on(struct prov_fetch *f)
{
    struct tg_error err = { 0 };
    prov_transfer_free(f->transfer);
    f->transfer = NULL;
    enum tg_status status = ask(f, &err);
    if (status)
        finish(f, status == TG_NOMEM, "%.250s", err.text);
}

struct prov_fetch *prov_fetch_start(struct prov_http *http,
                                    const struct prov_fetch_request *request,
                                    struct tg_error *err)
{
    struct prov_fetch *f = request->url.n < URL_MAX ? tg_calloc(1, sizeof(*f)) : NULL;
    if (!f) {
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    f->http = http;
    f->request = *request;
    f->deadline_ns = tg_mono_ns() + request->timeout_ms * 1000000;
    memcpy(f->url, request->url.p, request->url.n);
    tg_buf_init(&f->data, request->bytes_max);
    if (ask(f, err)) {
        prov_fetch_free(f);
        return NULL;
    }
    return f;
}

void prov_fetch_free(struct prov_fetch *f)
{
    if (!f)
        return;
    prov_transfer_free(f->transfer);
    tg_buf_free(&f->data);
    tg_free(f);
}
