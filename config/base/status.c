#include "config/base/status.h"

#include <stdarg.h>
#include <stdio.h>

const char *tg_status_name(enum tg_status status)
{
    static const char *const names[] = {
        [TG_OK] = "ok",
        [TG_AGAIN] = "again",
        [TG_INVALID] = "invalid",
        [TG_NOMEM] = "out-of-memory",
        [TG_LIMIT] = "limit",
        [TG_IO] = "io",
        [TG_NOTFOUND] = "not-found",
        [TG_UNSUPPORTED] = "unsupported",
        [TG_CANCELLED] = "cancelled",
        [TG_TIMEOUT] = "timeout",
        [TG_CLOSED] = "closed",
        [TG_DEVICE] = "device",
        [TG_INTERNAL] = "internal",
    };
    return (unsigned)status < sizeof(names) / sizeof(*names) ? names[status] : "unknown";
}

enum tg_status tg_fail(struct tg_error *err, enum tg_status code, const char *fmt, ...)
{
    if (!err)
        return code;
    err->code = code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    return code;
}
