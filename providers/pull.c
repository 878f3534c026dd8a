#include "providers/pull.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/clock.h"
#include "config/catalogue.h"
#include "providers/pull_fetch.h"

/* Life of a fetch: NAME.part is opened and locked, what is in it hashed; then attempts, each a GET
 * that follows redirects by hand and appends what comes; at the end the checks and the rename. */

enum {
    HOPS_MAX = 8,
    RESTARTS_MAX = 3,
    WAIT_FIRST_MS = 500,
    WAIT_MAX_MS = 30000,
    WAIT_ASKED_MAX_MS = 600000,
};

/* --- callbacks ------------------------------------------------------------------------------- */

static enum prov_get_next on_head(void *arg, const struct prov_get_head *head)
{
    struct prov_fetch *f = arg;
    f->verdict = prov_judge(f, head);
    if (f->verdict != PROV_GO_ON)
        return PROV_GET_SKIP;
    /* What the bytes belong to is on the disk before the first of them. */
    if (f->state.size >= 0 && prov_pull_room(f->p->dir, f->state.size - f->file.n, f->err) != TG_OK)
        f->verdict = PROV_FATAL;
    else if (prov_pull_state_write(&f->file, &f->state, f->err) != TG_OK)
        f->verdict = PROV_FATAL;
    return f->verdict == PROV_GO_ON ? PROV_GET_BODY : PROV_GET_SKIP;
}

static bool on_body(void *arg, const char *p, size_t n)
{
    struct prov_fetch *f = arg;
    const struct prov_pull_state *s = &f->state;
    if (s->size >= 0 && (int64_t)n > s->size - f->file.n) {
        f->verdict =
            prov_because(f, PROV_RESTART, "%.*s sends more than the %" PRId64 " bytes of the file",
                         TG_FMT(prov_host_of(f->url)), s->size);
        return false;
    }
    if (f->file.n == 0 && n >= 4 && memcmp(p, "GGUF", 4) != 0) {
        tg_fail(f->err, TG_INVALID,
                "%.*s sends something that is not a GGUF file: is the URL right, and is no log-in "
                "page in the way?",
                TG_FMT(prov_host_of(f->url)));
        f->verdict = PROV_FATAL;
        return false;
    }
    if (prov_pull_file_append(&f->file, p, n, f->err) != TG_OK) {
        f->verdict = PROV_FATAL;
        return false;
    }
    return true;
}

static bool on_tick(void *arg)
{
    struct prov_fetch *f = arg;
    return f->p->on_progress(f->p->arg, f->looking ? PROV_PULL_WAITING : PROV_PULL_FETCHING,
                             f->file.n, f->state.size);
}

/* --- one attempt ----------------------------------------------------------------------------- */

/* The token goes to the host that was named, and not in the clear to another machine. */
static const char *token_for(const struct prov_fetch *f)
{
    bool safe = prov_url_check(f->url, false, NULL) == TG_OK;
    return f->at_named && safe ? f->p->token : NULL;
}

static enum prov_verdict follow(struct prov_fetch *f)
{
    char next[PROV_LOCATION_MAX];
    if (prov_url_follow(f->url, f->location, next, sizeof(next), f->err))
        return PROV_FATAL;
    bool from_https = strncmp(f->url, "https:", 6) == 0;
    if (prov_url_check(next, f->p->insecure, NULL) != TG_OK ||
        (from_https && strncmp(next, "https:", 6) != 0)) {
        tg_fail(f->err, TG_INVALID, "%.*s redirects to a place that is not https (%.*s)",
                TG_FMT(prov_host_of(f->url)), TG_FMT(prov_host_of(next)));
        return PROV_FATAL;
    }
    memcpy(f->url, next, sizeof(next));
    return PROV_REDIRECT;
}

