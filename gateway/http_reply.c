#include <stdio.h>

#include "config/base/clock.h"
#include "config/base/log.h"
#include "gateway/http_conn.h"

enum { REFER_MIN = 64 << 10 /* bytes of an answer that are cheaper handed over than copied */ };

static bool keeps_alive(const struct gw_conn *c)
{
    return c->parser.head.keep_alive && !c->server->draining && !gw_http_crowded(c->server) &&
           !c->eof;
}

static void cut(struct gw_conn *c)
{
    tg_log(TG_LOG_ERROR, "http-out-of-memory", "an answer was cut");
    gw_conn_break_later(c);
}

static bool put(struct gw_conn *c, const void *p, size_t n)
{
    if (c->state == CONN_BROKEN)
        return false;
    if (n && gw_conn_put(c, p, n)) {
        cut(c);
        return false;
    }
    return true;
}

/* False: out of memory; the connection is about to end. */
static bool make_head(struct gw_request *rq, int status, const char *content_type, size_t length,
                      struct tg_buf *head)
{
    struct gw_conn *c = rq->conn;
    tg_buf_init(head, GW_CONN_HEAD_MAX);
    bool close = !keeps_alive(c) || rq->framing == GW_FRAMING_CLOSE;
    struct gw_answer a = {
        .status = status,
        .content_type = content_type,
        .fields = tg_buf_str(&rq->fields),
        .now_s = tg_wall_ms() / 1000,
        .framing = rq->framing,
        .length = length,
        .close = close,
        .keep_alive = !close && c->parser.head.http10,
    };
    rq->begun = true;
    if (status >= 100 && status < 600)
        c->server->counters.responses[status / 100 - 1]++;
    if (gw_answer_head(&a, head) == TG_OK)
        return c->state != CONN_BROKEN;
    gw_conn_break_later(c);
    return false;
}

static void put_head(struct gw_request *rq, int status, const char *content_type, size_t length)
{
    struct tg_buf head;
    if (make_head(rq, status, content_type, length, &head))
        put(rq->conn, head.p, head.n);
    tg_buf_free(&head);
}

void gw_http_header(struct gw_request *rq, const char *name, struct tg_str value)
{
    enum tg_status status =
        rq->begun ? TG_CLOSED : gw_answer_field(&rq->fields, tg_str_of(name), value);
    if (status)
        tg_log(TG_LOG_WARN, "header-dropped", "response header %s: %s", name,
               tg_status_name(status));
}

struct tg_buf gw_http_take_body(struct gw_request *rq)
{
    struct tg_buf *body = &rq->conn->parser.body, taken = *body;
    tg_buf_init(body, taken.max);
    return taken;
}

static bool bodiless(int status)
{
    return status == 204 || status == 304;
}

void gw_http_respond(struct gw_request *rq, int status, const char *content_type,
                     struct tg_str body)
{
    struct gw_conn *c = rq->conn;
    struct tg_buf head;
    rq->framing = bodiless(status) ? GW_FRAMING_NONE : GW_FRAMING_LENGTH;
    if (make_head(rq, status, content_type, body.n, &head)) {
        size_t n = rq->no_body || bodiless(status) ? 0 : body.n;
        size_t sent = gw_conn_send(c, tg_buf_str(&head), (struct tg_str){ body.p, n });
        size_t of_head = sent < head.n ? sent : head.n, of_body = sent - of_head;
        if (put(c, head.p + of_head, head.n - of_head))
            put(c, n ? body.p + of_body : "", n - of_body);
    }
    tg_buf_free(&head);
    gw_conn_end_request(c, keeps_alive(c));
}

void gw_http_respond_owned(struct gw_request *rq, int status, const char *content_type,
                           struct tg_buf *body)
{
    struct gw_conn *c = rq->conn;
    bool copied = rq->no_body || bodiless(status) || body->n < REFER_MIN;
    if (copied) {
        gw_http_respond(rq, status, content_type, tg_buf_str(body));
        return;
    }
    rq->framing = GW_FRAMING_LENGTH;
    put_head(rq, status, content_type, body->n);
    if (c->state != CONN_BROKEN && gw_conn_put_owned(c, body))
        cut(c);
    gw_conn_end_request(c, keeps_alive(c));
}

void gw_http_begin(struct gw_request *rq, int status, const char *content_type)
{
    rq->framing = bodiless(status)                ? GW_FRAMING_NONE
                  : rq->conn->parser.head.http10 ? GW_FRAMING_CLOSE
                                                  : GW_FRAMING_CHUNKED;
    rq->no_body = rq->no_body || bodiless(status);
    put_head(rq, status, content_type, 0);
}

bool gw_http_write(struct gw_request *rq, struct tg_str data)
{
    struct gw_conn *c = rq->conn;
    if (data.n && !rq->no_body) {
        char size[24];
        int n = snprintf(size, sizeof(size), "%zx\r\n", data.n);
        bool chunked = rq->framing == GW_FRAMING_CHUNKED;
        bool fine = (!chunked || put(c, size, (size_t)n)) && put(c, data.p, data.n) &&
                    (!chunked || put(c, "\r\n", 2));
        if (!fine)
            return false;
    }
    /* Once blocked it stays so until on_writable, whatever has left meanwhile: the caller waits. */
    rq->blocked = rq->blocked || gw_conn_pending(c) > GW_CONN_OUTPUT_HIGH;
    return !rq->blocked;
}

void gw_http_end(struct gw_request *rq)
{
    struct gw_conn *c = rq->conn;
    bool close = rq->framing == GW_FRAMING_CLOSE;
    if (rq->framing == GW_FRAMING_CHUNKED && !rq->no_body)
        put(c, "0\r\n\r\n", 5);
    gw_conn_end_request(c, !close && keeps_alive(c));
}

void gw_http_abort(struct gw_request *rq)
{
    struct gw_conn *c = rq->conn;
    c->cut = true;
    c->reset_at_end = rq->begun && rq->framing == GW_FRAMING_CLOSE;
    gw_conn_end_request(c, false);
}
