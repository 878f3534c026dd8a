/* A runner that speaks a script instead of computing, and a reader of events, for engine tests. */
#ifndef TESTS_UNIT_ENGINE_SUPPORT_ENGINE_H
#define TESTS_UNIT_ENGINE_SUPPORT_ENGINE_H

#include <pthread.h>

#include "config/base/buf.h"
#include "local_engine/engine_internal.h"

enum { FAKE_STEPS_MAX = 4096, FAKE_EVENTS_MAX = 4096 };

struct fake {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const struct le_tokenizer *tokenizer;
    float *logits;
    struct le_ids script;  /* token k after the prompt is script[k]; the last one repeats */
    uint32_t prompt;       /* length of every prompt */
    uint32_t chunk;
    int gate;              /* steps that may still pass; -1: all */
    bool heeds_stop;       /* a step that waits ends when the engine sets its stop flag */
    bool open_heeds_stop;  /* opening fails when the flag is set */
    const atomic_bool *stop;
    uint32_t begun;        /* steps entered */
    uint32_t fail_at;      /* this step (from 1) fails; 0: none */
    uint32_t fail_every;   /* and each this many steps after it; 0: once */
    enum tg_status failure;
    uint32_t nan_at;       /* the logits of this step are broken */
    uint32_t opened, closed, destroyed;
    uint32_t open_fails_from; /* this open (from 1) and later ones fail; 0: none */
    struct {
        uint32_t n, pos;
        bool logits;
    } step[FAKE_STEPS_MAX];
};

/* The reduced vocabulary's tokenizer, from tests/golden; NULL when that fails. */
struct le_tokenizer *fake_tokenizer(void);
/* False when out of memory. The script is text, with special tokens written out. */
bool fake_init(struct fake *f, const struct le_tokenizer *t, uint32_t prompt, const char *script);
void fake_free(struct fake *f);
enum tg_status fake_engine(struct fake *f, uint32_t context, uint32_t jobs, uint32_t credit,
                           struct le_engine **e, struct tg_error *err);
/* Lets n more steps pass (-1: all from now on). */
void fake_let(struct fake *f, int n);
/* Waits until step n has begun; false after ten seconds. */
bool fake_wait_step(struct fake *f, uint32_t n);
uint32_t fake_begun(struct fake *f);

/* Waits up to timeout_ms for the next event. */
bool events_next(struct le_engine *e, struct le_event *event, int timeout_ms);

/* One job's events put together. */
struct answer {
    struct tg_buf content, reasoning, name, arguments;
    int32_t token[FAKE_EVENTS_MAX];
    uint32_t tokens, started, prefilled, ends;
    enum le_end end;
    enum tg_status status;
    char error[256];
    struct le_event last; /* strings invalid */
};
void answer_init(struct answer *a);
void answer_free(struct answer *a);
/* False when an event is out of order. */
bool answer_add(struct answer *a, const struct le_event *event);
/* Adds the events of job id until its END; other jobs' events are a failure. */
bool answer_read(struct le_engine *e, uint64_t id, struct answer *a);

#endif
