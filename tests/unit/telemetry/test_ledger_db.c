/* The durable side alone: a batch whose commit failed but was durable after all is repeated. */
#include "tests/unit/check.h"

#include "tests/unit/telemetry/support_store.h"
#include "telemetry/internal.h"

static struct rig rig;
static struct tg_error err;
static struct tel_ledger_db db;
static char path[160];
static const char *const names[TEL_BUDGETS_MAX] = { "a", "b" };

static void begin(void)
{
    CHECK(rig_make(&rig));
    snprintf(path, sizeof(path), "%s/ledger.db", rig.dir);
    tel_ledger_init(&db, path, names);
    CHECK_INT(tel_ledger_open(&db, 1, &err), TG_OK);
}

static void end(void)
{
    tel_ledger_close(&db);
    rig_drop(&rig);
}

static struct tel_op op(enum tel_op_kind kind, uint64_t id, int64_t reserved, int64_t actual)
{
    return (struct tel_op){ .kind = kind,
                            .key = { 0, CFG_PERIOD_MONTH, "2026-11-01" },
                            .id = id,
                            .reserved = reserved,
                            .actual = actual,
                            .lease_drop = actual,
                            .cap = 1000,
                            .drop_key = { 0, CFG_PERIOD_MONTH, "2026-10-01" } };
}

static struct tel_op ask(uint64_t id, int64_t want)
{
    struct tel_op o = op(TEL_OP_ASK, id, 0, 0);
    o.want = want;
    return o;
}

static struct tel_reply commit(const struct tel_op *ops, size_t n)
{
    struct tel_reply replies[4] = { { .granted = -1 } };
    size_t n_replies;
    CHECK(n <= 4);
    CHECK_INT(tel_ledger_commit(&db, ops, n, replies, &n_replies, &err), TG_OK);
    return replies[0];
}

static int64_t at(const char *column, const char *start)
{
    char sql[128];
    snprintf(sql, sizeof(sql), "SELECT %s FROM period WHERE start = '%s'", column, start);
    return rig_query(&rig, "ledger.db", sql);
}

static void a_batch_applied_twice_counts_once(void)
{
    begin();
    struct tel_op october = ask(1, 400);
    october.key = october.drop_key;
    CHECK_INT(commit(&october, 1).granted, 400);
    struct tel_op batch[] = { ask(2, 300), op(TEL_OP_SETTLE, 3, 100, 60),
                              op(TEL_OP_RELEASE, 4, 50, 0), op(TEL_OP_SETTLE, 5, 10, 25) };
    batch[0].drop = 150; /* of October's */
    for (int i = 0; i < 3; i++) {
        struct tel_reply reply = commit(batch, 4);
        CHECK_INT(reply.granted, 300);
        CHECK_INT(reply.spent, i ? 85 : 0);
        CHECK_INT(at("spent_nano", "2026-11-01"), 85);
        CHECK_INT(at("leased_nano", "2026-11-01"), 215);
        CHECK_INT(at("overage_nano", "2026-11-01"), 15);
        CHECK_INT(at("leased_nano", "2026-10-01"), 250);
    }
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT count(*) FROM settlement"), 3);
    struct tel_op rest = ask(6, 5000); /* repeated, it finds no room: it is told what it got */
    CHECK_INT(commit(&rest, 1).granted, 1000 - 85 - 215);
    CHECK_INT(commit(&rest, 1).granted, 1000 - 85 - 215);
    CHECK_INT(at("leased_nano", "2026-11-01"), 1000 - 85);
    end();
}

/* $5 a day becomes $0.0005 a month: the day keeps the cap that it had, and its late ends are held
 * against no cap of a month. */
static void each_kind_of_period_keeps_its_cap(void)
{
    begin();
    log_begin(&rig);
    struct tel_op day = ask(1, 400), late = op(TEL_OP_SETTLE, 2, 100, 60);
    day.key = day.drop_key = late.key = (struct tel_key){ 0, CFG_PERIOD_DAY, "2026-11-20" };
    commit(&day, 1);
    CHECK_INT(at("cap_nano", "2026-11-20"), 1000);
    struct tel_op month = ask(3, 40);
    month.cap = 50;
    month.alert_nano = 40;
    month.drop_key = day.key;
    month.drop = 300;
    commit(&month, 1);
    commit(&late, 1);
    CHECK_INT(at("cap_nano", "2026-11-20"), 1000);
    CHECK_INT(at("spent_nano", "2026-11-20"), 60);
    CHECK_INT(at("leased_nano", "2026-11-20"), 40);
    CHECK_INT(at("cap_nano", "2026-11-01"), 50);
    CHECK_INT(log_count(&rig, "budget-alert"), 0);
    late = op(TEL_OP_SETTLE, 4, 40, 40);
    commit(&late, 1);
    CHECK_INT(log_count(&rig, "budget-alert"), 1);
    month = ask(5, 0); /* a reload with the period as it is */
    month.cap = 70;
    commit(&month, 1);
    CHECK_INT(at("cap_nano", "2026-11-01"), 70);
    log_end();
    end();
}

