/* perplexity: how well a model predicts a text. The text's tokens are scored in windows that each
 * begin with <bos>; all but the first begin with tokens that were scored before, as context. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "config/base/clock.h"
#include "config/base/log.h"
#include "local_engine/cmd_bar.h"
#include "local_engine/cmd_common.h"
#include "local_engine/load.h"
#include "local_engine/tokenizer.h"

enum { TEXT_MAX = 256 << 20, CONTEXT_MAX = 1 << 20, CONTEXT = 512 };

static const char usage[] =
    "usage: perplexity --model FILE [options] TEXTFILE|-\n"
    "Mean negative log-likelihood of a text's tokens (natural logarithm) and its exponential, the\n"
    "perplexity, each with the standard error over the tokens.\n"
    "  -m, --model FILE      GGUF file of a Gemma 4 model\n"
    "      --context N       tokens of a window, <bos> included (default 512)\n"
    "      --stride N        tokens scored in a window; the others before them are context\n"
    "                        (default: half of --context)\n"
    "      --tokens N        score at most N tokens (default: all)\n"
    "      --device NAME     cpu, vulkan or auto (default auto: a real GPU, else cpu)\n"
    "      --precision NAME  exact, fast or auto (default auto: fast)\n"
    "  -t, --threads N       compute threads of the cpu (default: one for each core)\n"
    "      --json            the result as JSON\n"
    "  -h, --help            this text\n"
    "Exit status: 0; 1 when the model or the text cannot be used; 2 for wrong options.\n"
    "Example: tollgate perplexity --model model.gguf --context 2048 wiki.txt\n";

struct options {
    const char *model, *text;
    uint32_t context, stride, tokens;
    struct le_device_options device;
    bool json;
};

struct session {
    struct options o;
    struct le_gguf *g;
    struct le_loaded loaded;
    struct le_ids ids; /* of the text, without <bos> */
    int32_t bos;
    int32_t *window; /* [context] */
    struct le_bar bar;
    /* the score: of tokens, the sums of their negative log-likelihoods and of the squares */
    uint64_t n, windows;
    double sum, squares;
    int64_t ns;
    struct tg_error *err;
};

/* ---- the text ---- */

static enum tg_status read_text(struct session *s, struct tg_buf *text)
{
    bool standard = strcmp(s->o.text, "-") == 0;
    FILE *f = standard ? stdin : fopen(s->o.text, "rb");
    char block[1 << 14];
    size_t n;
    if (!f)
        return tg_fail(s->err, TG_IO, "%s: %s", s->o.text, strerror(errno));
    while (!text->failed && (n = fread(block, 1, sizeof(block), f)) > 0)
        tg_buf_add(text, block, n);
    enum tg_status st = TG_OK;
    if (text->failed == TG_LIMIT)
        st = tg_fail(s->err, TG_LIMIT, "%s: larger than %d MiB", s->o.text, TEXT_MAX >> 20);
    else if (text->failed)
        st = tg_fail(s->err, text->failed, "%s: out of memory", s->o.text);
    else if (ferror(f))
        st = tg_fail(s->err, TG_IO, "%s cannot be read", s->o.text);
    if (!standard)
        fclose(f);
    return st;
}

static enum tg_status tokenise(struct session *s)
{
    struct tg_buf text;
    struct le_tokenizer *t = NULL;
    tg_buf_init(&text, TEXT_MAX);
    enum tg_status st = read_text(s, &text);
    if (!st)
        st = le_tokenizer_open(s->g, &t, s->err);
    if (!st) {
        s->bos = le_tokenizer_special(t)->bos;
        st = le_tokenizer_encode(t, tg_buf_str(&text), false, &s->ids);
        if (st)
            tg_fail(s->err, st, "%s cannot be tokenised: %s", s->o.text, tg_status_name(st));
    }
    if (!st && s->bos < 0)
        st = tg_fail(s->err, TG_INVALID, "%s: the vocabulary has no token <bos>", s->o.model);
    if (!st && s->ids.n == 0)
        st = tg_fail(s->err, TG_INVALID, "%s: there is no text", s->o.text);
    if (s->o.tokens > 0 && s->ids.n > s->o.tokens)
        s->ids.n = s->o.tokens;
    le_tokenizer_close(t);
    tg_buf_free(&text);
    return st;
}

