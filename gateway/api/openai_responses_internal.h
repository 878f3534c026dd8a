/* What the files of the Responses dialect share. */
#ifndef GATEWAY_API_OPENAI_RESPONSES_INTERNAL_H
#define GATEWAY_API_OPENAI_RESPONSES_INTERNAL_H

#include "gateway/api/openai_internal.h"
#include "gateway/api/openai_responses.h"

enum {
    OAI_ITEMS_MAX = OAI_MESSAGES_MAX, /* of a conversation */
    OAI_INPUT_FIRST = 0x8000,         /* number of an input item; output items count from 0 */
    OAI_METADATA_MAX = 16, OAI_METADATA_KEY = 64, OAI_METADATA_VALUE = 512,
    OAI_ITEM_ID = 32,
    OAI_IGNORED_MAX = 200,
};

/* A tool that backends know as a function of another name, or of another form. */
struct oai_alias {
    struct tg_str flat;        /* its name among chat_request.tools */
    struct tg_str space, name; /* as the client wrote them; space empty: it is in no namespace */
    bool custom;               /* its input is a text, for a backend the one argument "input" */
};

/* What an encoder must know of the request: chat_request.own. */
struct oai_asked {
    struct tg_str echo; /* members of the response object that repeat the request: ,"a":1,"b":2 */
    bool summary;       /* what was thought is told as a summary */
    bool sealed;        /* and as encrypted_content */
    bool store;
    const struct oai_alias *aliases;
    size_t n_aliases;
};

/* The tools of a request while they are read, of all lists together. */
struct oai_tools {
    struct chat_tool *list;
    struct oai_alias *aliases;
    size_t n, cap, n_aliases, cap_aliases;
    struct tg_str space;            /* that is being read; empty: none */
    struct tg_str about;            /* its description, until a tool of it has it */
    bool hosted;                    /* there are some that nobody here can run */
    bool more;                      /* those of items are being read: */
    size_t n_given;                 /* there are so many of the request itself, which hold */
};

/* Messages being put together of items. */
struct oai_talk {
    struct chat_message *m;
    size_t n, cap;
    struct api_parts open; /* of the assistant's message that m ends with; p NULL: it is closed */
    bool said, called;     /* text, calls are in it */
    struct api_parts images; /* of results: into a user's message behind them */
    struct oai_talk_call {
        struct tg_str id, name;
        bool answered;
    } *calls;
    size_t n_calls, cap_calls;
    size_t n_items;
    size_t place; /* 1 + index of the item in the client's list; 0: of an earlier turn */
};

/* One decoding; api_read.dialect. */
struct oai_reading {
    struct gw_past *past;
    struct gw_response *before; /* a reference */
    struct oai_asked *asked;
    struct oai_talk talk;
    struct oai_tools tools;
    struct tg_str previous;     /* previous_response_id */
    char ignored[OAI_IGNORED_MAX];
    bool counts;                /* only tokens are asked for */
    bool keeps;                 /* items go into input and spans */
    struct tg_buf input;
    struct gw_spans spans;
};

/* openai_responses_items.c */
/* Room for one more of n: p, or a larger copy of it. NULL after an error. */
void *oai_room(struct api_read *d, void *p, size_t n, size_t *cap, size_t size);
/* One item at the path; item_reference is not among them. */
enum tg_status oai_read_item(struct api_read *d, const struct tg_json *v);
/* A user's message of text alone. */
enum tg_status oai_add_user_text(struct api_read *d, struct tg_str text);
enum tg_status oai_add_system(struct api_read *d, struct tg_str text);
/* Ends the list: calls must have been answered. */
enum tg_status oai_end_items(struct api_read *d);

/* openai_responses_past.c: what earlier turns said, and what is kept of this one. */
enum tg_status oai_find_before(struct api_read *d);
enum tg_status oai_read_before(struct api_read *d);
/* An element of input: itself, or what it refers to. */
enum tg_status oai_read_input_item(struct api_read *d, const struct tg_json *v, size_t i);
enum tg_status oai_read_input_text(struct api_read *d, const struct tg_json *v);
void oai_keep(const struct api_answer *a, const struct api_stream *s, const struct api_whole *w,
              struct gw_past *past);
bool oai_looks_back(struct tg_str body);

/* openai_responses_decode.c: the decode functions of oai_responses and oai_count. */
enum tg_status oai_responses_decode(struct tg_str body, struct gw_past *past,
                                    struct tg_arena *arena, struct chat_request *out,
                                    struct api_error *err);
enum tg_status oai_count_decode(struct tg_str body, struct gw_past *past, struct tg_arena *arena,
                                struct chat_request *out, struct api_error *err);
/* Notes in ignored that what stands at the path has no effect; where that gets too long, that there
 * is more. */
void oai_ignore(struct api_read *d);
/* openai_responses_tools.c: one of the lists of tools, behind those that were read before. */
enum tg_status oai_read_response_tools(struct api_read *d, const struct tg_json *v);
/* Those that an item adds, or tells again. */
enum tg_status oai_read_more_tools(struct api_read *d, const struct tg_json *v);
enum tg_status oai_read_response_choice(struct api_read *d, const struct tg_json *v);
/* Behind all of them and the choice: the request's tools, and what the choice leaves of them. */
enum tg_status oai_settle_response_tools(struct api_read *d, const struct tg_json *root);

