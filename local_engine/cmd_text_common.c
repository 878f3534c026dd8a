#include "local_engine/cmd_text.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "local_engine/gguf.h"

enum tg_status le_text_open(const char *command, const char *path, struct le_text_model *out)
{
    struct le_gguf *g = NULL;
    struct tg_error err = { .text = "" };
    *out = (struct le_text_model){ .tokenizer = NULL };
    signal(SIGPIPE, SIG_IGN); /* a reader that went away is told as any write that fails */
    if (!path) {
        fprintf(stderr, "%s: no model is given; name a GGUF file: %s --model FILE\n", command,
                command);
        return TG_INVALID;
    }
    enum tg_status status = le_gguf_open(path, &g, &err);
    if (!status)
        status = le_tokenizer_open(g, &out->tokenizer, &err);
    if (!status)
        status = le_template_read(g, &out->template, &err);
    if (status)
        fprintf(stderr, "%s: %s\n", command, err.text);
    le_gguf_close(g);
    return status;
}

void le_text_close(struct le_text_model *m)
{
    le_tokenizer_close(m->tokenizer);
    m->tokenizer = NULL;
}

bool le_text_input(const char *command, size_t max, struct tg_buf *out)
{
    char block[65536];
    ssize_t n = 1;
    tg_buf_init(out, max);
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "%s: reading from the terminal; Ctrl-D on an empty line ends it\n",
                command);
    while (n != 0 && !out->failed) {
        n = read(STDIN_FILENO, block, sizeof(block));
        if (n < 0 && errno != EINTR) {
            fprintf(stderr, "%s: standard input: %s\n", command, strerror(errno));
            return false;
        }
        if (n > 0)
            tg_buf_add(out, block, (size_t)n);
    }
    if (out->failed == TG_LIMIT)
        fprintf(stderr, "%s: standard input is larger than %zu MiB; pass it in pieces\n", command,
                max >> 20);
    else if (out->failed)
        fprintf(stderr, "%s: out of memory for standard input\n", command);
    return !out->failed;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct tg_str skip_space(struct tg_str s)
{
    while (s.n && is_space(*s.p)) {
        s.p++;
        s.n--;
    }
    return s;
}

/* One id at the beginning of *s, which then stands behind it and the space that follows. */
static enum tg_status take_id(struct tg_str *s, struct le_ids *out, struct tg_error *err)
{
    size_t n = 0;
    uint64_t v;
    while (n < s->n && !is_space(s->p[n]) && s->p[n] != ',' && s->p[n] != ']')
        n++;
    struct tg_str item = { s->p, n };
    if (!tg_parse_u64(item, &v) || v > INT32_MAX)
        return tg_fail(err, TG_INVALID,
                       "item %zu is \"%.*s\", which is no token id; ids are whole numbers from 0",
                       out->n + 1, item.n > 40 ? 40 : (int)item.n, item.p);
    if (le_ids_add(out, (int32_t)v))
        return tg_fail(err, TG_NOMEM, "out of memory for the ids");
    *s = skip_space((struct tg_str){ s->p + n, s->n - n });
    return TG_OK;
}

/* Behind the '['. */
static enum tg_status parse_array(struct tg_str s, struct le_ids *out, struct tg_error *err)
{
    bool more = true;
    s = skip_space(s);
    if (s.n && *s.p == ']') {
        more = false;
        s = skip_space((struct tg_str){ s.p + 1, s.n - 1 });
    }
    while (more) {
        enum tg_status status = take_id(&s, out, err);
        if (status)
            return status;
        if (s.n == 0 || (*s.p != ',' && *s.p != ']'))
            return tg_fail(err, TG_INVALID, "the JSON array does not go on with ',' or ']' behind "
                           "item %zu", out->n);
        more = *s.p == ',';
        s = skip_space((struct tg_str){ s.p + 1, s.n - 1 });
    }
    return s.n == 0 ? TG_OK : tg_fail(err, TG_INVALID, "there is more behind the JSON array");
}

enum tg_status le_ids_parse(struct tg_str text, struct le_ids *out, struct tg_error *err)
{
    struct tg_str s = skip_space(text);
    if (s.n && *s.p == '[')
        return parse_array((struct tg_str){ s.p + 1, s.n - 1 }, out, err);
    enum tg_status status = TG_OK;
    while (s.n && !status) {
        status = take_id(&s, out, err);
        if (s.n && *s.p == ',')
            s = skip_space((struct tg_str){ s.p + 1, s.n - 1 });
    }
    return status;
}

enum tg_status le_ids_check(const struct le_ids *ids, const struct le_tokenizer *t,
                            struct tg_error *err)
{
    for (size_t i = 0; i < ids->n; i++)
        if (ids->id[i] < 0 || (uint32_t)ids->id[i] >= le_tokenizer_n(t))
            return tg_fail(err, TG_INVALID, "item %zu is %d; the vocabulary has the ids 0 to %u",
                           i + 1, (int)ids->id[i], le_tokenizer_n(t) - 1);
    return TG_OK;
}

enum tg_status le_ids_print(const struct le_ids *ids, struct tg_buf *out)
{
    tg_buf_addc(out, '[');
    for (size_t i = 0; i < ids->n; i++)
        tg_buf_addf(out, i ? ", %d" : "%d", (int)ids->id[i]);
    return tg_buf_addc(out, ']');
}

bool le_text_write(const char *command, struct tg_str text)
{
    size_t written = text.n ? fwrite(text.p, 1, text.n, stdout) : 0;
    if (written == text.n && fflush(stdout) == 0)
        return true;
    fprintf(stderr, "%s: standard output cannot be written: %s\n", command, strerror(errno));
    return false;
}