/* What the end of a request means where its head was fine or never came. */
static enum prov_verdict judge_end(struct prov_fetch *f, const struct prov_get_result *r)
{
    struct prov_pull_state *s = &f->state;
    switch (r->end) {
    case PROV_GET_DONE:
        break;
    case PROV_GET_CANCELLED:
        tg_fail(f->err, TG_CANCELLED, "stopped");
        return PROV_FATAL;
    case PROV_GET_NOMEM:
        tg_fail(f->err, TG_NOMEM, "out of memory");
        return PROV_FATAL;
    case PROV_GET_TLS:
        tg_fail(f->err, TG_INVALID,
                "%.*s cannot be trusted: %s (--cacert FILE names an authority of your own)",
                TG_FMT(prov_host_of(f->url)), r->text);
        return PROV_FATAL;
    default:
        return prov_because(f, PROV_RETRY, "%.*s: %s", TG_FMT(prov_host_of(f->url)), r->text);
    }
    if (s->size < 0) /* the end of the connection is all that tells its length */
        s->size = f->file.n;
    if (f->file.n == s->size)
        return PROV_COMPLETE;
    return prov_because(f, PROV_RETRY, "the answer ended after %" PRId64 " of %" PRId64 " bytes",
                        f->file.n, s->size);
}

static enum prov_verdict attempt(struct prov_fetch *f)
{
    const struct prov_pull *p = f->p;
    f->asked_from = f->looking ? 0 : f->file.n;
    f->wait_ms = -1;
    bool linked = f->state.linked;
    f->state.linked = false; /* told anew, or not */
    snprintf(f->url, sizeof(f->url), "%s", p->url);
    for (int hops = 0; hops < HOPS_MAX; hops++) {
        f->at_named = prov_url_same_origin(f->url, p->url);
        struct prov_get request = {
            .url = f->url,
            .head_only = f->looking,
            .from = f->asked_from,
            .if_range = linked || !f->state.etag[0] ? NULL : f->state.etag,
            .token = token_for(f),
            .ca_file = p->ca_file,
            .connect_ms = p->connect_ms,
            .stall_ms = p->stall_ms,
            .on_head = on_head,
            .on_body = on_body,
            .on_tick = on_tick,
            .arg = f,
        };
        struct prov_get_result result;
        f->verdict = PROV_GO_ON;
        prov_get(f->getter, &request, &result);
        if (f->verdict == PROV_GO_ON || result.end == PROV_GET_CANCELLED)
            return judge_end(f, &result);
        if (f->verdict == PROV_REDIRECT)
            f->verdict = follow(f);
        if (f->verdict != PROV_REDIRECT)
            return f->verdict;
    }
    tg_fail(f->err, TG_INVALID, "%.*s redirects more than %d times", TG_FMT(prov_host_of(p->url)),
            HOPS_MAX);
    return PROV_FATAL;
}

/* --- attempts -------------------------------------------------------------------------------- */

static enum tg_status wait_for(struct prov_fetch *f, int64_t ms)
{
    int64_t until = tg_mono_ns() + ms * 1000000;
    while (tg_mono_ns() < until) {
        struct timespec nap = { 0, 50 * 1000000 };
        nanosleep(&nap, NULL);
        if (!f->p->on_progress(f->p->arg, PROV_PULL_WAITING, f->file.n, f->state.size))
            return tg_fail(f->err, TG_CANCELLED, "stopped");
    }
    return TG_OK;
}

static enum tg_status retry(struct prov_fetch *f, uint32_t failures)
{
    if (f->wait_ms > WAIT_ASKED_MAX_MS)
        return tg_fail(f->err, TG_CLOSED,
                       "%s and asks to come back in %" PRId64 " minutes; what has come is kept: "
                       "run it again then",
                       f->why, f->wait_ms / 60000);
    if (failures >= f->p->tries)
        return tg_fail(f->err, TG_CLOSED,
                       "%s; gave up after %u tries without progress. What has come is kept: run it "
                       "again to go on",
                       f->why, failures);
    int64_t ms = WAIT_FIRST_MS;
    for (uint32_t i = 1; i < failures && ms < WAIT_MAX_MS; i++)
        ms *= 2;
    ms = ms > WAIT_MAX_MS ? WAIT_MAX_MS : ms;
    ms = ms < f->wait_ms ? f->wait_ms : ms;
    prov_note(f, "%s; trying again in %.1f s (try %u of %u)", f->why, (double)ms / 1000,
              failures + 1, f->p->tries);
    return wait_for(f, ms);
}

