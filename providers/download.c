#include "providers/download.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "config/base/clock.h"
#include "config/host.h"

enum { SKIP_MAX = 65536, BUFFER_BYTES = 512 << 10 };

struct prov_getter {
    CURL *easy;
    char curl_text[CURL_ERROR_SIZE];
};

/* One request under way. */
struct get {
    const struct prov_get *request;
    struct prov_get_head_reader head;
    enum prov_get_next next;
    size_t skipped;
    int64_t active_ns;
    bool too_long, stopped, cancelled, stalled;
};

/* --- curl's callbacks ------------------------------------------------------------------------ */

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct get *g = arg;
    struct tg_str line = { data, size * n };
    g->active_ns = tg_mono_ns();
    enum tg_status status = prov_get_head_line(&g->head, line, tg_wall_ms());
    if (status == TG_LIMIT) {
        g->too_long = true;
        return 0;
    }
    if (status == TG_OK)
        g->next = g->request->on_head(g->request->arg, &g->head.head);
    return line.n;
}

static size_t on_write(char *data, size_t size, size_t n, void *arg)
{
    struct get *g = arg;
    size_t bytes = size * n;
    g->active_ns = tg_mono_ns();
    if (g->next == PROV_GET_SKIP) {
        g->skipped += bytes;
        g->stopped = g->skipped > SKIP_MAX;
    } else {
        g->stopped = !g->request->on_body(g->request->arg, data, bytes);
    }
    return g->stopped ? 0 : bytes;
}

static int on_progress(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                       curl_off_t up)
{
    struct get *g = arg;
    (void)down_all;
    (void)down;
    (void)up_all;
    (void)up;
    g->stalled = tg_mono_ns() - g->active_ns > g->request->stall_ms * 1000000;
    g->cancelled = !g->request->on_tick(g->request->arg);
    return g->stalled || g->cancelled;
}

/* --- URLs ------------------------------------------------------------------------------------ */

static bool parse(CURLU *u, const char *url)
{
    return u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;
}

/* The part as a copy of curl's, freed with curl_free; NULL: absent (or no memory). */
static char *part(CURLU *u, CURLUPart what, unsigned flags)
{
    char *text = NULL;
    return curl_url_get(u, what, &text, flags) == CURLUE_OK ? text : NULL;
}

static bool host_is_loopback(const char *host)
{
    struct tg_str name = tg_str_of(host);
    if (name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']')
        name = (struct tg_str){ name.p + 1, name.n - 2 };
    return cfg_is_loopback(name);
}

/* NULL, or what is wrong. */
static const char *fault(CURLU *u, bool insecure, bool *loopback)
{
    const char *why = NULL;
    char *scheme = part(u, CURLUPART_SCHEME, 0), *host = part(u, CURLUPART_HOST, 0);
    char *user = part(u, CURLUPART_USER, 0), *fragment = part(u, CURLUPART_FRAGMENT, 0);
    *loopback = host && host_is_loopback(host);
    if (!scheme || !host)
        why = "has no scheme or no host";
    else if (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)
        why = "must begin with https://";
    else if (user || fragment)
        why = "must not hold a user, a password or a fragment";
    else if (strcmp(scheme, "http") == 0 && !*loopback && !insecure)
        why = "must begin with https:// (--insecure allows http:// where the way to the server is "
              "safe)";
    curl_free(scheme);
    curl_free(host);
    curl_free(user);
    curl_free(fragment);
    return why;
}

enum tg_status prov_url_check(const char *url, bool insecure, struct tg_error *err)
{
    bool loopback;
    CURLU *u = curl_url();
    if (!u)
        return tg_fail(err, TG_NOMEM, "out of memory");
    const char *why = parse(u, url) ? fault(u, insecure, &loopback) : "is malformed";
    curl_url_cleanup(u);
    return why ? tg_fail(err, TG_INVALID, "the URL \"%.200s\" %s", url, why) : TG_OK;
}

/* Copies the part into out[n]. */
static enum tg_status copy_part(CURLU *u, CURLUPart what, unsigned flags, char *out, size_t n)
{
    char *text = part(u, what, flags);
    enum tg_status status = !text ? TG_INVALID : strlen(text) >= n ? TG_LIMIT : TG_OK;
    if (status == TG_OK)
        memcpy(out, text, strlen(text) + 1);
    curl_free(text);
    return status;
}

