/* What the SSE parser gives out must not depend on how its input is cut, and stays within its
 * limits. */
#include <stdlib.h>

#include "config/base/buf.h"
#include "providers/sse.h"

enum { LINE_MAX_BYTES = 512, EVENT_MAX_BYTES = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* cuts: bit i of it decides whether a piece ends behind byte i (mod 64). */
static enum tg_status drain(struct tg_str in, uint64_t cuts, struct tg_buf *out)
{
    struct prov_sse p;
    struct prov_sse_event e;
    enum tg_status status = TG_AGAIN;
    prov_sse_init(&p, LINE_MAX_BYTES, EVENT_MAX_BYTES);
    for (size_t at = 0; at < in.n && status == TG_AGAIN;) {
        size_t end = at + 1;
        while (end < in.n && !(cuts >> (end % 64) & 1))
            end++;
        struct tg_str piece = { in.p + at, end - at };
        at = end;
        while ((status = prov_sse_next(&p, &piece, &e)) == TG_OK) {
            if (e.data.n > EVENT_MAX_BYTES)
                abort();
            tg_buf_addf(out, "%zu,%zu,%zu,%lld:", e.event.n, e.data.n, e.id.n,
                        (long long)e.retry_ms);
            tg_buf_add(out, e.data.p, e.data.n);
        }
    }
    if (status == TG_AGAIN && prov_sse_end(&p, &e) == TG_OK)
        tg_buf_addf(out, "end %zu", e.data.n);
    prov_sse_free(&p);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 8 || n > 1 << 20)
        return 0;
    uint64_t cuts;
    memcpy(&cuts, data, sizeof(cuts));
    struct tg_str in = { (const char *)data + 8, n - 8 };
    struct tg_buf once, cut;
    tg_buf_init(&once, 64 << 20);
    tg_buf_init(&cut, 64 << 20);
    enum tg_status a = drain(in, 0, &once), b = drain(in, cuts, &cut);
    if (a != b || !tg_str_eq(tg_buf_str(&once), tg_buf_str(&cut)))
        abort();
    tg_buf_free(&once);
    tg_buf_free(&cut);
    return 0;
}
