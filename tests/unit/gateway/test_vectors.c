/* Embeddings in OpenAI's and Ollama's dialects: requests, and answers as numbers and as base64. */
#include "config/base/json.h"
#include "config/base/utf8.h"
#include "gateway/api/ollama.h"
#include "gateway/api/openai_vectors.h"
#include "gateway/api/vectors.h"
#include "tests/unit/gateway/decode_trial.h"

#define I "\"input\":\"hi\""
#define M "\"model\":\"m\","

static void openai_refuses(void)
{
    static const struct bad rows[] = {
        { "", "", "empty" },
        { "{}", "input", "missing" },
        { "{\"input\":7}", "input", "a string or an array" },
        { "{\"input\":\"\"}", "input", "empty" },
        { "{\"input\":[]}", "input", "empty" },
        { "{\"input\":[\"a\",\"\"]}", "input[1]", "empty" },
        { "{\"input\":[\"a\",7]}", "input[1]", "a string" },
        { "{\"input\":[true]}", "input[0]", "a string" },
        { "{\"input\":[1,\"a\"]}", "input[1]", "a number" },
        { "{\"input\":[1,-1]}", "input[1]", "whole" },
        { "{\"input\":[1.5]}", "input[0]", "whole" },
        { "{\"input\":[[1],[]]}", "input[1]", "empty" },
        { "{\"input\":[[1],2]}", "input[1]", "an array" },
        { "{\"input\":[[1,2,\"a\"]]}", "input[0][2]", "a number" },
        { "{" I ",\"encoding_format\":\"hex\"}", "encoding_format", "float, base64" },
        { "{" I ",\"dimensions\":0}", "dimensions", "from 1" },
        { "{" I ",\"stream\":true}", "stream", "unknown field" },
        { "{" I ",\"messages\":[]}", "messages", "unknown field" },
    };
    CHECK_ALL_BAD(&oai_vectors, rows);
}

static void openai_reads(void)
{
    struct trial t = accepted(&oai_vectors,
                              "{" M I ",\"encoding_format\":\"base64\",\"dimensions\":3,"
                              "\"user\":\"u\"}");
    CHECK(is(t.rq.model, "m") && t.rq.n_inputs == 1 && is(t.rq.inputs[0].text, "hi"));
    CHECK(t.rq.base64 && t.rq.dimensions == 3 && is(t.rq.user, "u") && !t.rq.stream);
    CHECK(t.rq.n_messages == 0 && !chat_is_empty(&t.rq));
    finish(&t);
    t = accepted(&oai_vectors, "{\"input\":[\"a\",\"\\u00e4\"],\"encoding_format\":\"float\"}");
    CHECK(t.rq.n_inputs == 2 && is(t.rq.inputs[1].text, "\xc3\xa4") && !t.rq.base64);
    finish(&t);
    t = accepted(&oai_vectors, "{\"input\":[5,0,2147483647]}");
    CHECK(t.rq.n_inputs == 1 && t.rq.inputs[0].n_ids == 3 && t.rq.inputs[0].ids[2] == INT32_MAX);
    finish(&t);
    t = accepted(&oai_vectors, "{\"input\":[[5],[6,7]]}");
    CHECK(t.rq.n_inputs == 2 && t.rq.inputs[1].n_ids == 2 && t.rq.inputs[1].ids[1] == 7);
    finish(&t);
}

static void inputs_are_bounded(void)
{
    struct tg_buf body;
    tg_buf_init(&body, 1 << 20);
    tg_buf_adds(&body, "{\"input\":[\"a\"");
    for (int i = 1; i < API_INPUTS_MAX; i++)
        tg_buf_adds(&body, ",\"a\"");
    size_t n = body.n;
    tg_buf_adds(&body, "]}");
    struct trial t = accepted(&oai_vectors, body.p);
    CHECK_INT(t.rq.n_inputs, API_INPUTS_MAX);
    finish(&t);
    body.n = n;
    tg_buf_adds(&body, ",\"a\"]}");
    struct bad bad = { body.p, "input", "more than 2048" };
    check_bad(&oai_vectors, &bad);
    tg_buf_free(&body);
}

