#include "providers/pull_fetch.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void prov_note(struct prov_fetch *f, const char *fmt, ...)
{
    char text[PROV_NOTE_MAX + 200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    f->p->on_note(f->p->arg, text);
}

enum prov_verdict prov_because(struct prov_fetch *f, enum prov_verdict v, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(f->why, sizeof(f->why), fmt, args);
    va_end(args);
    return v;
}

struct tg_str prov_host_of(const char *url)
{
    const char *p = strstr(url, "://");
    p = p ? p + 3 : url;
    return (struct tg_str){ p, strcspn(p, "/?#") };
}

static enum prov_verdict refuse_access(struct prov_fetch *f, int status)
{
    const struct prov_pull *p = f->p;
    const char *page = p->page ? p->page : p->url;
    if (!f->at_named)
        return prov_because(f, PROV_RETRY, "%.*s refuses (HTTP %d)", TG_FMT(prov_host_of(f->url)),
                            status);
    if (p->token && status == 401)
        tg_fail(
            f->err, TG_UNSUPPORTED,
            "%.*s does not accept the token in HF_TOKEN (HTTP 401): make a new one, or unset it "
            "where none is needed",
            TG_FMT(prov_host_of(p->url)));
    else if (p->token)
        tg_fail(f->err, TG_UNSUPPORTED,
                "%.*s refuses the file to the token in HF_TOKEN (HTTP %d): accept the model's "
                "licence at %.200s with the account that the token is of, and let the token read "
                "gated repositories",
                TG_FMT(prov_host_of(p->url)), status, page);
    else
        tg_fail(f->err, TG_UNSUPPORTED,
                "%.*s refuses the file without a token (HTTP %d): it is gated, private or not "
                "there. Accept the model's licence at %.200s and set HF_TOKEN to a token of that "
                "account",
                TG_FMT(prov_host_of(p->url)), status, page);
    return PROV_FATAL;
}

static enum prov_verdict judge_error(struct prov_fetch *f, const struct prov_get_head *h)
{
    int s = h->status;
    if (s == 401 || s == 403)
        return refuse_access(f, s);
    if ((s == 404 || s == 410) && f->at_named) {
        tg_fail(f->err, TG_NOTFOUND, "%.300s: the server has no such file (HTTP %d)", f->p->url, s);
        return PROV_FATAL;
    }
    if (s == 408 || s == 425 || s == 429 || s >= 500 || !f->at_named) {
        f->wait_ms = h->retry_after_ms;
        return prov_because(f, PROV_RETRY, "%.*s answers HTTP %d", TG_FMT(prov_host_of(f->url)), s);
    }
    if (f->looking)
        return prov_because(f, PROV_RETRY, "no answer to HEAD");
    tg_fail(f->err, TG_INVALID, "%.300s: the server answers HTTP %d, which is of no use here",
            f->p->url, s);
    return PROV_FATAL;
}

/* Takes the host's own word on the file. */
static enum prov_verdict judge_linked(struct prov_fetch *f, const struct prov_get_head *h)
{
    struct prov_pull_state *s = &f->state;
    if (!f->at_named || h->linked_sha256[0] == '\0')
        return PROV_GO_ON;
    if (f->p->sha256 && strcmp(f->p->sha256, h->linked_sha256) != 0) {
        tg_fail(f->err, TG_INVALID,
                "the host says that the file's SHA-256 is %s, --sha256 says %s: one of them is "
                "wrong",
                h->linked_sha256, f->p->sha256);
        return PROV_FATAL;
    }
    bool same = strcmp(s->sha256, h->linked_sha256) == 0;
    memcpy(s->sha256, h->linked_sha256, sizeof(s->sha256));
    s->linked = true;
    if (h->linked_size >= 0)
        s->size = h->linked_size;
    if (!same && f->asked_from > 0)
        return prov_because(f, PROV_RESTART, "the file on the server has changed");
    return PROV_GO_ON;
}

/* The server sends the whole file: as asked, or because it knows no ranges or the tag is old. */
static enum prov_verdict judge_whole(struct prov_fetch *f, const struct prov_get_head *h)
{
    struct prov_pull_state *s = &f->state;
    if (s->linked && s->size >= 0 && h->length >= 0 && h->length != s->size)
        return prov_because(f, PROV_RETRY,
                            "%.*s announces %" PRId64 " bytes of a file that has %" PRId64,
                            TG_FMT(prov_host_of(f->url)), h->length, s->size);
    if (!s->linked) {
        s->size = h->length;
        memcpy(s->etag, h->validator, sizeof(s->etag));
    }
    if (f->looking)
        return PROV_COMPLETE;
    if (f->asked_from > 0) {
        prov_note(f, "%.*s sends the file from its beginning again", TG_FMT(prov_host_of(f->url)));
        f->resumed = false;
        if (prov_pull_file_restart(&f->file, f->err))
            return PROV_FATAL;
    }
    return PROV_GO_ON;
}

static enum prov_verdict judge_part(struct prov_fetch *f, const struct prov_get_head *h)
{
    struct prov_pull_state *s = &f->state;
    if (f->asked_from == 0 || h->range_from != f->asked_from)
        return prov_because(f, PROV_RESTART, "the server sends another range than was asked for");
    if (!s->linked && h->validator[0] && s->etag[0] && strcmp(h->validator, s->etag) != 0)
        return prov_because(f, PROV_RESTART, "the file on the server has changed");
    if (h->range_total >= 0 && s->size >= 0 && h->range_total != s->size)
        return prov_because(f, PROV_RESTART, "the file on the server has another size now");
    if (s->size < 0)
        s->size = h->range_total;
    return PROV_GO_ON;
}

/* 416: there is nothing behind what was asked for. */
static enum prov_verdict judge_no_range(struct prov_fetch *f, const struct prov_get_head *h)
{
    struct prov_pull_state *s = &f->state;
    if (s->size < 0 && h->range_total == f->asked_from) {
        s->size = h->range_total;
        return PROV_COMPLETE;
    }
    return prov_because(f, PROV_RESTART, "the file on the server is not as long as what has come");
}

enum prov_verdict prov_judge(struct prov_fetch *f, const struct prov_get_head *h)
{
    enum prov_verdict v = judge_linked(f, h);
    if (v != PROV_GO_ON)
        return v;
    if (h->status == 301 || h->status == 302 || h->status == 303 || h->status == 307 ||
        h->status == 308) {
        memcpy(f->location, h->location, sizeof(f->location));
        if (f->looking && f->state.linked && f->state.size >= 0)
            return PROV_COMPLETE; /* all is known */
        if (h->has_location)
            return PROV_REDIRECT;
        tg_fail(f->err, TG_INVALID, "%.*s redirects (HTTP %d) without saying where to",
                TG_FMT(prov_host_of(f->url)), h->status);
        return PROV_FATAL;
    }
    if (h->status == 416 && f->asked_from > 0)
        return judge_no_range(f, h);
    if (h->status != 200 && h->status != 206)
        return judge_error(f, h);
    if (h->encoded) {
        tg_fail(f->err, TG_INVALID,
                "%.*s sends the file in a coding that was not asked for: use "
                "another mirror",
                TG_FMT(prov_host_of(f->url)));
        return PROV_FATAL;
    }
    return h->status == 200 ? judge_whole(f, h) : judge_part(f, h);
}
