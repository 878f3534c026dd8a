/* inspect: what a GGUF file holds, and whether its model will run here. Whatever stands in the file
 * is printed as harmless text. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "local_engine/cmd_common.h"
#include "local_engine/device.h"
#include "local_engine/inspect.h"

enum { VALUE_BYTES = 400, CONTEXT_MAX = 1 << 24 };

static const char usage[] =
    "usage: inspect [options] FILE\n"
    "What a GGUF file holds, what memory its model needs, and whether it will run here.\n"
    "      --context N       memory at a context of N tokens too; at most what the model\n"
    "                        was trained for\n"
    "      --precision NAME  of which memory is told: exact, fast or auto (default auto: fast)\n"
    "      --keys            all metadata\n"
    "      --tensors         all tensors\n"
    "      --json            the same as JSON\n"
    "  -h, --help            this text\n"
    "Exit status: 0 when the file could be read, whether or not its model runs here; 1 when it\n"
    "could not; 2 for wrong options.\n"
    "Example: tollgate inspect --context 65536 gemma-4-26B-A4B-it-Q4_0.gguf\n";

struct options {
    const char *file;
    uint32_t context;
    enum le_precision_choice precision;
    bool keys, tensors, json;
};

/* ---- as text ---- */

/* A key's value as in `--keys`, or what to say without it. */
static const char *value(const struct le_gguf *g, const char *key, char out[VALUE_BYTES],
                         const char *otherwise)
{
    struct le_gguf_key k;
    for (size_t i = 0; le_gguf_key_at(g, i, &k); i++)
        if (tg_str_eq(k.name, tg_str_of(key)) && le_gguf_value_print(g, i, out, VALUE_BYTES))
            return out;
    return otherwise;
}

static void print_count(uint64_t n)
{
    static const char *const units[] = { "", " K", " M", " B", " T" };
    double v = (double)n;
    size_t i = 0;
    for (; v >= 1000 && i + 1 < sizeof(units) / sizeof(*units); i++)
        v /= 1000;
    printf(i ? "%.2f%s" : "%.0f%s", v, units[i]);
}

/* S: sees a window of keys, G: all; small letters read another layer's keys and values. */
static void pattern_of(const struct le_params *p, char out[LE_LAYERS_MAX + 1])
{
    for (uint32_t i = 0; i < p->n_layers; i++) {
        const struct le_layer_params *l = &p->layer[i];
        out[i] = l->sliding ? l->owns_kv ? 'S' : 's' : l->owns_kv ? 'G' : 'g';
    }
    out[p->n_layers] = '\0';
}

static void print_range(const char *name, uint32_t a, uint32_t b)
{
    if (a == b)
        printf("%s %u", name, a);
    else
        printf("%s %u and %u", name, a, b);
}

static void print_shape(const struct le_params *p)
{
    char pattern[LE_LAYERS_MAX + 1];
    uint32_t kv[2] = { 0, 0 }, dim[2] = { 0, 0 }, least = UINT32_MAX, most = 0, moe = 0;
    pattern_of(p, pattern);
    for (uint32_t i = 0; i < p->n_layers; i++) {
        const struct le_layer_params *l = &p->layer[i];
        kv[l->sliding] = l->kv_heads;
        dim[l->sliding] = l->head_dim;
        least = l->ff < least ? l->ff : least;
        most = l->ff > most ? l->ff : most;
        moe += l->moe;
    }
    printf("layers      %u: %s\n", p->n_layers, pattern);
    printf("            S sees %u tokens back, G all; small: another layer's keys and values\n",
           p->window);
    printf("width       %u; ", p->n_embd);
    print_range("feed-forward", least, most);
    printf("; %u heads of %u (S) and %u (G), %u and %u for keys\n", p->n_heads, dim[1], dim[0],
           kv[1], kv[0]);
    if (moe)
        printf("experts     %u in each of %u layers, %u used, width %u\n", p->n_experts, moe,
               p->n_used, p->layer[0].expert_ff);
    if (p->ple)
        printf("embeddings  %u more for each layer\n", p->ple);
    printf("context     trained for %u\n", p->context_trained);
}

