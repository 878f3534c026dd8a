/* What an engine tells of its queue and of what it has done. */
#include "tests/unit/engine/support_engine.h"

#include "tests/unit/check.h"

enum { PROMPT = 5 };

static struct le_tokenizer *tokenizer;

static uint64_t submit(struct le_engine *e)
{
    static int32_t ids[PROMPT] = { 300, 300, 300, 300, 300 };
    const struct le_job job = { .prompt = ids, .n_prompt = PROMPT, .max_tokens = 50,
                                .sampling = { .top_p = 1 } };
    struct tg_error err = { .text = "" };
    uint64_t id = 0;
    if (le_engine_submit(e, &job, &id, &err))
        CHECK_FAIL("%s", err.text);
    return id;
}

static void queue_and_totals(void)
{
    struct fake fake;
    struct le_engine *e = NULL;
    struct answer answer;
    struct le_event event;
    CHECK(fake_init(&fake, tokenizer, PROMPT, "a b c<turn|>"));
    CHECK_INT(fake_engine(&fake, 100, 0, 0, &e, NULL), TG_OK);
    struct le_engine_work work = le_engine_work(e);
    CHECK_INT(work.waiting + work.running, 0);
    CHECK_INT(work.prompt_tokens + work.generated_tokens, 0);
    CHECK(work.prompt_rate == 0 && work.generation_rate == 0);

    fake.gate = 0;
    uint64_t first = submit(e), second = submit(e);
    submit(e);
    CHECK(fake_wait_step(&fake, 1));
    work = le_engine_work(e);
    CHECK_INT(work.running, 1);
    CHECK_INT(work.waiting, 2);
    fake_let(&fake, -1);
    answer_init(&answer);
    CHECK(answer_read(e, first, &answer));
    uint32_t tokens = answer.tokens;
    answer_free(&answer);
    answer_init(&answer);
    CHECK(answer_read(e, second, &answer));
    answer_free(&answer);
    do
        CHECK(events_next(e, &event, 10000));
    while (event.kind != LE_EVENT_END);
    work = le_engine_work(e);
    CHECK_INT(work.waiting + work.running, 0);
    CHECK_INT(work.prompt_tokens, 3 * PROMPT);
    CHECK_INT(work.generated_tokens, 3 * tokens);
    CHECK(work.prompt_rate > 0 && work.generation_rate > 0);
    le_engine_close(e);
    fake_free(&fake);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(queue_and_totals) };
    tokenizer = fake_tokenizer();
    if (!tokenizer)
        return 1;
    int failed = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    le_tokenizer_close(tokenizer);
    return failed;
}
