/* Trigger expressions: `confidence < 0.85 OR complexity > 0.9`. Three-valued: unknown propagates
 * and pays nothing. Pure.
 *
 *   expr   := and ( OR and )*
 *   and    := not ( AND not )*
 *   not    := NOT not | '(' expr ')' | test
 *   test   := operand ( '<' | '<=' | '>' | '>=' | '==' | '!=' ) operand | tag('x')
 *   operand:= NAME | NUMBER [ '%' | 'ms' | 's' ]
 *
 * Keywords in any case. NAMEs: confidence complexity prompt_tokens max_tokens turns tools images
 * audio queue_ms ttft_ms budget_used hour. % divides by 100, s multiplies by 1000. Units must fit
 * the name: % with confidence, complexity and budget_used only, ms and s with the _ms names only.
 * Those three are fractions, so a number above 1 is refused (budget_used > 120% is not). One side
 * must be a NAME. At most 1000 bytes, and 32 levels of parentheses and NOTs. */
#ifndef POLICY_TRIGGER_H
#define POLICY_TRIGGER_H

#include <stdbool.h>
#include <stddef.h>

#include "config/base/status.h"
#include "config/base/str.h"

enum pol_truth { POL_FALSE, POL_TRUE, POL_UNKNOWN };

enum pol_name {
    POL_CONFIDENCE, POL_COMPLEXITY, POL_PROMPT_TOKENS, POL_MAX_TOKENS, POL_TURNS, POL_TOOLS,
    POL_IMAGES, POL_AUDIO, POL_QUEUE_MS, POL_TTFT_MS, POL_BUDGET_USED, POL_HOUR, POL_N_NAMES
};

struct pol_facts {
    bool known[POL_N_NAMES];
    double value[POL_N_NAMES];
    const struct tg_str *tags;
    size_t n_tags;
};

struct pol_expr; /* opaque, immutable */

/* TG_INVALID: err->text = "column N: cause"; *column (1-based) too. *out is owned by the caller. */
enum tg_status pol_compile(struct tg_str text, struct pol_expr **out, size_t *column,
                           struct tg_error *err);
void pol_expr_free(struct pol_expr *e);
enum pol_truth pol_eval(const struct pol_expr *e, const struct pol_facts *facts);
/* Whether the expression mentions a name (so that work to know it can be saved). */
bool pol_mentions(const struct pol_expr *e, enum pol_name name);
/* The comparison that made the expression true, as it stands in the source (for the reason header);
 * empty when it is not true. Borrowed from e. */
struct tg_str pol_why(const struct pol_expr *e, const struct pol_facts *facts);

#endif
