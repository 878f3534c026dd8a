/* The engine's thread over a scripted runner: order, endings, limits. */
#include "tests/unit/engine/support_engine.h"

#include <math.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "tests/unit/check.h"

enum { PROMPT = 4, CONTEXT = 4000 };

static struct le_tokenizer *tokenizer;
static struct fake fake;
static struct le_engine *engine;
static struct answer answer;
static int32_t prompt_ids[CONTEXT];

static void open_engine(const char *script, uint32_t prompt, uint32_t jobs, uint32_t credit)
{
    struct tg_error err = { .text = "" };
    CHECK(fake_init(&fake, tokenizer, prompt, script));
    if (fake_engine(&fake, CONTEXT, jobs, credit, &engine, &err))
        CHECK_FAIL("%s", err.text);
    answer_init(&answer);
}

static void close_engine(void)
{
    le_engine_close(engine);
    engine = NULL;
    CHECK_INT(fake.destroyed, 1);
    CHECK(fake.closed >= 1);
    answer_free(&answer);
    fake_free(&fake);
}

static struct le_job job_of(uint32_t prompt)
{
    for (int i = 0; i < CONTEXT; i++)
        prompt_ids[i] = 300;
    return (struct le_job){
        .prompt = prompt_ids, .n_prompt = prompt, .max_tokens = 1000, .sampling = { .top_p = 1 }
    };
}

static uint64_t submit(const struct le_job *job)
{
    struct tg_error err = { .text = "" };
    uint64_t id = 0;
    if (le_engine_submit(engine, job, &id, &err))
        CHECK_FAIL("%s", err.text);
    CHECK(id != 0);
    return id;
}

static struct le_event next(void)
{
    struct le_event event;
    CHECK(events_next(engine, &event, 10000));
    return event;
}

static void expect(uint64_t job, enum le_event_kind kind)
{
    struct le_event event = next();
    CHECK_INT(event.job, job);
    CHECK_INT(event.kind, kind);
}

static void expect_end(uint64_t job, enum le_end end)
{
    struct le_event event = next();
    CHECK_INT(event.job, job);
    CHECK_INT(event.kind, LE_EVENT_END);
    CHECK_INT(event.end, end);
}

/* Submits and reads to the END. */
static void answer_job(const struct le_job *job)
{
    answer_free(&answer);
    answer_init(&answer);
    CHECK(answer_read(engine, submit(job), &answer));
}

static void plain_answer(void)
{
    open_engine("The quick brown fox.\nÄpfel, 5 \xE2\x82\xAC<turn|>", PROMPT, 0, 0);
    struct le_job job = job_of(PROMPT);
    answer_job(&job);
    CHECK_STR(answer.content.p, "The quick brown fox.\nÄpfel, 5 \xE2\x82\xAC");
    CHECK_STR(answer.reasoning.p, "");
    CHECK_INT(answer.end, LE_END_STOP);
    CHECK_INT(answer.status, TG_OK);
    CHECK_INT(answer.tokens, fake.script.n);
    CHECK(memcmp(answer.token, fake.script.id, fake.script.n * sizeof(int32_t)) == 0);
    CHECK_INT(answer.last.n_prompt, PROMPT);
    CHECK(answer.last.prefill_ns > 0 && answer.last.decode_ns > 0);
    CHECK_INT(fake_begun(&fake), fake.script.n); /* the end token needs no step */
    close_engine();
}

static void prefill_chunks(void)
{
    static const uint32_t n[] = { 64, 64, 22, 1, 1 }, pos[] = { 0, 64, 128, 150, 151 };
    open_engine("a b<turn|>", 150, 0, 0);
    struct le_job job = job_of(150);
    job.max_tokens = 3;
    answer_job(&job);
    CHECK_INT(answer.tokens, 3);
    CHECK_INT(fake.begun, 5);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(fake.step[i].n, n[i]);
        CHECK_INT(fake.step[i].pos, pos[i]);
        CHECK_INT(fake.step[i].logits, i >= 2);
    }
    close_engine();
}

