#include "gateway/calibrations.h"

#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "gateway/files.h"
#include "policy/calibration_json.h"

void gw_calibrations_free(struct gw_calibrations *c)
{
    tg_free(c->list);
    *c = (struct gw_calibrations){ 0 };
}

static enum tg_status parse(const char *path, struct tg_str text, struct gw_calibrations *out,
                            struct tg_error *err)
{
    struct tg_error cause = { 0 };
    struct tg_json *root = NULL;
    enum tg_status status = tg_json_parse(text, &root, &cause);
    if (status == TG_OK)
        status = pol_calibrations_parse(root, &out->list, &out->n, &out->stale, &cause);
    tg_json_free(root);
    return status ? tg_fail(err, status, "%s: %.400s", path, cause.text) : TG_OK;
}

enum tg_status gw_calibrations_add(struct gw_calibrations *c, const char *path,
                                   struct tg_error *err)
{
    struct gw_calibrations more = { 0 };
    struct tg_buf text;
    tg_buf_init(&text, GW_CALIBRATION_FILE_MAX);
    enum tg_status status = gw_file_read(path, &text, err);
    bool there = status != TG_NOTFOUND;
    if (status == TG_OK)
        status = parse(path, tg_buf_str(&text), &more, err);
    tg_buf_free(&text);
    if (status)
        return there ? status : TG_OK;
    struct pol_calibration *all = tg_realloc_array(c->list, c->n + more.n + 1, sizeof(*all));
    if (!all) {
        gw_calibrations_free(&more);
        return tg_fail(err, TG_NOMEM, "%s: out of memory", path);
    }
    if (more.n)
        memcpy(all + c->n, more.list, more.n * sizeof(*all));
    c->list = all;
    c->n += more.n;
    c->stale += more.stale;
    gw_calibrations_free(&more);
    return TG_OK;
}

enum tg_status gw_calibrations_put(struct gw_calibrations *c, const struct pol_calibration *one,
                                   struct tg_error *err)
{
    for (size_t i = 0; i < c->n; i++)
        if (pol_key_equal(&c->list[i].key, &one->key)) {
            c->list[i] = *one;
            return TG_OK;
        }
    if (c->n >= POL_CALIBRATIONS_MAX)
        return tg_fail(err, TG_LIMIT, "there are %d calibrations already, which is the most",
                       (int)POL_CALIBRATIONS_MAX);
    struct pol_calibration *all = tg_realloc_array(c->list, c->n + 1, sizeof(*all));
    if (!all)
        return tg_fail(err, TG_NOMEM, "out of memory for a calibration");
    all[c->n++] = *one;
    c->list = all;
    return TG_OK;
}

/* What the gateway would say of the text. */
static enum tg_status read_back(const char *path, struct tg_str text, struct tg_error *err)
{
    struct gw_calibrations again = { 0 };
    struct tg_error cause = { 0 };
    enum tg_status status = parse(path, text, &again, &cause);
    gw_calibrations_free(&again);
    return status ? tg_fail(err, status, "%.400s; the gateway would refuse it, so it stays as it "
                                         "is: fit from other examples", cause.text)
                  : TG_OK;
}

enum tg_status gw_calibrations_write(const struct gw_calibrations *c, const char *path,
                                     struct tg_error *err)
{
    struct tg_buf text;
    tg_buf_init(&text, GW_CALIBRATION_FILE_MAX);
    enum tg_status status = pol_calibrations_print(c->list, c->n, &text);
    if (status)
        tg_fail(err, status, "%s: %s", path, status == TG_LIMIT ? "would be too large"
                                                                : "out of memory");
    else
        status = read_back(path, tg_buf_str(&text), err);
    if (status == TG_OK)
        status = gw_file_write(path, tg_buf_str(&text), err);
    tg_buf_free(&text);
    return status;
}

static char *joined(const char *head, size_t n, const char *tail)
{
    size_t room = n + strlen(tail) + 1;
    char *out = tg_alloc(room);
    if (out)
        snprintf(out, room, "%.*s%s", (int)n, head, tail);
    return out;
}

char *gw_calibrations_of_dir(const char *data_dir)
{
    return joined(data_dir, strlen(data_dir), "/calibration.json");
}

char *gw_calibrations_of_model(const char *model)
{
    static const char gguf[] = ".gguf";
    size_t n = strlen(model), tail = sizeof(gguf) - 1;
    bool named = n > tail && strcmp(model + n - tail, gguf) == 0;
    return joined(model, named ? n - tail : n, ".calibration.json");
}
