/* One status enum from bottom to top, and an error text for calls that are not hot. */
#ifndef TG_BASE_STATUS_H
#define TG_BASE_STATUS_H

enum tg_status {
    TG_OK = 0,
    TG_AGAIN,       /* nothing now; try later */
    TG_INVALID,     /* the input is wrong: the text names the field and the cause */
    TG_NOMEM,
    TG_LIMIT,       /* a stated maximum would be exceeded */
    TG_IO,          /* a file, disk or socket failed */
    TG_NOTFOUND,
    TG_UNSUPPORTED, /* valid, but not in this version or not on this machine */
    TG_CANCELLED,
    TG_TIMEOUT,
    TG_CLOSED,      /* the other side ended */
    TG_DEVICE,      /* the GPU was lost or answered wrongly */
    TG_INTERNAL,    /* a bug of ours */
};

struct tg_error {
    enum tg_status code;
    char text[512];
};

/* Name of a status, for logs: "invalid", "limit"... Static storage. */
const char *tg_status_name(enum tg_status status);

/* Fills err (may be NULL) and returns code, so that `return tg_fail(err, TG_INVALID, ...)` works.
 * The text is cut to fit, always terminated. */
enum tg_status tg_fail(struct tg_error *err, enum tg_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
