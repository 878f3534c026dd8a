/* Tool declarations and arguments in Gemma's own syntax. The order of fields and the quirks of
 * types follow the model's template, macro by macro. */
#include "local_engine/template_internal.h"

enum { ARENA_MAX = 1 << 28 };

struct context {
    struct le_writer *w;
    struct tg_arena *arena;
};

static void fail(struct context *c, enum tg_status status)
{
    if (!c->w->status)
        c->w->status = status;
}

static const struct le_json **sorted(struct context *c, const struct le_json *object)
{
    static const struct le_json *const none[1];
    const struct le_json **members = NULL;
    if (c->w->status) /* nothing is written any more: no deeper */
        return (const struct le_json **)(uintptr_t)none;
    members = le_json_sorted(c->arena, object);
    if (members)
        return members;
    fail(c, TG_NOMEM);
    return (const struct le_json **)(uintptr_t)none;
}

/* "," before every item but the first. */
static void comma(struct context *c, bool *some)
{
    if (*some)
        le_write_literal(c->w, ",");
    *some = true;
}

static void write_upper(struct context *c, struct tg_str s)
{
    for (size_t i = 0; i < s.n;) {
        char chunk[256];
        size_t n = 0;
        for (; n < sizeof(chunk) && i < s.n; n++, i++)
            chunk[n] = s.p[i] >= 'a' && s.p[i] <= 'z' ? (char)(s.p[i] - 32) : s.p[i];
        le_write_text(c->w, (struct tg_str){ chunk, n });
    }
}

/* [<|"|>STRING<|"|>,<|"|>NULL<|"|>] */
static void write_type_list(struct context *c, const struct le_json *list)
{
    bool some = false;
    le_write_literal(c->w, "[");
    for (const struct le_json *item = list->first; item; item = item->next) {
        comma(c, &some);
        le_write_mark(c->w, LE_MARK_QUOTE);
        write_upper(c, item->text);
        le_write_mark(c->w, LE_MARK_QUOTE);
    }
    le_write_literal(c->w, "]");
}

/* Most templates have str(v).upper() in Python, which shows for lists: ['STRING', 'NULL']. */
static void write_type(struct context *c, const struct le_json *v)
{
    bool some = false;
    if (c->w->style.type_lists && le_json_is(v, LE_JSON_ARRAY)) {
        write_type_list(c, v);
        return;
    }
    le_write_mark(c->w, LE_MARK_QUOTE);
    if (le_json_is(v, LE_JSON_STRING))
        write_upper(c, v->text);
    if (le_json_is(v, LE_JSON_ARRAY)) {
        le_write_literal(c->w, "[");
        for (const struct le_json *item = v->first; item; item = item->next) {
            le_write_literal(c->w, some ? ", '" : "'");
            write_upper(c, item->text);
            le_write_literal(c->w, "'");
            some = true;
        }
        le_write_literal(c->w, "]");
    }
    le_write_mark(c->w, LE_MARK_QUOTE);
}

/* Whether a schema is of that type, or with type_lists may be. */
static bool type_is(const struct context *c, const struct le_json *schema, const char *upper)
{
    const struct le_json *type = le_json_get(schema, "type");
    if (c->w->style.type_lists && le_json_is(type, LE_JSON_ARRAY))
        for (const struct le_json *item = type->first; item; item = item->next)
            if (le_json_is(item, LE_JSON_STRING) && tg_str_ieq(item->text, tg_str_of(upper)))
                return true;
    return le_json_is(type, LE_JSON_STRING) && tg_str_ieq(type->text, tg_str_of(upper));
}

/* format_argument */
static void write_argument(struct context *c, const struct le_json *v, bool quote_keys)
{
    bool some = false;
    switch (v->kind) {
    case LE_JSON_STRING:
        le_write_quoted(c->w, v->text);
        break;
    case LE_JSON_TRUE:
    case LE_JSON_FALSE:
        le_write_literal(c->w, v->kind == LE_JSON_TRUE ? "true" : "false");
        break;
    case LE_JSON_OBJECT:
        le_write_literal(c->w, "{");
        for (const struct le_json **m = sorted(c, v); *m; m++) {
            comma(c, &some);
            if (quote_keys)
                le_write_quoted(c->w, (*m)->key);
            else
                le_write_text(c->w, (*m)->key);
            le_write_literal(c->w, ":");
            write_argument(c, *m, quote_keys);
        }
        le_write_literal(c->w, "}");
        break;
    case LE_JSON_ARRAY:
        le_write_literal(c->w, "[");
        for (const struct le_json *item = v->first; item; item = item->next) {
            comma(c, &some);
            write_argument(c, item, quote_keys);
        }
        le_write_literal(c->w, "]");
        break;
    case LE_JSON_NUMBER:
        le_write_text(c->w, v->text);
        break;
    case LE_JSON_NULL:
        le_write_literal(c->w, c->w->style.null_word ? "null" : "None");
        break;
    }
}