static void ollama_requests(void)
{
    static const struct bad rows[] = {
        { "{" I "}", "model", "missing" },
        { "{" M "\"input\":7}", "input", "a string or an array" },
        { "{" M "\"input\":[1,2]}", "input[0]", "a string" },
        { "{" M "\"input\":[\"a\",\"\"]}", "input[1]", "empty" },
        { "{" M I ",\"truncate\":1}", "truncate", "boolean" },
        { "{" M I ",\"options\":{\"colour\":1}}", "options.colour", "unknown" },
        { "{" M I ",\"prompt\":\"a\"}", "prompt", "unknown field" },
    };
    static const struct bad old[] = {
        { "{" M "\"prompt\":[\"a\"]}", "prompt", "a string" },
        { "{" M I "}", "input", "unknown field" },
    };
    CHECK_ALL_BAD(&oll_embed, rows);
    CHECK_ALL_BAD(&oll_embeddings, old);
    struct trial t = accepted(&oll_embed,
                              "{\"model\":\"m:latest\",\"input\":[\"a\",\"b\"],\"truncate\":true,"
                              "\"options\":{\"num_ctx\":512},\"keep_alive\":\"5m\","
                              "\"dimensions\":8}");
    CHECK(is(t.rq.model, "m") && is(t.rq.model_said, "m:latest") && t.rq.n_inputs == 2);
    CHECK(t.rq.dimensions == 8 && !t.rq.stream && !t.rq.base64);
    finish(&t);
    t = accepted(&oll_embeddings, "{" M "\"prompt\":\"hi\"}");
    CHECK(t.rq.n_inputs == 1 && is(t.rq.inputs[0].text, "hi"));
    finish(&t);
    static const char *const loads[] = { "{\"model\":\"m\"}", "{" M "\"input\":\"\"}",
                                         "{" M "\"input\":[]}" };
    for (size_t i = 0; i < 3; i++) {
        t = accepted(&oll_embed, loads[i]);
        CHECK(chat_is_empty(&t.rq));
        finish(&t);
    }
}

static void survive_failing_allocations(void)
{
    check_failing_allocations(&oai_vectors, "{" M "\"input\":[\"a\",\"b\"],\"user\":\"u\"}", 3);
    check_failing_allocations(&oai_vectors, "{\"input\":[[5],[6,7]]}", 3);
    check_small_arenas(&oai_vectors, "{\"input\":[[5],[6,7]]}");
    check_failing_allocations(&oll_embed, "{" M "\"input\":[\"a\"],\"options\":{}}", 3);
}

static const float first[] = { 1, -0.5f }, second[] = { 0.1f, 1e-30f };
static const struct api_vector vectors[] = { { first, 2 }, { second, 2 } };
static struct chat_request request;
static const struct api_answer answer = { .model = { "m", 1 }, .request = &request };

static void openai_answers(void)
{
    struct tg_buf out;
    struct api_whole w = { .vectors = vectors, .n_vectors = 2, .usage.input = { true, 7 } };
    tg_buf_init(&out, 4096);
    request.base64 = false;
    CHECK_INT(oai_vectors.whole(&answer, &w, &out), TG_OK);
    CHECK_STR(out.p, "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
                     "\"embedding\":[1,-0.5]},{\"object\":\"embedding\",\"index\":1,"
                     "\"embedding\":[0.100000001,1e-30]}],\"model\":\"m\",\"usage\":"
                     "{\"prompt_tokens\":7,\"total_tokens\":7}}");
    CHECK_INT(tg_json_scan(tg_buf_str(&out), NULL), TG_OK);
    tg_buf_reset(&out);
    request.base64 = true;
    w = (struct api_whole){ .vectors = vectors, .n_vectors = 1 };
    oai_vectors.whole(&answer, &w, &out);
    CHECK_STR(out.p, "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
                     "\"embedding\":\"AACAPwAAAL8=\"}],\"model\":\"m\"}");
    tg_buf_free(&out);
    tg_buf_init(&out, 64);
    CHECK_INT(oai_vectors.whole(&answer, &w, &out), TG_LIMIT);
    tg_buf_free(&out);
}