/* ---- the score ---- */

static void add_token(struct session *s, const float *logits, uint32_t n_vocab, int32_t id)
{
    double max = -(double)INFINITY, sum = 0;
    for (uint32_t i = 0; i < n_vocab; i++)
        max = (double)logits[i] > max ? (double)logits[i] : max;
    for (uint32_t i = 0; i < n_vocab; i++)
        sum += exp((double)logits[i] - max);
    double nll = max + log(sum) - (double)logits[id];
    s->sum += nll;
    s->squares += nll * nll;
    s->n++;
}

/* Scores the last `scored` tokens of a window of n, <bos> included: token p + 1 is predicted at
 * position p. */
static enum tg_status score_window(struct session *s, uint32_t n, uint32_t scored)
{
    struct le_model *m = s->loaded.model;
    uint32_t n_vocab = le_model_params(m)->n_vocab, outputs_max = le_model_outputs_max(m);
    uint32_t from = n - 1 - scored; /* the first position whose logits are wanted */
    for (uint32_t pos = 0; pos < n - 1;) {
        uint32_t out[LE_STEP_TOKENS_MAX], n_out = 0, count = 0;
        while (pos + count < n - 1 && count < LE_STEP_TOKENS_MAX &&
               (pos + count < from || n_out < outputs_max)) {
            if (pos + count >= from)
                out[n_out++] = count;
            count++;
        }
        enum tg_status st = le_model_step(m, s->window + pos, count, pos, out, n_out, s->err);
        if (st)
            return st;
        for (uint32_t r = 0; r < n_out; r++)
            add_token(s, le_model_logits(m, r), n_vocab, s->window[pos + out[r] + 1]);
        pos += count;
        le_bar_show(&s->bar, s->n, s->ids.n);
    }
    s->windows++;
    return TG_OK;
}

static enum tg_status score(struct session *s)
{
    uint32_t most = s->o.context - 1; /* tokens of the text in a window */
    int64_t begin = tg_mono_ns();
    enum tg_status st = TG_OK;
    s->bar = le_bar_new("scoring", "tokens");
    for (size_t done = 0; !st && done < s->ids.n;) {
        /* The first window has nothing before it, so all of it is scored. */
        size_t wanted = done == 0 ? most : s->o.stride;
        uint32_t scored = (uint32_t)(s->ids.n - done < wanted ? s->ids.n - done : wanted);
        uint32_t before = (uint32_t)(done < most - scored ? done : most - scored);
        s->window[0] = s->bos;
        memcpy(s->window + 1, s->ids.id + done - before, (before + scored) * sizeof(int32_t));
        st = score_window(s, 1 + before + scored, scored);
        done += scored;
    }
    le_bar_clear(&s->bar);
    s->ns = tg_mono_ns() - begin;
    return st;
}

/* ---- the result ---- */

static enum tg_status print_result(const struct session *s)
{
    double n = (double)s->n, mean = s->sum / n, rate = n * 1e9 / (double)(s->ns > 0 ? s->ns : 1);
    double variance = n > 1 ? (s->squares - n * mean * mean) / (n - 1) : 0;
    double error = sqrt(variance > 0 ? variance / n : 0), perplexity = exp(mean);
    const char *device = s->loaded.ops->describe(s->loaded.be);
    struct tg_buf out;
    tg_buf_init(&out, 1 << 16);
    if (s->o.json) {
        tg_buf_adds(&out, "{\"model\":");
        tg_buf_add_json(&out, tg_str_of(s->o.model));
        tg_buf_adds(&out, ",\"text\":");
        tg_buf_add_json(&out, tg_str_of(s->o.text));
        tg_buf_adds(&out, ",\"device\":");
        tg_buf_add_json(&out, tg_str_of(device));
        tg_buf_addf(&out, ",\"tokens\":%llu,\"windows\":%llu,\"context\":%u,\"stride\":%u,"
                    "\"nll\":%.9g,\"nllError\":%.3g,\"perplexity\":%.9g,\"perplexityError\":%.3g,"
                    "\"tokensPerSecond\":%.2f}\n", (unsigned long long)s->n,
                    (unsigned long long)s->windows, s->o.context, s->o.stride, mean, error,
                    perplexity, perplexity * error, rate);
    } else {
        tg_buf_addf(&out, "perplexity %.4f +- %.4f (negative log-likelihood %.5f +- %.5f)\n"
                    "%llu tokens in %llu window%s of %u, %.1f tokens/s, on %s\n", perplexity,
                    perplexity * error, mean, error, (unsigned long long)s->n,
                    (unsigned long long)s->windows, s->windows == 1 ? "" : "s", s->o.context,
                    rate, device);
    }
    enum tg_status st = out.failed ? tg_fail(s->err, TG_NOMEM, "out of memory") : TG_OK;
    if (!st)
        fwrite(out.p, 1, out.n, stdout);
    tg_buf_free(&out);
    return st;
}