static void max_tokens_and_context(void)
{
    open_engine("a b c d e f g", PROMPT, 0, 0);
    struct le_job job = job_of(PROMPT);
    job.max_tokens = 2;
    answer_job(&job);
    CHECK_INT(answer.end, LE_END_LENGTH);
    CHECK_INT(answer.tokens, 2);
    CHECK_STR(answer.content.p, "a b");
    job = job_of(CONTEXT - 5);
    answer_job(&job);
    CHECK_INT(answer.end, LE_END_LENGTH);
    CHECK_INT(answer.tokens, 5);
    CHECK(fake.step[fake.begun - 1].pos < CONTEXT);
    job = job_of(CONTEXT - 1);
    answer_job(&job);
    CHECK_INT(answer.tokens, 1);
    close_engine();
}

static void ignore_end(void)
{
    open_engine("a<turn|><turn|>", PROMPT, 0, 0);
    struct le_job job = job_of(PROMPT);
    job.max_tokens = 6;
    job.ignore_end = true;
    answer_job(&job);
    CHECK_INT(answer.end, LE_END_LENGTH);
    CHECK_INT(answer.tokens, 6);
    for (uint32_t i = 0; i < answer.tokens; i++)
        CHECK(!le_tokenizer_is_end(tokenizer, answer.token[i]));
    job.ignore_end = false; /* and the ids are back for the next job */
    answer_job(&job);
    CHECK_INT(answer.end, LE_END_STOP);
    CHECK_INT(answer.tokens, 2);
    close_engine();
}

static void stop_strings(void)
{
    static const struct {
        const char *script, *stop[2], *want;
        enum le_end end;
    } table[] = {
        { "one two three four<turn|>", { "o thr" }, "one tw", LE_END_STOP },
        { "one two three four<turn|>", { "zebra", "e" }, "on", LE_END_STOP },
        { "one two three four<turn|>", { "four five" }, "one two three four", LE_END_STOP },
        { "one two three four", { "never" }, "one two three four", LE_END_LENGTH },
        { "one two<turn|>", { "one two" }, "", LE_END_STOP },
        { "one<|channel>th", { "eth" }, "on", LE_END_STOP }, /* a channel that is no thought */
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        open_engine(table[i].script, PROMPT, 0, 0);
        struct le_job job = job_of(PROMPT);
        for (; job.n_stops < 2 && table[i].stop[job.n_stops]; job.n_stops++)
            job.stop[job.n_stops] = tg_str_of(table[i].stop[job.n_stops]);
        job.max_tokens = (uint32_t)fake.script.n;
        answer_job(&job);
        CHECK_STR(answer.content.p, table[i].want);
        CHECK_INT(answer.end, table[i].end);
        close_engine();
    }
}

static void thoughts_and_calls(void)
{
    open_engine("<|channel>thought\nhm stop<channel|>so stop here<turn|>", PROMPT, 0, 0);
    struct le_job job = job_of(PROMPT);
    job.stop[0] = TG_STR("stop");
    job.n_stops = 1;
    answer_job(&job);
    CHECK(strstr(answer.reasoning.p, "hm stop")); /* stop strings are for content only */
    CHECK_STR(answer.content.p, "so ");
    close_engine();
    open_engine("hm<channel|>yes<turn|>", PROMPT, 0, 0);
    job = job_of(PROMPT);
    job.in_thought = true;
    answer_job(&job);
    CHECK(strstr(answer.reasoning.p, "hm"));
    CHECK_STR(answer.content.p, "yes");
    close_engine();
    open_engine("ok st<|tool_call>call:look{city:<|\"|>Rome<|\"|>}<tool_call|><|tool_response>",
                PROMPT, 0, 0);
    job = job_of(PROMPT);
    job.stop[0] = TG_STR("stop");
    job.n_stops = 1;
    answer_job(&job);
    CHECK_STR(answer.content.p, "ok st"); /* what was held back came out before the call */
    CHECK_STR(answer.name.p, "look");
    CHECK_STR(answer.arguments.p, "{\"city\":\"Rome\"}");
    CHECK_INT(answer.end, LE_END_TOOL_CALLS);
    close_engine();
}