static void print_types(const struct le_inspection *o)
{
    char size[LE_SIZE_TEXT];
    for (uint32_t i = 0; i < o->n_types; i++) {
        const struct le_type_use *u = &o->type[i];
        printf("%-12s%-8s", i ? "" : "types", le_type_name(u->type));
        printf(u->tensors == 1 ? "%5" PRIu64 " tensor, " : "%5" PRIu64 " tensors, ", u->tensors);
        print_count(u->elements);
        printf(" elements, %s%s\n", u->known ? le_size_text(size, u->bytes) : "",
               u->known ? "" : "of a type that this version does not run");
    }
}

static void print_template(const struct le_template_info *t)
{
    if (t->known)
        printf("template    %s\n", t->known);
    else if (t->sha256[0])
        printf("template    %s (SHA-256 %s): answered by its marks, see the log of serve\n",
               t->old_gemma ? "of an older Gemma" : "not a known one", t->sha256);
    else
        printf("template    none: that of Gemma 4 is used\n");
    if (t->never_thinks)
        printf("thinking    never: it was not trained to\n");
}

static void print_memory(const struct le_inspection *o)
{
    char total[LE_SIZE_TEXT], weights[LE_SIZE_TEXT], kv[LE_SIZE_TEXT], rest[LE_SIZE_TEXT];
    if (o->place[0].plan[0].total)
        printf("memory      on      context      total    weights  keys, values    scratch\n");
    for (int k = 0; k < LE_PLACES; k++)
        for (uint32_t i = 0; i < o->n_contexts && o->place[k].plan[i].total; i++) {
            const struct le_plan *p = &o->place[k].plan[i];
            printf("            %-7s %7u %10s %10s    %10s %10s\n", i ? "" : o->place[k].name,
                   o->context[i], le_size_text(total, p->total),
                   le_size_text(weights, p->weights), le_size_text(kv, p->kv),
                   le_size_text(rest, p->scratch + p->logits));
        }
}

static void print_places(const struct le_inspection *o)
{
    char size[LE_SIZE_TEXT];
    for (int k = 0; k < LE_PLACES; k++) {
        const struct le_place *p = &o->place[k];
        printf("%-12s%-7s ", k ? "" : "runs here", p->name);
        if (p->runs)
            printf("yes, at context %u: %s free on %s\n", o->context_default,
                   le_size_text(size, p->available), p->device);
        else
            printf("no: %s\n", p->why.text);
    }
}

static void print_keys(const struct le_gguf *g)
{
    struct le_gguf_key k;
    char text[VALUE_BYTES];
    printf("\n");
    for (size_t i = 0; le_gguf_key_at(g, i, &k); i++) {
        le_gguf_value_print(g, i, text, sizeof(text));
        printf("%.*s = %s\n", TG_FMT(k.name), text);
    }
}

static void print_tensors(const struct le_gguf *g)
{
    printf("\n");
    for (size_t i = 0; i < le_gguf_n_tensors(g); i++) {
        const struct le_tensor *t = le_gguf_tensor_at(g, i);
        printf("%-36.*s %-7s", TG_FMT(t->name), le_type_name(t->type));
        for (uint32_t d = 0; d < t->n_dims; d++)
            printf("%s%" PRIu64, d ? " x " : " ", t->ne[d]);
        printf("\n");
    }
}

static void print_text(const struct options *opt, const struct le_gguf *g,
                       const struct le_inspection *o)
{
    char text[VALUE_BYTES], size[LE_SIZE_TEXT];
    size_t parts = le_gguf_n_parts(g);
    printf("file        %s: %s in %zu file%s\n", le_gguf_path(g),
           le_size_text(size, le_gguf_file_size(g)), parts, parts == 1 ? "" : "s");
    printf("name        %s\n", value(g, "general.name", text, "none"));
    printf("arch        %s\n", value(g, "general.architecture", text, "none"));
    printf("parameters  ");
    print_count(o->elements);
    printf(" in %zu tensors\n", le_gguf_n_tensors(g));
    if (o->has_params)
        print_shape(&o->params);
    print_types(o);
    printf("tokenizer   %s, ", value(g, "tokenizer.ggml.model", text, "none"));
    printf(o->n_tokens ? "%u tokens\n" : "not one that this version can use\n", o->n_tokens);
    print_template(&o->template);
    print_memory(o);
    print_places(o);
    if (opt->keys)
        print_keys(g);
    if (opt->tensors)
        print_tensors(g);
}

/* ---- as JSON ---- */

static void json_text(struct tg_buf *b, const char *name, struct tg_str text)
{
    tg_buf_addf(b, "\"%s\":", name);
    tg_buf_add_json(b, text);
}

