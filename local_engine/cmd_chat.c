/* chat: talk to a model in the terminal. Ctrl-C arrives through a descriptor, so there is no signal
 * handler and no global: at most one place waits for input, signal and events at a time. */
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "config/base/alloc.h"
#include "config/base/buf.h"
#include "config/base/clock.h"
#include "config/base/utf8.h"
#include "local_engine/cmd_chat.h"
#include "local_engine/cmd_common.h"

enum { MESSAGES_MAX = 4096, TOKENS_MAX = 1 << 20 };

static const char usage[] =
    "usage: chat --model FILE [options] [PROMPT]\n"
    "Answers PROMPT, or standard input when that is no terminal; else begins a conversation.\n"
    "  -m, --model FILE       GGUF file of a Gemma 4 model\n"
    "      --device NAME      cpu, vulkan or auto (default auto: a real GPU, else cpu)\n"
    "      --precision NAME   exact, fast or auto (default auto: fast)\n"
    "      --threads N        compute threads of the cpu (default: one for each core)\n"
    "      --context N        tokens of prompt and answer together (default: the model's, up to\n"
    "                         32768)\n"
    "      --system TEXT      system prompt\n"
    "      --think            lets the model think first; thoughts are dimmed on a terminal and\n"
    "                         left out elsewhere\n"
    "      --max-tokens N     end of an answer (default: what the context leaves)\n"
    "      --temperature X    0 to 2; 0 always takes the likeliest token (default: the model's)\n"
    "      --top-k N          only the N likeliest tokens; 0: all (default: the model's)\n"
    "      --top-p X          only the likeliest that add up to X (default: the model's)\n"
    "      --min-p X          only those at least X times as likely as the best (default 0)\n"
    "      --seed N           the same answer again; without it each is another one\n"
    "  -h, --help             this text\n"
    "Ctrl-C cancels an answer; at the prompt it quits, as Ctrl-D does.\n"
    "In a conversation /clear forgets it and /quit ends.\n"
    "Figures at the end go to standard error: tokens/s and the mean probability of the tokens.\n";

struct chat {
    struct chat_options o;
    struct le_engine *e;
    int signals;      /* signalfd with SIGINT */
    bool dim;         /* standard output is a terminal */
    bool in_thought;  /* dimmed text is being written */
    bool broken;      /* standard output takes no more */
    struct le_message *messages; /* [MESSAGES_MAX]; texts owned */
    size_t n;
    struct tg_buf answer; /* content of the answer being written */
};

/* What an answer was, for the line of figures. */
struct figures {
    uint32_t counted;
    double probability; /* sum over the counted tokens */
    struct le_event end;
};

/* ---- writing ---- */

/* Terminals obey control characters; a model must not steer one. */
static void put_safe(struct tg_str s)
{
    for (size_t i = 0; i < s.n;) {
        uint32_t rune = 0;
        size_t width = tg_utf8_decode(s.p + i, s.n - i, &rune);
        bool control = (rune < 0x20 && rune != '\n' && rune != '\t') ||
                       (rune >= 0x7F && rune < 0xA0);
        if (width == 0 || control)
            fputs("\xEF\xBF\xBD", stdout);
        else
            fwrite(s.p + i, 1, width, stdout);
        i += width ? width : 1;
    }
}

static void set_thought(struct chat *c, bool thought)
{
    if (c->in_thought == thought)
        return;
    c->in_thought = thought;
    fputs(thought ? "\x1B[2m" : "\x1B[0m\n", stdout);
}

static void write_event(struct chat *c, const struct le_event *event)
{
    if (c->dim && event->reasoning.n) {
        set_thought(c, true);
        put_safe(event->reasoning);
    }
    if (event->content.n) {
        if (c->dim) {
            set_thought(c, false);
            put_safe(event->content);
        } else {
            fwrite(event->content.p, 1, event->content.n, stdout);
        }
        tg_buf_add(&c->answer, event->content.p, event->content.n);
    }
    if (fflush(stdout) != 0)
        c->broken = true;
}

static void print_figures(const struct figures *f)
{
    static const char *const ends[] = {
        [LE_END_STOP] = "complete", [LE_END_LENGTH] = "cut: the limit of tokens is reached",
        [LE_END_TOOL_CALLS] = "tool call", [LE_END_CANCELLED] = "cancelled",
        [LE_END_ERROR] = "failed",
    };
    const struct le_event *e = &f->end;
    fprintf(stderr, "[prompt: %u tokens", e->n_prompt);
    if (e->prefill_ns > 0)
        fprintf(stderr, ", %.1f tokens/s", e->n_prompt * 1e9 / (double)e->prefill_ns);
    fprintf(stderr, "; answer: %u tokens", e->n_generated);
    if (e->n_generated > 1 && e->decode_ns > 0) /* the first one came with the prompt */
        fprintf(stderr, ", %.1f tokens/s", (e->n_generated - 1) * 1e9 / (double)e->decode_ns);
    if (f->counted)
        fprintf(stderr, "; mean token probability %.2f", f->probability / f->counted);
    fprintf(stderr, "; %s]\n", ends[e->end]);
}

