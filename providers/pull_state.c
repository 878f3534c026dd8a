#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/base/clock.h"
#include "config/base/json.h"
#include "providers/pull_file.h"

enum { STATE_MAX = 16384 };

static bool load(const char *path, char *text, size_t max, size_t *n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t got = 1;
    for (*n = 0; fd >= 0 && got > 0 && *n < max; *n += (size_t)got) {
        got = read(fd, text + *n, max - *n);
        if (got < 0)
            break;
    }
    if (fd >= 0)
        close(fd);
    return fd >= 0 && got == 0;
}

static void text_of(const struct tg_json *root, const char *key, char *out, size_t max)
{
    struct tg_str s;
    out[0] = '\0';
    if (tg_json_string(tg_json_get(root, key), &s) && s.n < max) {
        memcpy(out, s.p, s.n);
        out[s.n] = '\0';
    }
}

bool prov_pull_state_read(const char *json, struct prov_pull_state *s)
{
    char text[STATE_MAX];
    size_t n;
    struct tg_json *root;
    *s = (struct prov_pull_state){ .size = -1 };
    if (!load(json, text, sizeof(text), &n) ||
        tg_json_parse((struct tg_str){ text, n }, &root, NULL) != TG_OK)
        return false;
    text_of(root, "url", s->url, sizeof(s->url));
    text_of(root, "sha256", s->sha256, sizeof(s->sha256));
    text_of(root, "etag", s->etag, sizeof(s->etag));
    if (!tg_json_int(tg_json_get(root, "size"), &s->size) || s->size < 0)
        s->size = -1;
    tg_json_bool(tg_json_get(root, "linked"), &s->linked);
    tg_json_bool(tg_json_get(root, "checked"), &s->checked);
    tg_json_bool(tg_json_get(root, "complete"), &s->complete);
    tg_json_free(root);
    if (strspn(s->sha256, "0123456789abcdef") != TG_SHA256_HEX)
        s->sha256[0] = '\0';
    for (const char *c = s->etag; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F) /* it goes into a header */
            s->etag[0] = '\0';
    return s->url[0] != '\0';
}

static void add_text(struct tg_buf *b, const char *key, const char *value)
{
    tg_buf_addf(b, "  \"%s\": ", key);
    tg_buf_add_json(b, tg_str_of(value));
    tg_buf_adds(b, ",\n");
}

static void print(const struct prov_pull_state *s, struct tg_buf *b)
{
    char when[32] = "";
    struct tm tm;
    time_t now = (time_t)(tg_wall_ms() / 1000);
    if (gmtime_r(&now, &tm))
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    tg_buf_adds(b, "{\n");
    add_text(b, "url", s->url);
    if (s->size >= 0)
        tg_buf_addf(b, "  \"size\": %lld,\n", (long long)s->size);
    add_text(b, "sha256", s->sha256);
    add_text(b, "etag", s->etag);
    add_text(b, "time", when);
    tg_buf_addf(b, "  \"linked\": %s,\n  \"checked\": %s,\n  \"complete\": %s\n}\n",
                s->linked ? "true" : "false", s->checked ? "true" : "false",
                s->complete ? "true" : "false");
}

static bool store(const char *path, struct tg_str text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    bool fine = fd >= 0;
    for (size_t at = 0; fine && at < text.n;) {
        ssize_t put = write(fd, text.p + at, text.n - at);
        fine = put > 0 || (put < 0 && errno == EINTR);
        at += put > 0 ? (size_t)put : 0;
    }
    fine = fine && fsync(fd) == 0;
    int cause = errno;
    if (fd >= 0)
        close(fd);
    errno = cause;
    return fine;
}

enum tg_status prov_pull_state_write(const struct prov_pull_file *f,
                                     const struct prov_pull_state *s, struct tg_error *err)
{
    char fresh[PATH_MAX + 8];
    struct tg_buf text;
    snprintf(fresh, sizeof(fresh), "%s.new", f->json);
    tg_buf_init(&text, STATE_MAX - 1);
    print(s, &text);
    enum tg_status status = text.failed;
    if (status) {
        tg_fail(err, status, "%s: out of memory", f->json);
    } else if (!store(fresh, tg_buf_str(&text)) || rename(fresh, f->json) != 0) {
        status = tg_fail(err, errno == ENOSPC || errno == EDQUOT ? TG_LIMIT : TG_IO,
                         "%s: cannot be written: %s", f->json, strerror(errno));
        unlink(fresh);
    }
    tg_buf_free(&text);
    return status;
}