static void json_string_key(struct tg_buf *b, const char *name, const struct le_gguf *g,
                            const char *key)
{
    struct tg_str text;
    if (le_gguf_string(g, key, &text, NULL))
        tg_buf_addf(b, "\"%s\":null", name);
    else
        json_text(b, name, text);
    tg_buf_addc(b, ',');
}

static void json_layers(struct tg_buf *b, const struct le_params *p)
{
    char pattern[LE_LAYERS_MAX + 1];
    pattern_of(p, pattern);
    tg_buf_addf(b, "\"hyperparameters\":{\"layers\":%u,\"pattern\":\"%s\",\"width\":%u,"
                "\"heads\":%u,\"window\":%u,\"vocabulary\":%u,\"context\":%u,"
                "\"perLayerEmbedding\":%u,\"experts\":%u,\"expertsUsed\":%u},", p->n_layers,
                pattern, p->n_embd, p->n_heads, p->window, p->n_vocab, p->context_trained, p->ple,
                p->n_experts, p->n_used);
}

static void json_types(struct tg_buf *b, const struct le_inspection *o)
{
    tg_buf_adds(b, "\"types\":[");
    for (uint32_t i = 0; i < o->n_types; i++) {
        const struct le_type_use *u = &o->type[i];
        tg_buf_addf(b, "%s{\"type\":\"%s\",\"runs\":%s,\"tensors\":%" PRIu64 ",\"elements\":%"
                    PRIu64 ",\"bytes\":%" PRIu64 "}", i ? "," : "", le_type_name(u->type),
                    u->known ? "true" : "false", u->tensors, u->elements, u->bytes);
    }
    tg_buf_adds(b, "],");
}

static void json_place(struct tg_buf *b, const struct le_inspection *o, const struct le_place *p)
{
    tg_buf_addf(b, "{\"name\":\"%s\",\"present\":%s,", p->name, p->present ? "true" : "false");
    json_text(b, "device", tg_str_of(p->device));
    if (p->present)
        tg_buf_addf(b, ",\"available\":%" PRIu64, p->available);
    tg_buf_addf(b, ",\"runs\":%s", p->runs ? "true" : "false");
    if (!p->runs) {
        tg_buf_addc(b, ',');
        json_text(b, "why", tg_str_of(p->why.text));
    }
    tg_buf_adds(b, ",\"memory\":[");
    for (uint32_t i = 0; i < o->n_contexts && p->plan[i].total; i++) {
        const struct le_plan *q = &p->plan[i];
        tg_buf_addf(b, "%s{\"context\":%u,\"total\":%" PRIu64 ",\"weights\":%" PRIu64
                    ",\"mapped\":%" PRIu64 ",\"keysAndValues\":%" PRIu64 ",\"scratch\":%" PRIu64
                    "}", i ? "," : "", o->context[i], q->total, q->weights, q->mapped, q->kv,
                    q->scratch + q->logits);
    }
    tg_buf_adds(b, "]}");
}

static void json_keys(struct tg_buf *b, const struct le_gguf *g)
{
    struct le_gguf_key k;
    char text[VALUE_BYTES];
    tg_buf_adds(b, ",\"keys\":[");
    for (size_t i = 0; le_gguf_key_at(g, i, &k); i++) {
        le_gguf_value_print(g, i, text, sizeof(text));
        tg_buf_adds(b, i ? ",{" : "{");
        json_text(b, "name", k.name);
        tg_buf_addf(b, ",\"type\":\"%s\",\"count\":%" PRIu64 ",", le_gguf_value_name(k.type),
                    k.count);
        json_text(b, "value", tg_str_of(text));
        tg_buf_addc(b, '}');
    }
    tg_buf_addc(b, ']');
}

static void json_tensors(struct tg_buf *b, const struct le_gguf *g)
{
    tg_buf_adds(b, ",\"tensors\":[");
    for (size_t i = 0; i < le_gguf_n_tensors(g); i++) {
        const struct le_tensor *t = le_gguf_tensor_at(g, i);
        tg_buf_adds(b, i ? ",{" : "{");
        json_text(b, "name", t->name);
        tg_buf_addf(b, ",\"type\":\"%s\",\"shape\":[", le_type_name(t->type));
        for (uint32_t d = 0; d < t->n_dims; d++)
            tg_buf_addf(b, "%s%" PRIu64, d ? "," : "", t->ne[d]);
        tg_buf_adds(b, "]}");
    }
    tg_buf_addc(b, ']');
}