static enum tg_status check_options(struct session *s)
{
    struct le_params params;
    struct options *o = &s->o;
    enum tg_status st = le_params_read(s->g, &params, s->err);
    if (st)
        return st;
    if (o->context > params.context_trained)
        return tg_fail(s->err, TG_INVALID, "--context %u: the model was trained for %u", o->context,
                       params.context_trained);
    if (o->stride == 0)
        o->stride = o->context / 2;
    if (o->stride > o->context - 1)
        return tg_fail(s->err, TG_INVALID, "--stride %u: at most %u, one less than --context",
                       o->stride, o->context - 1);
    s->window = tg_calloc(o->context, sizeof(*s->window));
    return s->window ? TG_OK : tg_fail(s->err, TG_NOMEM, "out of memory");
}

static enum tg_status perplexity(struct session *s)
{
    enum tg_status st = le_gguf_open(s->o.model, &s->g, s->err);
    if (!st)
        st = check_options(s);
    if (!st)
        st = tokenise(s);
    s->bar = le_bar_new("loading", NULL);
    const struct le_load_options options = {
        .device = s->o.device,
        .model = { .context = s->o.context, .progress = le_bar_show, .arg = &s->bar },
    };
    if (!st)
        st = le_load(s->g, &options, &s->loaded, s->err);
    le_bar_clear(&s->bar);
    if (!st)
        st = score(s);
    if (!st)
        st = print_result(s);
    le_unload(&s->loaded);
    le_gguf_close(s->g);
    le_ids_free(&s->ids);
    tg_free(s->window);
    return st;
}

int le_cmd_perplexity(int argc, char **argv)
{
    struct tg_error err = { .text = "" };
    struct session s = { .o = { .context = CONTEXT }, .err = &err };
    struct options *o = &s.o;
    const struct le_option options[] = {
        { "--model", "-m", LE_OPTION_TEXT, &o->model, NULL, 0, 0 },
        { "--context", NULL, LE_OPTION_U32, &o->context, NULL, 2, CONTEXT_MAX },
        { "--stride", NULL, LE_OPTION_U32, &o->stride, NULL, 1, CONTEXT_MAX },
        { "--tokens", NULL, LE_OPTION_U32, &o->tokens, NULL, 1, UINT32_MAX },
        { "--device", NULL, LE_OPTION_DEVICE, &o->device.device, NULL, 0, 0 },
        { "--precision", NULL, LE_OPTION_PRECISION, &o->device.precision, NULL, 0, 0 },
        { "--threads", "-t", LE_OPTION_U32, &o->device.threads, NULL, 1, LE_THREADS_MAX },
        { "--json", NULL, LE_OPTION_FLAG, &o->json, NULL, 0, 0 },
    };
    const struct le_command command = { "perplexity", usage, options,
                                        sizeof(options) / sizeof(*options), &o->text };
    enum le_args args = le_args_parse(&command, argc, argv);
    if (args != LE_ARGS_RUN)
        return args == LE_ARGS_HELP ? 0 : 2;
    if (!o->model || !o->text) {
        fprintf(stderr, "perplexity: --model and a text file are needed; perplexity --help tells "
                "more\n");
        return 2;
    }
    tg_log_set_level(TG_LOG_WARN);
    if (perplexity(&s)) {
        fprintf(stderr, "perplexity: %s\n", err.text);
        return 1;
    }
    return le_cmd_flush("perplexity") ? 0 : 1;
}
