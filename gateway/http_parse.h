/* Strict HTTP/1.1 request framing (RFC 9112) without sockets: bytes are pushed in, a request or an
 * error with its HTTP status comes out. What comes out does not depend on how the bytes were split.
 *
 * Choices where the RFC leaves one: line ends are CRLF only; one empty line before a request is
 * skipped; obs-fold, bare CR and bare LF are errors; any second Content-Length is an error, even an
 * equal one; Transfer-Encoding is exactly "chunked"; chunk extensions are ignored up to
 * GW_CHUNK_EXTENSIONS_MAX bytes a request; trailers are checked, bounded and dropped. */
#ifndef GATEWAY_HTTP_PARSE_H
#define GATEWAY_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/buf.h"
#include "config/base/str.h"
#include "gateway/http.h"

enum {
    GW_REQUEST_LINE_MAX = 8192,     /* method, target and version; above: 414 */
    GW_CHUNK_EXTENSIONS_MAX = 4096, /* all of one request; above: 400 */
    GW_CHUNK_DIGITS_MAX = 16,       /* leading zeros included; above: 400 */
};

/* A head once it is whole; all strings are borrowed from the bytes given to gw_head_read. */
struct gw_head {
    struct tg_str method, target; /* the target's path part is decoded in place */
    struct tg_str path, query;    /* path: decoded; query: raw, its escapes checked */
    struct tg_str host;           /* of the absolute target, else of the Host field */
    struct gw_header *headers;    /* owned: tg_free */
    size_t n_headers;
    uint64_t length; /* Content-Length, 0 when absent */
    bool has_length, chunked;
    bool http10, keep_alive;
    bool expect_continue; /* HTTP/1.1 only; any other expectation is an error */
};

/* A cause of refusal: the status to answer (0: none) and its text, static storage. */
struct gw_refusal {
    int status;
    const char *text;
};

/* One request line or field line, without its line end: grammar only. */
struct gw_refusal gw_head_check_line(struct tg_str line, bool first);
/* A whole head: n bytes of lines, each ended by one '\n', without the empty line. bytes is written
 * to (the path is decoded in place) and must outlive *out. */
struct gw_refusal gw_head_read(char *bytes, size_t n, struct gw_head *out);

struct gw_parse_limits {
    size_t headers; /* bytes of field lines, and again of trailers; above: 431 */
    size_t body;    /* above: 413, from Content-Length at once */
};

enum gw_parse_state {
    GW_PARSE_HEAD, /* before or inside the head */
    GW_PARSE_BODY, /* head known, body incomplete */
    GW_PARSE_DONE, /* a whole request; nothing more is taken until gw_parser_reset */
    GW_PARSE_FAILED,
};

/* Fields are read-only for the user. */
struct gw_parser {
    struct gw_parse_limits limits;
    enum gw_parse_state state;
    struct gw_refusal refusal; /* GW_PARSE_FAILED: to be answered, then the connection closed */
    struct gw_head head;       /* from GW_PARSE_BODY on */
    struct tg_buf body;
    bool begun;                /* a byte of this request was taken */

    struct tg_buf bytes; /* of the head */
    size_t line_at;      /* where the current line begins in it */
    size_t field_bytes, n_fields;
    bool cr, blank_skipped;
    uint8_t step; /* inside a chunked body */
    uint64_t chunk_left;
    unsigned chunk_digits;
    size_t extension_bytes, trailer_bytes;
};

/* Cannot fail; nothing is allocated until bytes come. */
void gw_parser_init(struct gw_parser *p, const struct gw_parse_limits *limits);
/* Ready for the next request on the same connection; all memory of this one is freed. */
void gw_parser_reset(struct gw_parser *p);
/* Frees what the parser owns; gw_parser_init makes it usable again. */
void gw_parser_free(struct gw_parser *p);
/* Takes bytes and says how many (all, unless the state changes). It stops once where the state
 * becomes GW_PARSE_BODY, so that the caller can judge the head before the body is read. */
size_t gw_parser_push(struct gw_parser *p, const char *data, size_t n);
/* The request; GW_PARSE_DONE only. Borrowed until reset. */
void gw_parser_ask(const struct gw_parser *p, struct gw_ask *out);

#endif
