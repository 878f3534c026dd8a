/* What stands between a listener and an endpoint: who may come in. Loop thread; internal to
 * gateway/. */
#ifndef GATEWAY_GATE_H
#define GATEWAY_GATE_H

#include "gateway/app.h"
#include "gateway/auth.h"

enum gw_access {
    GW_BY_KEY,    /* whoever has an API key, once there is one */
    GW_BY_ANYONE, /* at both listeners */
    GW_BY_ADMIN,
    GW_BY_EITHER, /* the administrator where one is set (admin.listen, admin.key); else this machine
                   * as long as there is no API key, and nobody once there is one */
};

/* False: e is the refusal, in OpenAI's words. who is to be freed either way (gw_caller_free). */
bool gw_gate(const struct gw_door *door, const struct gw_ask *ask, enum gw_access access,
             struct gw_caller *who, struct api_error *e);
/* Answers with a refusal of gw_gate, or of a key's limits (wait_ms > 0). Those that had no right
 * are counted and logged, a line in ten seconds at most. rq is invalid after. */
void gw_gate_refuse(struct gw_app *app, struct gw_request *rq, const struct gw_ask *ask,
                    const struct api_dialect *dialect, const struct gw_caller *who,
                    const struct api_error *e, int64_t wait_ms);
/* Takes over what the store knows of the keys now, with what each has under way; says so when
 * something changed. At the start, and after each tel_dispatch. */
void gw_gate_sync(struct gw_app *app);
/* Logs what is dangerous about letting in whom these settings and keys let in. Any thread. */
void gw_gate_warn(const struct cfg_settings *s, const struct tel_keys *keys);
/* At the end, when no request lives any more. */
void gw_gate_free(struct gw_app *app);

#endif