static void cancel_in_prefill(void)
{
    open_engine("a<turn|>", 640, 0, 0);
    fake.gate = 0;
    struct le_job job = job_of(640);
    uint64_t id = submit(&job);
    expect(id, LE_EVENT_STARTED);
    fake_let(&fake, 2);
    CHECK(fake_wait_step(&fake, 3));
    le_engine_cancel(engine, id);
    fake_let(&fake, -1);
    expect_end(id, LE_END_CANCELLED);
    CHECK_INT(fake_begun(&fake), 3); /* the step that ran was the last */
    le_engine_cancel(engine, id);    /* neither this nor an unknown id matters */
    le_engine_cancel(engine, 12345);
    answer_job(&job);
    CHECK_INT(answer.end, LE_END_STOP);
    close_engine();
}

/* Steps that would never end: in prefill, then in decoding, then at a shutdown. */
static void cancel_inside_a_step(void)
{
    open_engine("a b c<turn|>", 640, 0, 0);
    fake.gate = 2;
    fake.heeds_stop = true;
    struct le_job job = job_of(640);
    uint64_t id = submit(&job);
    expect(id, LE_EVENT_STARTED);
    CHECK(fake_wait_step(&fake, 3));
    le_engine_cancel(engine, id);
    expect_end(id, LE_END_CANCELLED);
    fake_let(&fake, 11); /* the flag is down again for the next job */
    id = submit(&job);
    expect(id, LE_EVENT_STARTED);
    expect(id, LE_EVENT_PREFILLED);
    expect(id, LE_EVENT_TOKEN);
    expect(id, LE_EVENT_TOKEN);
    CHECK(fake_wait_step(&fake, 15));
    le_engine_cancel(engine, id);
    expect_end(id, LE_END_CANCELLED);
    id = submit(&job);
    expect(id, LE_EVENT_STARTED);
    CHECK(fake_wait_step(&fake, 16));
    le_engine_shutdown(engine);
    expect_end(id, LE_END_CANCELLED);
    CHECK_INT(fake_begun(&fake), 16);
    close_engine();
}

static void cancel_while_queued(void)
{
    open_engine("a<turn|>", PROMPT, 0, 0);
    fake.gate = 0;
    struct le_job job = job_of(PROMPT);
    uint64_t id[4];
    for (int i = 0; i < 4; i++)
        id[i] = submit(&job);
    CHECK(fake_wait_step(&fake, 1));
    expect(id[0], LE_EVENT_STARTED);
    le_engine_cancel(engine, id[3]); /* the last, then one from the middle */
    le_engine_cancel(engine, id[1]);
    expect_end(id[3], LE_END_CANCELLED); /* while the first still runs */
    expect_end(id[1], LE_END_CANCELLED);
    uint64_t late = submit(&job);
    fake_let(&fake, -1);
    while (answer.ends == 0) {
        struct le_event event = next();
        CHECK_INT(event.job, id[0]);
        answer_add(&answer, &event);
    }
    answer_free(&answer);
    answer_init(&answer);
    CHECK(answer_read(engine, id[2], &answer));
    answer_free(&answer);
    answer_init(&answer);
    CHECK(answer_read(engine, late, &answer));
    close_engine();
}