static enum tg_status print_json(const struct options *opt, const struct le_gguf *g,
                                 const struct le_inspection *o)
{
    struct tg_buf b;
    tg_buf_init(&b, (size_t)1 << 30);
    tg_buf_addc(&b, '{');
    json_text(&b, "file", tg_str_of(le_gguf_path(g)));
    tg_buf_addf(&b, ",\"bytes\":%" PRIu64 ",\"files\":%zu,", le_gguf_file_size(g),
                le_gguf_n_parts(g));
    json_string_key(&b, "name", g, "general.name");
    json_string_key(&b, "architecture", g, "general.architecture");
    tg_buf_addf(&b, "\"parameters\":%" PRIu64 ",", o->elements);
    if (o->has_params)
        json_layers(&b, &o->params);
    json_types(&b, o);
    json_string_key(&b, "tokenizer", g, "tokenizer.ggml.model");
    tg_buf_addf(&b, "\"tokens\":%u,\"template\":{", o->n_tokens);
    json_text(&b, "known", tg_str_of(o->template.known ? o->template.known : ""));
    tg_buf_addf(&b, ",\"sha256\":\"%s\"},\"thinks\":%s,\"understood\":%s,", o->template.sha256,
                o->template.never_thinks ? "false" : "true", o->status ? "false" : "true");
    json_text(&b, "why", tg_str_of(o->status ? o->why.text : ""));
    tg_buf_adds(&b, ",\"places\":[");
    for (int k = 0; k < LE_PLACES; k++) {
        tg_buf_adds(&b, k ? "," : "");
        json_place(&b, o, &o->place[k]);
    }
    tg_buf_addc(&b, ']');
    if (opt->keys)
        json_keys(&b, g);
    if (opt->tensors)
        json_tensors(&b, g);
    tg_buf_adds(&b, "}\n");
    if (!b.failed)
        fwrite(b.p, 1, b.n, stdout);
    enum tg_status st = b.failed;
    tg_buf_free(&b);
    return st;
}

/* ---- the command ---- */

/* The exit status. */
static int inspect(const struct options *o, struct tg_error *err)
{
    const struct le_device_options device = { .precision = o->precision };
    struct le_gguf *g = NULL;
    struct le_inspection *found = tg_calloc(1, sizeof(*found));
    enum tg_status st = found ? le_gguf_open(o->file, &g, err)
                              : tg_fail(err, TG_NOMEM, "out of memory");
    int status = 1;
    if (!st) {
        st = le_inspect(g, le_device_precision(&device), o->context, found, err);
        status = st == TG_INVALID ? 2 : 1; /* --context */
    }
    if (!st && o->json)
        st = print_json(o, g, found) ? tg_fail(err, TG_NOMEM, "out of memory") : TG_OK;
    else if (!st)
        print_text(o, g, found);
    le_gguf_close(g);
    tg_free(found);
    return st ? status : 0;
}

int le_cmd_inspect(int argc, char **argv)
{
    struct options o = { .file = NULL };
    struct tg_error err = { .text = "" };
    const struct le_option options[] = {
        { "--context", NULL, LE_OPTION_U32, &o.context, NULL, 1, CONTEXT_MAX },
        { "--precision", NULL, LE_OPTION_PRECISION, &o.precision, NULL, 0, 0 },
        { "--keys", NULL, LE_OPTION_FLAG, &o.keys, NULL, 0, 0 },
        { "--tensors", NULL, LE_OPTION_FLAG, &o.tensors, NULL, 0, 0 },
        { "--json", NULL, LE_OPTION_FLAG, &o.json, NULL, 0, 0 },
    };
    const struct le_command command = { "inspect", usage, options,
                                        sizeof(options) / sizeof(*options), &o.file };
    enum le_args args = le_args_parse(&command, argc, argv);
    if (args != LE_ARGS_RUN)
        return args == LE_ARGS_HELP ? 0 : 2;
    if (!o.file) {
        fprintf(stderr, "inspect: name a GGUF file: inspect FILE\n");
        return 2;
    }
    int status = inspect(&o, &err);
    if (status) {
        fprintf(stderr, "inspect: %s\n", err.text);
        return status;
    }
    return le_cmd_flush("inspect") ? 0 : 1;
}
