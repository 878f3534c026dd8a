#include "gateway/http_parse.h"

#include "config/base/alloc.h"
#include "config/base/utf8.h"

static struct gw_refusal refuse(int status, const char *text)
{
    return (struct gw_refusal){ status, text };
}

static const struct gw_refusal accepted = { 0, NULL };

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_token(struct tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (!is_alnum(c) && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return s.n > 0;
}

/* Bytes of s in front of the first c; s.n when there is none. */
static size_t index_of(struct tg_str s, char c)
{
    const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;
    return hit ? (size_t)(hit - s.p) : s.n;
}

static struct tg_str from(struct tg_str s, size_t at)
{
    return (struct tg_str){ s.p + at, s.n - at };
}

static bool starts(struct tg_str s, struct tg_str with)
{
    return s.n >= with.n && tg_str_ieq((struct tg_str){ s.p, with.n }, with);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Value of the escape at s.p[at], which is a '%'; -1 when it is malformed. */
static int escape_value(struct tg_str s, size_t at)
{
    int high = at + 2 < s.n ? hex_value(s.p[at + 1]) : -1;
    int low = at + 2 < s.n ? hex_value(s.p[at + 2]) : -1;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static struct gw_refusal check_target(struct tg_str target)
{
    bool query = false;
    for (size_t i = 0; i < target.n; i++) {
        unsigned char c = (unsigned char)target.p[i];
        query = query || c == '?';
        if (c <= 0x20 || c >= 0x7F || c == '#')
            return refuse(400, "the request target has a character that must be escaped");
        if (c != '%')
            continue;
        int value = escape_value(target, i);
        if (value < 0)
            return refuse(400, "the request target has a malformed percent escape");
        if (value == 0 || (!query && (value < 0x20 || value == 0x7F)))
            return refuse(400, "the request target has an escaped control character");
    }
    return accepted;
}

/* uri-host [":" port]; userinfo is not part of it. */
static bool is_host(struct tg_str s)
{
    size_t end = 0;
    if (s.n && s.p[0] == '[') {
        while (end < s.n && s.p[end] != ']')
            end++;
        for (size_t i = 1; i < end; i++)
            if (hex_value(s.p[i]) < 0 && !strchr(":.vV", s.p[i]))
                return false;
        if (end == s.n || end < 3)
            return false;
        end++;
    } else {
        while (end < s.n && s.p[end] != ':')
            end++;
        for (size_t i = 0; i < end; i++)
            if (!is_alnum((unsigned char)s.p[i]) && !strchr("-._~!$&'()*+,;=%", s.p[i]))
                return false;
    }
    if (end == s.n)
        return true;
    uint64_t port = 0;
    struct tg_str digits = from(s, end + 1);
    return s.p[end] == ':' && (digits.n == 0 || (tg_parse_u64(digits, &port) && port <= 65535));
}

static struct gw_refusal check_version(struct tg_str version)
{
    bool grammar = version.n == 8 && memcmp(version.p, "HTTP/", 5) == 0 && version.p[6] == '.' &&
                   version.p[5] >= '0' && version.p[5] <= '9' && version.p[7] >= '0' &&
                   version.p[7] <= '9';
    if (!grammar)
        return refuse(400, "the request line is malformed: METHOD TARGET HTTP/1.1 was expected");
    if (version.p[5] != '1' || version.p[7] > '1')
        return refuse(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    return accepted;
}

static bool is_absolute(struct tg_str target)
{
    return starts(target, TG_STR("http://")) || starts(target, TG_STR("https://"));
}

static struct gw_refusal check_form(struct tg_str method, struct tg_str target)
{
    if (tg_str_eq(method, TG_STR("CONNECT")))
        return refuse(405, "CONNECT is not served: this is not a proxy");
    bool star = tg_str_eq(target, TG_STR("*")) && tg_str_eq(method, TG_STR("OPTIONS"));
    if (target.p[0] != '/' && !star && !is_absolute(target))
        return refuse(400, "the request target must begin with '/' or be an absolute http URL");
    return check_target(target);
}

static struct gw_refusal read_request_line(struct tg_str line, struct gw_head *out)
{
    static const char malformed[] =
        "the request line is malformed: METHOD TARGET HTTP/1.1 was expected";
    size_t space = index_of(line, ' ');
    if (space == line.n)
        return refuse(400, malformed);
    out->method = (struct tg_str){ line.p, space };
    struct tg_str rest = from(line, space + 1);
    space = index_of(rest, ' ');
    if (space == rest.n || space == 0 || !is_token(out->method))
        return refuse(400, malformed);
    out->target = (struct tg_str){ rest.p, space };
    struct tg_str version = from(rest, space + 1);
    struct gw_refusal r = check_version(version);
    if (r.status)
        return r;
    out->http10 = version.p[7] == '0';
    return check_form(out->method, out->target);
}

static struct gw_refusal read_field_line(struct tg_str line, struct gw_header *out)
{
    if (line.n && (line.p[0] == ' ' || line.p[0] == '\t'))
        return refuse(400, "a header line begins with white space (folded headers are refused)");
    size_t colon = index_of(line, ':');
    out->name = (struct tg_str){ line.p, colon };
    if (colon == line.n || !is_token(out->name))
        return refuse(400, "a header line is not 'Name: value' with a valid name");
    out->value = tg_str_trim(from(line, colon + 1));
    return accepted;
}

struct gw_refusal gw_head_check_line(struct tg_str line, bool first)
{
    struct gw_head head = { 0 };
    struct gw_header header;
    return first ? read_request_line(line, &head) : read_field_line(line, &header);
}

/* Percent escapes replaced in place: path points into bytes that are ours to write. */
static struct tg_str decode_path(char *path, size_t n)
{
    size_t to = 0;
    struct tg_str raw = { path, n };
    for (size_t i = 0; i < n; i++) {
        char c = path[i];
        if (c == '%') {
            c = (char)escape_value(raw, i);
            i += 2;
        }
        path[to++] = c;
    }
    return (struct tg_str){ path, to };
}

/* Splits the target into host, path and query. target lies in bytes that may be written. */
static struct gw_refusal split_target(struct gw_head *head, char *target)
{
    struct tg_str rest = head->target;
    size_t at = 0;
    if (is_absolute(rest)) {
        at = index_of(rest, ':') + 3;
        struct tg_str tail = from(rest, at);
        size_t slash = index_of(tail, '/'), mark = index_of(tail, '?');
        size_t end = slash < mark ? slash : mark;
        head->host = (struct tg_str){ tail.p, end };
        if (end == 0 || !is_host(head->host))
            return refuse(400, "the host in the request target is malformed");
        at += end;
    }
    size_t mark = index_of(from(rest, at), '?');
    if (at + mark < rest.n)
        head->query = from(rest, at + mark + 1);
    head->path = mark ? decode_path(target + at, mark) : TG_STR("/");
    if (!tg_utf8_valid(head->path.p, head->path.n))
        return refuse(400, "the path is not UTF-8 when its escapes are decoded");
    return accepted;
}

static struct gw_refusal set_length(struct gw_head *head, struct tg_str value)
{
    if (head->has_length)
        return refuse(400, "more than one Content-Length");
    bool digits = value.n > 0;
    for (size_t i = 0; i < value.n; i++)
        digits = digits && value.p[i] >= '0' && value.p[i] <= '9';
    if (!digits)
        return refuse(400, "Content-Length is not a decimal number");
    head->has_length = true;
    /* A number beyond 64 bits is a body beyond every limit. */
    if (!tg_parse_u64(value, &head->length))
        head->length = UINT64_MAX;
    return accepted;
}

static struct gw_refusal set_encoding(struct gw_head *head, struct tg_str value)
{
    if (head->chunked)
        return refuse(400, "more than one Transfer-Encoding");
    if (!tg_str_ieq(value, TG_STR("chunked")))
        return refuse(value.n ? 501 : 400, "the only Transfer-Encoding accepted is chunked");
    if (head->http10)
        return refuse(400, "Transfer-Encoding in an HTTP/1.0 request");
    head->chunked = true;
    return accepted;
}

static struct gw_refusal set_host(struct gw_head *head, struct tg_str value, bool *seen)
{
    if (*seen)
        return refuse(400, "more than one Host");
    if (!is_host(value))
        return refuse(400, "the Host header is malformed");
    *seen = true;
    if (!head->host.p) /* RFC 9112 3.2.2: the absolute target wins */
        head->host = value;
    return accepted;
}

/* close wins over keep-alive, in whichever of the list's elements they stand. */
static void read_connection(struct tg_str value, bool *close, bool *keep)
{
    while (value.n) {
        size_t comma = index_of(value, ',');
        struct tg_str item = tg_str_trim((struct tg_str){ value.p, comma });
        *close = *close || tg_str_ieq(item, TG_STR("close"));
        *keep = *keep || tg_str_ieq(item, TG_STR("keep-alive"));
        value = comma < value.n ? from(value, comma + 1) : (struct tg_str){ NULL, 0 };
    }
}

static struct gw_refusal read_fields(struct gw_head *head)
{
    bool host = false, close = false, keep = false;
    struct gw_refusal r = accepted;
    for (size_t i = 0; i < head->n_headers && !r.status; i++) {
        struct tg_str name = head->headers[i].name, value = head->headers[i].value;
        if (tg_str_ieq(name, TG_STR("content-length")))
            r = set_length(head, value);
        else if (tg_str_ieq(name, TG_STR("transfer-encoding")))
            r = set_encoding(head, value);
        else if (tg_str_ieq(name, TG_STR("host")))
            r = set_host(head, value, &host);
        else if (tg_str_ieq(name, TG_STR("connection")))
            read_connection(value, &close, &keep);
        else if (tg_str_ieq(name, TG_STR("expect")) && !head->http10) {
            head->expect_continue = tg_str_ieq(value, TG_STR("100-continue"));
            if (!head->expect_continue)
                r = refuse(417, "the only expectation met here is 100-continue");
        }
    }
    if (r.status)
        return r;
    if (head->has_length && head->chunked)
        return refuse(400, "both Content-Length and Transfer-Encoding");
    if (!host && !head->http10)
        return refuse(400, "the Host header is missing");
    head->keep_alive = !close && (keep || !head->http10);
    return accepted;
}

struct gw_refusal gw_head_read(char *bytes, size_t n, struct gw_head *out)
{
    *out = (struct gw_head){ 0 };
    struct tg_str rest = { bytes, n };
    size_t end = index_of(rest, '\n');
    struct gw_refusal r = read_request_line((struct tg_str){ bytes, end }, out);
    if (r.status)
        return r;
    size_t lines = 0;
    for (size_t i = end + 1; i < n; i++)
        lines += bytes[i] == '\n';
    out->headers = tg_calloc(lines, sizeof(*out->headers));
    if (!out->headers)
        return refuse(503, "out of memory");
    for (size_t at = end + 1; at < n && !r.status; at += end + 1) {
        rest = (struct tg_str){ bytes + at, n - at };
        end = index_of(rest, '\n');
        r = read_field_line((struct tg_str){ rest.p, end }, &out->headers[out->n_headers]);
        out->n_headers += r.status == 0;
    }
    if (!r.status)
        r = split_target(out, bytes + (out->target.p - bytes));
    if (!r.status)
        r = read_fields(out);
    return r;
}
