#include "gateway/http_parse.h"

#include "config/base/alloc.h"

/* Where a chunked body stands. */
enum {
    STEP_SIZE, /* hex digits */
    STEP_EXTENSION,
    STEP_SIZE_LF,
    STEP_DATA,
    STEP_DATA_CR,
    STEP_DATA_LF,
    STEP_TRAILER, /* at the beginning of a trailer line or of the last, empty one */
    STEP_TRAILER_NAME,
    STEP_TRAILER_VALUE,
    STEP_TRAILER_LF,
    STEP_END_LF,
};

void gw_parser_init(struct gw_parser *p, const struct gw_parse_limits *limits)
{
    *p = (struct gw_parser){ .limits = *limits };
    /* A line end is kept as one byte, as CR is counted; "+ 1" is that of the request line. */
    size_t fields = limits->headers < SIZE_MAX / 4 ? limits->headers : SIZE_MAX / 4;
    tg_buf_init(&p->bytes, fields + GW_REQUEST_LINE_MAX + 1);
    tg_buf_init(&p->body, limits->body);
}

void gw_parser_free(struct gw_parser *p)
{
    tg_buf_free(&p->bytes);
    tg_buf_free(&p->body);
    tg_free(p->head.headers);
    p->head = (struct gw_head){ 0 };
}

void gw_parser_reset(struct gw_parser *p)
{
    struct gw_parse_limits limits = p->limits;
    gw_parser_free(p);
    gw_parser_init(p, &limits);
}

static void fail(struct gw_parser *p, int status, const char *text)
{
    p->state = GW_PARSE_FAILED;
    p->refusal = (struct gw_refusal){ status, text };
}

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7F;
}

/* The head. */

static bool in_first_line(const struct gw_parser *p)
{
    return p->line_at == 0;
}

/* The empty line was read: the head is whole. */
static void finish_head(struct gw_parser *p)
{
    struct gw_refusal r = gw_head_read(p->bytes.p, p->bytes.n, &p->head);
    if (r.status) {
        fail(p, r.status, r.text);
    } else if (p->head.length > p->limits.body) {
        fail(p, 413, "the body is larger than this server accepts (limits.body)");
    } else {
        bool body = p->head.chunked || p->head.length > 0;
        p->state = body ? GW_PARSE_BODY : GW_PARSE_DONE;
    }
}

static void finish_line(struct gw_parser *p)
{
    size_t n = p->bytes.n - p->line_at;
    if (n == 0 && in_first_line(p)) {
        if (p->blank_skipped)
            fail(p, 400, "empty lines before the request");
        p->blank_skipped = true;
        return;
    }
    if (n == 0) {
        finish_head(p);
        return;
    }
    struct tg_str line = { p->bytes.p + p->line_at, n };
    struct gw_refusal r = gw_head_check_line(line, in_first_line(p));
    if (r.status) {
        fail(p, r.status, r.text);
        return;
    }
    if (!in_first_line(p) && ++p->n_fields > GW_HEADERS_MAX) {
        fail(p, 431, "too many headers");
        return;
    }
    if (tg_buf_addc(&p->bytes, '\n'))
        fail(p, 503, "out of memory");
    p->line_at = p->bytes.n;
}

/* Room for one more byte of the current line? Field lines are counted with their CR. */
static bool head_has_room(struct gw_parser *p, char c)
{
    if (in_first_line(p)) {
        if (c == '\r' || p->bytes.n < GW_REQUEST_LINE_MAX)
            return true;
        fail(p, 414, "the request line is too long");
    } else {
        if (++p->field_bytes <= p->limits.headers)
            return true;
        fail(p, 431, "the headers are larger than this server accepts (limits.headers)");
    }
    return false;
}

static void push_head_byte(struct gw_parser *p, char c)
{
    p->begun = true;
    if (p->cr) {
        p->cr = false;
        if (c != '\n')
            fail(p, 400, "a CR that is not followed by LF");
        else
            finish_line(p);
    } else if (c == '\n') {
        fail(p, 400, "a line ends in LF alone; CRLF was expected");
    } else if (c != '\r' && is_control((unsigned char)c)) {
        fail(p, 400, "a control character in the head of the request");
    } else if (!head_has_room(p, c)) {
        return;
    } else if (c == '\r') {
        p->cr = true;
    } else if (tg_buf_addc(&p->bytes, c)) {
        fail(p, 503, "out of memory");
    }
}

/* Takes the plain bytes at the beginning of data that fit: the same outcome as one by one. */
static size_t push_plain_run(struct gw_parser *p, const char *data, size_t n)
{
    size_t used = in_first_line(p) ? p->bytes.n : p->field_bytes;
    size_t most = in_first_line(p) ? GW_REQUEST_LINE_MAX : p->limits.headers;
    size_t room = used < most ? most - used : 0, run = 0;
    while (run < n && run < room && (unsigned char)data[run] >= 0x20 && data[run] != 0x7F)
        run++;
    if (p->cr || run == 0)
        return 0;
    p->begun = true;
    p->field_bytes += in_first_line(p) ? 0 : run;
    if (tg_buf_add(&p->bytes, data, run))
        fail(p, 503, "out of memory");
    return run;
}

static size_t push_head(struct gw_parser *p, const char *data, size_t n)
{
    size_t i = 0;
    while (i < n && p->state == GW_PARSE_HEAD) {
        i += push_plain_run(p, data + i, n - i);
        if (i < n && p->state == GW_PARSE_HEAD)
            push_head_byte(p, data[i++]);
    }
    return i;
}

/* The body. */

