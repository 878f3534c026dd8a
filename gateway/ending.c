#include "gateway/ending.h"

#include "gateway/exchange.h"

void gw_exchange_too_late(struct gw_exchange *x)
{
    struct api_error e = gw_failure(503, "server_error", "shutting_down",
                                    "the gateway is being stopped, and this answer was not "
                                    "complete within limits.drain; try again");
    gw_exchange_fail(x, &e, "shutting-down");
}

/* All of it is there, and paid for. */
static bool is_printed(const struct gw_exchange *x)
{
    return x->on_worker && x->state == GW_COMMITTED && x->current->finished;
}

void gw_exchange_fail_all(struct gw_app *app)
{
    app->ending = true; /* nobody who waits comes in now */
    for (struct gw_exchange *x = app->exchanges, *next; x; x = next) {
        next = x->next;
        if (x->rq && !is_printed(x))
            gw_exchange_too_late(x);
    }
}

void gw_exchange_end_all(struct gw_app *app)
{
    app->ending = true;
    for (struct gw_exchange *x = app->exchanges, *next; x; x = next) {
        next = x->next;
        if (!x->rq) /* answered, or gone: it only waits for its workers */
            continue;
        gw_http_abort(x->rq);
        gw_exchange_gone(x);
    }
}
