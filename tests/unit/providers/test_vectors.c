/* Embeddings of an OpenAI-compatible provider: the body that is sent, and answers of any form. */
#include <poll.h>

#include "config/base/alloc.h"
#include "config/base/json.h"
#include "providers/answer_reads.h"
#include "tests/unit/check.h"
#include "tests/unit/providers/support.h"

static const uint32_t ids[] = { 5, 4294967, 0 };
static const struct chat_input inputs[] = { { .text = TG_STR("a\"b") },
                                            { .ids = ids, .n_ids = 3 } };
static const struct chat_request two = { .inputs = inputs, .n_inputs = 2 };
static const struct chat_request fixed = { .inputs = inputs, .n_inputs = 2, .dimensions = 2,
                                           .user = TG_STR("u") };

static void bodies(void)
{
    struct tg_buf out;
    struct prov_call call = { .request = &two, .model = TG_STR("m") };
    tg_buf_init(&out, 4096);
    CHECK_INT(prov_vectors_body(&call, &out), TG_OK);
    CHECK_STR(out.p, "{\"model\":\"m\",\"input\":[\"a\\\"b\",[5,4294967,0]],"
                     "\"encoding_format\":\"base64\"}");
    tg_buf_reset(&out);
    call.request = &fixed;
    prov_vectors_body(&call, &out);
    CHECK_STR(out.p, "{\"model\":\"m\",\"input\":[\"a\\\"b\",[5,4294967,0]],\"encoding_format\":"
                     "\"base64\",\"dimensions\":2,\"user\":\"u\"}");
    CHECK_INT(tg_json_scan(tg_buf_str(&out), NULL), TG_OK);
    tg_buf_free(&out);
    CHECK_INT(chat_request_bytes(&two), 3 + 3);
}

static void read_as(struct record *r, const char *body, const struct chat_request *request)
{
    struct prov_reader reader;
    record_init(r);
    tg_buf_adds(&r->text, "");
    tg_buf_adds(&r->error, "");
    prov_reader_init(&reader, 1 << 20, record_event, r);
    struct tg_arena *arena = NULL;
    prov_vectors_read(&reader, tg_str_of(body), request, &arena);
    tg_arena_free(arena);
    prov_reader_end(&reader);
    prov_reader_free(&reader);
}

#define ITEM(index, vector) "{\"index\":" index ",\"embedding\":" vector "}"
#define USAGE ",\"usage\":{\"prompt_tokens\":7,\"total_tokens\":7}}"
#define DATA(list) "{\"data\":[" list "]" USAGE
#define ONE "\"AACAPwAAAL8=\"" /* 1, -0.5 */
#define NOT "\"AACAPwAAwH8=\"" /* 1 and not a number */

static const struct row {
    const char *body, *want; /* want: "index:number number|...", or the error */
    const struct chat_request *request;
} rows[] = {
    { DATA(ITEM("0", "[1,-0.5]") "," ITEM("1", ONE)), "0:1 -0.5|1:1 -0.5|", &two },
    { DATA(ITEM("1", "[3,4]") "," ITEM("0", ONE)), "0:1 -0.5|1:3 4|", &fixed },
    { DATA("{\"embedding\":[1]},{\"embedding\":[2]}"), "0:1|1:2|", &two },
    { DATA(ITEM("0", "[1]")), "not as many", &two },
    { DATA(ITEM("0", "[1]") "," ITEM("1", "[1]") "," ITEM("2", "[1]")), "not as many", &two },
    { "{}", "not as many", &two },
    { "{\"data\":{}}", "not as many", &two },
    { DATA(ITEM("0", "[1]") "," ITEM("0", "[1]")), "there twice", &two },
    { DATA(ITEM("0", "[1]") "," ITEM("2", "[1]")), "out of range", &two },
    { DATA(ITEM("0", "[1]") "," ITEM("-1", "[1]")), "out of range", &two },
    { DATA(ITEM("0", "[1]") "," ITEM("\"1\"", "[1]")), "no whole number", &two },
    { DATA("1,2"), "neither a list", &two },
    { DATA(ITEM("0", "[1]") "," ITEM("1", "null")), "neither a list", &two },
    { DATA(ITEM("0", "[1]") "," ITEM("1", "[]")), "empty", &two },
    { DATA(ITEM("0", "[1]") "," ITEM("1", "[1,2]")), "differ in length", &two },
    { DATA(ITEM("0", "[1]") "," ITEM("1", "[1]")), "does not keep to dimensions", &fixed },
    { DATA(ITEM("0", "[1,null]") "," ITEM("1", "[1,1]")), "no number", &two },
    { DATA(ITEM("0", "[1,1e39]") "," ITEM("1", "[1,1]")), "no number", &two },
    { DATA(ITEM("0", ONE) "," ITEM("1", NOT)), "no number", &two },
    { DATA(ITEM("0", ONE) "," ITEM("1", "\"AACAPw==AA\"")), "no base64", &two },
    { DATA(ITEM("0", ONE) "," ITEM("1", "\"AACA\"")), "no base64", &two },
    { DATA(ITEM("0", ONE) "," ITEM("1", "\"\"")), "no base64", &two },
    { "[]", "not an object", &two },
    { "<html>", "JSON", &two },
    { "{\"error\":{\"message\":\"boom\"}}", "boom", &two },
};

