#include "policy/trigger.h"

#include <math.h>

#include "config/base/alloc.h"
#include "policy/trigger_lex.h"

/* The parser writes the expression as nodes in postfix order: operands come before their operator,
 * so evaluation is one pass with a small stack and no recursion. */

enum {
    EXPR_MAX = 1000, /* bytes of text */
    NODES_MAX = EXPR_MAX / 2,
    DEPTH_MAX = 32, /* parentheses and NOTs inside one another */
};

enum node_kind { NODE_TEST, NODE_TAG, NODE_NOT, NODE_AND, NODE_OR };

struct operand {
    bool is_name;
    enum pol_name name;
    double number;
};

struct node {
    enum node_kind kind;
    enum trigger_word op; /* NODE_TEST */
    struct operand left, right;
    size_t at, n;         /* NODE_TEST, NODE_TAG: place in the source; TAG: of the text in quotes */
    size_t tag_at, tag_n;
    size_t first;         /* the first node of this subtree */
};

struct pol_expr {
    char text[EXPR_MAX + 1];
    size_t n;
    struct node nodes[NODES_MAX];
};

struct parser {
    struct tg_str text;
    size_t at;                  /* behind the word in front */
    struct trigger_token front; /* not used up yet */
    struct pol_expr *e;
    size_t depth;
    size_t *column;
    struct tg_error *err;
};

static enum tg_status fail_at(struct parser *p, size_t at, const char *cause)
{
    if (p->column)
        *p->column = at + 1;
    return tg_fail(p->err, TG_INVALID, "column %zu: %s", at + 1, cause);
}

static enum tg_status fail(struct parser *p, const char *expected)
{
    const struct trigger_token *t = &p->front;
    return fail_at(p, t->at, t->word == WORD_BAD ? t->cause : expected);
}

static void advance(struct parser *p)
{
    p->front = pol_trigger_next(p->text, &p->at);
}

static enum tg_status add(struct parser *p, const struct node *node)
{
    if (p->e->n == sizeof(p->e->nodes) / sizeof(*p->e->nodes))
        return fail(p, "the expression is too long");
    p->e->nodes[p->e->n++] = *node;
    return TG_OK;
}

static enum tg_status parse_operand(struct parser *p, struct trigger_token *out)
{
    if (p->front.word != WORD_NAME && p->front.word != WORD_NUMBER)
        return fail(p, "a name or a number was expected");
    *out = p->front;
    advance(p);
    return TG_OK;
}

/* The unit of a number must be the one of the name it is compared with. */
static enum tg_status check_units(struct parser *p, const struct trigger_token *a,
                                  const struct trigger_token *b)
{
    static const char *const causes[] = {
        [UNIT_PLAIN] = "this unit does not fit a count or an hour",
        [UNIT_FRACTION] =
            "this unit does not fit; a fraction such as 0.85 or a percentage is meant",
        [UNIT_TIME] = "this unit does not fit; ms or s is meant",
    };
    if (a->word == WORD_NUMBER && b->word == WORD_NUMBER)
        return fail_at(p, a->at, "two numbers are compared; one side must be a name");
    const struct trigger_token *name = a->word == WORD_NAME ? a : b, *other = name == a ? b : a;
    if (other->word == WORD_NAME)
        return other->unit == name->unit
                   ? TG_OK
                   : fail_at(p, b->at, "the two names are measured in different units");
    if (other->unit != UNIT_PLAIN && other->unit != name->unit)
        return fail_at(p, other->at, causes[name->unit]);
    /* 85 is surely meant as 85 %: as a fraction it would always or never be true. Only the budget
     * can be overdrawn, and then it is written with its unit: 120%. */
    bool overdrawn = name->name == POL_BUDGET_USED && other->unit == UNIT_FRACTION;
    if (name->unit == UNIT_FRACTION && other->number > 1 && !overdrawn)
        return fail_at(p, other->at, "a fraction is between 0 and 1; write 0.85 or 85%");
    return TG_OK;
}

static struct operand operand_of(const struct trigger_token *t)
{
    return (struct operand){ t->word == WORD_NAME, t->name, t->number };
}

