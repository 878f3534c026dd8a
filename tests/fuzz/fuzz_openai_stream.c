/* Whatever a provider sends, as a stream or whole: one end, it is the last event, and the events
 * do not depend on how the bytes were cut. Without a [DONE] line a stream never finishes well. */
#include <stdlib.h>
#include <string.h>

#include "config/base/buf.h"
#include "providers/openai_reader.h"
#include "tests/fuzz/support_events.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct seen {
    struct tg_buf log;
    struct fuzz_ends ends;
};

static void on_event(void *arg, const struct chat_event *e)
{
    struct seen *s = arg;
    fuzz_end(&s->ends, e);
    tg_buf_addf(&s->log, "%d %u %d %d %llu %llu|", (int)e->kind, (unsigned)e->index,
                (int)e->finish, (int)e->error, (unsigned long long)e->usage.input.n,
                (unsigned long long)e->usage.output.n);
    tg_buf_add(&s->log, e->text.p, e->text.n);
    tg_buf_addf(&s->log, "|%.*s|%.*s|%.*s|%d", TG_FMT(e->said_type), TG_FMT(e->said_code),
                TG_FMT(e->said_param), e->overflow.is);
    if (e->overflow.tokens && e->overflow.tokens < e->overflow.context)
        abort();
    for (size_t i = 0; i < e->n_logprobs; i++) {
        tg_buf_add(&s->log, e->logprobs[i].token.text.p, e->logprobs[i].token.text.n);
        if (e->kind != CHAT_EVENT_TEXT || e->logprobs[i].n_top > CHAT_TOP_MAX)
            abort();
    }
}

static void read_all(struct seen *s, struct tg_str in, uint64_t cuts, bool whole)
{
    struct prov_reader r;
    *s = (struct seen){ .ends = { .n = 0 } };
    tg_buf_init(&s->log, 64 << 20);
    prov_reader_init(&r, 1 << 16, on_event, s);
    r.logprobs = true;
    for (size_t at = 0; at < in.n && !whole;) {
        size_t end = at + 1;
        while (end < in.n && !(cuts >> (end % 64) & 1))
            end++;
        if (prov_reader_feed(&r, (struct tg_str){ in.p + at, end - at }) != end - at)
            abort();
        at = end;
    }
    if (whole)
        prov_reader_whole(&r, in);
    prov_reader_end(&r);
    if (s->ends.n != 1)
        abort();
    prov_reader_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 8 || n > 1 << 15)
        return 0;
    uint64_t cuts;
    struct seen once, cut;
    memcpy(&cuts, data, sizeof(cuts));
    struct tg_str in = { (const char *)data + 8, n - 8 };
    read_all(&once, in, 0, false);
    read_all(&cut, in, cuts, false);
    if (!tg_str_eq(tg_buf_str(&once.log), tg_buf_str(&cut.log)))
        abort();
    if (once.ends.finished && !memmem(in.p, in.n, "[DONE]", 6))
        abort();
    tg_buf_free(&once.log);
    tg_buf_free(&cut.log);
    read_all(&once, in, 0, true);
    tg_buf_free(&once.log);
    return 0;
}
