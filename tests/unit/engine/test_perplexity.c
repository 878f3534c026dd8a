/* The perplexity command against the logits command's rows. */
#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "local_engine/engine.h"
#include "tests/unit/engine/support_command.h"

#define GOLDEN TG_SOURCE_DIR "/tests/golden/"
#define MODEL GOLDEN "tiny-dense-Q8_0.gguf"

static char text_file[64];

static const char text[] = "The quick brown fox jumps over the lazy dog. 12345 times, or more; who "
                           "counts?\nAnother line follows, and then a third one.\n\tIndented: "
                           "\xC3\x84pfel und Birnen.\n";

static double number(const struct tg_json *v, const char *key)
{
    double n = NAN;
    tg_json_number(tg_json_get(v, key), &n);
    return n;
}

/* Runs the command with more options up to NULL; its JSON, to be freed. */
static struct tg_json *perplexity(const char *const *options)
{
    const char *argv[32] = { "perplexity", "--json", "--precision", "exact", "--device", "cpu",
                             "-m", MODEL, text_file };
    for (int i = 0; options[i]; i++)
        argv[9 + i] = options[i];
    if (command_run(le_cmd_perplexity, argv, NULL))
        CHECK_FAIL("%s", command_result.err.p);
    struct tg_json *j = command_json();
    CHECK(j != NULL);
    return j;
}

#define PERPLEXITY(...) perplexity((const char *const[]){ __VA_ARGS__, NULL })

static uint32_t ids_of_text(int32_t *ids)
{
    uint32_t n = 0;
    CHECK_INT(command_run(le_cmd_tokenize, (const char *const[]){ "tokenize", "-m", MODEL, NULL },
                          text), 0);
    struct tg_json *j = command_json();
    for (const struct tg_json *v = tg_json_first(j); v; v = tg_json_next(v)) {
        int64_t id = -1;
        CHECK(n < 256 && tg_json_int(v, &id));
        ids[n++] = (int32_t)id;
    }
    tg_json_free(j);
    return n;
}

/* Negative log-likelihoods of ids[1] to ids[n - 1], each behind those before it, from the logits
 * command. */
static void likelihoods(const int32_t *ids, uint32_t n, double *nll)
{
    char raw[128];
    struct tg_buf list;
    snprintf(raw, sizeof(raw), "%s.raw", text_file);
    tg_buf_init(&list, 1 << 16);
    for (uint32_t i = 0; i < n; i++)
        tg_buf_addf(&list, "%d\n", ids[i]);
    CHECK_INT(command_run(le_cmd_logits, (const char *const[]){
                  "logits", "-m", MODEL, "--ids", "-", "--positions", "all", "--raw", raw, NULL },
                  list.p), 0);
    tg_buf_free(&list);
    FILE *f = fopen(raw, "rb");
    CHECK(f != NULL);
    for (uint32_t p = 0; p + 1 < n; p++) {
        float row[4096];
        double sum = 0;
        CHECK_INT(fread(row, sizeof(*row), 4096, f), 4096);
        for (int i = 0; i < 4096; i++)
            sum += exp((double)row[i]);
        nll[p] = log(sum) - (double)row[ids[p + 1]];
    }
    fclose(f);
    unlink(raw);
}

static void one_window(void)
{
    int32_t ids[256];
    double nll[256], sum = 0, squares = 0;
    uint32_t n = ids_of_text(ids);
    CHECK(n > 40 && ids[0] == 2);
    likelihoods(ids, n, nll);
    for (uint32_t i = 0; i + 1 < n; i++) {
        sum += nll[i];
        squares += nll[i] * nll[i];
    }
    double mean = sum / (n - 1), error = sqrt((squares / (n - 1) - mean * mean) / (n - 2));
    struct tg_json *j = PERPLEXITY("--context", "512");
    CHECK_INT(number(j, "tokens"), n - 1);
    CHECK_INT(number(j, "windows"), 1);
    CHECK_NEAR(number(j, "nll"), mean, 1e-5);
    CHECK_NEAR(number(j, "nllError"), error, error * 0.01);
    CHECK_NEAR(number(j, "perplexity"), exp(mean), exp(mean) * 1e-4);
    tg_json_free(j);
    j = PERPLEXITY("--tokens", "10");
    CHECK_INT(number(j, "tokens"), 10);
    sum = 0;
    for (int i = 0; i < 10; i++)
        sum += nll[i];
    CHECK_NEAR(number(j, "nll"), sum / 10, 1e-5);
    tg_json_free(j);
}

/* Windows of 16, 5 tokens on: each but the first scores 5 tokens behind BOS and 10 before them. */
static void strides(void)
{
    enum { C = 16, S = 5 };
    int32_t ids[256], window[C];
    double nll[C], sum = 0;
    uint32_t n = ids_of_text(ids) - 1, done = 0, windows = 0;
    while (done < n) {
        uint32_t wanted = done ? S : C - 1, scored = n - done < wanted ? n - done : wanted;
        uint32_t before = done < C - 1 - scored ? done : C - 1 - scored;
        window[0] = ids[0];
        memcpy(window + 1, ids + 1 + done - before, (before + scored) * sizeof(*ids));
        likelihoods(window, 1 + before + scored, nll);
        for (uint32_t i = before; i < before + scored; i++)
            sum += nll[i];
        done += scored;
        windows++;
    }
    struct tg_json *j = PERPLEXITY("--context", "16", "--stride", "5");
    CHECK_INT(number(j, "windows"), windows);
    CHECK_INT(number(j, "tokens"), n);
    CHECK_NEAR(number(j, "nll"), sum / n, 1e-5);
    tg_json_free(j);
}

static void refused(const char *const *argv, int status, const char *says)
{
    CHECK_INT(command_run(le_cmd_perplexity, argv, ""), status);
    CHECK_STR(command_result.out.p, "");
    if (!strstr(command_result.err.p, says))
        CHECK_FAIL("\"%s\" does not say \"%s\"", command_result.err.p, says);
}

#define REFUSED(status, says, ...) \
    refused((const char *const[]){ "perplexity", __VA_ARGS__, NULL }, status, says)

static void refusals(void)
{
    REFUSED(2, "--model and a text file", "-m", MODEL);
    REFUSED(1, "none.txt", "-m", MODEL, GOLDEN "none.txt");
    REFUSED(1, "none.gguf", "-m", GOLDEN "none.gguf", text_file);
    REFUSED(1, "--stride 16", "-m", MODEL, "--context", "16", "--stride", "16", text_file);
    REFUSED(1, "trained for 4096", "-m", MODEL, "--context", "5000", text_file);
    REFUSED(1, "there is no text", "-m", MODEL, "-");
    CHECK_INT(command_run(le_cmd_perplexity, (const char *const[]){
                  "perplexity", "-m", MODEL, text_file, NULL }, NULL), 0);
    CHECK(strstr(command_result.out.p, "perplexity ") != NULL);
    CHECK(strstr(command_result.out.p, " in 1 window of 512, ") != NULL);
}

int main(int argc, char **argv)
{
    static const struct check_case cases[] = {
        CASE(one_window), CASE(strides), CASE(refusals),
    };
    snprintf(text_file, sizeof(text_file), "%s/tollgate-XXXXXX", P_tmpdir);
    int fd = mkstemp(text_file);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
        return 1;
    close(fd);
    int status = check_main(cases, sizeof(cases) / sizeof(*cases), argc, argv);
    unlink(text_file);
    return status;
}