static void credit(void)
{
    open_engine("a b c d e f g h", PROMPT, 0, 4);
    struct le_job job = job_of(PROMPT);
    struct le_event event;
    uint64_t id = submit(&job);
    expect(id, LE_EVENT_STARTED);
    expect(id, LE_EVENT_PREFILLED);
    for (int i = 0; i < 4; i++)
        expect(id, LE_EVENT_TOKEN);
    CHECK(fake_wait_step(&fake, 5));
    CHECK(!events_next(engine, &event, 50));
    CHECK_INT(fake_begun(&fake), 5);
    le_engine_credit(engine, id + 1, 9); /* somebody else's */
    le_engine_credit(engine, id, 2);
    expect(id, LE_EVENT_TOKEN);
    expect(id, LE_EVENT_TOKEN);
    CHECK(!events_next(engine, &event, 50));
    le_engine_cancel(engine, id); /* a pause does not outlive a cancel */
    expect_end(id, LE_END_CANCELLED);
    close_engine();
}

/* With all the credit in the world, a reader that does not drain pauses the engine; nothing is
 * lost. */
static void reader_that_waits(void)
{
    open_engine("a b c d e f g h", PROMPT, 0, 8);
    struct le_job job = job_of(PROMPT);
    job.max_tokens = 500;
    uint64_t id = submit(&job);
    le_engine_credit(engine, id, UINT32_MAX);
    CHECK(fake_wait_step(&fake, 9));
    usleep(20000);
    CHECK_INT(fake_begun(&fake), 9);
    CHECK(answer_read(engine, id, &answer));
    CHECK_INT(answer.tokens, 500);
    CHECK_INT(answer.end, LE_END_LENGTH);
    close_engine();
}

static void shutdown_with_jobs(void)
{
    open_engine("a", 2 * 64, 0, 0);
    fake.gate = 0;
    struct le_job job = job_of(2 * 64);
    uint64_t id[3], refused = 1;
    for (int i = 0; i < 3; i++)
        id[i] = submit(&job);
    CHECK(fake_wait_step(&fake, 1));
    le_engine_shutdown(engine);
    struct tg_error err;
    CHECK_INT(le_engine_submit(engine, &job, &refused, &err), TG_CLOSED);
    CHECK_INT(refused, 0);
    fake_let(&fake, -1);
    expect(id[0], LE_EVENT_STARTED);
    for (int i = 0; i < 3; i++)
        expect_end(id[i], LE_END_CANCELLED);
    CHECK_INT(fake_begun(&fake), 1);
    struct le_event event;
    CHECK(!events_next(engine, &event, 20));
    close_engine();
    open_engine("a", PROMPT, 0, 0); /* and close alone, with events that nobody takes */
    for (int i = 0; i < 8; i++)
        submit(&job);
    CHECK(fake_wait_step(&fake, 5));
    close_engine();
}

static void broken_logits(void)
{
    open_engine("a b c d<turn|>", PROMPT, 0, 0);
    fake.nan_at = 3;
    struct le_job job = job_of(PROMPT);
    answer_job(&job);
    CHECK_INT(answer.end, LE_END_ERROR);
    CHECK_INT(answer.status, TG_INTERNAL);
    CHECK(strstr(answer.error, "not finite"));
    CHECK_INT(answer.tokens, 2);
    answer_job(&job);
    CHECK_INT(answer.end, LE_END_STOP);
    CHECK_INT(fake.opened, 1);
    close_engine();
}

/* The cancel is the lost job's: the device is opened again nevertheless. */
static void lost_device_while_cancelled(void)
{
    open_engine("a b c d<turn|>", PROMPT, 0, 0);
    fake.fail_at = 2;
    fake.failure = TG_DEVICE;
    fake.gate = 1;
    fake.open_heeds_stop = true;
    struct le_job job = job_of(PROMPT);
    uint64_t id = submit(&job);
    CHECK(fake_wait_step(&fake, 2));
    le_engine_cancel(engine, id);
    fake_let(&fake, -1);
    while (next().kind != LE_EVENT_END)
        continue;
    answer_job(&job);
    CHECK_INT(answer.end, LE_END_STOP);
    CHECK_INT(fake.opened, 2);
    close_engine();
}

