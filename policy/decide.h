/* From scores and settings to what is tried in which order, and what it may cost. Pure. */
#ifndef POLICY_DECIDE_H
#define POLICY_DECIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/settings.h"
#include "policy/trigger.h"
#include "providers/chat.h"

/* A route with its triggers compiled. */
struct pol_route {
    const struct cfg_route *settings; /* borrowed */
    struct pol_expr *trigger[CFG_TIERS_MAX]; /* NULL where the tier has none */
};

/* TG_INVALID: err = "PATH: column N: cause". On failure nothing is left to free. */
enum tg_status pol_route_compile(const struct cfg_route *settings, struct pol_route *out,
                                 struct tg_error *err);
void pol_route_free(struct pol_route *r);

enum pol_target { POL_LOCAL, POL_TIER };

struct pol_step {
    enum pol_target target;
    size_t tier;
    int64_t ceiling_nano; /* upper bound of what it may cost; 0 for local */
    uint32_t max_tokens;  /* to send upstream */
};

enum { POL_STEPS_MAX = CFG_TIERS_MAX + 1, POL_REASON_MAX = 160 };

struct pol_plan {
    struct pol_step step[POL_STEPS_MAX];
    size_t n;
    /* Why the first step is first: "primary", "trigger: ...", "local-cannot: ..."; "primary,
     * price-unknown" where a tier cannot be bounded under the budget. */
    char reason[POL_REASON_MAX];
};

/* What the plan depends on besides the route. */
struct pol_request_facts {
    const struct chat_request *request;
    size_t body_bytes;    /* bytes of the outgoing text: bounds the prompt tokens */
    bool local_can;       /* the local model can take the request; else local_cannot says why */
    const char *local_cannot;
    bool local_only;      /* privacy: no remote step, ever */
    bool capped;          /* a budget of the caller's own holds, whether or not the route has one */
    struct pol_facts facts; /* confidence unknown */
};

/* Upper bound of one call: (body_bytes + overhead per message and request) at the highest input
 * rate plus max_tokens at the output rate. TG_UNSUPPORTED when the price is unknown, TG_LIMIT on
 * overflow. */
enum tg_status pol_bound(const struct cfg_price *price, size_t body_bytes, size_t n_messages,
                         uint32_t max_tokens, int64_t *nano);

/* Before the run: local first (unless it cannot, or a trigger is already true with confidence
 * unknown), then the tiers in order; a tier whose trigger is not true yet is still listed as a way
 * out of failure of what comes before it, since a failed attempt makes way for the next permitted
 * one. A tier under a budget with an unknown price is left out, and for a request with images one
 * whose tokens per image are unknown. n = 0: nobody may answer (reason
 * says why). */
void pol_decide(const struct pol_route *route, const struct pol_request_facts *f,
                struct pol_plan *plan);
/* For a client that named the route's first tier itself: that tier, whatever its trigger says, or
 * nobody (n = 0; reason says why). */
void pol_decide_named(const struct pol_route *route, const struct pol_request_facts *f,
                      struct pol_plan *plan);
/* At the end of the hold-back window, confidence now known or not: the tier to escalate to, or -1
 * to commit to local. reason as above. Only tiers in plan are considered. */
int pol_escalate(const struct pol_route *route, const struct pol_plan *plan,
                 const struct pol_facts *facts, char reason[POL_REASON_MAX]);

#endif
