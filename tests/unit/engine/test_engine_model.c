/* The engine with a real model on the cpu backend. */
#include "tests/unit/engine/support_engine.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "config/base/alloc.h"
#include "config/base/json.h"
#include "local_engine/sampler.h"
#include "tests/unit/check.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/"
#define MODEL GOLDEN "tiny-dense-Q8_0.gguf"

enum { IDS_MAX = 4096 };

static struct le_engine *engine;
static struct answer answer;
static int32_t ids[IDS_MAX];

static enum le_precision_choice precision = LE_PRECISION_EXACT; /* the golden ids' */

static void open_model(const char *path, uint32_t context, uint32_t chunk)
{
    const struct le_engine_options options = {
        .model = path, .device = LE_DEVICE_CPU, .precision = precision,
        .context = context, .prefill_chunk = chunk, .no_selftest = true, /* test_load has it */
    };
    struct tg_error err = { .text = "" };
    if (le_engine_open(&options, &engine, &err))
        CHECK_FAIL("%s", err.text);
    answer_init(&answer);
}

static void close_model(void)
{
    le_engine_close(engine);
    answer_free(&answer);
}

static uint64_t submit(const struct le_job *job)
{
    struct tg_error err = { .text = "" };
    uint64_t id = 0;
    if (le_engine_submit(engine, job, &id, &err))
        CHECK_FAIL("%s", err.text);
    return id;
}

static void read_answer(uint64_t id)
{
    answer_free(&answer);
    answer_init(&answer);
    CHECK(answer_read(engine, id, &answer));
}

/* ---- golden ids ---- */

static struct tg_json *read_json(const char *path)
{
    static char text[1 << 20];
    struct tg_json *root = NULL;
    FILE *f = fopen(path, "rb");
    CHECK(f);
    size_t n = fread(text, 1, sizeof(text), f);
    fclose(f);
    CHECK(n > 0 && n < sizeof(text));
    CHECK_INT(tg_json_parse((struct tg_str){ text, n }, &root, NULL), TG_OK);
    return root;
}

static uint32_t read_ids(const struct tg_json *list, int32_t *out)
{
    uint32_t n = 0;
    int64_t id = 0;
    for (const struct tg_json *v = tg_json_first(list); v; v = tg_json_next(v)) {
        CHECK(n < IDS_MAX && tg_json_int(v, &id));
        out[n++] = (int32_t)id;
    }
    return n;
}

static bool sampled(int32_t id)
{
    const struct le_tokenizer *t = le_engine_tokenizer(engine);
    size_t n = 0;
    const int32_t *never = le_tokenizer_never(t, &n);
    for (size_t i = 0; i < n; i++)
        if (never[i] == id)
            return false;
    return !le_tokenizer_is_end(t, id);
}

/* ids holds n prompt tokens. The golden run had more ids to choose from than sampling allows: where
 * it took one of those, the next job starts behind it. Stops at a near-tie. Returns how many
 * ids were compared. */
static uint32_t check_greedy(uint32_t n, const int32_t *want, const struct tg_json *gap)
{
    uint32_t compared = 0;
    for (uint32_t i = 0; i < 64;) {
        uint32_t run = 0;
        while (i + run < 64 && sampled(want[i + run]))
            run++;
        if (run) {
            const struct le_job job = { .prompt = ids,
                                        .n_prompt = n,
                                        .max_tokens = run,
                                        .sampling = { .top_p = 1 },
                                        .ignore_end = true };
            read_answer(submit(&job));
            CHECK_INT(answer.tokens, run);
        }
        for (uint32_t k = 0; k < run + 1 && i < 64; k++, i++) {
            double g = 0;
            CHECK(tg_json_number(gap, &g));
            gap = tg_json_next(gap);
            if (k < run && answer.token[k] != want[i]) {
                CHECK(g < 0.01);
                return compared;
            }
            compared += k < run;
            ids[n++] = want[i];
        }
    }
    return compared;
}

