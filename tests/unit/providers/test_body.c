#include "config/base/alloc.h"
#include "config/base/json.h"
#include "providers/backend.h"
#include "providers/media.h"
#include "tests/unit/check.h"

#define TEXT(s) { .kind = CHAT_PART_TEXT, .text = TG_STR(s) }
#define MESSAGE(r, ...)                                                                            \
    { .role = r, .parts = (const struct chat_part[]){ __VA_ARGS__ },                               \
      .n_parts = sizeof((const struct chat_part[]){ __VA_ARGS__ }) / sizeof(struct chat_part) }

static char shown[8192];

/* The body, or the name of the failure; checked to be JSON. */
static const char *body_of(const struct chat_request *r)
{
    struct prov_call call = { .request = r, .model = TG_STR("m"), .max_tokens = 7 };
    struct tg_buf out;
    tg_buf_init(&out, sizeof(shown) - 1);
    enum tg_status status = prov_openai_body(&call, &out);
    snprintf(shown, sizeof(shown), "%s", status ? tg_status_name(status) : out.p);
    if (!status)
        status = tg_json_scan(tg_buf_str(&out), NULL);
    else
        status = TG_OK;
    tg_buf_free(&out);
    CHECK_INT(status, TG_OK);
    return shown;
}

static void plain(void)
{
    const struct chat_message messages[] = { MESSAGE(CHAT_DEVELOPER, TEXT("be \"brief\"\n")),
                                             MESSAGE(CHAT_USER, TEXT("hi")) };
    struct chat_request r = { .messages = messages, .n_messages = 2 };
    CHECK_STR(body_of(&r), "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":"
                           "\"be \\\"brief\\\"\\n\"},{\"role\":\"user\",\"content\":\"hi\"}],"
                           "\"max_tokens\":7,\"stream\":false}");
}