static size_t add_body(struct gw_parser *p, const char *data, size_t n, uint64_t left)
{
    size_t take = left < n ? (size_t)left : n;
    if (tg_buf_add(&p->body, data, take))
        fail(p, 503, "out of memory");
    return take;
}

static void push_size(struct gw_parser *p, char c)
{
    int digit = -1;
    if (c >= '0' && c <= '9')
        digit = c - '0';
    else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))
        digit = (c | 0x20) - 'a' + 10;
    if (digit >= 0) {
        p->chunk_left = p->chunk_left << 4 | (unsigned)digit;
        if (++p->chunk_digits > GW_CHUNK_DIGITS_MAX)
            fail(p, 400, "a chunk size has too many digits");
    } else if (p->chunk_digits == 0) {
        fail(p, 400, "a chunk size was expected");
    } else if (c == '\r') {
        p->step = STEP_SIZE_LF;
    } else if (c == ';' || c == ' ' || c == '\t') {
        p->step = STEP_EXTENSION;
    } else {
        fail(p, 400, "a chunk size is malformed");
    }
}

static void push_extension(struct gw_parser *p, char c)
{
    if (c == '\r')
        p->step = STEP_SIZE_LF;
    else if (is_control((unsigned char)c))
        fail(p, 400, "a control character in a chunk extension");
    else if (++p->extension_bytes > GW_CHUNK_EXTENSIONS_MAX)
        fail(p, 400, "the chunk extensions are too long");
}

static void begin_chunk(struct gw_parser *p)
{
    p->chunk_digits = 0;
    p->step = p->chunk_left ? STEP_DATA : STEP_TRAILER;
    if (p->chunk_left > p->limits.body - p->body.n)
        fail(p, 413, "the body is larger than this server accepts (limits.body)");
}

/* One line of a trailer, or the empty line that ends the request. */
static void push_trailer(struct gw_parser *p, char c)
{
    if (++p->trailer_bytes > p->limits.headers + 2) {
        fail(p, 431, "the trailers are larger than this server accepts (limits.headers)");
    } else if (p->step == STEP_TRAILER && c == '\r') {
        p->step = STEP_END_LF;
    } else if (p->step == STEP_TRAILER_VALUE) {
        if (c == '\r')
            p->step = STEP_TRAILER_LF;
        else if (is_control((unsigned char)c))
            fail(p, 400, "a control character in a trailer");
    } else if (p->step == STEP_TRAILER_NAME && c == ':') {
        p->step = STEP_TRAILER_VALUE;
    } else {
        bool token = c > ' ' && c != ':' && c < 0x7F && !strchr("\"(),/;<=>?@[\\]{}", c);
        p->step = STEP_TRAILER_NAME;
        if (!token)
            fail(p, 400, "a trailer is not 'Name: value' with a valid name");
    }
}

static void expect_byte(struct gw_parser *p, char c, char want)
{
    if (c != want) {
        fail(p, 400, "CRLF was expected in the chunked body");
        return;
    }
    switch (p->step) {
    case STEP_SIZE_LF:
        begin_chunk(p);
        break;
    case STEP_DATA_CR:
        p->step = STEP_DATA_LF;
        break;
    case STEP_DATA_LF:
        p->step = STEP_SIZE;
        break;
    case STEP_TRAILER_LF:
        p->step = STEP_TRAILER;
        break;
    default:
        p->state = GW_PARSE_DONE;
    }
}

static size_t push_chunked(struct gw_parser *p, const char *data, size_t n)
{
    size_t i = 0;
    while (i < n && p->state == GW_PARSE_BODY) {
        if (p->step == STEP_DATA) {
            size_t took = add_body(p, data + i, n - i, p->chunk_left);
            i += took;
            p->chunk_left -= took;
            p->step = p->chunk_left ? STEP_DATA : STEP_DATA_CR;
            continue;
        }
        char c = data[i++];
        switch (p->step) {
        case STEP_SIZE:
            push_size(p, c);
            break;
        case STEP_EXTENSION:
            push_extension(p, c);
            break;
        case STEP_TRAILER:
        case STEP_TRAILER_NAME:
        case STEP_TRAILER_VALUE:
            push_trailer(p, c);
            break;
        default:
            expect_byte(p, c, p->step == STEP_DATA_CR ? '\r' : '\n');
        }
    }
    return i;
}

static size_t push_body(struct gw_parser *p, const char *data, size_t n)
{
    if (p->head.chunked)
        return push_chunked(p, data, n);
    size_t took = add_body(p, data, n, p->head.length - p->body.n);
    if (p->state == GW_PARSE_BODY && p->body.n == p->head.length)
        p->state = GW_PARSE_DONE;
    return took;
}

size_t gw_parser_push(struct gw_parser *p, const char *data, size_t n)
{
    if (p->state == GW_PARSE_HEAD)
        return push_head(p, data, n);
    return p->state == GW_PARSE_BODY ? push_body(p, data, n) : 0;
}

void gw_parser_ask(const struct gw_parser *p, struct gw_ask *out)
{
    *out = (struct gw_ask){
        .method = p->head.method,
        .path = p->head.path,
        .query = p->head.query,
        .host = p->head.host,
        .headers = p->head.headers,
        .n_headers = p->head.n_headers,
        .body = tg_buf_str(&p->body),
        .head = tg_str_eq(p->head.method, TG_STR("HEAD")),
    };
}

struct tg_str gw_header_of(const struct gw_ask *ask, const char *name)
{
    struct tg_str wanted = tg_str_of(name);
    for (size_t i = 0; i < ask->n_headers; i++)
        if (tg_str_ieq(ask->headers[i].name, wanted))
            return ask->headers[i].value;
    return (struct tg_str){ NULL, 0 };
}