enum tg_status prov_url_place(const char *url, struct prov_place *place, char *out, size_t n)
{
    char scheme[16], port[16];
    uint64_t number = 0;
    CURLU *u = curl_url();
    if (!u)
        return TG_NOMEM;
    bool fine = curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
                curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK;
    enum tg_status status = fine ? TG_OK : TG_INVALID;
    if (status == TG_OK)
        status = copy_part(u, CURLUPART_SCHEME, 0, scheme, sizeof(scheme));
    if (status == TG_OK)
        status = copy_part(u, CURLUPART_HOST, 0, place->host, sizeof(place->host));
    if (status == TG_OK)
        status = copy_part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT, port, sizeof(port));
    if (status == TG_OK)
        status = copy_part(u, CURLUPART_URL, 0, out, n);
    curl_url_cleanup(u);
    if (status)
        return status;
    bool https = tg_str_ieq(tg_str_of(scheme), TG_STR("https"));
    if ((!https && !tg_str_ieq(tg_str_of(scheme), TG_STR("http"))) ||
        !tg_parse_u64(tg_str_of(port), &number) || number == 0 || number > 65535)
        return TG_INVALID;
    place->port = (uint16_t)number;
    place->scheme_port = https ? 443 : 80;
    return TG_OK;
}

bool prov_url_same_origin(const char *a, const char *b)
{
    static const CURLUPart parts[] = { CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT };
    CURLU *first = curl_url(), *second = curl_url();
    bool same = parse(first, a) && parse(second, b);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts) && same; i++) {
        char *x = part(first, parts[i], CURLU_DEFAULT_PORT);
        char *y = part(second, parts[i], CURLU_DEFAULT_PORT);
        same = x && y && tg_str_ieq(tg_str_of(x), tg_str_of(y));
        curl_free(x);
        curl_free(y);
    }
    curl_url_cleanup(first);
    curl_url_cleanup(second);
    return same;
}

enum tg_status prov_url_follow(const char *base, const char *location, char *out, size_t n,
                               struct tg_error *err)
{
    enum tg_status status = TG_OK;
    CURLU *u = curl_url();
    if (!u)
        return tg_fail(err, TG_NOMEM, "out of memory");
    char *whole = parse(u, base) && parse(u, location) ? part(u, CURLUPART_URL, 0) : NULL;
    if (!whole)
        status = tg_fail(err, TG_INVALID, "the server redirects to \"%.200s\", which is no URL",
                         location);
    else if (strlen(whole) >= n)
        status = tg_fail(err, TG_LIMIT, "the server redirects to a URL that is too long");
    else
        memcpy(out, whole, strlen(whole) + 1);
    curl_free(whole);
    curl_url_cleanup(u);
    return status;
}

/* --- a request ------------------------------------------------------------------------------- */

struct prov_getter *prov_getter_new(struct tg_error *err)
{
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, tg_alloc, tg_free, tg_realloc, tg_strdup,
                             tg_calloc) != CURLE_OK) {
        tg_fail(err, TG_NOMEM, "libcurl cannot be initialised");
        return NULL;
    }
    struct prov_getter *g = tg_calloc(1, sizeof(*g));
    CURL *easy = g ? curl_easy_init() : NULL;
    if (easy) {
        g->easy = easy;
        return g;
    }
    tg_free(g);
    curl_global_cleanup();
    tg_fail(err, TG_NOMEM, "out of memory");
    return NULL;
}

void prov_getter_free(struct prov_getter *g)
{
    if (!g)
        return;
    curl_easy_cleanup(g->easy);
    tg_free(g);
    curl_global_cleanup();
}

static bool add(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = curl_slist_append(*list, line);
    *list = more ? more : *list;
    return more;
}