/* ---- one answer ---- */

static bool take_interrupt(const struct chat *c)
{
    struct signalfd_siginfo info;
    return read(c->signals, &info, sizeof(info)) == (ssize_t)sizeof(info);
}

/* Reads events to the END; Ctrl-C or a closed output cancels. */
static void follow(struct chat *c, uint64_t id, struct figures *f)
{
    struct pollfd fds[2] = { { .fd = le_engine_fd(c->e), .events = POLLIN },
                             { .fd = c->signals, .events = POLLIN } };
    *f = (struct figures){ .counted = 0 };
    for (;;) {
        struct le_event event;
        if (take_interrupt(c) || c->broken)
            le_engine_cancel(c->e, id);
        if (!le_engine_next(c->e, &event)) {
            poll(fds, 2, -1);
            continue;
        }
        if (event.kind == LE_EVENT_TOKEN) {
            le_engine_credit(c->e, id, 1);
            if (event.cls != LE_TOKEN_CONTROL) {
                f->counted++;
                f->probability += exp((double)event.stats.logprob);
            }
        }
        write_event(c, &event);
        if (event.kind == LE_EVENT_END) {
            f->end = event;
            if (event.end == LE_END_ERROR)
                fprintf(stderr, "\nchat: %s\n", event.text);
            return;
        }
    }
}

static enum tg_status submit(struct chat *c, uint64_t *id, struct tg_error *err)
{
    const struct le_chat chat = { .messages = c->messages,
                                  .n = c->n,
                                  .thinking = c->o.think,
                                  .add_generation_prompt = true,
                                  .style = le_engine_template(c->e)->style };
    struct le_ids ids = { 0 };
    uint32_t context = le_engine_context(c->e);
    enum tg_status status =
        le_template_encode(le_engine_tokenizer(c->e), &chat, 2 * (size_t)context, &ids);
    const char *missing =
        status == TG_UNSUPPORTED ? le_template_missing(le_engine_tokenizer(c->e)) : NULL;
    if (status) {
        le_ids_free(&ids);
        if (status == TG_LIMIT)
            return tg_fail(err, status, "the prompt has more than twice the %u tokens that the "
                           "context holds", context);
        return tg_fail(err, status, "the prompt cannot be encoded: %s%s", missing ?
                       "the vocabulary has no token " : tg_status_name(status),
                       missing ? missing : "");
    }
    const struct le_job job = {
        .prompt = ids.id,
        .n_prompt = ids.n < UINT32_MAX ? (uint32_t)ids.n : UINT32_MAX,
        .max_tokens = c->o.max_tokens,
        .sampling = c->o.sampling,
    };
    status = le_engine_submit(c->e, &job, id, err);
    le_ids_free(&ids);
    return status;
}

static bool add_message(struct chat *c, enum le_role role, struct tg_str text)
{
    char *copy = c->n < MESSAGES_MAX ? tg_strndup(text.p ? text.p : "", text.n) : NULL;
    if (!copy) {
        fprintf(stderr, "chat: the conversation does not fit into memory\n");
        return false;
    }
    c->messages[c->n++] = (struct le_message){ .role = role, .text = { copy, text.n } };
    return true;
}

/* Forgets the messages from the n-th on. */
static void forget(struct chat *c, size_t n)
{
    while (c->n > n)
        tg_free((void *)(uintptr_t)c->messages[--c->n].text.p);
}

/* Asks with text added to the conversation, and adds the answer. A failure leaves the conversation
 * as it was. Returns an exit status: 0, 1, or 130 when cancelled. */
static int ask(struct chat *c, struct tg_str text)
{
    struct tg_error err = { .text = "" };
    struct figures f;
    size_t before = c->n;
    uint64_t id = 0;
    if (!add_message(c, LE_ROLE_USER, text))
        return 1;
    tg_buf_reset(&c->answer);
    enum tg_status status = submit(c, &id, &err);
    if (status) {
        fprintf(stderr, "chat: %s\n", err.text);
        if (status == TG_LIMIT)
            fprintf(stderr, "chat: --context N makes it larger, up to what the model was trained "
                    "for.\n");
        forget(c, before);
        return 1;
    }
    follow(c, id, &f);
    set_thought(c, false);
    fputc('\n', stdout);
    fflush(stdout);
    print_figures(&f);
    if (c->broken)
        fprintf(stderr, "chat: standard output cannot be written\n");
    if (f.end.end == LE_END_ERROR || c->broken || c->answer.failed ||
        !add_message(c, LE_ROLE_MODEL, tg_buf_str(&c->answer))) {
        forget(c, before);
        return 1;
    }
    return f.end.end == LE_END_CANCELLED ? 130 : 0;
}

/* ---- where the questions come from ---- */

static int ask_stdin(struct chat *c)
{
    struct tg_buf text;
    int status = le_read_all(STDIN_FILENO, c->signals, &text);
    if (status == 0)
        status = ask(c, tg_buf_str(&text));
    tg_buf_free(&text);
    return status;
}