static void lost_device(void)
{
    open_engine("a b c d<turn|>", PROMPT, 0, 0);
    fake.fail_at = 3;
    fake.failure = TG_DEVICE;
    struct le_job job = job_of(PROMPT);
    answer_job(&job);
    CHECK_INT(answer.end, LE_END_ERROR);
    CHECK_INT(answer.status, TG_DEVICE);
    CHECK(strstr(answer.error, "step 3"));
    answer_job(&job); /* reopened */
    CHECK_INT(answer.end, LE_END_STOP);
    CHECK_INT(fake.opened, 2);
    close_engine();

    open_engine("a b c d<turn|>", PROMPT, 0, 0);
    fake.fail_at = fake.fail_every = 1;
    fake.failure = TG_DEVICE;
    fake.gate = 0;
    uint64_t id[3], refused;
    for (int i = 0; i < 3; i++)
        id[i] = submit(&job);
    fake_let(&fake, -1);
    for (int i = 0; i < 2; i++) {
        expect(id[i], LE_EVENT_STARTED);
        expect_end(id[i], LE_END_ERROR);
    }
    struct le_event event = next(); /* lost twice in a row: what waits fails too */
    CHECK_INT(event.job, id[2]);
    CHECK_INT(event.status, TG_DEVICE);
    CHECK(strstr(event.text, "lost"));
    struct tg_error err;
    CHECK_INT(le_engine_submit(engine, &job, &refused, &err), TG_DEVICE);
    CHECK(strstr(err.text, "lost"));
    CHECK_INT(fake.opened, 2);
    close_engine();

    open_engine("a b c d<turn|>", PROMPT, 0, 0); /* and one that does not come back */
    fake.fail_at = 2;
    fake.failure = TG_DEVICE;
    fake.open_fails_from = 2;
    fake.gate = 0;
    id[0] = submit(&job);
    id[1] = submit(&job);
    fake_let(&fake, -1);
    expect(id[0], LE_EVENT_STARTED);
    expect(id[0], LE_EVENT_PREFILLED);
    expect(id[0], LE_EVENT_TOKEN);
    expect_end(id[0], LE_END_ERROR);
    expect_end(id[1], LE_END_ERROR);
    close_engine();
}

static void failed_step(void)
{
    open_engine("a b c d<turn|>", PROMPT, 0, 0);
    fake.fail_at = 2;
    fake.failure = TG_INTERNAL;
    struct le_job job = job_of(PROMPT);
    answer_job(&job);
    CHECK_INT(answer.status, TG_INTERNAL);
    answer_job(&job);
    CHECK_INT(answer.end, LE_END_STOP);
    CHECK_INT(fake.opened, 1); /* no reason to reopen */
    close_engine();
}

static void failed_open(void)
{
    struct tg_error err = { .text = "" };
    CHECK(fake_init(&fake, tokenizer, PROMPT, "a"));
    fake.open_fails_from = 1;
    CHECK_INT(fake_engine(&fake, CONTEXT, 0, 0, &engine, &err), TG_DEVICE);
    CHECK(!engine && strstr(err.text, "does not open"));
    CHECK_INT(fake.destroyed, 1);
    fake_free(&fake);
    le_engine_close(NULL);
}

static void refuse(const struct le_job *job, enum tg_status status, const char *text)
{
    struct tg_error err = { .text = "" };
    uint64_t id = 7;
    CHECK_INT(le_engine_submit(engine, job, &id, &err), status);
    CHECK_INT(id, 0);
    if (!strstr(err.text, text))
        CHECK_FAIL("\"%s\" does not say \"%s\"", err.text, text);
}

