/* Inside the engine: what its thread drives, the ring of events, and the state behind the lock.
 *
 *   engine.c        submit, cancel, credit, next: called from other threads
 *   engine_thread.c the life of a job
 *   engine_ring.c   events on their way out
 *   engine_stop.c   stop strings
 *   engine_open.c   the model on its device
 */
#ifndef LE_ENGINE_INTERNAL_H
#define LE_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "local_engine/backend.h"
#include "local_engine/engine.h"
#include "local_engine/engine_stop.h"
#include "local_engine/gguf.h"

enum {
    LE_JOBS_DEFAULT = 64,
    LE_JOBS_MAX = 4096,
    LE_CREDIT_DEFAULT = 256,
    LE_CREDIT_MAX = 4096,
    LE_JOB_EVENTS = 3,          /* events of a job that are not TOKEN */
    LE_EVENT_TEXT_MAX = 4 << 20, /* bytes of one string of an event */
    LE_END_IDS_MAX = 16,
};

/* One sequence of one model: the real one, or a test's. All calls come from the engine's thread. */
struct le_runner {
    void *arg;
    uint32_t n_vocab;
    /* Makes it ready; again after a close. stop: set by any thread to have this or a later step end
     * early with TG_CANCELLED; it stays the engine's. */
    enum tg_status (*open)(void *arg, const atomic_bool *stop, struct tg_error *err);
    /* Allowed twice, and without an open. */
    void (*close)(void *arg);
    /* Prompt tokens the next step may have; asked before each. */
    uint32_t (*chunk)(void *arg);
    /* As le_model_step, with the logits of the last token or none. TG_CANCELLED: stop was set. */
    enum tg_status (*step)(void *arg, const int32_t *ids, uint32_t n, uint32_t pos, bool logits,
                           struct tg_error *err);
    const float *(*logits)(void *arg); /* [n_vocab], borrowed until the next step */
    /* Frees arg; from le_engine_close, after the thread has ended. */
    void (*destroy)(void *arg);
};

/* ---- events ---- */

enum le_text { LE_TEXT_CONTENT, LE_TEXT_REASONING, LE_TEXT_NAME, LE_TEXT_ARGUMENTS, LE_TEXTS };

struct le_cell {
    struct le_event event; /* strings filled in when it is taken */
    struct tg_buf text[LE_TEXTS];
    char error[256];
};

void le_cell_init(struct le_cell *c);
void le_cell_free(struct le_cell *c);
/* Empty and ready for another event; memory above a few KiB is given back. */
void le_cell_reset(struct le_cell *c);

struct le_ring {
    struct le_cell *cell;
    size_t cap, head, count;
    size_t tokens, tokens_max; /* TOKEN events waiting; never above tokens_max */
    int fd;                    /* eventfd, readable while count > 0 */
};

/* Room for tokens TOKEN events and others of the rest. */
enum tg_status le_ring_init(struct le_ring *r, size_t tokens, size_t others);
void le_ring_free(struct le_ring *r);
/* The event with its texts goes in; *c becomes an empty cell. There must be room. */
void le_ring_push(struct le_ring *r, struct le_cell *c);
/* The same for an event without texts but for an error (NULL: none). */
void le_ring_put(struct le_ring *r, const struct le_event *event, const char *error);
/* The oldest event is exchanged with *c. False when there is none. */
bool le_ring_pop(struct le_ring *r, struct le_cell *c);

/* ---- jobs ---- */

enum le_task_state { LE_TASK_QUEUED, LE_TASK_PREFILL, LE_TASK_DECODE, LE_TASK_ENDED };

struct le_task {
    uint64_t id;
    struct le_task *next; /* behind the engine's lock, as are state, cancelled and credit */
    enum le_task_state state;
    bool cancelled;
    uint32_t credit;
    /* fixed at submit */
    int32_t *prompt;
    uint32_t n_prompt, max_tokens;
    struct le_sampling sampling;
    bool ignore_end;
    /* the engine thread's */
    struct le_reply *reply;
    struct le_stop stop;
    bool stopped; /* a stop string was found */
    bool called;  /* a tool call was given out */
    uint32_t n_generated;
    int64_t prefill_ns, decode_ns, paused_ns;
};

void le_task_free(struct le_task *t);

/* What the accessors of engine.h tell. */
struct le_engine_info {
    char device[256], kind[16], name[128];
    enum le_precision precision;
    struct le_sampling sampling;
    struct le_template_info template;
    char family[32], type[16];
    uint64_t parameters, bytes, kv_bytes;
    const struct le_gguf *files; /* open until the runner is destroyed; NULL: none */
};

struct le_engine {
    /* fixed once open */
    pthread_t thread;
    struct le_runner runner;
    const struct le_engine_info *info;
    const struct le_tokenizer *tokenizer;
    uint32_t context, jobs_max, credit;
    int32_t end_id[LE_END_IDS_MAX];
    uint32_t n_end_ids;

    /* the engine thread's */
    struct le_sampler *sampler;
    struct le_cell draft; /* the event being written */
    bool reopened; /* since a job last ended well: a second loss in a row is final */

    /* the draining thread's */
    struct le_cell taken;

    atomic_uint_fast64_t prompt_tokens, generated_tokens; /* written by the engine's thread */

    pthread_mutex_t lock; /* never held during a step; guards all below */
    pthread_cond_t wake;  /* for the engine thread */
    pthread_cond_t opened;
    struct le_ring ring;
    struct le_task *first, *last; /* waiting */
    struct le_task *running;
    atomic_bool stop; /* written with the lock held: the running job is cancelled, or all are */
    uint32_t active; /* jobs whose END has not been taken */
    uint64_t last_id;
    double prompt_rate, generation_rate; /* tokens/s of the last answer that ended well */
    bool stopping, lost;
    bool ready;            /* the runner's open is done: */
    enum tg_status status; /* what it said */
    struct tg_error error; /* its text, later that of the loss */
};

struct le_engine_setup {
    struct le_runner runner; /* destroyed by the engine, also when opening fails */
    const struct le_tokenizer *tokenizer; /* must outlive the engine; n_vocab as the runner's */
    const struct le_engine_info *info;    /* filled by the runner's first open */
    uint32_t context, jobs_max, credit;   /* 0: default, but for context */
};

/* le_engine_open over any runner. */
enum tg_status le_engine_start(const struct le_engine_setup *setup, struct le_engine **out,
                               struct tg_error *err);

/* Lock held: the END of a job that never ran, or of one that ended. Frees t. */
void le_engine_end_queued(struct le_engine *e, struct le_task *t, enum le_end end,
                          enum tg_status status, const char *text);
/* The thread's function; arg is the engine. */
void *le_engine_main(void *arg);

#endif