static enum tg_status parse_test(struct parser *p)
{
    struct trigger_token left, right;
    size_t start = p->front.at;
    enum tg_status status = parse_operand(p, &left);
    if (status)
        return status;
    enum trigger_word op = p->front.word;
    if (op < WORD_LT || op > WORD_NE)
        return fail(p, "a comparison (< <= > >= == !=) was expected");
    advance(p);
    status = parse_operand(p, &right);
    if (status == TG_OK)
        status = check_units(p, &left, &right);
    if (status)
        return status;
    return add(p, &(struct node){ .kind = NODE_TEST,
                                  .op = op,
                                  .left = operand_of(&left),
                                  .right = operand_of(&right),
                                  .at = start,
                                  .n = right.at + right.n - start,
                                  .first = p->e->n });
}

static enum tg_status parse_tag(struct parser *p)
{
    struct node node = { .kind = NODE_TAG, .at = p->front.at, .first = p->e->n };
    advance(p);
    if (p->front.word != WORD_OPEN)
        return fail(p, "tag is written tag('x')");
    advance(p);
    if (p->front.word != WORD_TEXT)
        return fail(p, "tag is written tag('x')");
    node.tag_at = p->front.at + 1;
    node.tag_n = p->front.n - 2;
    if (node.tag_n == 0)
        return fail(p, "the tag is empty");
    advance(p);
    if (p->front.word != WORD_CLOSE)
        return fail(p, "')' was expected");
    node.n = p->front.at + 1 - node.at;
    advance(p);
    return add(p, &node);
}

static enum tg_status parse_or(struct parser *p);

static enum tg_status parse_not(struct parser *p)
{
    enum trigger_word word = p->front.word;
    if (word == WORD_TAG)
        return parse_tag(p);
    if (word != WORD_NOT && word != WORD_OPEN)
        return parse_test(p);
    if (p->depth == DEPTH_MAX)
        return fail_at(p, p->front.at, "nested too deeply");
    p->depth++;
    size_t first = p->e->n;
    advance(p);
    enum tg_status status = word == WORD_NOT ? parse_not(p) : parse_or(p);
    p->depth--;
    if (status)
        return status;
    if (word == WORD_NOT)
        return add(p, &(struct node){ .kind = NODE_NOT, .first = first });
    if (p->front.word != WORD_CLOSE)
        return fail(p, "')' was expected");
    advance(p);
    return TG_OK;
}

/* A chain of one operator over what one level below parses. */
static enum tg_status parse_chain(struct parser *p, enum trigger_word word, enum node_kind kind,
                                  enum tg_status (*below)(struct parser *))
{
    size_t first = p->e->n;
    enum tg_status status = below(p);
    while (status == TG_OK && p->front.word == word) {
        advance(p);
        status = below(p);
        if (status == TG_OK)
            status = add(p, &(struct node){ .kind = kind, .first = first });
    }
    return status;
}

static enum tg_status parse_and(struct parser *p)
{
    return parse_chain(p, WORD_AND, NODE_AND, parse_not);
}

static enum tg_status parse_or(struct parser *p)
{
    return parse_chain(p, WORD_OR, NODE_OR, parse_and);
}

enum tg_status pol_compile(struct tg_str text, struct pol_expr **out, size_t *column,
                           struct tg_error *err)
{
    *out = NULL;
    struct parser p = { .text = text, .column = column, .err = err };
    if (column)
        *column = 1;
    if (text.n > EXPR_MAX)
        return fail_at(&p, EXPR_MAX, "the expression is longer than 1000 bytes");
    p.e = tg_calloc(1, sizeof(*p.e));
    if (!p.e)
        return tg_fail(err, TG_NOMEM, "out of memory");
    if (text.n)
        memcpy(p.e->text, text.p, text.n);
    advance(&p);
    enum tg_status status = parse_or(&p);
    if (status == TG_OK && p.front.word != WORD_END)
        status = fail(&p, "AND, OR or the end was expected");
    if (status)
        pol_expr_free(p.e);
    else
        *out = p.e;
    return status;
}

void pol_expr_free(struct pol_expr *e)
{
    tg_free(e);
}