static void golden(const char *model, const char *json, const char *run)
{
    open_model(model, 512, 0);
    struct tg_json *root = read_json(json);
    const struct tg_json *entry = tg_json_first(tg_json_get(tg_json_get(root, "greedy64"), run));
    uint32_t compared = 0, runs = 0;
    for (; entry; entry = tg_json_next(entry), runs++) {
        int32_t want[IDS_MAX];
        int64_t index = 0;
        CHECK(tg_json_int(tg_json_get(entry, "prompt"), &index));
        const struct tg_json *prompt = tg_json_first(tg_json_get(root, "prompts"));
        for (; index > 0; index--)
            prompt = tg_json_next(prompt);
        uint32_t n = read_ids(tg_json_get(prompt, "ids"), ids);
        CHECK(n > 0);
        CHECK_INT(read_ids(tg_json_get(entry, "ids"), want), 64);
        compared += check_greedy(n, want, tg_json_first(tg_json_get(entry, "top1_gap")));
    }
    fprintf(stderr, "%s: %u of %u greedy ids equal\n", model, compared, 64 * runs);
    CHECK(runs > 0 && compared >= 60 * runs);
    tg_json_free(root);
    close_model();
}

static void golden_dense(void)
{
    golden(MODEL, GOLDEN "tiny-dense.json", "hfdeq/Q8_0");
}

static void golden_e(void)
{
    golden(GOLDEN "tiny-e-Q4_0.gguf", GOLDEN "tiny-e.json", "hfdeq/Q4_0");
}

/* ---- jobs ---- */

static void fill_ids(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ids[i] = i == 0 ? 2 : 300 + (int32_t)(i * 37 % 3000);
}

static struct le_job random_job(uint32_t n, uint64_t seed)
{
    fill_ids(n);
    return (struct le_job){
        .prompt = ids,
        .n_prompt = n,
        .max_tokens = 12,
        .sampling = { .temperature = 1, .top_k = 64, .top_p = 0.95f, .seed = seed },
        .ignore_end = true,
    };
}

/* Eight at once: each ends, in order of submission; equal seeds give equal ids, others do not. */
static void eight_jobs(void)
{
    int32_t first[12];
    uint64_t id[8];
    open_model(MODEL, 256, 0);
    for (uint32_t i = 0; i < 8; i++) {
        struct le_job job = random_job(30, i < 4 ? 11 : i);
        id[i] = submit(&job);
    }
    for (uint32_t i = 0; i < 8; i++) {
        read_answer(id[i]);
        CHECK_INT(answer.end, LE_END_LENGTH);
        CHECK_INT(answer.tokens, 12);
        if (i == 0)
            memcpy(first, answer.token, sizeof(first));
        CHECK_INT(memcmp(first, answer.token, sizeof(first)) == 0, i < 4);
    }
    close_model();
}

/* The same ids however the prompt is cut into steps, in both precisions. */
static void any_chunk(void)
{
    static const uint32_t chunk[] = { 1, 7, 64, 512 };
    int32_t first[12];
    for (uint32_t i = 0; i < 8; i++) {
        struct le_job job = random_job(600, 5);
        precision = i < 4 ? LE_PRECISION_EXACT : LE_PRECISION_FAST;
        open_model(MODEL, 700, chunk[i % 4]);
        read_answer(submit(&job));
        if (i % 4 == 0)
            memcpy(first, answer.token, sizeof(first));
        CHECK(memcmp(first, answer.token, sizeof(first)) == 0);
        close_model();
    }
    precision = LE_PRECISION_EXACT;
}

static void cancel_long_prompt(void)
{
    struct le_event event;
    open_model(MODEL, 4096, 0);
    struct le_job job = random_job(4000, 1);
    uint64_t id = submit(&job);
    CHECK(events_next(engine, &event, 10000));
    CHECK_INT(event.kind, LE_EVENT_STARTED);
    le_engine_cancel(engine, id);
    CHECK(events_next(engine, &event, 10000));
    CHECK_INT(event.kind, LE_EVENT_END);
    CHECK_INT(event.end, LE_END_CANCELLED);
    CHECK_INT(event.n_generated, 0);
    job = random_job(20, 1); /* the half-filled cache does not matter to the next one */
    read_answer(submit(&job));
    int32_t after[12];
    memcpy(after, answer.token, sizeof(after));
    close_model();
    open_model(MODEL, 4096, 0);
    read_answer(submit(&job));
    CHECK(memcmp(after, answer.token, sizeof(after)) == 0);
    close_model();
}

