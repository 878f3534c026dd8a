/* The logits command: its JSON and raw rows against golden data, and its refusals. */
#include "tests/unit/check.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/base/buf.h"
#include "config/base/json.h"
#include "local_engine/engine.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/"
#define MODEL GOLDEN "tiny-e-Q4_0.gguf"

enum { ARGS_MAX = 20, FILE_MAX = 1 << 22, ROW_BYTES = 4096 * 4 };

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[4][128];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
    return p;
}

static void read_file(const char *path, struct tg_buf *out)
{
    char block[4096];
    size_t n;
    FILE *f = fopen(path, "rb");
    CHECK(f != NULL);
    tg_buf_init(out, FILE_MAX);
    while ((n = fread(block, 1, sizeof(block), f)) > 0)
        tg_buf_add(out, block, n);
    fclose(f);
    CHECK_INT(out->failed, TG_OK);
}

/* Runs the command with the options up to NULL; its output goes to the files out and err. */
static int command(const char *const *options)
{
    char *argv[ARGS_MAX] = { (char *)(uintptr_t) "logits" };
    int argc = 1;
    for (; options[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)options[argc - 1];
    fflush(stdout);
    int old_out = dup(1), old_err = dup(2);
    int out = open(in_folder("out"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int err = open(in_folder("err"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, 1);
    dup2(err, 2);
    int rc = le_cmd_logits(argc, argv);
    fflush(stdout);
    dup2(old_out, 1);
    dup2(old_err, 2);
    close(old_out);
    close(old_err);
    close(out);
    close(err);
    return rc;
}

static void write_ids(const char *text)
{
    FILE *f = fopen(in_folder("ids"), "wb");
    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
}

static struct tg_json *parse(const char *path)
{
    struct tg_buf text;
    struct tg_json *json;
    struct tg_error err;
    read_file(path, &text);
    if (tg_json_parse(tg_buf_str(&text), &json, &err))
        CHECK_FAIL("%s: %s", path, err.text);
    tg_buf_free(&text);
    return json;
}

static bool same_ids(const struct tg_json *a, const struct tg_json *b)
{
    int64_t x = 0, y = 0;
    for (a = tg_json_first(a), b = tg_json_first(b); a && b;
         a = tg_json_next(a), b = tg_json_next(b))
        if (!tg_json_int(a, &x) || !tg_json_int(b, &y) || x != y)
            return false;
    return !a && !b;
}

/* Prompt 0 of the golden file: its greedy continuation and its last row. */
static void golden_run(void)
{
    struct tg_buf raw, bin;
    struct tg_json *want = parse(GOLDEN "tiny-e.json");
    write_ids("[2, 3100,713\n, 3034]\n");
    const char *ids = in_folder("ids"), *rows = in_folder("rows");
    CHECK_INT(command((const char *const[]){ "--model", MODEL, "--ids", ids, "--positions", "1,3",
                                             "--top", "2", "--generate", "64", "--never",
                                             "4091,4092,4095", "--raw", rows, NULL }), 0);
    struct tg_json *got = parse(in_folder("out"));
    const struct tg_json *greedy = tg_json_first(
        tg_json_get(tg_json_get(want, "greedy64"), "hfdeq/Q4_0"));
    CHECK_INT(tg_json_count(tg_json_get(got, "generated")), 64);
    CHECK(same_ids(tg_json_get(got, "generated"), tg_json_get(greedy, "ids")));
    const struct tg_json *positions = tg_json_get(got, "positions");
    CHECK_INT(tg_json_count(positions), 2);
    const struct tg_json *second = tg_json_next(tg_json_first(positions));
    CHECK_INT(tg_json_count(tg_json_get(second, "top")), 2);
    double logit = 0, logprob = 0;
    int64_t id = -1;
    const struct tg_json *best = tg_json_first(tg_json_get(second, "top"));
    CHECK(tg_json_int(tg_json_get(best, "id"), &id) &&
          tg_json_number(tg_json_get(best, "logit"), &logit) &&
          tg_json_number(tg_json_get(best, "logprob"), &logprob));
    double z = 0;
    CHECK(tg_json_number(tg_json_get(second, "logsumexp"), &z));
    CHECK_NEAR(logit - z, logprob, 1e-6);
    read_file(in_folder("rows"), &raw);
    read_file(GOLDEN "tiny-e-hfdeq_Q4_0.bin", &bin); /* its first row is that of position 3 */
    CHECK_INT(raw.n, 2 * ROW_BYTES);
    const float *a = (const float *)(const void *)(raw.p + ROW_BYTES);
    const float *b = (const float *)(const void *)bin.p;
    for (int i = 0; i < 4096; i++)
        CHECK_NEAR(a[i], b[i], 0.01);
    CHECK_NEAR(a[id], logit, 1e-6);
    double sum = 0;
    for (int i = 0; i < 4096; i++)
        sum += exp((double)a[i]);
    CHECK_NEAR(log(sum), z, 1e-5);
    tg_buf_free(&raw);
    tg_buf_free(&bin);
    tg_json_free(got);
    tg_json_free(want);
}

/* Every position, more than one step of outputs; fast is not exact, and both are near. */
static void all_positions(void)
{
    enum { N = 100 };
    struct tg_buf text, exact, fast;
    char ids[128], rows[128];
    snprintf(ids, sizeof(ids), "%s", in_folder("ids"));
    snprintf(rows, sizeof(rows), "%s", in_folder("rows"));
    tg_buf_init(&text, 4096);
    for (int i = 0; i < N; i++)
        tg_buf_addf(&text, "%d\n", i ? 300 + i * 31 % 3000 : 2);
    write_ids(text.p);
    CHECK_INT(command((const char *const[]){ "-m", MODEL, "--ids", ids, "--positions=all", "--top",
                                             "0", "--raw", rows, "-t", "2", NULL }), 0);
    read_file(rows, &exact);
    CHECK_INT(command((const char *const[]){ "-m", MODEL, "--ids", ids, "--positions=all", "--top",
                                             "0", "--raw", rows, "--precision", "fast", NULL }), 0);
    read_file(rows, &fast);
    struct tg_json *got = parse(in_folder("out"));
    CHECK_INT(tg_json_count(tg_json_get(got, "positions")), N);
    CHECK(exact.n == (size_t)N * ROW_BYTES && fast.n == exact.n);
    const float *a = (const float *)(const void *)exact.p, *b = (const float *)(const void *)fast.p;
    double most = 0;
    for (int i = 0; i < N * 4096; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    CHECK(most < 8);
    tg_json_free(got);
    tg_buf_free(&text);
    tg_buf_free(&exact);
    tg_buf_free(&fast);
}

static void refused(const char *const *options, int rc, const char *text)
{
    struct tg_buf err;
    CHECK_INT(command(options), rc);
    read_file(in_folder("err"), &err);
    if (!err.p || !strstr(err.p, text))
        CHECK_FAIL("\"%s\" does not say \"%s\"", err.p ? err.p : "", text);
    tg_buf_free(&err);
}

#define OPTIONS(...) (const char *const[]){ __VA_ARGS__, NULL }

static void refusals(void)
{
    char ids[128];
    snprintf(ids, sizeof(ids), "%s", in_folder("ids"));
    write_ids("2 3100");
    refused(OPTIONS("--model", MODEL), 2, "--model and --ids");
    refused(OPTIONS("--model"), 2, "a value is missing after --model");
    refused(OPTIONS("--modle", MODEL), 2, "unknown option --modle");
    refused(OPTIONS("--device", "gpu"), 2, "--device is \"gpu\"");
    refused(OPTIONS("--top", "1001"), 2, "--top is \"1001\"");
    refused(OPTIONS("--model", MODEL, "--ids", ids, "--positions", "2"), 1, "beyond 2 ids");
    refused(OPTIONS("--model", MODEL, "--ids", ids, "--positions", "1,0"), 1, "not ascending");
    refused(OPTIONS("--model", MODEL, "--ids", ids, "--positions="), 1, "there are no positions");
    refused(OPTIONS("--model", GOLDEN "absent.gguf", "--ids", ids), 1, "absent.gguf");
    refused(OPTIONS("--model", MODEL, "--ids", GOLDEN "absent"), 1, "absent");
    refused(OPTIONS("--model", MODEL, "--ids", ids, "--raw", GOLDEN "no/such"), 1, "no/such");
    write_ids("2 -1");
    refused(OPTIONS("--model", MODEL, "--ids", ids), 1, "\"-1\", which is no token id");
    write_ids("2 4096");
    refused(OPTIONS("--model", MODEL, "--ids", ids), 1, "4096");
    struct tg_buf out;
    read_file(in_folder("out"), &out);
    CHECK_INT(out.n, 0); /* no half of a JSON text */
    tg_buf_free(&out);
    write_ids(" \n");
    refused(OPTIONS("--model", MODEL, "--ids", ids), 1, "there are no ids");
    write_ids("2 3");
    refused(OPTIONS("--model", MODEL, "--ids", ids, "--generate", "4095"), 1, "trained for 4096");
    refused(OPTIONS("--model", MODEL, "--ids", ids, "--never", "x"), 1, "--never: item 1");
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(golden_run), CASE(all_positions), CASE(refusals),
    };
    snprintf(folder, sizeof(folder), "%s/tollgate-XXXXXX", P_tmpdir);
    if (!mkdtemp(folder))
        return 1;
    int rc = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    static const char *const files[] = { "ids", "rows", "out", "err" };
    for (size_t i = 0; i < 4; i++)
        unlink(in_folder(files[i]));
    rmdir(folder);
    return rc;
}
