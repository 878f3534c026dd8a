/* The engine: one model on one device behind a thread of its own. Jobs are submitted with copied
 * data, named by ids, and answered through a queue of events that the owner drains when the
 * descriptor is readable. No callbacks from foreign threads, no pointers across.
 *
 * A job is QUEUED -> PREFILL -> DECODE -> ENDED, told by its events STARTED, PREFILLED, TOKEN ...
 * and END; every state may go straight to ENDED. Jobs run one at a time in order of submission.
 * Each starts with a credit of tokens and uses one per TOKEN event; without credit it pauses, and
 * so does every job behind it, until le_engine_credit or le_engine_cancel. */
#ifndef LE_ENGINE_H
#define LE_ENGINE_H

#include "config/base/status.h"
#include "config/base/str.h"
#include "local_engine/file_id.h"
#include "local_engine/reply.h"
#include "local_engine/sampler.h"
#include "local_engine/template.h"
#include "local_engine/tokenizer.h"

struct le_engine; /* opaque */

enum le_device { LE_DEVICE_AUTO, LE_DEVICE_CPU, LE_DEVICE_VULKAN };

/* What a backend may do to activations and to keys and values (backend.h): AUTO is FAST. */
enum le_precision_choice { LE_PRECISION_AUTO, LE_PRECISION_EXACT, LE_PRECISION_FAST };

enum { LE_THREADS_MAX = 512, LE_CONTEXT_DEFAULT = 32768 };

struct le_engine_options {
    const char *model;      /* path of a GGUF file */
    enum le_device device;  /* AUTO: a real GPU, else cpu; never a software Vulkan driver */
    enum le_precision_choice precision;
    uint32_t threads;       /* compute threads of the cpu; 0: one for each core */
    uint32_t context;       /* positions; 0: the model's own, at most LE_CONTEXT_DEFAULT */
    uint32_t jobs_max;      /* waiting and running; default 64 */
    uint32_t credit;        /* tokens a job may be ahead of its reader; default 256 */
    uint32_t prefill_chunk; /* prompt tokens a step; 0: LE_STEP_TOKENS_MAX, which is the most */
    const char *cache_dir;  /* pipeline cache, or NULL */
    bool no_selftest;       /* of the device at load (selftest.h) */
    /* NULL, or told how far loading is while le_engine_open waits: bytes of weights. Called by the
     * engine's thread. */
    void (*progress)(void *arg, uint64_t done, uint64_t total);
    void *progress_arg;
};

/* Loads the model (may take long) on the engine's thread, which has all signals blocked; returns
 * when it is ready. Errors name the file, key or device; TG_INVALID also for a context or chunk out
 * of range. *out is owned by the caller. */
enum tg_status le_engine_open(const struct le_engine_options *options, struct le_engine **out,
                              struct tg_error *err);
/* Cancels every job and refuses new ones (TG_CLOSED); returns at once. The END events can be
 * drained as usual. Any thread. */
void le_engine_shutdown(struct le_engine *e);
/* As shutdown, then joins the thread and frees all, undrained events too. NULL allowed. No other
 * thread may be inside a call on e. */
void le_engine_close(struct le_engine *e);

/* Immutable after open, any thread. */
const struct le_tokenizer *le_engine_tokenizer(const struct le_engine *e);
/* The chat template of the file, for le_chat.style. */
const struct le_template_info *le_engine_template(const struct le_engine *e);
uint32_t le_engine_context(const struct le_engine *e);
const char *le_engine_device(const struct le_engine *e);      /* one line for people */
const char *le_engine_device_kind(const struct le_engine *e); /* "cpu" or "vulkan" */
/* "exact" or "fast": what runs since the engine was opened, not what was asked for. */
const char *le_engine_precision(const struct le_engine *e);
const char *le_engine_model_name(const struct le_engine *e);  /* general.name, or the file's name */
/* What the file holds. Of tests' runners: 0 and "". */
struct le_engine_facts {
    const char *family;  /* the architecture: "gemma4" */
    const char *type;    /* of most of its weights, "Q8_0" */
    uint64_t parameters; /* elements of all tensors */
    uint64_t bytes;      /* of all its files */
    uint64_t kv_bytes;   /* of keys and values of the whole context, in memory; 0: not known */
};
struct le_engine_facts le_engine_facts(const struct le_engine *e);
/* What it has to do and has done since it was opened, for metrics. Any thread. */
struct le_engine_work {
    uint32_t waiting, running; /* jobs now; a job that waits for its reader's credit runs */
    uint64_t prompt_tokens, generated_tokens; /* of jobs that were cancelled too */
    double prompt_rate, generation_rate; /* tokens/s of the last answer that ended well; 0: none */
};
struct le_engine_work le_engine_work(struct le_engine *e);
/* The model's file i, or part i of a split one, as it was when it was opened: who opens the path
 * again may find another file there. False behind the last. */
