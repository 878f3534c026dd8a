/* Any bytes as a trigger expression. An error names a column within the text or just behind it; an
 * expression that is true is so because of a part of its text, and stays true when more is known.
 */
#include <stdlib.h>

#include "policy/trigger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct pol_expr *e, struct pol_facts facts, bool all)
{
    enum pol_truth value = pol_eval(e, &facts);
    if ((pol_why(e, &facts).n > 0) != (value == POL_TRUE) || (all && value == POL_UNKNOWN))
        abort();
    for (int name = 0; name < POL_N_NAMES; name++)
        facts.known[name] = true;
    if (value != POL_UNKNOWN && pol_eval(e, &facts) != value)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_str tag = { "x", 1 };
    struct pol_facts facts = { .tags = &tag, .n_tags = 1 };
    struct pol_expr *e;
    struct tg_error err;
    size_t column = 0, used = size < 4 ? size : 4; /* the first bytes say what is known */
    if (pol_compile((struct tg_str){ (const char *)data + used, size - used }, &e, &column, &err)) {
        if (column < 1 || column > size - used + 1)
            abort();
        return 0;
    }
    for (int name = 0; name < POL_N_NAMES; name++) {
        facts.known[name] = used == 4 && (data[name % 2] >> name / 2 & 1);
        facts.value[name] = used == 4 ? (double)(data[2 + name % 2] % 4) / (1 + name % 3) : 0;
    }
    check(e, facts, false);
    for (int name = 0; name < POL_N_NAMES; name++)
        facts.known[name] = true;
    check(e, facts, true);
    pol_expr_free(e);
    return 0;
}
