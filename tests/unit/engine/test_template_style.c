/* The templates that released files carry: which one a file has, and that each is written byte by
 * byte as it would itself (tests/golden/render-styles.json). */
#include "config/base/alloc.h"
#include "config/base/log.h"
#include "local_engine/template.h"
#include "tests/unit/check.h"
#include "tests/unit/engine/support_chat.h"
#include "tests/unit/engine/support_gguf.h"
#include "tests/unit/engine/support_text.h"

#include <stdlib.h>
#include <unistd.h>

/* A file with nothing but a template (NULL: without) and a width of per-layer embeddings. */
static void put_file(struct tg_buf *b, struct tg_str template, uint32_t per_layer)
{
    tg_buf_init(b, 1 << 20);
    gguf_put_header(b, 0, template.p ? 2 : 1);
    gguf_put_key(b, "gemma4.embedding_length_per_layer_input", LE_GGUF_U32);
    gguf_put(b, per_layer, 4);
    if (template.p) {
        gguf_put_key(b, "tokenizer.chat_template", LE_GGUF_STRING);
        gguf_put(b, template.n, 8);
        tg_buf_add(b, template.p, template.n);
    }
    gguf_pad(b, 32);
}

static struct le_template_info read_template(struct tg_str template, uint32_t per_layer)
{
    struct tg_buf b;
    struct le_gguf *g;
    struct tg_error err;
    struct le_template_info info;
    put_file(&b, template, per_layer);
    CHECK_INT(le_gguf_open_memory("made-up", b.p, b.n, &g, &err), TG_OK);
    CHECK_INT(le_template_read(g, &info, &err), TG_OK);
    le_gguf_close(g);
    tg_buf_free(&b);
    return info;
}