static void stats_of_tokens(void)
{
    open_model(MODEL, 256, 0);
    struct le_job job = random_job(10, 3);
    struct le_event event = { .kind = LE_EVENT_STARTED };
    submit(&job);
    uint32_t tokens = 0;
    while (event.kind != LE_EVENT_END) {
        CHECK(events_next(engine, &event, 10000));
        if (event.kind != LE_EVENT_TOKEN)
            continue;
        tokens++;
        CHECK(event.stats.logprob < 0 && event.stats.logprob > -30);
        CHECK(event.stats.entropy > 0 && (double)event.stats.entropy <= log(4096));
        CHECK(event.stats.margin >= 0 && event.stats.margin < 1);
    }
    CHECK_INT(tokens, 12);
    CHECK_STR(le_engine_device_kind(engine), "cpu");
    CHECK(le_engine_device(engine)[0] && le_engine_model_name(engine)[0]);
    struct le_file_id id;
    struct stat info;
    CHECK_INT(stat(MODEL, &info), 0);
    CHECK(le_engine_file(engine, 0, &id) && !le_engine_file(engine, 1, &id));
    CHECK(id.device == info.st_dev && id.inode == info.st_ino && id.size == (uint64_t)info.st_size);
    CHECK(id.modified.tv_nsec == info.st_mtim.tv_nsec && id.changed.tv_sec == info.st_ctim.tv_sec);
    struct le_sampling o = le_engine_default_sampling(engine);
    CHECK_INT(le_sampling_check(&o, NULL), TG_OK);
    CHECK(o.temperature > 0);
    struct le_engine_facts facts = le_engine_facts(engine);
    CHECK_STR(facts.family, "gemma4");
    CHECK_STR(facts.type, "Q8_0");
    CHECK(facts.bytes == (uint64_t)info.st_size);
    CHECK(facts.parameters > facts.bytes / 2 && facts.parameters < facts.bytes); /* 8.5 bits each */
    close_model();
}

static void refused(const struct le_engine_options *options, enum tg_status status,
                    const char *text)
{
    struct tg_error err = { .text = "" };
    CHECK_INT(le_engine_open(options, &engine, &err), status);
    CHECK(!engine);
    if (!strstr(err.text, text))
        CHECK_FAIL("\"%s\" does not say \"%s\"", err.text, text);
}

static void refused_options(void)
{
    refused(&(struct le_engine_options){ .model = GOLDEN "none.gguf" }, TG_IO, "none.gguf");
    refused(&(struct le_engine_options){ .model = GOLDEN "README.md" }, TG_INVALID, "README.md");
    refused(&(struct le_engine_options){ .model = MODEL, .context = 1 }, TG_INVALID, "context");
    refused(&(struct le_engine_options){ .model = MODEL, .context = 2000000000 }, TG_INVALID,
            "context");
    refused(&(struct le_engine_options){ .model = MODEL, .prefill_chunk = 513 }, TG_INVALID,
            "chunk");
    refused(&(struct le_engine_options){ .model = MODEL, .jobs_max = 100000 }, TG_INVALID, "jobs");
}

/* Fails the first allocations one by one, later ones in growing steps: the tokenizer makes
 * thousands. */
static void failing_allocations(void)
{
    const struct le_engine_options options = { .model = MODEL,
                                               .device = LE_DEVICE_CPU,
                                               .context = 64,
                                               .no_selftest = true };
    enum tg_status status = TG_NOMEM;
    uint64_t nth = 1;
    for (; status && nth < 10000000; nth += 1 + nth / 16) {
        tg_alloc_fail_nth(nth);
        status = le_engine_open(&options, &engine, NULL);
        tg_alloc_fail_nth(0);
        CHECK(status == TG_OK || status == TG_NOMEM);
    }
    CHECK(nth > 10 && status == TG_OK);
    le_engine_close(engine);
}

static void every_token_forbidden(void)
{
    open_model(MODEL, 64, 0);
    for (uint32_t i = 0; i < le_tokenizer_n(le_engine_tokenizer(engine)); i++)
        le_sampler_forbid(engine->sampler, (int32_t)i, true);
    ids[0] = 2;
    const struct le_job job = { .prompt = ids, .n_prompt = 1, .max_tokens = 2,
                                .sampling = { .top_p = 1 },
                                .ignore_end = true }; /* or the ends are allowed again */
    read_answer(submit(&job));
    CHECK_INT(answer.end, LE_END_ERROR);
    CHECK_STR(answer.error, "token 1 of the answer: no token may be chosen, all are forbidden");
    close_model();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(golden_dense), CASE(golden_e), CASE(eight_jobs), CASE(any_chunk),
        CASE(cancel_long_prompt), CASE(stats_of_tokens), CASE(every_token_forbidden),
        CASE(refused_options), CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