/* Throws away what has come. */
static enum tg_status start_anew(struct prov_fetch *f)
{
    f->resumed = false;
    f->state.etag[0] = '\0';
    if (!f->state.linked)
        f->state.size = -1;
    return prov_pull_file_restart(&f->file, f->err);
}

static enum tg_status fetch_all(struct prov_fetch *f, uint32_t *restarts)
{
    uint32_t failures = 0;
    int64_t best = f->file.n;
    for (;;) {
        if (f->state.size >= 0 && f->file.n == f->state.size && f->file.n > 0)
            return TG_OK; /* killed between the last byte and the rename */
        enum prov_verdict v = attempt(f);
        if (v == PROV_COMPLETE)
            return TG_OK;
        if (v == PROV_FATAL)
            return f->err->code;
        enum tg_status status = TG_OK;
        if (v == PROV_RESTART) {
            if (++*restarts > RESTARTS_MAX)
                return tg_fail(f->err, TG_CLOSED, "%s, again and again: gave up", f->why);
            prov_note(f, "%s: fetching it from its beginning", f->why);
            status = start_anew(f);
        } else {
            failures = f->file.n > best ? 1 : failures + 1;
            best = f->file.n > best ? f->file.n : best;
            status = retry(f, failures);
            f->resumed = f->file.n > 0;
            if (status == TG_OK && f->resumed && !f->state.sha256[0] && !f->state.etag[0]) {
                prov_note(f, "nothing tells whether the file has changed meanwhile: fetching it "
                             "from its beginning");
                status = start_anew(f);
            }
        }
        if (status)
            return status;
    }
}

/* --- begin and end --------------------------------------------------------------------------- */

/* What the bytes in NAME.part are worth; restarts when nobody can tell. */
static enum tg_status take_up(struct prov_fetch *f)
{
    const struct prov_pull *p = f->p;
    struct prov_pull_state *s = &f->state;
    bool known = prov_pull_state_read(f->file.json, s) && !(s->complete && f->file.n == 0);
    bool same_url = known && strcmp(s->url, p->url) == 0;
    if (!same_url)
        s->etag[0] = '\0'; /* another server's */
    bool usable = known && (s->sha256[0] || (same_url && s->etag[0]));
    if (usable && p->sha256 && s->sha256[0] && strcmp(p->sha256, s->sha256) != 0)
        usable = false;
    if (usable && s->size >= 0 && f->file.n > s->size)
        usable = false;
    if (f->file.n > 0 && !usable)
        prov_note(f,
                  "%s: an earlier start of it cannot be continued: fetching it from its beginning",
                  f->file.part);
    if (!usable) {
        *s = (struct prov_pull_state){ .size = -1 };
        if (f->file.n > 0 && prov_pull_file_restart(&f->file, f->err))
            return f->err->code;
    }
    s->complete = s->checked = false;
    if (p->sha256)
        memcpy(s->sha256, p->sha256, sizeof(s->sha256));
    if (snprintf(s->url, sizeof(s->url), "%s", p->url) >= (int)sizeof(s->url))
        return tg_fail(f->err, TG_INVALID, "the URL is too long");
    f->resumed = f->file.n > 0;
    return prov_pull_file_hash(&f->file, p, f->err);
}

