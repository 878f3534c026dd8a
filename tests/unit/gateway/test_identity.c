/* The hash of the model that runs, against files that change behind it. */
#include "gateway/identity.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/log.h"
#include "gateway/files.h"
#include "tests/unit/check.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf"

static char dir[64], model[128], other[128];
static struct cfg_settings settings;
static struct gw_snapshot snapshot;
static struct gw_app app;

static void copy(const char *from, const char *to)
{
    struct tg_buf text;
    struct tg_error err;
    tg_buf_init(&text, 64 << 20);
    CHECK_INT(gw_file_read(from, &text, &err), TG_OK);
    CHECK_INT(gw_file_write(to, tg_buf_str(&text), &err), TG_OK);
    tg_buf_free(&text);
}

static void begin(void)
{
    struct tg_error err;
    gw_identity_free(app.identity);
    app.identity = NULL;
    app.model_hash[0] = '\0';
    CHECK_INT(gw_identity_begin(&app, &err), TG_OK);
}

static void set_up(void)
{
    struct tg_error err;
    strcpy(dir, "/tmp/tollgate-identity-XXXXXX");
    CHECK(mkdtemp(dir));
    snprintf(model, sizeof(model), "%s/m.gguf", dir);
    snprintf(other, sizeof(other), "%s/other.gguf", dir);
    copy(GOLDEN, model);
    settings = (struct cfg_settings){ .data_dir = dir, .engine.model = model };
    snapshot = (struct gw_snapshot){ .settings = &settings };
    app = (struct gw_app){ .now = &snapshot };
    const struct le_engine_options options = { .model = model, .device = LE_DEVICE_CPU,
                                               .threads = 1, .context = 64, .no_selftest = true };
    CHECK_INT(le_engine_open(&options, &app.engine, &err), TG_OK);
    tg_log_set_level(TG_LOG_ERROR);
}

static void tear_down(void)
{
    char command[128];
    gw_identity_free(app.identity);
    le_engine_close(app.engine);
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    CHECK_INT(system(command), 0);
}

static void of_the_file_that_runs(void)
{
    set_up();
    begin();
    CHECK_INT(strlen(app.model_hash), POL_MODEL_HEX);
    char first[POL_MODEL_HEX + 1];
    strcpy(first, app.model_hash);
    begin(); /* known now */
    CHECK_STR(app.model_hash, first);
    copy(GOLDEN, other); /* renamed over it between loading and hashing: even an equal one */
    CHECK_INT(rename(other, model), 0);
    begin();
    CHECK_STR(app.model_hash, "");
    CHECK_INT(unlink(model), 0);
    begin();
    CHECK_STR(app.model_hash, "");
    tear_down();
}

static void written_into(void)
{
    set_up();
    FILE *f = fopen(model, "ab");
    CHECK(f);
    fputs("more", f);
    CHECK_INT(fclose(f), 0);
    begin();
    CHECK_STR(app.model_hash, "");
    tear_down();
}

static void failing_allocations(void)
{
    struct tg_error err;
    set_up();
    for (uint64_t nth = 1; !app.model_hash[0]; nth++) {
        gw_identity_free(app.identity);
        app.identity = NULL;
        tg_alloc_fail_nth(nth);
        enum tg_status status = gw_identity_begin(&app, &err);
        tg_alloc_fail_nth(0);
        CHECK(status == TG_NOMEM || status == TG_OK);
        CHECK(nth < 1000);
    }
    tear_down();
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(of_the_file_that_runs), CASE(written_into), CASE(failing_allocations),
    };
    return check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
}