static bool value_of(const struct operand *o, const struct pol_facts *facts, double *out)
{
    if (o->is_name && (!facts->known[o->name] || isnan(facts->value[o->name])))
        return false; /* unknown, or not a number, which is no knowledge either */
    *out = o->is_name ? facts->value[o->name] : o->number;
    return true;
}

static enum pol_truth eval_test(const struct node *node, const struct pol_facts *facts)
{
    double a, b;
    if (!value_of(&node->left, facts, &a) || !value_of(&node->right, facts, &b))
        return POL_UNKNOWN;
    switch (node->op) {
    case WORD_LT:
        return a < b ? POL_TRUE : POL_FALSE;
    case WORD_LE:
        return a <= b ? POL_TRUE : POL_FALSE;
    case WORD_GT:
        return a > b ? POL_TRUE : POL_FALSE;
    case WORD_GE:
        return a >= b ? POL_TRUE : POL_FALSE;
    case WORD_EQ:
        return a >= b && a <= b ? POL_TRUE : POL_FALSE;
    default:
        return a < b || a > b ? POL_TRUE : POL_FALSE;
    }
}

static enum pol_truth eval_tag(const struct pol_expr *e, const struct node *node,
                               const struct pol_facts *facts)
{
    struct tg_str tag = { e->text + node->tag_at, node->tag_n };
    for (size_t i = 0; i < facts->n_tags; i++)
        if (tg_str_eq(facts->tags[i], tag))
            return POL_TRUE;
    return POL_FALSE;
}

/* Kleene's three values. */
static enum pol_truth both(enum pol_truth a, enum pol_truth b)
{
    if (a == POL_FALSE || b == POL_FALSE)
        return POL_FALSE;
    return a == POL_TRUE && b == POL_TRUE ? POL_TRUE : POL_UNKNOWN;
}

static enum pol_truth negate(enum pol_truth a)
{
    return a == POL_UNKNOWN ? a : a == POL_TRUE ? POL_FALSE : POL_TRUE;
}

/* Values of every node, so that pol_why can walk down from the root. */
static void eval_all(const struct pol_expr *e, const struct pol_facts *facts,
                     enum pol_truth values[NODES_MAX])
{
    for (size_t i = 0; i < e->n; i++) {
        const struct node *node = &e->nodes[i];
        if (node->kind == NODE_TEST) {
            values[i] = eval_test(node, facts);
        } else if (node->kind == NODE_TAG) {
            values[i] = eval_tag(e, node, facts);
        } else if (node->kind == NODE_NOT) {
            values[i] = negate(values[i - 1]);
        } else {
            enum pol_truth a = values[e->nodes[i - 1].first - 1], b = values[i - 1];
            values[i] = node->kind == NODE_AND ? both(a, b)
                                               : negate(both(negate(a), negate(b)));
        }
    }
}

enum pol_truth pol_eval(const struct pol_expr *e, const struct pol_facts *facts)
{
    enum pol_truth values[NODES_MAX];
    eval_all(e, facts, values);
    return values[e->n - 1];
}

bool pol_mentions(const struct pol_expr *e, enum pol_name name)
{
    for (size_t i = 0; i < e->n; i++) {
        const struct node *node = &e->nodes[i];
        if (node->kind == NODE_TEST && ((node->left.is_name && node->left.name == name) ||
                                        (node->right.is_name && node->right.name == name)))
            return true;
    }
    return false;
}

struct tg_str pol_why(const struct pol_expr *e, const struct pol_facts *facts)
{
    enum pol_truth values[NODES_MAX];
    eval_all(e, facts, values);
    size_t i = e->n - 1;
    if (values[i] != POL_TRUE)
        return (struct tg_str){ e->text, 0 };
    /* Down to a test that has the value its parent needs; NOT turns what is looked for. */
    enum pol_truth wanted = POL_TRUE;
    while (e->nodes[i].kind != NODE_TEST && e->nodes[i].kind != NODE_TAG) {
        if (e->nodes[i].kind == NODE_NOT) {
            wanted = negate(wanted);
            i--;
            continue;
        }
        size_t left = e->nodes[i - 1].first - 1;
        i = values[left] == wanted ? left : i - 1;
    }
    return (struct tg_str){ e->text + e->nodes[i].at, e->nodes[i].n };
}
