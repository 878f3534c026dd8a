#include "providers/sse.h"

#include <string.h>

enum { SSE_NAME_MAX = 1024 }; /* of an event's name and of an id */

void prov_sse_init(struct prov_sse *p, size_t line_max, size_t event_max)
{
    *p = (struct prov_sse){ .retry_ms = -1 };
    tg_buf_init(&p->line, line_max);
    tg_buf_init(&p->data, event_max < SIZE_MAX ? event_max + 1 : event_max); /* a last LF goes */
    tg_buf_init(&p->event, SSE_NAME_MAX);
    tg_buf_init(&p->id, SSE_NAME_MAX);
}

void prov_sse_free(struct prov_sse *p)
{
    tg_buf_free(&p->line);
    tg_buf_free(&p->data);
    tg_buf_free(&p->event);
    tg_buf_free(&p->id);
}

static void field(struct prov_sse *p, struct tg_str name, struct tg_str value)
{
    uint64_t ms;
    if (tg_str_eq(name, TG_STR("data"))) {
        tg_buf_add(&p->data, value.p, value.n);
        tg_buf_addc(&p->data, '\n');
        p->has_data = true;
    } else if (tg_str_eq(name, TG_STR("event"))) {
        tg_buf_reset(&p->event);
        tg_buf_add(&p->event, value.p, value.n);
    } else if (tg_str_eq(name, TG_STR("id"))) {
        if (value.n && memchr(value.p, '\0', value.n))
            return;
        tg_buf_reset(&p->id);
        tg_buf_add(&p->id, value.p, value.n);
    } else if (tg_str_eq(name, TG_STR("retry")) && tg_parse_u64(value, &ms) && ms <= INT64_MAX) {
        p->retry_ms = (int64_t)ms;
    }
}

static void give(struct prov_sse *p, struct prov_sse_event *out)
{
    p->given = true;
    p->has_data = false;
    *out = (struct prov_sse_event){ .event = tg_buf_str(&p->event),
                                    .data = { p->data.p, p->data.n - 1 },
                                    .id = tg_buf_str(&p->id),
                                    .retry_ms = p->retry_ms };
}

static void forget_event(struct prov_sse *p)
{
    tg_buf_reset(&p->data);
    tg_buf_reset(&p->event);
    p->given = false;
}

/* One line without its end. True: it ended an event. */
static bool take_line(struct prov_sse *p, struct tg_str line)
{
    if (!p->started && line.n >= 3 && memcmp(line.p, "\xEF\xBB\xBF", 3) == 0)
        line = (struct tg_str){ line.p + 3, line.n - 3 };
    p->started = true;
    if (line.n == 0) {
        if (p->has_data)
            return true;
        forget_event(p);
        return false;
    }
    const char *colon = memchr(line.p, ':', line.n);
    if (!colon) {
        field(p, line, TG_STR(""));
        return false;
    }
    size_t n = (size_t)(colon - line.p);
    if (n == 0)
        return false;
    struct tg_str value = { colon + 1, line.n - n - 1 };
    if (value.n && value.p[0] == ' ')
        value = (struct tg_str){ value.p + 1, value.n - 1 };
    field(p, (struct tg_str){ line.p, n }, value);
    return false;
}

static enum tg_status failure(const struct prov_sse *p)
{
    if (p->line.failed)
        return p->line.failed;
    if (p->data.failed)
        return p->data.failed;
    return p->event.failed ? p->event.failed : p->id.failed;
}

/* Takes one line out of *input into the parser. TG_AGAIN: its end has not come yet. */
static enum tg_status next_line(struct prov_sse *p, struct tg_str *input, bool *ended_event)
{
    if (p->after_cr && input->n) {
        p->after_cr = false;
        if (input->p[0] == '\n')
            *input = (struct tg_str){ input->p + 1, input->n - 1 };
    }
    size_t n = 0;
    while (n < input->n && input->p[n] != '\n' && input->p[n] != '\r')
        n++;
    bool whole = n < input->n;
    if (n > p->line.max - p->line.n)
        return TG_LIMIT;
    struct tg_str line = { input->p, n };
    if (!whole || p->line.n) {
        if (tg_buf_add(&p->line, line.p, n))
            return p->line.failed;
        line = tg_buf_str(&p->line);
    }
    if (!whole) {
        *input = (struct tg_str){ input->p + n, 0 };
        return TG_AGAIN;
    }
    p->after_cr = input->p[n] == '\r';
    *input = (struct tg_str){ input->p + n + 1, input->n - n - 1 };
    *ended_event = take_line(p, line);
    tg_buf_reset(&p->line);
    return failure(p);
}

enum tg_status prov_sse_next(struct prov_sse *p, struct tg_str *input, struct prov_sse_event *out)
{
    if (p->failed)
        return p->failed;
    if (p->given)
        forget_event(p);
    while (input->n) {
        bool ended_event = false;
        enum tg_status status = next_line(p, input, &ended_event);
        if (status == TG_AGAIN)
            return TG_AGAIN;
        if (status)
            return p->failed = status;
        if (ended_event) {
            give(p, out);
            return TG_OK;
        }
    }
    return TG_AGAIN;
}

enum tg_status prov_sse_end(struct prov_sse *p, struct prov_sse_event *out)
{
    if (p->failed)
        return p->failed;
    if (p->given)
        forget_event(p);
    if (!p->has_data || p->line.n)
        return TG_AGAIN;
    give(p, out);
    return TG_OK;
}
