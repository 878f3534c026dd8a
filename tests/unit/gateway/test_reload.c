/* Reloads: who is answered by which, what a refused one leaves, who goes, a drain. The worker
 * works when the test says so. */
#include "gateway/api/openai_chat.h"
#include "gateway/gate.h"
#include "gateway/identity.h"
#include "gateway/reload.h"
#include "tests/unit/gateway/exchange_fakes.h"

enum { SNAPSHOTS = 8, ASKERS = GW_RELOAD_WAITS + 1 };

static struct gw_app app;
static struct gw_snapshot snapshot[SNAPSHOTS]; /* [0] is there at the start, [n] is the nth load */
static struct cfg_settings settings[SNAPSHOTS];
static struct gw_request rq[ASKERS];
static size_t loads, doors;
static const char *bad_file, *bad_bind;
static uint32_t slots; /* of 100 at most */

enum tg_status gw_snapshot_load(const char *path, struct gw_snapshot **out, struct tg_error *err)
{
    CHECK_STR(path, "c.json");
    loads++;
    if (bad_file)
        return tg_fail(err, TG_INVALID, "%s", bad_file);
    CHECK(loads < SNAPSHOTS);
    *out = &snapshot[loads];
    (*out)->refs = 1;
    return TG_OK;
}

enum tg_status gw_snapshot_bind(struct gw_snapshot *s, struct gw_app *a, struct tg_error *err)
{
    CHECK(s->refs == 1 && a == &app);
    return bad_bind ? tg_fail(err, TG_LIMIT, "%s", bad_bind) : TG_OK;
}

bool tel_limit(struct tel_store *s, uint32_t in_flight)
{
    CHECK(!s);
    if (in_flight <= 100)
        slots = in_flight;
    return in_flight <= 100;
}

void gw_http_set_limits(struct gw_http *h, const struct cfg_limits *limits)
{
    CHECK(!h && limits == &app.now->settings->limits);
    doors++;
}

void gw_http_set_tls(struct gw_http *h, const struct gw_tls *tls)
{
    CHECK(!h && !tls);
}

void gw_gate_warn(const struct cfg_settings *s, const struct tel_keys *keys)
{
    CHECK(s == app.now->settings && !keys);
}

void gw_identity_tell(const struct gw_app *a)
{
    CHECK(a == &app);
}

static void set_up(void)
{
    memset(&fake, 0, sizeof(fake));
    memset(rq, 0, sizeof(rq));
    loads = doors = 0;
    bad_file = bad_bind = NULL;
    for (size_t i = 0; i < SNAPSHOTS; i++) {
        settings[i] = (struct cfg_settings){ .listen_host = "127.0.0.1", .listen_port = 1,
            .data_dir = "d", .time_zone = "UTC", .prices_version = "2026", .n_routes = i };
        settings[i].limits.connections = 100;
        settings[i].engine.model = "m";
        settings[i].engine.device = settings[i].engine.precision = "auto";
        snapshot[i] = (struct gw_snapshot){ .settings = &settings[i] };
    }
    snapshot[0].refs = 1;
    app = (struct gw_app){ .now = &snapshot[0], .responses = gw_responses_new(0, 1000) };
    CHECK(app.responses);
    struct tg_error err;
    CHECK_INT(gw_reload_new(&app, "c.json", &err), TG_OK);
}

/* Nobody but the one in force is held. */
static void tear_down(void)
{
    gw_reload_free(&app);
    gw_responses_free(app.responses);
    for (size_t i = 0; i < SNAPSHOTS; i++)
        CHECK_INT(snapshot[i].refs, &snapshot[i] == app.now);
}

static void *ask(size_t i)
{
    return gw_reload_wait(&app, &rq[i], &oai_chat);
}

static void check_answer(size_t i, int status, const char *text)
{
    CHECK(rq[i].over);
    CHECK_INT(rq[i].status, status);
    if (!strstr(rq[i].text, text))
        CHECK_FAIL("%s: not \"%s\"", rq[i].text, text);
}

static void an_answer_is_of_a_reload_that_began_later(void)
{
    set_up();
    CHECK(ask(0));
    CHECK(ask(1) && ask(2)); /* the file may have been read by now */
    gw_reload_ask(&app);
    CHECK(!rq[0].over);
    worker_works();
    check_answer(0, 200, "{\"reloaded\":true,\"config\":\"c.json\",\"routes\":1,\"providers\":0,"
                         "\"prices\":\"2026\",\"certificate_ends\":null}\n");
    CHECK(app.now == &snapshot[1] && !rq[1].over && !rq[2].over);
    CHECK(ask(3)); /* behind the one that serves those two */
    worker_works();
    check_answer(1, 200, "\"routes\":2");
    check_answer(2, 200, "\"routes\":2");
    CHECK(!rq[3].over);
    worker_works();
    check_answer(3, 200, "\"routes\":3");
    CHECK(!fake.work && doors == 3);
    gw_reload_ask(&app); /* SIGHUP first: who asks then waits for one of its own */
    CHECK(ask(4));
    worker_works();
    CHECK(!rq[4].over);
    worker_works();
    check_answer(4, 200, "\"routes\":5");
    CHECK(!fake.work);
    tear_down();
}