bool le_engine_file(const struct le_engine *e, size_t i, struct le_file_id *out);
/* general.sampling.{temp,top_k,top_p} of the file, else 1, 64 and 0.95; min_p 0, seed 0. */
struct le_sampling le_engine_default_sampling(const struct le_engine *e);

enum { LE_STOPS_MAX = 4, LE_STOP_BYTES_MAX = 256 };

struct le_job {
    const int32_t *prompt; /* [n_prompt], BOS included; copied */
    uint32_t n_prompt;     /* 1 .. context - 1 */
    uint32_t max_tokens;   /* 1 .. ; cut to context - n_prompt. The end token counts */
    struct le_sampling sampling;
    struct tg_str stop[LE_STOPS_MAX]; /* in content; UTF-8 of 1 .. LE_STOP_BYTES_MAX bytes; copied.
                                       * The one completed first ends the answer; it is not given
                                       * out. Not matched across a tool call or a thought. */
    uint32_t n_stops;
    bool in_thought; /* the prompt ended inside an open thought */
    bool ignore_end; /* benchmarks: end-of-generation ids do not stop, and are not chosen */
};

/* Any thread; waits for nothing but short locks. TG_LIMIT (queue full, or prompt beyond the
 * context: err says which), TG_INVALID, TG_NOMEM, TG_CLOSED, TG_DEVICE (the device was lost and
 * could not be reopened). *id is never 0. Once TG_OK, exactly one LE_EVENT_END follows. A job
 * counts towards jobs_max until its END has been taken, so that events never lack room. */
enum tg_status le_engine_submit(struct le_engine *e, const struct le_job *job, uint64_t *id,
                                struct tg_error *err);
/* Any thread; takes effect within about 100 ms, inside a step too, and at once for a job that
 * waits. The END event (cancelled) still comes. An unknown id is ignored. */
void le_engine_cancel(struct le_engine *e, uint64_t id);
/* Gives a job n more tokens of credit. Any thread. An unknown id is ignored. */
void le_engine_credit(struct le_engine *e, uint64_t id, uint32_t n);

enum le_event_kind {
    LE_EVENT_STARTED,   /* left the queue; prefill begins */
    LE_EVENT_PREFILLED, /* the first token is next */
    LE_EVENT_TOKEN,     /* one generated token, the end token too, with its deltas' text */
    LE_EVENT_END,
};

enum le_end {
    LE_END_STOP,   /* end-of-generation token or stop string */
    LE_END_LENGTH, /* max_tokens or the context */
    LE_END_TOOL_CALLS,
    LE_END_CANCELLED,
    LE_END_ERROR, /* status and text say why (NaN, device lost) */
};

struct le_event {
    uint64_t job;
    enum le_event_kind kind;
    int64_t mono_ns; /* when it happened */
    /* TOKEN */
    int32_t token;
    enum le_token_class cls;
    struct le_token_stats stats;
    struct tg_str content, reasoning; /* text that became certain with this token; may be empty */
    struct tg_str call_name, call_arguments; /* a tool call completed with this token */
    /* END (the strings above hold what was still held back, a usable unfinished call too; they are
     * empty after LE_END_CANCELLED and LE_END_ERROR) */
    enum le_end end;
    enum tg_status status;
    const char *text;               /* END with LE_END_ERROR; static or borrowed like the strings */
    uint32_t n_prompt, n_generated; /* n_generated = TOKEN events. PREFILLED: n_prompt only */
    int64_t prefill_ns, decode_ns;  /* without pauses for lack of credit */
    uint32_t n_bad_calls;           /* END: tool calls that could not be read, and are lost */
    uint32_t stopped_by;            /* END: 1 + index of the stop string that ended it, or 0 */
};

/* Readable while events wait. Owned by the engine. */
int le_engine_fd(const struct le_engine *e);
/* Takes the next event; false when none waits. Strings in it are borrowed until the next call. One
 * thread drains. A reader that stops draining pauses the engine; no event is ever dropped. */
bool le_engine_next(struct le_engine *e, struct le_event *event);

/* Commands of tollgate-engine and tollgate: argv[0] is the command's name. Exit status of the
 * process. They print their own usage. */
int le_cmd_chat(int argc, char **argv);
int le_cmd_bench(int argc, char **argv);
int le_cmd_inspect(int argc, char **argv);
int le_cmd_logits(int argc, char **argv);
int le_cmd_perplexity(int argc, char **argv);
int le_cmd_tokenize(int argc, char **argv);
int le_cmd_detokenize(int argc, char **argv);

#endif