static void lease_shrinks_to_what_is_left(void)
{
    begin();
    struct tel_op a = ask(1, 900), b = ask(2, 900), c = ask(3, 900);
    CHECK_INT(commit(&a, 1).granted, 900);
    CHECK_INT(commit(&b, 1).granted, 100);
    CHECK_INT(commit(&c, 1).granted, 0);
    struct tel_op huge = op(TEL_OP_SETTLE, 4, 0, INT64_MAX), more = op(TEL_OP_SETTLE, 5, 0, 9);
    commit(&huge, 1);
    commit(&more, 1);
    CHECK_INT(at("spent_nano", "2026-11-01"), INT64_MAX); /* stops there, stays an integer */
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT typeof(spent_nano) = 'integer' FROM period"), 1);
    CHECK_INT(commit(&(struct tel_op){ .kind = TEL_OP_ASK, .key = a.key, .id = 9, .cap = 5000,
                                       .want = 1 }, 1).granted, 0);
    end();
}

static void failed_batch_leaves_nothing(void)
{
    begin();
    struct tel_op good = ask(1, 100);
    commit(&good, 1);
    tel_ledger_close(&db);
    CHECK(rig_exec(&rig, "ledger.db",
                   "CREATE TRIGGER t BEFORE INSERT ON settlement WHEN NEW.id = 8 BEGIN SELECT"
                   " RAISE(ABORT, 'planted'); END"));
    CHECK_INT(tel_ledger_open(&db, 1, &err), TG_OK);
    struct tel_op batch[] = { op(TEL_OP_SETTLE, 7, 5, 5), op(TEL_OP_SETTLE, 8, 5, 5) };
    struct tel_reply reply;
    size_t n;
    CHECK_INT(tel_ledger_commit(&db, batch, 2, &reply, &n, &err), TG_IO);
    CHECK(strstr(err.text, "planted") != NULL);
    CHECK_INT(at("spent_nano", "2026-11-01"), 0);
    CHECK_INT(rig_query(&rig, "ledger.db", "SELECT count(*) FROM settlement"), 0);
    CHECK_INT(tel_ledger_commit(&db, batch, 1, &reply, &n, &err), TG_OK);
    CHECK_INT(at("spent_nano", "2026-11-01"), 5);
    end();
}

static void session_without_close_is_lost_once(void)
{
    begin();
    struct tel_op a = ask(1, 100), s = op(TEL_OP_SETTLE, 2, 40, 30);
    commit(&a, 1);
    commit(&s, 1);
    tel_ledger_close(&db); /* reopened by the same process: its leases live on */
    CHECK_INT(tel_ledger_open(&db, 2, &err), TG_OK);
    CHECK_INT(at("leased_nano", "2026-11-01"), 70);
    for (int i = 0; i < 2; i++) {
        tel_ledger_close(&db);
        tel_ledger_init(&db, path, names); /* another process */
        CHECK_INT(tel_ledger_open(&db, 3, &err), TG_OK);
        CHECK_INT(at("leased_nano", "2026-11-01"), 0);
        CHECK_INT(at("spent_nano", "2026-11-01"), 100);
        CHECK_INT(at("lost_nano", "2026-11-01"), 70);
        CHECK_INT(rig_query(&rig, "ledger.db", "SELECT sum(amount_nano) FROM lost"), 70);
    }
    CHECK_INT(commit(&s, 1).granted, -1); /* the same id in a new session is another reservation */
    CHECK_INT(at("spent_nano", "2026-11-01"), 130);
    end();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(a_batch_applied_twice_counts_once),
        CASE(each_kind_of_period_keeps_its_cap),
        CASE(lease_shrinks_to_what_is_left),
        CASE(failed_batch_leaves_nothing),
        CASE(session_without_close_is_lost_once),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
