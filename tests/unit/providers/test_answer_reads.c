#include <poll.h>
#include <stdlib.h>

#include "config/base/alloc.h"
#include "providers/answer_reads.h"
#include "tests/unit/check.h"
#include "tests/unit/providers/support.h"

enum { TEXT = 100000 };

#define TOOLS                                                                                      \
    "{\"id\":\"c1\",\"function\":{\"name\":\"f\",\"arguments\":{\"x\":[1,2]}}}," \
    "{\"id\":\"c2\",\"function\":{\"name\":\"g\"}}"
#define TOKENS \
    "{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97]," \
    "\"top_logprobs\":[{\"token\":\"b\",\"logprob\":-1}]}," \
    "{\"token\":\"?\",\"logprob\":-2,\"bytes\":[226]}"

/* What came, all of it, as text: kinds, strings, tokens with their logprobs. */
struct told {
    struct tg_buf all;
    size_t ends;
    enum chat_event_kind last;
    enum chat_error_kind error;
};

static void tell_top(struct tg_buf *out, const struct chat_top *top)
{
    tg_buf_addf(out, "%.*s=%g;", TG_FMT(top->text), top->logprob);
}

static void on_event(void *arg, const struct chat_event *e)
{
    struct told *t = arg;
    tg_buf_addf(&t->all, "%d %u [%.*s] [%.*s] [", (int)e->kind, (unsigned)e->index, TG_FMT(e->id),
                TG_FMT(e->name));
    tg_buf_add(&t->all, e->text.p ? e->text.p : "", e->text.n);
    for (size_t i = 0; i < e->n_logprobs; i++) {
        tell_top(&t->all, &e->logprobs[i].token);
        for (size_t k = 0; k < e->logprobs[i].n_top; k++)
            tell_top(&t->all, &e->logprobs[i].top[k]);
    }
    tg_buf_addf(&t->all, "] %llu %llu\n", (unsigned long long)e->usage.input.n,
                (unsigned long long)e->usage.output.n);
    t->ends += e->kind == CHAT_EVENT_FINISH || e->kind == CHAT_EVENT_ERROR;
    t->last = e->kind;
    t->error = e->error;
}

static void told_init(struct told *t)
{
    *t = (struct told){ 0 };
    tg_buf_init(&t->all, 1 << 20);
}

/* An answer with all that there can be; what is missing at its end makes it no JSON. */
static void make_answer(struct tg_buf *body, size_t missing)
{
    tg_buf_init(body, 1 << 20);
    tg_buf_adds(body, "{\"choices\":[{\"index\":0,\"message\":{"
                      "\"reasoning_content\":\"so \\u00e9\",\"content\":\"");
    for (int i = 0; i < TEXT; i++)
        tg_buf_addc(body, (char)('a' + i % 26));
    tg_buf_adds(body, "\",\"tool_calls\":[" TOOLS "]},\"logprobs\":{\"content\":[" TOKENS "]},");
    tg_buf_adds(body, "\"finish_reason\":\"stop\"}],"
                      "\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":3}}");
    CHECK(!body->failed);
    body->n -= missing;
}

static void wait_for(struct tg_workers *workers)
{
    struct pollfd fd = { .fd = tg_workers_fd(workers), .events = POLLIN };
    CHECK_INT(poll(&fd, 1, 60000), 1);
    tg_workers_dispatch(workers);
}

/* The same events as from a reader on the spot. */
static void whole_answers(void)
{
    static const struct chat_request request = { .logprobs = true };
    struct tg_workers *workers = tg_workers_new(1, 4);
    struct prov_reads *reads = prov_reads_new(workers);
    for (size_t missing = 0; missing < 2; missing++) {
        struct told want, got;
        struct tg_buf body;
        struct prov_reader reader;
        told_init(&want);
        told_init(&got);
        make_answer(&body, missing);
        prov_reader_init(&reader, body.n, on_event, &want);
        reader.logprobs = true;
        prov_reader_whole(&reader, tg_buf_str(&body));
        prov_reader_free(&reader);
        CHECK(prov_read_start(reads, &body, &request, on_event, &got) && !body.p);
        CHECK_INT(got.all.n, 0);
        wait_for(workers);
        CHECK_STR(got.all.p, want.all.p);
        CHECK_INT(got.ends, 1);
        CHECK_INT(got.last, missing ? CHAT_EVENT_ERROR : CHAT_EVENT_FINISH);
        tg_buf_free(&want.all);
        tg_buf_free(&got.all);
    }
    tg_workers_free(workers);
    prov_reads_free(reads);
}

static void on_refusal(void *arg, const struct chat_event *e)
{
    on_event(arg, e);
    CHECK_STR(e->said_type.p, "t");
    CHECK_STR(e->said_code.p, "context_length_exceeded");
    CHECK_STR(e->said_param.p, "p");
    CHECK(e->overflow.is);
}

static void make_error(struct tg_buf *body, const char *members)
{
    tg_buf_init(body, 1 << 20);
    tg_buf_addf(body, "{\"error\":{\"message\":\"m\",%s,\"more\":\"", members);
    for (int i = 0; i < TEXT; i++)
        tg_buf_addc(body, 'x');
    tg_buf_adds(body, "\"}}");
}

/* Its words outlive what the worker had, which has read something else meanwhile. */
static void a_refusal(void)
{
    static const struct chat_request request = { .logprobs = false };
    struct tg_workers *workers = tg_workers_new(1, 4);
    struct prov_reads *reads = prov_reads_new(workers);
    struct told got;
    struct tg_buf body;
    told_init(&got);
    make_error(&body, "\"type\":\"t\",\"param\":\"p\",\"code\":\"context_length_exceeded\"");
    CHECK(prov_read_start(reads, &body, &request, on_refusal, &got) && !body.p);
    struct told other;
    told_init(&other);
    make_error(&body, "\"type\":\"u\",\"param\":\"q\",\"code\":\"another_one_as_long_as_it\"");
    CHECK(prov_read_start(reads, &body, &request, on_event, &other) && !body.p);
    while (tg_workers_waiting(workers))
        poll(NULL, 0, 1);
    poll(NULL, 0, 20);
    while (!other.ends)
        wait_for(workers);
    CHECK_INT(got.ends, 1);
    tg_buf_free(&other.all);
    tg_buf_free(&got.all);
    tg_workers_free(workers);
    prov_reads_free(reads);
}

/* Whichever allocation fails: the whole answer, or one error. */
static void no_memory(void)
{
    static const struct chat_request request = { .logprobs = true };
    struct tg_workers *workers = tg_workers_new(1, 4);
    struct prov_reads *reads = prov_reads_new(workers);
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        struct told got;
        struct tg_buf body;
        told_init(&got);
        make_answer(&body, 0);
        tg_buf_addc(&got.all, ' ');
        tg_alloc_fail_nth(nth);
        struct prov_read *read = prov_read_start(reads, &body, &request, on_event, &got);
        if (read)
            wait_for(workers);
        tg_alloc_fail_nth(0);
        failed = !read || got.all.failed || got.last == CHAT_EVENT_ERROR;
        CHECK(!read || got.ends == 1);
        CHECK(got.last != CHAT_EVENT_ERROR || got.error == CHAT_ERROR_LIMIT);
        tg_buf_free(&got.all);
        tg_buf_free(&body);
        CHECK(nth < 10000);
    }
    tg_workers_free(workers);
    prov_reads_free(reads);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(whole_answers), CASE(a_refusal),
                                               CASE(no_memory) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