/* TG_AGAIN: it was resumed, and a whole new fetch may be better. */
static enum tg_status check_content(struct prov_fetch *f, struct prov_pull_done *done)
{
    unsigned char digest[TG_SHA256_BYTES];
    struct tg_sha256 hash = f->file.hash;
    tg_sha256_final(&hash, digest);
    tg_sha256_hex(digest, done->sha256);
    bool gguf = prov_pull_file_is_gguf(&f->file);
    done->size = f->file.n;
    done->checked = f->state.sha256[0] != '\0';
    if (gguf && (!done->checked || strcmp(done->sha256, f->state.sha256) == 0))
        return TG_OK;
    if (f->resumed && !f->last_chance)
        return TG_AGAIN;
    prov_pull_file_discard(&f->file);
    if (!gguf)
        return tg_fail(f->err, TG_INVALID,
                       "%.300s: what came is not a GGUF file; it was thrown away", f->p->url);
    return tg_fail(
        f->err, TG_INVALID,
        "%.200s: what came has the SHA-256 %s, not %s: it is damaged or another file; it "
        "was thrown away",
        f->p->url, done->sha256, f->state.sha256);
}

static enum tg_status store(struct prov_fetch *f, struct prov_pull_done *done)
{
    f->p->on_progress(f->p->arg, PROV_PULL_STORING, f->file.n, f->state.size);
    enum tg_status status = prov_pull_file_sync(&f->file, f->err);
    if (status == TG_OK)
        status = check_content(f, done);
    if (status)
        return status;
    f->state.size = done->size;
    f->state.checked = done->checked;
    f->state.complete = true;
    memcpy(f->state.sha256, done->sha256, sizeof(f->state.sha256));
    status = prov_pull_state_write(&f->file, &f->state, f->err);
    return status ? status : prov_pull_file_finish(&f->file, f->err);
}

static enum tg_status fetch_and_store(struct prov_fetch *f, struct prov_pull_done *done)
{
    uint32_t restarts = 0;
    enum tg_status status = take_up(f);
    while (status == TG_OK) {
        status = fetch_all(f, &restarts);
        if (status == TG_OK)
            status = store(f, done);
        if (status != TG_AGAIN)
            return status;
        prov_note(f,
                  "%s: does not have the SHA-256 that it should; what an earlier run left may be "
                  "damaged: fetching it from its beginning",
                  f->file.path);
        f->last_chance = true;
        status = start_anew(f);
    }
    return status;
}

/* --- a file that is there -------------------------------------------------------------------- */

/* Reads the whole of it again. */
static enum tg_status hash_there(struct prov_fetch *f, struct prov_pull_done *done)
{
    unsigned char digest[TG_SHA256_BYTES];
    enum tg_status status = prov_pull_file_open_whole(&f->file, f->err);
    if (status == TG_OK)
        status = prov_pull_file_hash(&f->file, f->p, f->err);
    prov_pull_file_close(&f->file);
    if (status)
        return status;
    tg_sha256_final(&f->file.hash, digest);
    tg_sha256_hex(digest, done->sha256);
    if (strcmp(done->sha256, f->state.sha256) == 0)
        return TG_OK;
    return tg_fail(
        f->err, TG_INVALID,
        "%s: has the SHA-256 %s, not %s as when it was fetched: it is damaged. Delete it "
        "and fetch it again",
        f->file.path, done->sha256, f->state.sha256);
}

/* TG_NOTFOUND: it is not there. */
static enum tg_status look_there(struct prov_fetch *f, bool hash, struct prov_pull_done *done)
{
    struct stat info;
    const struct prov_pull_state *s = &f->state;
    if (lstat(f->file.path, &info) != 0)
        return errno == ENOENT ? TG_NOTFOUND
                               : tg_fail(f->err, TG_IO, "%s: %s", f->file.path, strerror(errno));
    bool known = prov_pull_state_read(f->file.json, &f->state) && s->complete;
    if (!S_ISREG(info.st_mode) || !known)
        return tg_fail(f->err, TG_INVALID,
                       "%s: is there already, and nothing tells where it is from. If it is the one "
                       "you want, there is nothing to do; otherwise move it away, or name another "
                       "folder with --dir",
                       f->file.path);
    bool same = strcmp(s->url, f->p->url) == 0;
    if (f->p->sha256 && s->sha256[0])
        same = strcmp(s->sha256, f->p->sha256) == 0;
    if (!same)
        return tg_fail(f->err, TG_INVALID,
                       "%s: is there already, fetched from %.200s. Move it away, or name another "
                       "folder with --dir",
                       f->file.path, s->url);
    if (info.st_size != s->size)
        return tg_fail(f->err, TG_INVALID,
                       "%s: has %lld bytes, %lld were fetched: it is damaged. Delete it and fetch "
                       "it again",
                       f->file.path, (long long)info.st_size, (long long)s->size);
    memcpy(done->sha256, s->sha256, sizeof(done->sha256));
    done->size = s->size;
    done->checked = s->checked;
    done->was_there = true;
    return hash ? hash_there(f, done) : TG_OK;
}