static void answers(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct record r;
        read_as(&r, rows[i].body, rows[i].request);
        bool error = r.last.kind == CHAT_EVENT_ERROR, wanted = strchr(rows[i].want, '|') == NULL;
        bool ok = r.ends == 1 && !r.after_end && error == wanted &&
                  (error ? r.last.billed && r.text.n == 0 && strstr(r.error.p, rows[i].want)
                         : strcmp(r.text.p, rows[i].want) == 0 && r.usages == 1 &&
                               r.usage.input.n == 7 && r.usage.output.present);
        if (!ok)
            fprintf(stderr, "row %zu: \"%s\", \"%s\"\n", i, r.text.p, r.error.p);
        record_free(&r);
        CHECK(ok);
    }
    struct record r;
    read_as(&r, "{\"data\":[" ITEM("0", "[1]") "," ITEM("1", "[1]") "]}", &two);
    CHECK(r.last.kind == CHAT_EVENT_FINISH && r.usages == 0);
    record_free(&r);
}

static void no_memory(void)
{
    bool finished = false;
    for (uint64_t nth = 1; nth < 400 && !finished; nth++) {
        struct record r;
        struct prov_reader reader;
        record_init(&r);
        tg_buf_adds(&r.text, "");
        tg_buf_adds(&r.error, "");
        prov_reader_init(&reader, 1 << 20, record_event, &r);
        tg_alloc_fail_nth(nth);
        struct tg_arena *arena = NULL;
        prov_vectors_read(&reader, TG_STR(DATA(ITEM("0", "[1,2]") "," ITEM("1", ONE))), &two,
                          &arena);
        tg_arena_free(arena);
        finished = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        prov_reader_free(&reader);
        enum chat_event_kind last = r.last.kind;
        size_t ends = r.ends;
        record_free(&r);
        CHECK(ends == 1 && (last == CHAT_EVENT_ERROR || finished || last == CHAT_EVENT_FINISH));
    }
    CHECK(finished);
}

/* An answer of 40 KB: vectors of 1 and -0.5, so often. */
static void make_large(struct tg_buf *body)
{
    tg_buf_init(body, 1 << 20);
    tg_buf_adds(body, "{\"data\":[" ITEM("0", "[1"));
    body->n--; /* into the list */
    for (int i = 0; i < 5000; i++)
        tg_buf_adds(body, ",-0.5");
    tg_buf_adds(body, "]}," ITEM("1", "[1"));
    body->n--;
    for (int i = 0; i < 5000; i++)
        tg_buf_adds(body, ",-0.5");
    tg_buf_adds(body, "]}]" USAGE);
}

static void wait_for(struct tg_workers *workers)
{
    struct pollfd fd = { .fd = tg_workers_fd(workers), .events = POLLIN };
    CHECK_INT(poll(&fd, 1, 60000), 1);
    tg_workers_dispatch(workers);
}

static void count(void *arg, const struct chat_event *e)
{
    size_t *n = arg;
    (void)e;
    ++*n;
}

static void workers_read_large_ones(void)
{
    struct tg_workers *workers = tg_workers_new(1, 4);
    struct prov_reads *reads = prov_reads_new(workers);
    struct tg_buf body, small;
    struct record r;
    record_init(&r);
    make_large(&body);
    CHECK(!prov_read_start(NULL, &body, &two, record_event, &r));
    tg_buf_init(&small, 64);
    CHECK(!prov_read_start(reads, &small, &two, record_event, &r));
    CHECK(prov_read_start(reads, &body, &two, record_event, &r) && !body.p);
    CHECK_INT(r.events, 0);
    wait_for(workers);
    CHECK(r.ends == 1 && r.last.kind == CHAT_EVENT_FINISH && r.usages == 1 && r.events == 4);
    CHECK(strncmp(r.text.p, "0:1 -0.5 -0.5 ", 14) == 0 && strstr(r.text.p, "-0.5|1:1 -0.5 "));
    record_free(&r);
    record_init(&r);
    make_large(&body);
    body.p[body.n - 1] = '!'; /* what is wrong is told as well */
    CHECK(prov_read_start(reads, &body, &two, record_event, &r));
    wait_for(workers);
    CHECK(r.ends == 1 && r.last.kind == CHAT_EVENT_ERROR && strstr(r.error.p, "JSON"));
    record_free(&r);
    size_t n = 0;
    make_large(&body);
    prov_read_drop(prov_read_start(reads, &body, &two, count, &n));
    wait_for(workers);
    CHECK_INT(n, 0);
    for (int i = 0; i < 3; i++) { /* never reported: freed with the rest */
        make_large(&body);
        CHECK(prov_read_start(reads, &body, &two, count, &n));
    }
    tg_workers_free(workers);
    prov_reads_free(reads);
    CHECK_INT(n, 0);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = { CASE(bodies), CASE(answers), CASE(no_memory),
                                               CASE(workers_read_large_ones) };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