/* [<|"|>a<|"|>,...] of a list of names. */
static void write_names(struct context *c, const struct le_json *list)
{
    bool some = false;
    le_write_literal(c->w, "required:[");
    for (const struct le_json *v = list->first; v; v = v->next) {
        comma(c, &some);
        le_write_quoted(c->w, v->text);
    }
    le_write_literal(c->w, "]");
}

/* What an object schema without "properties", which stands in for them, has that are no parameters:
 * its keywords, and what was written before. Written twice, a schema inside would double the output
 * at each of its levels. */
enum { KEYWORDS = 1, ITEMS = 2, VALUES = 4 };

/* skip: some of these; 0: properties are properties. */
static void write_parameters(struct context *c, const struct le_json *properties, unsigned skip);

static void write_item_type(struct context *c, const struct le_json *v)
{
    le_write_literal(c->w, "type:");
    if (le_json_is(v, LE_JSON_ARRAY))
        write_type_list(c, v);
    else
        write_type(c, v);
}

static void write_items(struct context *c, const struct le_json *items)
{
    bool some = false;
    le_write_literal(c->w, "items:{");
    for (const struct le_json **m = sorted(c, items); *m; m++) {
        const struct le_json *v = *m;
        if (v->kind == LE_JSON_NULL)
            continue;
        comma(c, &some);
        if (tg_str_eq(v->key, TG_STR("properties"))) {
            le_write_literal(c->w, "properties:{");
            if (v->kind == LE_JSON_OBJECT)
                write_parameters(c, v, 0);
            le_write_literal(c->w, "}");
        } else if (tg_str_eq(v->key, TG_STR("required"))) {
            write_names(c, v);
        } else if (tg_str_eq(v->key, TG_STR("type"))) {
            write_item_type(c, v);
        } else {
            le_write_text(c->w, v->key);
            le_write_literal(c->w, ":");
            write_argument(c, v, true);
        }
    }
    le_write_literal(c->w, "}");
}

static void write_object_fields(struct context *c, const struct le_json *schema, unsigned written,
                                bool *some)
{
    const struct le_json *properties = le_json_get(schema, "properties");
    const struct le_json *required = le_json_get(schema, "required");
    bool has = le_json_is(properties, LE_JSON_OBJECT);
    comma(c, some);
    le_write_literal(c->w, "properties:{");
    write_parameters(c, has ? properties : schema, has ? 0 : KEYWORDS | written);
    le_write_literal(c->w, "}");
    if (le_json_truthy(required)) {
        comma(c, some);
        write_names(c, required);
    }
}

/* The inside of one property's braces. */
static void write_property(struct context *c, const struct le_json *schema)
{
    const struct le_json *description = le_json_get(schema, "description");
    const struct le_json *values = le_json_get(schema, "enum");
    const struct le_json *items = le_json_get(schema, "items");
    unsigned written = 0;
    bool some = false;
    if (le_json_truthy(description)) {
        comma(c, &some);
        le_write_literal(c->w, "description:");
        le_write_quoted(c->w, description->text);
    }
    if (type_is(c, schema, "STRING") && le_json_truthy(values)) {
        comma(c, &some);
        le_write_literal(c->w, "enum:");
        write_argument(c, values, true);
        written |= VALUES;
    }
    if (type_is(c, schema, "ARRAY") && le_json_is(items, LE_JSON_OBJECT) && items->n) {
        comma(c, &some);
        write_items(c, items);
        written |= ITEMS;
    }
    if (le_json_truthy(le_json_get(schema, "nullable"))) {
        comma(c, &some);
        le_write_literal(c->w, "nullable:true");
    }
    if (type_is(c, schema, "OBJECT"))
        write_object_fields(c, schema, written, &some);
    comma(c, &some);
    le_write_literal(c->w, "type:");
    write_type(c, le_json_get(schema, "type"));
}

