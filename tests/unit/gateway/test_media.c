#include "gateway/media.h"

#include "gateway/api/ollama.h"
#include "gateway/ending.h"
#include "providers/fetch.h"
#include "tests/unit/gateway/exchange_world.h"
#include "tests/unit/gateway/media_part.h"

enum { FETCHES = 64 };

/* --- fetches that a test completes ----------------------------------------------------------- */

struct prov_fetch {
    bool live, ended;
    struct prov_fetch_request request;
};

static struct {
    struct prov_fetch fetch[FETCHES];
    size_t n;
    const char *refuses; /* the next ones, with this text */
} net;

struct prov_fetch *prov_fetch_start(struct prov_http *http,
                                    const struct prov_fetch_request *request, struct tg_error *err)
{
    (void)http;
    CHECK(net.n < FETCHES && request->bytes_max > 0 && request->timeout_ms > 0);
    if (net.refuses) {
        tg_fail(err, TG_INVALID, "%s", net.refuses);
        return NULL;
    }
    struct prov_fetch *f = &net.fetch[net.n++];
    *f = (struct prov_fetch){ .live = true, .request = *request };
    return f;
}

void prov_fetch_free(struct prov_fetch *f)
{
    if (!f)
        return;
    CHECK(f->live);
    f->live = false;
}

static size_t running(void)
{
    size_t n = 0;
    for (size_t i = 0; i < net.n; i++)
        n += net.fetch[i].live && !net.fetch[i].ended;
    return n;
}

static void arrives(size_t at, struct tg_str bytes)
{
    struct prov_fetch *f = &net.fetch[at];
    CHECK(f->live && !f->ended);
    struct prov_fetch_result r = { .ok = f->request.may_hold(f->request.arg, bytes.n),
                                   .type = chat_media_found(f->request.kind, bytes),
                                   .data = bytes };
    f->ended = true;
    r.ours = !r.ok;
    snprintf(r.text, sizeof(r.text), "%s", r.ok ? "" : "no room");
    f->request.done(f->request.arg, &r);
}

static void is_refused(size_t at, const char *why)
{
    struct prov_fetch_result r = { .ok = false };
    snprintf(r.text, sizeof(r.text), "%s", why);
    net.fetch[at].ended = true;
    net.fetch[at].request.done(net.fetch[at].request.arg, &r);
}

/* --- a request with media -------------------------------------------------------------------- */

#define URL(url) "{\"type\":\"image_url\",\"image_url\":{\"url\":\"" url "\"}}"
#define SAYS(parts, more) "{\"messages\":[{\"role\":\"user\",\"content\":[" parts "]}]" more "}"
#define PNG_URL URL("data:image/png;base64," MEDIA_PNG)
#define PNG16 TG_STR(MEDIA_PNG_BYTES)

static void set_up_fetching(size_t tiers)
{
    static const struct cfg_fetch_host any = { .name = { "h", 1 } };
    set_up(tiers, NULL);
    memset(&net, 0, sizeof(net));
    w.settings.fetch = (struct cfg_fetch){ .hosts = &any, .n_hosts = 1, .max_bytes = 1000,
                                           .timeout_ms = 5000 };
}

static void all_is_freed(void)
{
    for (size_t i = 0; i < net.n; i++)
        CHECK(!net.fetch[i].live);
    CHECK_INT(w.app.media_bytes, 0);
    tear_down();
}

static void check_refusal(int status, const char *says)
{
    CHECK(w.rq.over && !w.app.exchanges);
    CHECK_INT(w.rq.status, status);
    if (!in_text(says))
        CHECK_FAIL("%s, want %s", w.rq.text, says);
}