static int converse(struct chat *c)
{
    struct le_lines lines;
    struct tg_str line;
    size_t system = c->n;
    le_lines_init(&lines, STDIN_FILENO, c->signals);
    fprintf(stderr, "%s on %s; context %u. Ctrl-C cancels an answer, /clear forgets, /quit ends.\n",
            le_engine_model_name(c->e), le_engine_device(c->e), le_engine_context(c->e));
    while (!c->broken && le_lines_next(&lines, "> ", &line)) {
        line = tg_str_trim(line);
        if (line.n == 0)
            continue;
        if (tg_str_eq(line, TG_STR("/quit")))
            break;
        if (tg_str_eq(line, TG_STR("/clear")))
            forget(c, system);
        else
            ask(c, line);
    }
    fputc('\n', stderr);
    le_lines_free(&lines);
    return c->broken;
}

static int run(struct chat *c)
{
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, NULL);
    c->signals = signalfd(-1, &interrupt, SFD_NONBLOCK | SFD_CLOEXEC);
    c->messages = tg_calloc(MESSAGES_MAX, sizeof(*c->messages));
    tg_buf_init(&c->answer, 64 << 20);
    int status = 1;
    if (c->signals < 0 || !c->messages)
        fprintf(stderr, "chat: out of memory or descriptors\n");
    else if (c->o.system && !add_message(c, LE_ROLE_SYSTEM, tg_str_of(c->o.system)))
        status = 1;
    else if (c->o.prompt)
        status = ask(c, tg_str_of(c->o.prompt));
    else
        status = isatty(STDIN_FILENO) ? converse(c) : ask_stdin(c);
    if (c->signals >= 0)
        close(c->signals);
    pthread_sigmask(SIG_UNBLOCK, &interrupt, NULL);
    forget(c, 0);
    tg_free(c->messages);
    tg_buf_free(&c->answer);
    return status;
}

/* Values not given are the model's own. */
static void fill_sampling(struct chat *c)
{
    struct le_sampling o = le_engine_default_sampling(c->e), *s = &c->o.sampling;
    if (!c->o.seen_temperature)
        s->temperature = o.temperature;
    if (!c->o.seen_top_k)
        s->top_k = o.top_k;
    if (!c->o.seen_top_p)
        s->top_p = o.top_p;
    if (!c->o.seen_seed && getrandom(&s->seed, sizeof(s->seed), 0) != (ssize_t)sizeof(s->seed))
        s->seed = (uint64_t)tg_mono_ns();
}

int le_cmd_chat(int argc, char **argv)
{
    struct chat c = { .dim = isatty(STDOUT_FILENO), .signals = -1 };
    struct chat_options *o = &c.o;
    struct le_sampling *s = &o->sampling;
    o->max_tokens = TOKENS_MAX;
    const struct le_option options[] = {
        { "--model", "-m", LE_OPTION_TEXT, &o->model, NULL, 0, 0 },
        { "--device", NULL, LE_OPTION_DEVICE, &o->device, NULL, 0, 0 },
        { "--precision", NULL, LE_OPTION_PRECISION, &o->precision, NULL, 0, 0 },
        { "--threads", "-t", LE_OPTION_U32, &o->threads, NULL, 1, LE_THREADS_MAX },
        { "--context", NULL, LE_OPTION_U32, &o->context, NULL, 2, TOKENS_MAX },
        { "--system", NULL, LE_OPTION_TEXT, &o->system, NULL, 0, 0 },
        { "--think", NULL, LE_OPTION_FLAG, &o->think, NULL, 0, 0 },
        { "--max-tokens", NULL, LE_OPTION_U32, &o->max_tokens, NULL, 1, TOKENS_MAX },
        { "--temperature", NULL, LE_OPTION_FLOAT, &s->temperature, &o->seen_temperature, 0, 2 },
        { "--top-k", NULL, LE_OPTION_U32, &s->top_k, &o->seen_top_k, 0, TOKENS_MAX },
        { "--top-p", NULL, LE_OPTION_FLOAT, &s->top_p, &o->seen_top_p, 1e-6, 1 },
        { "--min-p", NULL, LE_OPTION_FLOAT, &s->min_p, NULL, 0, 1 },
        { "--seed", NULL, LE_OPTION_U64, &s->seed, &o->seen_seed, 0, 0 },
    };
    const struct le_command command = { "chat", usage, options,
                                        sizeof(options) / sizeof(*options), &o->prompt };
    enum le_args args = le_args_parse(&command, argc, argv);
    if (args != LE_ARGS_RUN)
        return args == LE_ARGS_HELP ? 0 : 2;
    const struct le_engine_options engine = {
        .model = o->model, .device = o->device, .precision = o->precision, .threads = o->threads,
        .context = o->context, .jobs_max = 1
    };
    c.e = le_cmd_open("chat", &engine);
    if (!c.e)
        return o->model ? 1 : 2;
    if (o->think && le_engine_template(c.e)->never_thinks) {
        fputs("chat: this model was not trained to think: it answers without\n", stderr);
        o->think = false;
    }
    fill_sampling(&c);
    int status = run(&c);
    le_engine_close(c.e);
    return status;
}