static bool is_skipped(struct tg_str key, unsigned skip)
{
    static const struct {
        const char *key;
        unsigned skip;
    } words[] = {
        { "description", KEYWORDS }, { "type", KEYWORDS },     { "properties", KEYWORDS },
        { "required", KEYWORDS },    { "nullable", KEYWORDS }, { "items", ITEMS },
        { "enum", VALUES },
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (skip & words[i].skip && tg_str_eq(key, tg_str_of(words[i].key)))
            return true;
    return false;
}

static void write_parameters(struct context *c, const struct le_json *properties, unsigned skip)
{
    bool some = false;
    for (const struct le_json **m = sorted(c, properties); *m; m++) {
        if (is_skipped((*m)->key, skip))
            continue;
        comma(c, &some);
        le_write_text(c->w, (*m)->key);
        le_write_literal(c->w, ":{");
        write_property(c, *m);
        le_write_literal(c->w, "}");
    }
}

/* An object from JSON text; NULL when the text is empty, or on failure, which is noted. */
static const struct le_json *read_object(struct context *c, struct tg_str text)
{
    struct le_json *v = NULL;
    if (text.n == 0)
        return NULL;
    enum tg_status status = le_json_read(c->arena, text, &v);
    if (!status && v->kind != LE_JSON_OBJECT)
        status = TG_INVALID;
    if (!status)
        return v;
    fail(c, status);
    return NULL;
}

static void write_schema(struct context *c, const struct le_json *schema)
{
    const struct le_json *properties = le_json_get(schema, "properties");
    const struct le_json *required = le_json_get(schema, "required");
    const struct le_json *type = le_json_get(schema, "type");
    le_write_literal(c->w, ",parameters:{");
    if (le_json_is(properties, LE_JSON_OBJECT) && properties->n) {
        le_write_literal(c->w, "properties:{");
        write_parameters(c, properties, 0);
        le_write_literal(c->w, "},");
    }
    if (le_json_truthy(required)) {
        write_names(c, required);
        le_write_literal(c->w, ",");
    }
    le_write_literal(c->w, "type:");
    if (le_json_truthy(type))
        write_type(c, type);
    else
        le_write_quoted(c->w, TG_STR("OBJECT"));
    le_write_literal(c->w, "}");
}

static void write_response(struct context *c, const struct le_json *schema)
{
    const struct le_json *description = le_json_get(schema, "description");
    bool described = le_json_truthy(description), some = false;
    le_write_literal(c->w, ",response:{");
    if (described) {
        comma(c, &some);
        le_write_literal(c->w, "description:");
        le_write_quoted(c->w, description->text);
    }
    if (type_is(c, schema, "OBJECT")) {
        comma(c, &some);
        le_write_literal(c->w, "type:");
        write_type(c, le_json_get(schema, "type"));
    }
    le_write_literal(c->w, "}");
}

void le_write_declaration(struct le_writer *w, const struct le_tool *tool)
{
    struct context c = { w, tg_arena_new(ARENA_MAX) };
    if (!c.arena) {
        fail(&c, TG_NOMEM);
        return;
    }
    le_write_literal(w, "declaration:");
    le_write_text(w, tool->name);
    le_write_literal(w, "{description:");
    le_write_quoted(w, tool->description);
    const struct le_json *parameters = read_object(&c, tool->parameters);
    const struct le_json *response = read_object(&c, tool->response);
    if (le_json_truthy(parameters))
        write_schema(&c, parameters);
    if (response)
        write_response(&c, response);
    le_write_literal(w, "}");
    tg_arena_free(c.arena);
}

void le_write_arguments(struct le_writer *w, struct tg_str json)
{
    struct context c = { w, tg_arena_new(ARENA_MAX) };
    struct le_json *v = NULL;
    bool some = false;
    enum tg_status status = c.arena ? le_json_read(c.arena, json, &v) : TG_NOMEM;
    if (status == TG_INVALID || (!status && v->kind != LE_JSON_OBJECT)) {
        le_write_text(w, json);
    } else if (status) {
        fail(&c, status);
    } else {
        for (const struct le_json **m = sorted(&c, v); *m; m++) {
            comma(&c, &some);
            le_write_text(w, (*m)->key);
            le_write_literal(w, ":");
            write_argument(&c, *m, false);
        }
    }
    tg_arena_free(c.arena);
}