/* openai_responses_forms.c: tools that are no plain functions, as functions and back. */
/* The name of a function that stands for name in a namespace: "SPACE__NAME", cut and with a
 * checksum at its end where that is longer than OAI_NAME_MAX. In no namespace: name itself. */
enum tg_status oai_flat_name(struct api_read *d, struct tg_str space, struct tg_str name,
                             struct tg_str *out);
/* The function's parameters that a custom tool becomes, and its text as arguments of that. */
extern const char oai_custom_parameters[];
enum tg_status oai_wrap_input(struct api_read *d, struct tg_str input, struct tg_str *out);
/* The alias with that flat name; NULL: its tool is a plain function, or there is none. */
const struct oai_alias *oai_alias_among(const struct oai_alias *list, size_t n,
                                        struct tg_str flat);
/* The same of a request's. */
const struct oai_alias *oai_find_alias(const struct chat_request *r, struct tg_str flat);
/* Calls of custom tools with their input where the arguments were that it came in: without such
 * calls w itself. What is no object with a text "input" is the input as it stands. */
struct oai_told {
    struct api_whole whole; /* of w, whose calls must outlive it */
    struct api_call *calls; /* owned, as text is; NULL: w's own */
    char *text;
};
/* TG_NOMEM: there is nothing to free. */
enum tg_status oai_tell_calls(const struct api_answer *a, const struct api_whole *w,
                              struct oai_told *out);
void oai_told_free(struct oai_told *told);
/* openai_responses_echo.c: asked.echo. */
enum tg_status oai_read_echo(struct api_read *d, const struct tg_json *root);

/* openai_responses_seal.c: text as encrypted_content, and back. Nothing is secret in it; damage is
 * found by a checksum. */
enum tg_status oai_seal(struct tg_str text, struct tg_buf *out);
enum tg_status oai_unseal(struct api_read *d, const struct tg_json *v, struct tg_str *out);

/* openai_responses_encode.c: an output item that an answer has. */
enum oai_kind { OAI_REASONING = 1, OAI_MESSAGE, OAI_REFUSAL, OAI_CALL, OAI_CUSTOM };
struct oai_item {
    enum oai_kind kind;
    uint32_t call;   /* OAI_CALL and OAI_CUSTOM: its index */
    size_t from, to; /* else: bytes of oai_text_of */
    size_t tokens_from, tokens_to; /* OAI_MESSAGE: of api_stream.tokens */
};
enum oai_state { OAI_BEGUN, OAI_COMPLETED, OAI_INCOMPLETE };
/* Which of the two a call by that name is. */
enum oai_kind oai_call_kind(const struct chat_request *r, struct tg_str name);
static inline bool oai_is_call(enum oai_kind kind)
{
    return kind == OAI_CALL || kind == OAI_CUSTOM;
}
/* The id of the answer's item i: "msg_", the answer's number, i. */
void oai_item_id(const struct api_answer *a, enum oai_kind kind, size_t i, char id[OAI_ITEM_ID]);
/* Item i of a w that oai_tell_calls made, as an object, in that state; begun ones are empty. s:
 * NULL for a whole answer or a begun item. */
void oai_item_print(const struct api_answer *a, const struct api_stream *s,
                    const struct api_whole *w, const struct oai_item *item, size_t i,
                    enum oai_state state, struct tg_buf *out);
/* What w has of the text of such an item; refusals are messages of their own. */
struct tg_str oai_text_of(const struct api_whole *w, enum oai_kind kind);
/* {"type":"output_text",...}. tokens: its logprobs as JSON, without the list's brackets. */
void oai_text_part_print(struct tg_str text, struct tg_str tokens, struct tg_buf *out);
/* Those of an item. */
struct tg_str oai_item_tokens(const struct api_stream *s, const struct oai_item *item);
/* The answer's items as finished; s: NULL for a whole answer. False: out of memory. items is
 * appended to. */
bool oai_items_of(const struct api_answer *a, const struct api_stream *s,
                  const struct api_whole *w, struct tg_buf *items);
/* The response object. w is as oai_tell_calls made it; NULL: only begun, without output. e: NULL,
 * or why it failed. spans: NULL, or takes the places of the items. TG_NOMEM, TG_LIMIT. */
enum tg_status oai_response_print(const struct api_answer *a, const struct api_stream *s,
                                  const struct api_whole *w, const struct api_error *e,
                                  struct gw_spans *spans, struct tg_buf *out);
/* openai_responses_stream.c: parts of the dialect's table. */
enum tg_status oai_stream_begin(const struct api_answer *a, struct tg_buf *out);
enum tg_status oai_stream_event(const struct api_answer *a, struct api_stream *s,
                                const struct chat_event *e, struct tg_buf *out);
enum tg_status oai_stream_finish(const struct api_answer *a, struct api_stream *s,
                                 const struct api_whole *w, struct tg_str note,
                                 struct tg_buf *out);
enum tg_status oai_stream_failed(const struct api_answer *a, struct api_stream *s,
                                 const struct api_error *e, struct tg_str note,
                                 struct tg_buf *out);

#endif