static void a_refused_one_changes_nothing(void)
{
    set_up();
    bad_file = "c.json: routes: needed";
    CHECK(ask(0));
    worker_works();
    check_answer(0, 400, "c.json: routes: needed; the old configuration stays in force");
    bad_file = NULL;
    settings[2].listen_port = 2;
    CHECK(ask(1));
    worker_works();
    check_answer(1, 400, "listen: a change of this key needs a restart; the old");
    bad_bind = "too many budgets";
    settings[3].limits.connections = 40;
    CHECK(ask(2) && ask(3));
    worker_works();
    check_answer(2, 400, "too many budgets; the old");
    CHECK(app.now == &snapshot[0] && doors == 0 && slots == 100);
    bad_bind = NULL; /* and the next one is judged by itself */
    settings[4].limits.connections = 50;
    worker_works();
    check_answer(3, 200, "\"routes\":4");
    CHECK_INT(slots, 50);
    settings[5].limits.connections = 101;
    CHECK(ask(4));
    worker_works();
    check_answer(4, 400, "limits.connections: 101 is more than at the start, which needs a");
    CHECK_INT(slots, 50);
    tear_down();
}

static void who_goes_is_forgotten_not_what_it_asked_for(void)
{
    set_up();
    void *first = ask(0), *second = ask(1), *third = ask(2);
    CHECK(!gw_reload_gone(&app, &app));
    CHECK(gw_reload_gone(&app, first) && !gw_reload_gone(&app, first));
    CHECK(gw_reload_gone(&app, third) && gw_reload_gone(&app, second));
    worker_works();
    worker_works();
    CHECK(app.now == &snapshot[2] && !fake.work);
    CHECK(!rq[0].over && !rq[1].over && !rq[2].over);
    tear_down();
}

static void too_many_and_no_worker_are_503(void)
{
    set_up();
    for (size_t i = 0; i < GW_RELOAD_WAITS; i++)
        CHECK(ask(i));
    CHECK(!ask(GW_RELOAD_WAITS));
    check_answer(GW_RELOAD_WAITS, 503, "too many requests wait");
    fake.worker_busy = true;
    worker_works();
    check_answer(0, 200, "\"routes\":1");
    for (size_t i = 1; i < GW_RELOAD_WAITS; i++)
        check_answer(i, 503, "too busy to reload");
    memset(rq, 0, sizeof(rq));
    CHECK(!ask(0));
    check_answer(0, 503, "too busy to reload");
    fake.worker_busy = false;
    CHECK(ask(1) && fake.work);
    worker_works();
    check_answer(1, 200, "\"routes\":2");
    tear_down();
}

static void a_drain_answers_everybody(void)
{
    set_up();
    CHECK(ask(0) && ask(1));
    app.draining = true;
    CHECK(!ask(2));
    check_answer(2, 503, "being stopped");
    worker_works();
    check_answer(0, 200, "\"routes\":1");
    check_answer(1, 503, "being stopped");
    gw_reload_ask(&app);
    CHECK(!fake.work);
    app.draining = false;
    CHECK(ask(3) && ask(4));
    app.draining = true;
    gw_reload_end_waits(&app);
    check_answer(3, 503, "being stopped");
    check_answer(4, 503, "being stopped");
    worker_works();
    CHECK(!fake.work);
    tear_down();
}

/* The worker is joined, what it has read is taken by nobody. */
static void an_end_in_the_middle_leaves_nothing(void)
{
    set_up();
    CHECK(ask(0) && ask(1));
    fake.work(fake.work_arg);
    CHECK_INT(snapshot[1].refs, 1);
    tear_down();
}

static void without_memory_it_says_so(void)
{
    set_up();
    int failed = 0;
    for (uint64_t n = 1;; n++) {
        memset(&rq[0], 0, sizeof(rq[0]));
        CHECK(loads + 1 < SNAPSHOTS);
        tg_alloc_fail_nth(n);
        bool waits = ask(0);
        if (waits)
            worker_works();
        bool all = tg_alloc_count() < n;
        tg_alloc_fail_nth(0);
        if (all)
            break;
        if (rq[0].status == 503) { /* the log gets over it */
            check_answer(0, 503, "memory");
            failed++;
        } else {
            check_answer(0, 200, "\"certificate_ends\":null}\n");
        }
    }
    check_answer(0, 200, "\"certificate_ends\":null}\n");
    CHECK(failed >= 2); /* the place in the line, the answer */
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(an_answer_is_of_a_reload_that_began_later),
        CASE(a_refused_one_changes_nothing),
        CASE(who_goes_is_forgotten_not_what_it_asked_for),
        CASE(too_many_and_no_worker_are_503),
        CASE(a_drain_answers_everybody),
        CASE(an_end_in_the_middle_leaves_nothing),
        CASE(without_memory_it_says_so),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