/* The template of the bundled model. */
static void bundled(struct tg_buf *text)
{
    struct le_gguf *g;
    struct tg_error err;
    struct tg_str s;
    CHECK_INT(le_gguf_open(TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf", &g, &err), TG_OK);
    CHECK_INT(le_gguf_string(g, "tokenizer.chat_template", &s, &err), TG_OK);
    tg_buf_init(text, 1 << 20);
    tg_buf_add(text, s.p, s.n);
    le_gguf_close(g);
}

static bool same_style(struct le_template_style a, struct le_template_style b)
{
    return memcmp(&a, &b, sizeof(a)) == 0; /* bools only: no padding */
}

static const struct le_template_style k_default = { .bare_prompt = false };

static void known_by_its_hash(void)
{
    struct tg_buf text;
    bundled(&text);
    struct le_template_info info = read_template(tg_buf_str(&text), 256);
    CHECK_STR(info.sha256, le_template_default_sha256());
    CHECK(info.known && strstr(info.known, "2026-04-10"));
    CHECK(same_style(info.style, k_default)); /* whatever the model's embeddings say */
    CHECK(same_style(le_template_detect(tg_buf_str(&text)), k_default));
    text.n--; /* the newline at its end */
    info = read_template(tg_buf_str(&text), 0);
    CHECK(strcmp(info.sha256, le_template_default_sha256()) != 0);
    CHECK(info.known && strstr(info.known, "2026-04-10"));
    text.n--;
    CHECK(read_template(tg_buf_str(&text), 0).known == NULL);
    tg_buf_free(&text);
}

static void no_template(void)
{
    struct le_template_info info = read_template((struct tg_str){ 0 }, 0);
    CHECK(info.known == NULL && !info.old_gemma);
    CHECK_STR(info.sha256, "");
    CHECK(same_style(info.style, k_default));
    info = read_template((struct tg_str){ 0 }, 256);
    CHECK(info.style.bare_prompt);
    struct tg_error err;
    struct le_gguf *g;
    struct tg_buf b; /* a template that is no string */
    tg_buf_init(&b, 4096);
    gguf_put_header(&b, 0, 1);
    gguf_put_key(&b, "tokenizer.chat_template", LE_GGUF_U32);
    gguf_put(&b, 1, 4);
    gguf_pad(&b, 32);
    CHECK_INT(le_gguf_open_memory("made-up", b.p, b.n, &g, &err), TG_OK);
    CHECK_INT(le_template_read(g, &info, &err), TG_INVALID);
    CHECK(strstr(err.text, "tokenizer.chat_template"));
    le_gguf_close(g);
    tg_buf_free(&b);
}

/* A file with nothing but that key, of that type. */
static enum tg_status read_thinking(uint32_t type, uint64_t value, bool *never,
                                    struct tg_error *err)
{
    struct le_template_info info = { .never_thinks = false };
    struct le_gguf *g;
    struct tg_buf b;
    tg_buf_init(&b, 4096);
    gguf_put_header(&b, 0, 1);
    gguf_put_key(&b, "tollgate.thinking", type);
    gguf_put(&b, value, type == LE_GGUF_BOOL ? 1 : 4);
    gguf_pad(&b, 32);
    CHECK_INT(le_gguf_open_memory("made-up", b.p, b.n, &g, err), TG_OK);
    enum tg_status status = le_template_read(g, &info, err);
    *never = info.never_thinks;
    le_gguf_close(g);
    tg_buf_free(&b);
    return status;
}

static void a_model_may_never_think(void)
{
    struct tg_error err;
    bool never;
    CHECK(!read_template((struct tg_str){ 0 }, 0).never_thinks);
    CHECK_INT(read_thinking(LE_GGUF_BOOL, 0, &never, &err), TG_OK);
    CHECK(never);
    CHECK_INT(read_thinking(LE_GGUF_BOOL, 1, &never, &err), TG_OK);
    CHECK(!never);
    CHECK_INT(read_thinking(LE_GGUF_U32, 1, &never, &err), TG_INVALID);
    CHECK(strstr(err.text, "tollgate.thinking"));
}

/* The bundled template with one piece replaced by another. */
static struct le_template_style replaced(const char *from, const char *to)
{
    struct tg_buf text, out;
    bundled(&text);
    char *at = memmem(text.p, text.n, from, strlen(from));
    if (!at)
        CHECK_FAIL("the template has no %s", from);
    tg_buf_init(&out, 1 << 20);
    tg_buf_add(&out, text.p, (size_t)(at - text.p));
    tg_buf_adds(&out, to);
    at += strlen(from);
    tg_buf_add(&out, at, (size_t)(text.p + text.n - at));
    struct le_template_info info = read_template(tg_buf_str(&out), 0);
    CHECK(info.known == NULL && info.sha256[0] && !info.old_gemma);
    tg_buf_free(&text);
    tg_buf_free(&out);
    return info.style;
}

#define STYLE(...) ((struct le_template_style){ __VA_ARGS__ })

/* Copies of the known template that someone changed: each change is found by its own marks. */
static void styles_of_unknown_templates(void)
{
    static const struct {
        const char *from, *to;
        struct le_template_style style;
    } changes[] = {
        { "{#- Loop", "{#- A loop", { .bare_prompt = false } },
        { "<|channel>thought\\n<channel|>", "", { .bare_prompt = true } },
        { "<|think|>\\n", "<|think|>", { .think_inline = true } },
        { "'<|image|>'", "'\\n\\n<|image|>\\n\\n'", { .media_lines = true } },
        { "{{- messages[0]['content'] | trim -}}", "{{- item['text'] | trim + ' ' -}}",
          { .spaced_system = true } },
        { "not message.get('content')", "not has_content", { .blank_is_empty = true } },
        { "ns_txt.s) -}}", "ns_txt.s) -}}{{- '<|image|>' -}}", { .result_media = true } },
        { "{%- if argument is string -%}", "{%- if argument is none -%}{{- 'null' -}}",
          { .null_word = true } },
        { "thinking_text and", "thinking_gate and", { .all_reasoning = true } },
        { "{%- endfor -%}\n\n{%- if add_gen", "{%- set continues_into_next = 1 -%}{%- if add_gen",
          { .joined_turns = true } },
        { "{%- if add_generation_prompt -%}",
          "{%- if ns.prev_message_type == 'tool_response' and enable_thinking -%}",
          { .thought_cue = true } },
        { "{{ value['type'] | upper }}", "{{ format_type_argument(value['type']) }}",
          { .type_lists = true } },
    };
    for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++)
        if (!same_style(replaced(changes[i].from, changes[i].to), changes[i].style))
            CHECK_FAIL("\"%s\" for \"%s\" is not recognised", changes[i].to, changes[i].from);
}

/* What the log says of a file, "" when nothing. */
static struct tg_buf logged(const struct le_template_info *info)
{
    char path[] = "/tmp/tollgate-test-log-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    unlink(path);
    tg_log_set_fd(fd);
    le_template_warn(info, "model.gguf");
    tg_log_set_fd(2);
    struct tg_buf out;
    char chunk[4096];
    ssize_t n = pread(fd, chunk, sizeof(chunk), 0);
    close(fd);
    CHECK(n >= 0);
    tg_buf_init(&out, 1 << 16);
    tg_buf_add(&out, chunk, (size_t)n);
    tg_buf_adds(&out, "");
    return out;
}

static void unknown_templates_are_logged(void)
{
    static const struct {
        const char *template, *event;
    } files[] = {
        { NULL, "" },
        { "{{ bos_token }}<|turn>user\n", "\"template-unknown\"" },
        { "", "\"template-unknown\"" },
        { "{{ bos_token }}<start_of_turn>user\n", "\"template-foreign\"" },
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        struct le_template_info info = read_template(tg_str_of(files[i].template), 0);
        struct tg_buf text = logged(&info);
        if (!files[i].event[0]) {
            CHECK_INT(text.n, 0);
        } else {
            CHECK(strstr(text.p, files[i].event) && strstr(text.p, "\"warn\""));
            CHECK(strstr(text.p, info.sha256) && strstr(text.p, le_template_default_sha256()));
            CHECK(strstr(text.p, "model.gguf") && strchr(text.p, '\n') == text.p + text.n - 1);
        }
        tg_buf_free(&text);
    }
    struct tg_buf text, none;
    bundled(&text);
    struct le_template_info info = read_template(tg_buf_str(&text), 0);
    none = logged(&info);
    CHECK_INT(none.n, 0);
    tg_buf_free(&text);
    tg_buf_free(&none);
}

/* An older Gemma's template says nothing about this model: the default is written. */
static void older_gemma(void)
{
    struct le_template_info info = read_template(TG_STR("<start_of_turn>{{ '<|think|>' }}"), 256);
    CHECK(info.old_gemma && info.known == NULL);
    CHECK(same_style(info.style, STYLE(.bare_prompt = true)));
    info = read_template(TG_STR("{# not <start_of_turn> #}<|turn>"), 0);
    CHECK(!info.old_gemma);
}

static struct le_template_style style_of(const char *name)
{
    bool first = strstr(name, "2604-02"), july = strstr(name, "2607"), may = strstr(name, "2605");
    bool parts = july || may || strstr(name, "2604-28");
    return STYLE(.bare_prompt = strstr(name, "small") != NULL, .think_inline = first,
                 .media_lines = first, .spaced_system = parts, .blank_is_empty = parts,
                 .result_media = july || may, .null_word = july, .all_reasoning = july,
                 .joined_turns = july, .thought_cue = july);
}

/* Two cases of one name do not exist in a file. */
static const struct tg_json *find_case(const struct tg_json *cases, struct tg_str name)
{
    const struct tg_json *c = tg_json_first(cases);
    while (c && !tg_str_eq(text_member(c, "name"), name))
        c = tg_json_next(c);
    CHECK(c != NULL);
    return c;
}

/* One prompt of a case, by each template that gives it. */
static size_t check_prompt(struct le_chat *chat, const struct tg_json *entry, const char *name)
{
    size_t n = 0;
    const struct tg_json *v = tg_json_first(tg_json_get(entry, "templates"));
    for (; v; v = tg_json_next(v), n++) {
        struct tg_str template, want = text_member(entry, "prompt");
        struct tg_buf got;
        CHECK(tg_json_string(v, &template));
        chat->style = style_of(template.p);
        tg_buf_init(&got, 1 << 20);
        CHECK_INT(le_template_render(chat, &got), TG_OK);
        if (!tg_str_eq(tg_buf_str(&got), want))
            CHECK_FAIL("case \"%s\", template %.*s:\nwant %.*s\ngot  %s", name, TG_FMT(template),
                       TG_FMT(want), got.p);
        tg_buf_free(&got);
    }
    return n;
}

static void golden_prompts_of_every_template(void)
{
    struct tg_json *golden = text_golden("render-styles.json");
    struct tg_json *base = text_golden("render.json");
    struct tg_json *more = text_golden("render-styles-cases.json");
    size_t n = 0, prompts = 0;
    const struct tg_json *c = tg_json_first(tg_json_get(golden, "cases"));
    for (; c; c = tg_json_next(c), n++) {
        bool is_base = tg_str_eq(text_member(c, "source"), TG_STR("render.json"));
        char *name = text_member_dup(c, "name");
        struct chat_golden g;
        chat_golden_read(&g, find_case(tg_json_get(is_base ? base : more, "cases"),
                                       text_member(c, "name")));
        const struct tg_json *entry = tg_json_first(tg_json_get(c, "prompts"));
        CHECK(entry != NULL);
        for (; entry; entry = tg_json_next(entry))
            prompts += check_prompt(&g.chat, entry, name);
        tg_free(name);
        chat_golden_free(&g);
    }
    CHECK_INT(n, 90);
    CHECK_INT(prompts, 968);
    tg_json_free(golden);
    tg_json_free(base);
    tg_json_free(more);
}

#define Q "<|\"|>"

/* Templates with format_type_argument: a list of types stays one, and its members count. */
static void lists_of_types(void)
{
    struct le_message m = { .role = LE_ROLE_USER, .text = TG_STR("u") };
    struct le_tool tool = {
        TG_STR("f"), TG_STR("d"),
        TG_STR("{\"type\":[\"object\",\"null\"],\"properties\":{\"x\":{\"type\":[\"string\","
               "\"null\"],\"enum\":[\"a\"]},\"y\":{\"type\":[\"ARRAY\"],\"items\":{\"type\":"
               "\"number\"}}}}"), { 0 }
    };
    struct le_chat chat = { .messages = &m, .n = 1, .tools = &tool, .n_tools = 1,
                            .style = { .type_lists = true } };
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    CHECK_INT(le_template_render(&chat, &out), TG_OK);
    CHECK(strstr(out.p, "x:{enum:[" Q "a" Q "],type:[" Q "STRING" Q "," Q "NULL" Q "]}"));
    CHECK(strstr(out.p, "y:{items:{type:" Q "NUMBER" Q "},type:[" Q "ARRAY" Q "]}"));
    CHECK(strstr(out.p, ",type:[" Q "OBJECT" Q "," Q "NULL" Q "]}}<tool|>"));
    tg_buf_reset(&out); /* several types at once: nothing is written twice */
    tool.parameters = TG_STR("{\"properties\":{\"x\":{\"type\":[\"object\",\"array\",\"string\"],"
                             "\"items\":{\"type\":\"number\"},\"enum\":[\"b\"],\"a\":{}}}}");
    CHECK_INT(le_template_render(&chat, &out), TG_OK);
    CHECK(strstr(out.p, "x:{enum:[" Q "b" Q "],items:{type:" Q "NUMBER" Q "},properties:{a:{type:"
                        Q Q "}},type:[" Q "OBJECT" Q "," Q "ARRAY" Q "," Q "STRING" Q "]}"));
    tg_buf_free(&out);
}

/* Schemas that were written twice at each of their levels: 20 of them were a million. */
static void nested_types_stay_in_proportion(void)
{
    static const char *const levels[] = {
        "{\"type\":[\"object\",\"array\"],\"items\":{\"type\":\"object\",\"properties\":{\"a\":",
        "{\"type\":[\"object\",\"array\"],\"items\":{\"items\":[],\"properties\":{\"items\":",
        "{\"type\":[\"object\",\"string\",\"array\"],\"enum\":{\"enum\":1},\"items\":{"
        "\"properties\":{\"enum\":",
    };
    struct le_message m = { .role = LE_ROLE_USER, .text = TG_STR("u") };
    for (size_t k = 0; k < sizeof(levels) / sizeof(*levels); k++) {
        struct tg_buf schema, out;
        tg_buf_init(&schema, 1 << 16);
        tg_buf_init(&out, 1 << 16);
        tg_buf_adds(&schema, "{\"properties\":{\"x\":");
        for (int i = 0; i < 20; i++)
            tg_buf_adds(&schema, levels[k]);
        tg_buf_adds(&schema, "1");
        for (int i = 0; i < 20; i++)
            tg_buf_adds(&schema, "}}}");
        tg_buf_adds(&schema, "}}");
        struct le_tool tool = { .name = TG_STR("f"), .parameters = tg_buf_str(&schema) };
        struct le_chat chat = { .messages = &m, .n = 1, .tools = &tool, .n_tools = 1,
                                .style = { .type_lists = true } };
        CHECK_INT(le_template_render(&chat, &out), TG_OK);
        CHECK(out.n < 4 * schema.n);
        tg_buf_free(&schema);
        tg_buf_free(&out);
    }
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(known_by_its_hash),
        CASE(no_template),
        CASE(a_model_may_never_think),
        CASE(styles_of_unknown_templates),
        CASE(unknown_templates_are_logged),
        CASE(older_gemma),
        CASE(golden_prompts_of_every_template),
        CASE(lists_of_types),
        CASE(nested_types_stay_in_proportion),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