static void everything_else(void)
{
    struct chat_request r = {
        .sampling = { .has_temperature = true, .temperature = 0.7, .has_top_p = true, .top_p = 1,
                      .has_seed = true, .seed = (uint64_t)-3, .has_top_k = true, .top_k = 5,
                      .has_presence = true, .presence = -0.5, .has_frequency = true,
                      .frequency = (double)NAN },
        .stop = { TG_STR("a"), TG_STR("\"") },
        .n_stops = 2,
        .stream = true,
        .user = TG_STR("u"),
    };
    CHECK_STR(body_of(&r),
              "{\"model\":\"m\",\"messages\":[],\"max_tokens\":7,\"temperature\":0.7,\"top_p\":1,"
              "\"top_k\":5,"
              "\"presence_penalty\":-0.5,\"seed\":-3,\"stop\":[\"a\",\"\\\"\"],"
              "\"user\":\"u\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
}

static void words_are_passed_on(void)
{
    struct chat_request r = { .effort = TG_STR("xhigh"), .verbosity = TG_STR("low"),
                              .thinking = true };
    CHECK_STR(body_of(&r), "{\"model\":\"m\",\"messages\":[],\"max_tokens\":7,"
                           "\"reasoning_effort\":\"xhigh\",\"verbosity\":\"low\","
                           "\"stream\":false}");
}

static void logprobs(void)
{
    struct chat_request r = { .logprobs = true };
    CHECK_STR(body_of(&r), "{\"model\":\"m\",\"messages\":[],\"max_tokens\":7,\"logprobs\":true,"
                           "\"stream\":false}");
    r.top_logprobs = 20;
    CHECK_STR(body_of(&r), "{\"model\":\"m\",\"messages\":[],\"max_tokens\":7,\"logprobs\":true,"
                           "\"top_logprobs\":20,\"stream\":false}");
}

static void tools(void)
{
    const struct chat_tool list[] = {
        { .name = TG_STR("f"), .description = TG_STR("does f"),
          .parameters = TG_STR("{\"type\":\"object\"}") },
        { .name = TG_STR("g") },
    };
    const struct chat_message messages[] = {
        MESSAGE(CHAT_ASSISTANT, { .kind = CHAT_PART_REASONING, .text = TG_STR("hm") },
                { .kind = CHAT_PART_TOOL_CALL,
                  .id = TG_STR("c1"),
                  .name = TG_STR("f"),
                  .text = TG_STR("{\"a\":1}") },
                { .kind = CHAT_PART_TOOL_CALL, .id = TG_STR("c2"), .name = TG_STR("g") }),
        MESSAGE(CHAT_TOOL,
                { .kind = CHAT_PART_TOOL_RESULT, .id = TG_STR("c1"), .text = TG_STR("42") }),
        MESSAGE(CHAT_USER,
                { .kind = CHAT_PART_TOOL_RESULT, .id = TG_STR("c2"), .text = TG_STR("") },
                TEXT("go on")),
    };
    struct chat_request r = { .messages = messages, .n_messages = 3, .tools = list, .n_tools = 2 };
    CHECK_STR(
        body_of(&r),
        "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":"
        "[{\"id\":\"c1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
        "\"{\\\"a\\\":1}\"}},{\"id\":\"c2\",\"type\":\"function\",\"function\":{\"name\":\"g\","
        "\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"42\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"c2\",\"content\":\"\"},{\"role\":\"user\","
        "\"content\":\"go on\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"description\":\"does f\",\"parameters\":{\"type\":\"object\"}}},{\"type\":"
        "\"function\",\"function\":{\"name\":\"g\"}}],\"max_tokens\":7,\"stream\":false}");
    const struct chat_tool bad[] = { { .name = TG_STR("f"), .parameters = TG_STR("{},\"x\":{}") } };
    r = (struct chat_request){ .tools = bad, .n_tools = 1 };
    CHECK_STR(body_of(&r), "invalid");
}

static void demands(void)
{
    const struct chat_tool list[] = { { .name = TG_STR("f"), .has_strict = true, .strict = true } };
    struct chat_request r = { .tools = list, .n_tools = 1, .tool_choice = CHAT_CHOICE_NAMED,
                              .tool_name = TG_STR("f"), .one_call = true,
                              .format = CHAT_FORMAT_JSON };
    CHECK_STR(body_of(&r),
              "{\"model\":\"m\",\"messages\":[],\"tools\":[{\"type\":\"function\",\"function\":"
              "{\"name\":\"f\",\"strict\":true}}],\"tool_choice\":{\"type\":\"function\","
              "\"function\":{\"name\":\"f\"}},\"parallel_tool_calls\":false,\"response_format\":"
              "{\"type\":\"json_object\"},\"max_tokens\":7,\"stream\":false}");
    r = (struct chat_request){ .format = CHAT_FORMAT_SCHEMA };
    r.schema.name = TG_STR("n");
    r.schema.description = TG_STR("d");
    r.schema.has_strict = true;
    r.schema.text = TG_STR("{\"type\":\"object\"}");
    CHECK_STR(body_of(&r),
              "{\"model\":\"m\",\"messages\":[],\"response_format\":{\"type\":\"json_schema\","
              "\"json_schema\":{\"name\":\"n\",\"description\":\"d\",\"strict\":false,\"schema\":"
              "{\"type\":\"object\"}}},\"max_tokens\":7,\"stream\":false}");
    r.schema.text = TG_STR("{},\"x\":{}");
    CHECK_STR(body_of(&r), "invalid");
}

static void media(void)
{
    struct chat_media remote = { .url = TG_STR("https://x/y"), .detail = TG_STR("low") };
    struct chat_media png = { .type = chat_media_named(CHAT_PART_IMAGE, TG_STR("image/png")),
                              .data = TG_STR("abcd"),
                              .url = TG_STR("https://fetched") };
    struct chat_media mp3 = { .type = chat_media_worded(CHAT_PART_AUDIO, TG_STR("mp3")),
                              .data = TG_STR("\0\0") };
    const struct chat_message messages[] = {
        MESSAGE(CHAT_USER, TEXT("see"), { .kind = CHAT_PART_IMAGE, .media = &remote },
                { .kind = CHAT_PART_IMAGE, .media = &png },
                { .kind = CHAT_PART_AUDIO, .media = &mp3 }),
    };
    struct chat_request r = { .messages = messages, .n_messages = 1 };
    CHECK_STR(
        body_of(&r),
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
        "\"text\":\"see\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://x/y\","
        "\"detail\":\"low\"}},"
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,YWJjZA==\"}},"
        "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AAA=\",\"format\":\"mp3\"}}]}],"
        "\"max_tokens\":7,\"stream\":false}");
    const struct chat_message video[] = { MESSAGE(CHAT_USER, { .kind = CHAT_PART_VIDEO,
                                                               .media = &remote }) };
    r = (struct chat_request){ .messages = video, .n_messages = 1 };
    CHECK_STR(body_of(&r), "unsupported");
    const struct chat_message audio[] = { MESSAGE(CHAT_USER, { .kind = CHAT_PART_AUDIO,
                                                               .media = &remote }) };
    r = (struct chat_request){ .messages = audio, .n_messages = 1 };
    CHECK_STR(body_of(&r), "unsupported");
}

static void limits(void)
{
    const struct chat_message messages[] = { MESSAGE(CHAT_USER, TEXT("hello")) };
    struct chat_request r = { .messages = messages, .n_messages = 1 };
    struct prov_call call = { .request = &r, .model = TG_STR("m"), .max_tokens = 7 };
    struct tg_buf out;
    tg_buf_init(&out, 40);
    CHECK_INT(prov_openai_body(&call, &out), TG_LIMIT);
    tg_buf_free(&out);
    tg_buf_init(&out, 4096);
    tg_alloc_fail_nth(1);
    CHECK_INT(prov_openai_body(&call, &out), TG_NOMEM);
    tg_alloc_fail_nth(0);
    tg_buf_free(&out);
}

static void what_differs_by_server(void)
{
    static const struct {
        const char *url;
        bool vendor;
    } rows[] = {
        { "https://api.openai.com/v1", true },
        { "https://API.OpenAI.com:443/v1", true },
        { "https://api.openai.com", true },
        { "https://api.openai.com.example.org/v1", false },
        { "https://openrouter.ai/api.openai.com", false },
        { "http://127.0.0.1:8000/v1", false },
        { "", false },
    };
    const struct chat_message messages[] = { MESSAGE(CHAT_USER, TEXT("hello")) };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct chat_request r = { .messages = messages, .n_messages = 1 };
        bool vendor = prov_openai_is_vendor(rows[i].url);
        struct prov_call call = { .request = &r, .model = TG_STR("m"), .max_tokens = 7,
                                  .by_vendor = vendor };
        struct tg_buf out;
        tg_buf_init(&out, 4096);
        CHECK(vendor == rows[i].vendor);
        CHECK_INT(prov_openai_body(&call, &out), TG_OK);
        const char *want = vendor ? ",\"max_completion_tokens\":7," : ",\"max_tokens\":7,";
        CHECK(strstr(out.p, want));
        CHECK(!strstr(out.p, "top_k") && !strstr(out.p, "min_p"));
        tg_buf_reset(&out);
        r.sampling = (struct chat_sampling){ .has_top_k = true, .top_k = 40, .has_min_p = true,
                                             .min_p = 0.05 };
        CHECK_INT(prov_openai_body(&call, &out), vendor ? TG_UNSUPPORTED : TG_OK);
        CHECK(vendor || strstr(out.p, ",\"top_k\":40,\"min_p\":0.05,"));
        tg_buf_free(&out);
        if (!rows[i].url[0])
            continue;
        struct tg_error err; /* and what a worker writes for such a provider */
        struct prov_openai_options options = { .name = "p", .base_url = rows[i].url };
        struct prov_backend *b = prov_openai_new(NULL, &options, &err);
        call.by_vendor = !vendor;
        r.sampling = (struct chat_sampling){ 0 };
        CHECK(b);
        CHECK_INT(prov_write(b, &call, &out), TG_OK);
        CHECK(strstr(out.p, want));
        tg_buf_free(&out);
        prov_backend_free(b);
    }
}

static void request_bytes(void)
{
    const struct chat_tool list[] = { { .name = TG_STR("f"), .description = TG_STR("de"),
                                        .parameters = TG_STR("{}") } };
    const struct chat_message messages[] = {
        MESSAGE(CHAT_USER, TEXT("123"), { .kind = CHAT_PART_TOOL_CALL, .id = TG_STR("ab"),
                                          .name = TG_STR("c"), .text = TG_STR("{}") }),
    };
    struct chat_request r = { .messages = messages, .n_messages = 1, .tools = list, .n_tools = 1 };
    CHECK_INT(chat_request_bytes(&r), 3 + 5 + 5);
    CHECK_STR(chat_role_name(CHAT_TOOL), "tool");
    CHECK_STR(chat_finish_name(CHAT_FINISH_FILTER), "content_filter");
    CHECK_STR(chat_error_name(CHAT_ERROR_ENGINE), "engine");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(plain),   CASE(everything_else), CASE(logprobs), CASE(tools),
        CASE(demands), CASE(media),           CASE(limits),   CASE(request_bytes),
        CASE(words_are_passed_on), CASE(what_differs_by_server),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