static bool add_headers(struct curl_slist **list, const struct prov_get *r)
{
    char line[128];
    bool fine = add(list, "Accept-Encoding: identity") && add(list, "Accept: */*");
    if (r->from > 0) {
        snprintf(line, sizeof(line), "Range: bytes=%" PRId64 "-", r->from);
        fine = fine && add(list, line);
    }
    struct tg_buf text;
    tg_buf_init(&text, 16384);
    if (fine && r->from > 0 && r->if_range)
        fine = tg_buf_addf(&text, "If-Range: %s", r->if_range) == TG_OK && add(list, text.p);
    tg_buf_reset(&text);
    if (fine && r->token)
        fine =
            tg_buf_addf(&text, "Authorization: Bearer %s", r->token) == TG_OK && add(list, text.p);
    if (text.p)
        memset(text.p, 0, text.n);
    tg_buf_free(&text);
    return fine;
}

#define SET(option, value) (code = code ? code : curl_easy_setopt(easy, option, value))

static CURLcode configure(struct prov_getter *getter, struct get *g, struct curl_slist *headers)
{
    CURL *easy = getter->easy;
    CURLcode code = CURLE_OK;
    const struct prov_get *r = g->request;
    bool loopback = false;
    CURLU *u = curl_url();
    if (parse(u, r->url))
        fault(u, true, &loopback);
    curl_url_cleanup(u);
    SET(CURLOPT_URL, r->url);
    SET(CURLOPT_ERRORBUFFER, getter->curl_text);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's head is not the answer's */
    SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(CURLOPT_SSL_VERIFYPEER, 1L);
    SET(CURLOPT_SSL_VERIFYHOST, 2L);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    /* Unchecked: a handle whose last transfer found no host keeps its buffer, and refuses. */
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)r->connect_ms);
    SET(CURLOPT_USERAGENT, "tollgate/" TG_VERSION);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_NOBODY, r->head_only ? 1L : 0L);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, g);
    SET(CURLOPT_WRITEFUNCTION, on_write);
    SET(CURLOPT_WRITEDATA, g);
    SET(CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(CURLOPT_XFERINFODATA, g);
    SET(CURLOPT_NOPROGRESS, 0L);
    if (loopback)
        SET(CURLOPT_PROXY, "");
    if (r->ca_file)
        SET(CURLOPT_CAINFO, r->ca_file);
    return code;
}

static enum prov_get_end end_of(const struct get *g, CURLcode code)
{
    if (g->cancelled)
        return PROV_GET_CANCELLED;
    if (g->stopped)
        return PROV_GET_STOPPED;
    if (g->stalled)
        return PROV_GET_STALLED;
    switch (code) {
    case CURLE_OK: /* curl takes a head that breaks off for a whole answer */
        return g->head.base.whole ? PROV_GET_DONE : PROV_GET_BROKEN;
    case CURLE_OUT_OF_MEMORY:
        return PROV_GET_NOMEM;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return PROV_GET_TLS;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
        return PROV_GET_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return PROV_GET_CONNECT; /* no other limit of time is curl's */
    default:
        return PROV_GET_BROKEN;
    }
}

void prov_get(struct prov_getter *getter, const struct prov_get *request,
              struct prov_get_result *result)
{
    struct curl_slist *headers = NULL;
    struct get *g = tg_calloc(1, sizeof(*g));
    *result = (struct prov_get_result){ PROV_GET_NOMEM, "out of memory" };
    if (!g)
        return;
    g->request = request;
    g->active_ns = tg_mono_ns();
    curl_easy_reset(getter->easy);
    getter->curl_text[0] = '\0';
    if (add_headers(&headers, request) && configure(getter, g, headers) == CURLE_OK) {
        CURLcode code = curl_easy_perform(getter->easy);
        result->end = end_of(g, code);
        const char *text = getter->curl_text[0] ? getter->curl_text : curl_easy_strerror(code);
        if (g->stalled)
            text = "no byte came for too long";
        else if (g->too_long)
            text = "the response headers are larger than 64 KiB";
        else if (code == CURLE_OK)
            text = g->head.base.whole ? "" : "the connection was closed within the headers";
        snprintf(result->text, sizeof(result->text), "%s", text);
    }
    curl_easy_reset(getter->easy); /* nothing of this request is looked at any more */
    curl_slist_free_all(headers);
    tg_free(g);
}