/* Each number reads back as the same float. */
static void numbers_are_exact(void)
{
    static const float list[] = { 0.1f, 1.0f / 3, -3.4028235e38f, 1e-45f, 16777217, -0.0f };
    struct api_vector v = { list, sizeof(list) / sizeof(*list) };
    struct tg_json *root = NULL;
    struct tg_buf out;
    tg_buf_init(&out, 4096);
    api_add_vector(&out, &v, false);
    CHECK_INT(tg_json_parse(tg_buf_str(&out), &root, NULL), TG_OK);
    const struct tg_json *item = tg_json_first(root);
    for (size_t i = 0; i < v.n; i++, item = tg_json_next(item)) {
        double number = 0;
        CHECK(tg_json_number(item, &number));
        CHECK(!((float)number < list[i]) && !((float)number > list[i]));
    }
    CHECK(!item);
    tg_json_free(root);
    tg_buf_free(&out);
}

static void ollama_answers(void)
{
    struct tg_buf out;
    struct api_whole w = { .vectors = vectors, .n_vectors = 1, .usage.input = { true, 7 },
                           .times = { .total = 9, .wait = 2 } };
    tg_buf_init(&out, 4096);
    CHECK_INT(oll_embed.whole(&answer, &w, &out), TG_OK);
    CHECK_STR(out.p, "{\"model\":\"m\",\"embeddings\":[[1,-0.5]],\"total_duration\":9,"
                     "\"load_duration\":2,\"prompt_eval_count\":7}");
    tg_buf_reset(&out);
    oll_embeddings.whole(&answer, &w, &out);
    CHECK_STR(out.p, "{\"embedding\":[1,-0.5]}");
    tg_buf_reset(&out);
    oll_embed.idle(&answer, &out);
    CHECK_STR(out.p, "{\"model\":\"m\",\"embeddings\":[]}");
    tg_buf_reset(&out);
    oll_embeddings.idle(&answer, &out);
    CHECK_STR(out.p, "{\"embedding\":[]}");
    tg_buf_free(&out);
    struct api_error e = { .message = "input: no" };
    api_rename_field(&oll_embeddings, &e);
    CHECK_STR(e.message, "prompt: no");
    const struct chat_overflow overflow = { .is = true };
    api_overflow(&oll_embed, &overflow, "cloud/m answered 400: long", &e);
    CHECK_STR(e.message, "the input length exceeds the context length: cloud/m answered 400: long");
    CHECK_STR(e.code, "context_length_exceeded");
    char told[sizeof(e.message)];
    memset(told, 'x', sizeof(told) - 1); /* is cut, and between two characters */
    told[sizeof(told) - 1] = '\0';
    memcpy(told + sizeof(told) - 48, "\u00e9\u00e9", 4);
    api_overflow(&oai_vectors, &overflow, told, &e);
    CHECK(strncmp(e.message, "the input exceeds the context window: xxx", 41) == 0);
    CHECK(strlen(e.message) >= sizeof(told) - 2 && tg_utf8_valid(e.message, strlen(e.message)));
    api_rename_param(&oai_vectors, TG_STR("input[3]"), &e);
    CHECK_STR(e.param, "input[3]");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(openai_refuses),  CASE(openai_reads),    CASE(inputs_are_bounded),
        CASE(ollama_requests), CASE(openai_answers),  CASE(survive_failing_allocations),
        CASE(ollama_answers),  CASE(numbers_are_exact),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