static void refused_jobs(void)
{
    open_engine("a<turn|>", PROMPT, 2, 0);
    struct le_job job = job_of(0);
    refuse(&job, TG_INVALID, "empty");
    job = job_of(CONTEXT);
    refuse(&job, TG_LIMIT, "4000 tokens");
    job = job_of(PROMPT);
    job.max_tokens = 0;
    refuse(&job, TG_INVALID, "max_tokens");
    job = job_of(PROMPT);
    prompt_ids[2] = -1;
    refuse(&job, TG_INVALID, "prompt[2]");
    prompt_ids[2] = 4096;
    refuse(&job, TG_INVALID, "prompt[2]");
    job = job_of(PROMPT);
    job.sampling.temperature = NAN;
    refuse(&job, TG_INVALID, "temperature");
    job = job_of(PROMPT);
    job.n_stops = 1;
    refuse(&job, TG_INVALID, "stop string 1");
    job.n_stops = LE_STOPS_MAX + 1;
    refuse(&job, TG_LIMIT, "stop strings");

    fake.gate = 0;
    job = job_of(PROMPT);
    uint64_t a = submit(&job), b = submit(&job);
    refuse(&job, TG_LIMIT, "queue is full");
    fake_let(&fake, -1);
    while (answer.ends == 0) {
        struct le_event event = next();
        CHECK_INT(event.job, a);
        answer_add(&answer, &event);
    }
    submit(&job); /* the END was taken: there is room */
    le_engine_cancel(engine, b);
    close_engine();
}

static void failing_allocations(void)
{
    uint64_t nth = 0;
    enum tg_status status = TG_NOMEM;
    CHECK(fake_init(&fake, tokenizer, PROMPT, "a b c<turn|>"));
    while (status && ++nth < 5000) {
        fake.destroyed = 0;
        tg_alloc_fail_nth(nth);
        status = fake_engine(&fake, CONTEXT, 2, 4, &engine, NULL);
        tg_alloc_fail_nth(0);
        CHECK_INT(status, status ? TG_NOMEM : TG_OK);
        CHECK_INT(fake.destroyed, status ? 1 : 0);
    }
    CHECK(nth > 4 && status == TG_OK);
    struct le_job job = job_of(PROMPT);
    uint64_t id = 0;
    fake.gate = 0;
    for (nth = 1, status = TG_NOMEM; status && nth < 100; nth++) {
        tg_alloc_fail_nth(nth);
        status = le_engine_submit(engine, &job, &id, NULL);
        tg_alloc_fail_nth(0);
        CHECK(status == TG_OK || status == TG_NOMEM);
    }
    CHECK(nth > 3 && status == TG_OK);
    answer_init(&answer);
    fake_let(&fake, -1);
    CHECK(answer_read(engine, id, &answer));
    CHECK_STR(answer.content.p, "a b c");
    close_engine();
}

/* Nothing is allocated for a token: the engine's memory is there before the first one. */
static void no_allocation_in_decode(void)
{
    open_engine("word and word and word<turn|>", PROMPT, 0, 32);
    struct le_job job = job_of(PROMPT);
    job.ignore_end = true;
    job.max_tokens = 200;
    job.stop[0] = TG_STR("never");
    job.n_stops = 1;
    uint64_t id = submit(&job), before = 0;
    le_engine_credit(engine, id, 1000);
    struct le_event event = next();
    uint32_t tokens = 0;
    for (; event.kind != LE_EVENT_END; event = next()) {
        tokens += event.kind == LE_EVENT_TOKEN;
        if (tokens == 8) /* the parser has its buffers by now */
            before = tg_alloc_count();
    }
    CHECK_INT(tokens, 200);
    CHECK_INT(tg_alloc_count() - before, 0);
    close_engine();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(plain_answer), CASE(prefill_chunks), CASE(max_tokens_and_context), CASE(ignore_end),
        CASE(stop_strings), CASE(thoughts_and_calls), CASE(cancel_in_prefill),
        CASE(cancel_inside_a_step), CASE(cancel_while_queued), CASE(credit),
        CASE(reader_that_waits),
        CASE(shutdown_with_jobs), CASE(broken_logits), CASE(lost_device),
        CASE(lost_device_while_cancelled), CASE(failed_step),
        CASE(failed_open), CASE(refused_jobs), CASE(failing_allocations),
        CASE(no_allocation_in_decode),
    };
    tokenizer = fake_tokenizer();
    if (!tokenizer)
        return 1;
    int failed = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    le_tokenizer_close(tokenizer);
    return failed;
}
