#include "gateway/http_answer.h"

#include <stdio.h>
#include <time.h>

const char *gw_answer_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } table[] = {
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 402, "Payment Required" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 411, "Length Required" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
        { 529, "Overloaded" }, /* not registered; Anthropic's */
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (table[i].status == status)
            return table[i].reason;
    return "Unknown";
}

static bool name_allowed(struct tg_str name)
{
    static const char *const ours[] = { "date", "content-length", "transfer-encoding",
                                        "connection" };
    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        if (tg_str_ieq(name, tg_str_of(ours[i])))
            return false;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if ((c >= 'a' && c <= 'z') || c == '-') /* nearly all of them */
            continue;
        if (c <= ' ' || c >= 0x7F || strchr("\"(),/:;<=>?@[\\]{}", c))
            return false;
    }
    return name.n > 0;
}

static bool value_allowed(struct tg_str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F)
            return false;
    }
    return true;
}

enum tg_status gw_answer_field(struct tg_buf *fields, struct tg_str name, struct tg_str value)
{
    if (!name_allowed(name) || !value_allowed(value))
        return TG_INVALID;
    size_t before = fields->n;
    tg_buf_add(fields, name.p, name.n);
    tg_buf_adds(fields, ": ");
    tg_buf_add(fields, value.p, value.n);
    enum tg_status status = tg_buf_adds(fields, "\r\n");
    if (status) {
        fields->n = before;
        fields->failed = TG_OK;
    }
    return status;
}

static void add_date(int64_t now_s, struct tg_buf *out)
{
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static _Thread_local struct {
        int64_t now_s;
        char text[64]; /* "": none yet */
    } last; /* a second has many answers */
    time_t now = (time_t)now_s;
    struct tm t;
    if ((!last.text[0] || last.now_s != now_s) && gmtime_r(&now, &t)) {
        last.now_s = now_s;
        snprintf(last.text, sizeof(last.text), "Date: %.3s, %02d %.3s %d %02d:%02d:%02d GMT\r\n",
                 days + 3 * t.tm_wday, t.tm_mday, months + 3 * t.tm_mon, t.tm_year + 1900,
                 t.tm_hour, t.tm_min, t.tm_sec);
    }
    if (last.now_s == now_s)
        tg_buf_adds(out, last.text);
}

static void add_line(struct tg_buf *out, const char *name, const char *value)
{
    tg_buf_adds(out, name);
    tg_buf_adds(out, value);
    tg_buf_adds(out, "\r\n");
}

enum tg_status gw_answer_head(const struct gw_answer *a, struct tg_buf *out)
{
    tg_buf_adds(out, "HTTP/1.1 ");
    tg_buf_addu(out, (unsigned)a->status);
    tg_buf_addc(out, ' ');
    add_line(out, "", gw_answer_reason(a->status));
    add_date(a->now_s, out);
    if (a->content_type)
        add_line(out, "Content-Type: ", a->content_type);
    tg_buf_add(out, a->fields.p, a->fields.n);
    if (a->framing == GW_FRAMING_LENGTH) {
        tg_buf_adds(out, "Content-Length: ");
        tg_buf_addu(out, a->length);
        tg_buf_adds(out, "\r\n");
    } else if (a->framing == GW_FRAMING_CHUNKED) {
        tg_buf_adds(out, "Transfer-Encoding: chunked\r\n");
    }
    if (a->close)
        tg_buf_adds(out, "Connection: close\r\n");
    else if (a->keep_alive)
        tg_buf_adds(out, "Connection: keep-alive\r\n");
    return tg_buf_adds(out, "\r\n");
}

enum tg_status gw_answer_error(int status, const char *message, struct tg_buf *out)
{
    tg_buf_adds(out, "{\"error\":{\"message\":");
    tg_buf_add_json(out, tg_str_of(message));
    return tg_buf_addf(out, ",\"type\":\"%s\",\"param\":null,\"code\":null}}",
                       status < 500 || status == 501 || status == 505 ? "invalid_request_error"
                                                                      : "server_error");
}