static void limits_by_number_and_size(void)
{
    static const struct {
        const char *body;
        struct cfg_media_limits limits;
        const char *says; /* NULL: fine */
    } rows[] = {
        { SAYS(PNG_URL "," PNG_URL, ""), { 16, 32, 2 }, NULL },
        { SAYS(PNG_URL, ""), { 15, 32, 2 },
          "messages[0].content[0]: the image has 16 bytes, at most 15 are taken "
          "(limits.media.part)" },
        { SAYS(PNG_URL "," PNG_URL, ""), { 16, 31, 2 },
          "messages[0].content[1]: with this image the request has 32 bytes of media, at most 31 "
          "are taken (limits.media.total)" },
        { SAYS(PNG_URL "," URL("http://h/") "," PNG_URL, ""), { 16, 99, 2 },
          "messages[0].content[2]: the request has more than 2 images, audio and video parts" },
        { SAYS(PNG_URL, ""), { 16, 99, 0 }, "more than 0 images" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        set_up(0, NULL);
        w.settings.limits.media = rows[i].limits;
        ask_with(rows[i].body, NULL, 0);
        if (rows[i].says) {
            check_refusal(400, rows[i].says);
            CHECK(in_text("\"code\":\"media_too_large\"") && in_text("\"param\":\"messages[0]."));
        } else {
            finishes(attempt(0, true), 1, 1);
            CHECK_INT(w.rq.status, 200);
        }
        tear_down();
    }
    set_up(0, NULL);
    w.dialect = &oll_chat;
    w.settings.limits.media.part = 15;
    ask_with("{\"model\":\"default\",\"messages\":[{\"role\":\"user\",\"images\":[\""
             MEDIA_PNG "\"]}]}", NULL, 0);
    check_refusal(400, "messages[0].images[0]: the image has 16 bytes");
    tear_down();
}

static void nothing_is_fetched_unless_it_is_on(void)
{
    set_up_fetching(0);
    w.settings.fetch.n_hosts = 0;
    ask_with(SAYS(URL("http://h/i"), ""), NULL, 0);
    CHECK_INT(net.n, 0);
    finishes(attempt(0, true), 1, 1);
    all_is_freed();
    set_up_fetching(0);
    ask_with(SAYS(PNG_URL, ""), NULL, 0);
    CHECK_INT(net.n, 0);
    finishes(attempt(0, true), 1, 1);
    all_is_freed();
}

static void fetched_before_it_is_scored(void)
{
    set_up_fetching(0);
    ask_with(SAYS(URL("http://h/i") "," PNG_URL "," URL("http://h/k"), ""), NULL, 0);
    CHECK(net.n == 2 && fake.n_attempts == 0 && w.x->state == GW_RECEIVED);
    CHECK(tg_str_eq(net.fetch[0].request.url, TG_STR("http://h/i")));
    CHECK_INT(net.fetch[0].request.bytes_max, 1000);
    arrives(1, TG_STR("GIF89a"));
    CHECK_INT(fake.n_attempts, 0);
    arrives(0, PNG16);
    const struct chat_part *parts = w.x->prepared.request.messages[0].parts;
    CHECK(attempt(0, true)->live && w.app.media_bytes == 22);
    CHECK(tg_str_eq(parts[0].media->data, PNG16) && parts[0].media->type);
    CHECK_STR(parts[2].media->type->name, "image/gif");
    finishes(attempt(0, true), 1, 1);
    CHECK_INT(w.rq.status, 200);
    all_is_freed();
}

static void a_few_at_a_time(void)
{
    set_up_fetching(0);
    ask_with(SAYS(URL("http://h/0") "," URL("http://h/1") "," URL("http://h/2") ","
                  URL("http://h/3") "," URL("http://h/4") "," URL("http://h/5"), ""), NULL, 0);
    CHECK(net.n == 4 && running() == 4);
    for (size_t i = 0; i < 6; i++) {
        CHECK(running() == (i < 3 ? 4 : 6 - i) && fake.n_attempts == 0);
        arrives(i, PNG16);
    }
    finishes(attempt(0, true), 1, 1);
    all_is_freed();
}

static void what_cannot_be_fetched(void)
{
    set_up_fetching(1);
    ask_with(SAYS(URL("http://h/0") "," URL("http://h/1"), ",\"stream\":true"), NULL, 0);
    is_refused(1, "its server answered 404");
    check_refusal(400, "messages[0].content[1]: the image cannot be fetched: its server answered "
                       "404");
    CHECK(in_text("\"code\":\"media_not_fetched\""));
    CHECK_STR(fake.error, "media-not-fetched");
    all_is_freed();
    set_up_fetching(1);
    net.refuses = "not among the hosts";
    ask_with(SAYS(URL("http://h/0"), ""), NULL, 0);
    CHECK(!w.x);
    check_refusal(400, "messages[0].content[0]: the image cannot be fetched: not among the hosts");
    all_is_freed();
    set_up_fetching(1); /* at the second one, from inside the first one's end */
    w.settings.limits.media.parts = 9;
    ask_with(SAYS(URL("http://h/0") "," URL("http://h/1") "," URL("http://h/2") ","
                  URL("http://h/3") "," URL("http://h/4"), ""), NULL, 0);
    net.refuses = "not among the hosts";
    arrives(0, PNG16);
    check_refusal(400, "messages[0].content[4]: the image cannot be fetched");
    all_is_freed();
}

static void bounded_in_memory(void)
{
    set_up_fetching(0);
    w.settings.limits.media.total = 20;
    ask_with(SAYS(PNG_URL "," URL("http://h/0"), ""), NULL, 0);
    arrives(0, PNG16);
    check_refusal(400, "messages[0].content[1]: with this image the request has 32 bytes of media");
    all_is_freed();
    set_up_fetching(0);
    w.settings.limits.bodies_in_flight = 200; /* of all requests together */
    w.app.media_bytes = 190;
    ask_with(SAYS(URL("http://h/0"), ""), NULL, 0);
    arrives(0, PNG16);
    check_refusal(503, "the image cannot be fetched: no room");
    CHECK_INT(w.app.media_bytes, 190);
    w.app.media_bytes = 0;
    all_is_freed();
}

static void ends_at_any_time(void)
{
    static const struct gw_header local = { { "x-tollgate-local-only", 21 }, { "true", 4 } };
    set_up_fetching(1);
    ask_with(SAYS(URL("http://h/0") "," URL("http://h/1"), ""), NULL, 0);
    arrives(0, PNG16);
    gw_exchange_gone(w.x);
    CHECK_STR(fake.error, "client-gone");
    all_is_freed();
    set_up_fetching(1);
    ask_with(SAYS(URL("http://h/0"), ""), NULL, 0);
    CHECK(w.x->deadline->ms > 0 && w.x->deadline->ms <= 600000);
    fire(w.x->deadline);
    check_refusal(504, "timeout");
    all_is_freed();
    set_up_fetching(1);
    ask_with(SAYS(URL("http://h/0"), ""), NULL, 0);
    gw_exchange_fail_all(&w.app);
    check_refusal(503, "the gateway is being stopped");
    CHECK_INT(fake.n_money, 0);
    all_is_freed();
    set_up_fetching(1);
    ask_with(SAYS(URL("http://h/0"), ""), &local, 1);
    check_refusal(400, "messages[0].content[0]: a request that stays on this machine fetches "
                       "nothing");
    CHECK_INT(net.n, 0);
    all_is_freed();
    set_up_fetching(1);
    ask_with(SAYS(URL("http://h/0"), ",\"model\":\"local\""), NULL, 0);
    check_refusal(400, "fetches nothing");
    all_is_freed();
    set_up_fetching(1);
    ask_with(SAYS(URL("http://h/0"), ",\"model\":\"nobody\""), NULL, 0);
    check_refusal(404, "nobody");
    CHECK_INT(net.n, 0);
    all_is_freed();
}

/* A large body is decoded by a worker, and scored by one when all is here. */
static void large_bodies(void)
{
    struct tg_buf body;
    for (int gone = 0; gone < 2; gone++) {
        set_up_fetching(0);
        tg_buf_init(&body, 1 << 20);
        tg_buf_adds(&body, "{\"messages\":[{\"role\":\"user\",\"content\":[" URL("http://h/0") ","
                           "{\"type\":\"text\",\"text\":\"");
        for (size_t i = 0; i < 20000; i++)
            tg_buf_addc(&body, 'x');
        tg_buf_adds(&body, "\"}]}]}");
        ask_with(body.p, NULL, 0);
        tg_buf_free(&body);
        CHECK(net.n == 0 && w.app.worker_bytes > 20000);
        worker_works();
        CHECK(net.n == 1 && w.app.worker_bytes == 0 && !fake.work);
        arrives(0, PNG16);
        CHECK(fake.work && w.app.worker_bytes > 20000);
        if (gone)
            gw_exchange_gone(w.x);
        worker_works();
        if (!gone)
            finishes(attempt(0, true), 1, 1);
        all_is_freed();
    }
}

#define WAV_PART                                                                                   \
    "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"" MEDIA_WAV "\",\"format\":\"wav\"}}"

static void answered(struct chat_count audio)
{
    struct chat_event usage = { .kind = CHAT_EVENT_USAGE };
    usage.usage.input = (struct chat_count){ true, 20 };
    usage.usage.cached_input = (struct chat_count){ true, 18 };
    usage.usage.output = (struct chat_count){ true, 3 };
    usage.usage.audio_input = audio;
    press(attempt(0, false), usage);
    press(attempt(0, false), (struct chat_event){ .kind = CHAT_EVENT_FINISH });
    CHECK_INT(w.rq.status, 200);
}

/* What is settled: the audio's tokens at their price; unknown how many, the ceiling. */
static void audio_at_a_price_of_its_own(void)
{
    enum { AUDIO = 16 * IN };
    for (int told = 0; told < 2; told++) {
        set_up(1, "turns > 0");
        struct cfg_price *price = &w.settings.routes[0].tiers[0].price;
        price->cached_input = price->input / 2;
        price->audio_input = AUDIO * 1000000LL;
        price->tokens_per_audio = 10;
        ask_with(SAYS(WAV_PART, ""), NULL, 0);
        CHECK_INT(fake.money[0].amount, (8 + 32) * IN + 10 * AUDIO + 64 * OUT);
        answered((struct chat_count){ told, 5 });
        CHECK(fake.money[0].estimated == !told);
        CHECK_INT(fake.money[0].paid, told ? 5 * AUDIO + 15 * IN / 2 + 3 * OUT
                                           : fake.money[0].amount);
        tear_down();
    }
}

static void failing_allocations(void)
{
    bool answered = false;
    for (uint64_t nth = 1; nth < 300 && !answered; nth++) {
        set_up_fetching(0);
        tg_alloc_fail_nth(nth);
        ask_with(SAYS(PNG_URL "," URL("http://h/0"), ""), NULL, 0);
        if (net.n)
            arrives(0, PNG16);
        bool none_failed = tg_alloc_count() < nth;
        tg_alloc_fail_nth(0);
        answered = none_failed && fake.n_attempts == 1;
        if (w.app.exchanges)
            gw_exchange_end_all(&w.app);
        for (size_t i = 0; i < net.n; i++)
            CHECK(!net.fetch[i].live);
        CHECK_INT(w.app.media_bytes, 0);
        pol_route_free(&w.snapshot.routes[0]);
    }
    CHECK(answered);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(limits_by_number_and_size), CASE(nothing_is_fetched_unless_it_is_on),
        CASE(fetched_before_it_is_scored), CASE(a_few_at_a_time), CASE(what_cannot_be_fetched),
        CASE(bounded_in_memory), CASE(ends_at_any_time), CASE(large_bodies),
        CASE(audio_at_a_price_of_its_own), CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
