/* A store, requests decoded against it, and what they became as text. Included by tests only. */
#ifndef TESTS_UNIT_GATEWAY_RESPONSES_TALK_H
#define TESTS_UNIT_GATEWAY_RESPONSES_TALK_H

#include "config/base/alloc.h"
#include "config/base/json.h"
#include "gateway/api/openai_responses.h"
#include "tests/unit/check.h"
#include "tests/unit/gateway/media_part.h"

/* Events of a stream. */
#define EVENT(n, name, members) "event: " name "\ndata: {\"type\":\"" name \
    "\",\"sequence_number\":" n members "}\n\n"
#define ADDED(n, i, item) \
    EVENT(n, "response.output_item.added", ",\"output_index\":" i ",\"item\":" item)
#define DONE(n, i, item) \
    EVENT(n, "response.output_item.done", ",\"output_index\":" i ",\"item\":" item)

/* One request, until done(). */
struct ask {
    struct tg_arena *arena;
    struct gw_past past;
    struct chat_request rq;
    struct api_error err;
    enum tg_status status;
    struct tg_buf text; /* of talk() */
};

static struct gw_responses *store; /* NULL: nothing is kept */

static inline struct ask decoded(uint64_t number, const char *body)
{
    struct ask t = { .arena = tg_arena_new(4 << 20),
                     .past = { .store = store, .number = number } };
    tg_buf_init(&t.text, 1 << 20);
    t.status = oai_responses.decode_past(tg_str_of(body), &t.past, t.arena, &t.rq, &t.err);
    return t;
}

static inline void done(struct ask *t)
{
    gw_past_free(&t->past);
    tg_arena_free(t->arena);
    tg_buf_free(&t->text);
}

/* The identity of the answer to it, as the exchange makes it. */
static inline struct api_answer answer_to(const struct ask *t)
{
    struct api_answer a = { .created_s = 1000, .model = TG_STR("m"), .request = &t->rq };
    snprintf(a.id, sizeof(a.id), "resp_%016llx", (unsigned long long)t->past.number);
    return a;
}

/* Its answer, kept if the request says so. */
static inline void answered(struct ask *t, const struct api_whole *w)
{
    struct api_answer a = answer_to(t);
    oai_responses.keep(&a, NULL, w, &t->past);
}

static inline void add_part(const struct chat_part *p, struct tg_buf *out)
{
    static const char *const around[][2] = {
        [CHAT_PART_TEXT] = { "", "" },       [CHAT_PART_REASONING] = { "(", ")" },
        [CHAT_PART_IMAGE] = { "<", ">" },    [CHAT_PART_AUDIO] = { "<", ">" },
        [CHAT_PART_VIDEO] = { "<", ">" },    [CHAT_PART_TOOL_CALL] = { "=", "" },
        [CHAT_PART_TOOL_RESULT] = { "=", "" },
    };
    if (p->id.n)
        tg_buf_addf(out, "%.*s#%.*s", TG_FMT(p->name), TG_FMT(p->id));
    tg_buf_adds(out, around[p->kind][0]);
    if (p->media && p->media->type)
        tg_buf_addf(out, "%s %zu %.*s", p->media->type->word, p->media->data.n,
                    TG_FMT(p->media->field));
    else if (p->media)
        tg_buf_add(out, p->media->url.p, p->media->url.n);
    tg_buf_add(out, p->text.p, p->text.n);
    tg_buf_adds(out, around[p->kind][1]);
}

/* The messages in one line: "user:hi assistant:(thought),text,f#c1={}". */
static inline const char *talk(struct ask *t)
{
    tg_buf_reset(&t->text);
    for (size_t i = 0; i < t->rq.n_messages; i++) {
        const struct chat_message *m = &t->rq.messages[i];
        tg_buf_addf(&t->text, "%s%s:", i ? " " : "", chat_role_name(m->role));
        for (size_t k = 0; k < m->n_parts; k++) {
            if (k)
                tg_buf_addc(&t->text, ',');
            add_part(&m->parts[k], &t->text);
        }
    }
    return t->text.p ? t->text.p : "";
}

/* What the body becomes, kept nowhere. */
static inline void check_talk(const char *body, const char *want)
{
    struct ask t = decoded(1, body);
    if (t.status)
        CHECK_FAIL("%s: %s", body, t.err.message);
    CHECK_STR(talk(&t), want);
    done(&t);
}

struct bad {
    const char *body, *param, *says; /* says: a part of the message */
};

static inline void check_bad(const struct bad *row, enum tg_status want, int status)
{
    struct ask t = decoded(1, row->body);
    struct api_error err = t.err;
    bool refused = t.status == want || (want == TG_INVALID && t.status == TG_UNSUPPORTED);
    done(&t);
    if (!refused || err.status != status || strcmp(err.param, row->param) != 0 ||
        !strstr(err.message, row->says) || strcmp(err.type, "invalid_request_error") != 0)
        CHECK_FAIL("%s\n  refused %d, %d, param \"%s\" (want \"%s\"), \"%s\" (want \"%s\")",
                   row->body, refused, err.status, err.param, row->param, err.message, row->says);
}

#endif