/* --- public ---------------------------------------------------------------------------------- */

static struct prov_fetch *begin(struct prov_getter *g, const struct prov_pull *p,
                                struct tg_error *err)
{
    struct tg_str name = tg_str_of(p->name);
    struct prov_fetch *f = NULL;
    if (!cfg_model_path_ok(name) || memchr(name.p, '/', name.n) || name.n < 6 ||
        strcmp(name.p + name.n - 5, ".gguf") != 0) {
        tg_fail(err, TG_INVALID,
                "\"%.200s\" is no name for a model's file: letters, digits and . _ "
                "- that end in .gguf",
                p->name);
        return NULL;
    }
    if (prov_url_check(p->url, p->insecure, err))
        return NULL;
    f = tg_calloc(1, sizeof(*f));
    if (!f) {
        tg_fail(err, TG_NOMEM, "out of memory");
        return NULL;
    }
    f->getter = g;
    f->p = p;
    f->err = err;
    f->state.size = -1;
    if (prov_pull_file_name(&f->file, p->dir, p->name, err)) {
        tg_free(f);
        return NULL;
    }
    return f;
}

enum tg_status prov_pull_look(struct prov_getter *g, const struct prov_pull *p,
                              struct prov_pull_look *out, struct tg_error *err)
{
    struct tg_error own = { 0 };
    struct prov_pull_done done = { 0 };
    struct stat part;
    *out = (struct prov_pull_look){ .size = -1 };
    err = err ? err : &own;
    struct prov_fetch *f = begin(g, p, err);
    if (!f)
        return err->code;
    enum tg_status status = look_there(f, false, &done);
    if (status == TG_OK) {
        *out = (struct prov_pull_look){ .there = true, .size = done.size, .have = done.size };
    } else if (status == TG_NOTFOUND) {
        if (prov_pull_state_read(f->file.json, &f->state) && stat(f->file.part, &part) == 0)
            out->have = part.st_size;
        f->state = (struct prov_pull_state){ .size = -1 };
        f->looking = true;
        enum prov_verdict v = attempt(f);
        status = v == PROV_FATAL ? f->err->code : TG_OK;
        out->size = v == PROV_COMPLETE ? f->state.size : -1;
        if (out->size >= 0 && out->have > out->size)
            out->have = 0;
    }
    tg_free(f);
    return status;
}

enum tg_status prov_pull_fetch(struct prov_getter *g, const struct prov_pull *p,
                               struct prov_pull_done *done, struct tg_error *err)
{
    struct tg_error own = { 0 };
    *done = (struct prov_pull_done){ .size = -1 };
    err = err ? err : &own;
    struct prov_fetch *f = begin(g, p, err);
    if (!f)
        return err->code;
    memcpy(done->path, f->file.path, sizeof(done->path));
    enum tg_status status = look_there(f, p->hash_again, done);
    if (status == TG_NOTFOUND) {
        status = prov_pull_file_open(&f->file, err);
        if (status == TG_OK) {
            status = look_there(f, false, done); /* the one before us has just finished? */
            if (status != TG_NOTFOUND)
                unlink(f->file.part);
        }
        if (status == TG_NOTFOUND) {
            status = fetch_and_store(f, done);
            if (status && f->file.n == 0) /* nothing to go on with */
                prov_pull_file_discard(&f->file);
        }
    }
    prov_pull_file_close(&f->file);
    tg_free(f);
    return status;
}
