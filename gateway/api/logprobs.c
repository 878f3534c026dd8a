#include "gateway/api/logprobs.h"

#include <math.h>

void api_add_logprob(struct tg_buf *out, double logprob)
{
    tg_buf_add_number(out, isfinite(logprob) ? logprob : API_LOGPROB_LEAST);
}

static void add_top(struct tg_buf *out, const struct chat_top *t)
{
    tg_buf_adds(out, "{\"token\":");
    tg_buf_add_json(out, t->text);
    tg_buf_adds(out, ",\"logprob\":");
    api_add_logprob(out, t->logprob);
    tg_buf_adds(out, ",\"bytes\":[");
    for (size_t i = 0; i < t->text.n; i++)
        tg_buf_addf(out, i ? ",%u" : "%u", (unsigned)(unsigned char)t->text.p[i]);
    tg_buf_addc(out, ']');
}

static void add_token(struct tg_buf *out, const struct chat_logprob *l, bool always)
{
    add_top(out, &l->token);
    if (l->n_top || always) {
        tg_buf_adds(out, ",\"top_logprobs\":[");
        for (size_t i = 0; i < l->n_top; i++) {
            if (i)
                tg_buf_addc(out, ',');
            add_top(out, &l->top[i]);
            tg_buf_addc(out, '}');
        }
        tg_buf_addc(out, ']');
    }
    tg_buf_addc(out, '}');
}

void api_add_logprob_list(struct tg_buf *out, const struct chat_logprobs *l, bool always)
{
    bool first = true;
    for (; l; l = l->next) {
        for (size_t i = 0; i < l->n; i++) {
            if (!first)
                tg_buf_addc(out, ',');
            first = false;
            add_token(out, &l->list[i], always);
        }
    }
}

void api_add_logprobs(struct tg_buf *out, const struct chat_logprobs *l, bool always)
{
    tg_buf_addc(out, '[');
    api_add_logprob_list(out, l, always);
    tg_buf_addc(out, ']');
}
