/* Reading the JSON of a request, for all dialects: where the reader stands, errors that name the
 * field, values with their bounds, tables of fields. Pure, any thread. */
#ifndef GATEWAY_API_READ_H
#define GATEWAY_API_READ_H

#include "config/base/json.h"
#include "gateway/api/dialect.h"

/* One decoding: where it stands (path) and what it fills. */
struct api_read {
    struct tg_arena *arena;
    struct chat_request *out;
    struct api_error *err;
    void *dialect;  /* what a dialect's readers share beyond that, or NULL */
    char path[128]; /* JSON path of the value at hand; cut when deeper */
    size_t path_n;
};

/* Appends ".key" or "[i]" to the path; the return value is given to api_leave afterwards. */
size_t api_enter(struct api_read *d, const char *key);
size_t api_enter_at(struct api_read *d, size_t i);
void api_leave(struct api_read *d, size_t mark);

/* Fills the error for the value at the path: 400. Always TG_INVALID. */
enum tg_status api_bad(struct api_read *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "X is not supported in this version", X being the path: 400. Always TG_UNSUPPORTED. */
enum tg_status api_unsupported(struct api_read *d);
/* Out of memory or above the arena's maximum: 503. Always TG_NOMEM. */
enum tg_status api_no_memory(struct api_read *d);
/* What an error quotes of s: whole characters, 64 bytes at most. */
struct tg_str api_short(struct tg_str s);
/* "an object was expected, not a string" and so on. v may be NULL: "is missing". */
enum tg_status api_wrong_type(struct api_read *d, const struct tg_json *v,
                              enum tg_json_type wanted);

/* The body's tree, an object; for tg_json_free. NULL after an error. */
enum tg_status api_read_root(struct api_read *d, struct tg_str body, struct tg_json **root);
/* Member that is neither absent nor null; else NULL. */
const struct tg_json *api_member(const struct tg_json *object, const char *key);
/* Copies a string of min to max bytes into the arena. */
enum tg_status api_copy(struct api_read *d, const struct tg_json *v, size_t min, size_t max,
                        struct tg_str *out);
/* The same for a member; with required false an absent one leaves *out alone. */
enum tg_status api_copy_member(struct api_read *d, const struct tg_json *object,
                               const char *key, bool required, size_t min, size_t max,
                               struct tg_str *out);
enum tg_status api_bool(struct api_read *d, const struct tg_json *v, bool *out);
/* For switches of which only the given position exists here. */
enum tg_status api_only_bool(struct api_read *d, const struct tg_json *v, bool wanted);
enum tg_status api_between(struct api_read *d, const struct tg_json *v, double min, double max,
                           double *out);
enum tg_status api_integer(struct api_read *d, const struct tg_json *v, int64_t min, int64_t max,
                           int64_t *out);
/* A word out of a list: its index, or an error that lists them. */
enum tg_status api_word(struct api_read *d, const struct tg_json *v, const char *const *words,
                        size_t n, size_t *which);

/* The same of words that are read no further: the first ones are accepted, the others refused by
 * the field's name. */
enum tg_status api_only_words(struct api_read *d, const struct tg_json *v,
                              const char *const *words, size_t n, size_t accepted);
/* The type of an object, which must be a string; as a word out of a list. */
enum tg_status api_type(struct api_read *d, const struct tg_json *v, struct tg_str *out);
enum tg_status api_type_word(struct api_read *d, const struct tg_json *v,
                             const char *const *words, size_t n, size_t *which);

/* An object's text as compact JSON, copied into the arena. */
enum tg_status api_object_text(struct api_read *d, const struct tg_json *v, struct tg_str *out);
/* The same for a member; with required false an absent one leaves *out alone. */
enum tg_status api_object_member(struct api_read *d, const struct tg_json *object,
                                 const char *key, bool required, struct tg_str *out);
/* A member that may be absent, which leaves *out alone. */
enum tg_status api_bool_member(struct api_read *d, const struct tg_json *object, const char *key,
                               bool *out);
/* 1 or more of a-z, A-Z, 0-9, '_' and '-': what functions and schemas may be called. */
bool api_is_name(struct tg_str s);
/* Whether out's tool choice fits its tools: one must be there, and the named one among them. field:
 * where the error points to. */
enum tg_status api_check_choice(struct api_read *d, const char *field);

/* The parts of a message while they are read. */
struct api_parts {
    struct chat_part *p;
    size_t n, cap;
};
/* How many are in a list; 0 in what is none. */
size_t api_list_count(const struct tg_json *v);
/* Elements of the lists "tool_calls" of all messages, but at most so many. */
size_t api_count_calls(const struct tg_json *messages, size_t most);

/* A field of an object: read it, refuse it, or accept it unread. */
struct api_field {
    const char *name;
    /* v is not null. Called with the path at the field. */
    enum tg_status (*read)(struct api_read *d, const struct tg_json *v);
};
/* Calls the reader of every member that is not null; an unknown one is refused by name. */
enum tg_status api_read_fields(struct api_read *d, const struct tg_json *object,
                               const struct api_field *fields, size_t n);
/* The same for what need not be an object, nor there. */
enum tg_status api_read_object(struct api_read *d, const struct tg_json *v,
                               const struct api_field *fields, size_t n);
/* Readers for tables. */
enum tg_status api_refuse(struct api_read *d, const struct tg_json *v);
enum tg_status api_elsewhere(struct api_read *d, const struct tg_json *v);
/* Accepts an empty array or object, refuses others as not supported. */
enum tg_status api_only_empty(struct api_read *d, const struct tg_json *v);
enum tg_status api_only_false(struct api_read *d, const struct tg_json *v);

/* read_chat.c: readers for tables, of fields that are alike in more than one dialect. */
enum {
    API_STOP_MAX = 256,  /* bytes of one stop string */
    API_MODEL_MAX = 256, /* bytes of a model's name */
};
enum tg_status api_read_model(struct api_read *d, const struct tg_json *v);
enum tg_status api_read_stream(struct api_read *d, const struct tg_json *v);
enum tg_status api_read_schema(struct api_read *d, const struct tg_json *v); /* schema.text */
enum tg_status api_read_temperature(struct api_read *d, const struct tg_json *v); /* 0 to 2 */
enum tg_status api_read_top_p(struct api_read *d, const struct tg_json *v); /* above 0, to 1 */
/* -1 is another common way to say "off", which is 0 here. */
enum tg_status api_read_top_k(struct api_read *d, const struct tg_json *v);
enum tg_status api_read_min_p(struct api_read *d, const struct tg_json *v);
enum tg_status api_read_presence(struct api_read *d, const struct tg_json *v);  /* -2 to 2 */
enum tg_status api_read_frequency(struct api_read *d, const struct tg_json *v); /* -2 to 2 */
enum tg_status api_read_stops(struct api_read *d, const struct tg_json *v); /* a list */
enum tg_status api_read_stop(struct api_read *d, const struct tg_json *v);  /* or a string */
/* {"type": "ephemeral", ...}, a hint: prefixes are found by content here. */
enum tg_status api_read_cache_control(struct api_read *d, const struct tg_json *v);

enum tg_status api_read_logprobs(struct api_read *d, const struct tg_json *v);     /* a boolean */
enum tg_status api_read_top_logprobs(struct api_read *d, const struct tg_json *v); /* 0 to 20 */
/* Whether out asks for alternatives of tokens without their own. */
enum tg_status api_check_logprobs(struct api_read *d);

/* name, of at most so many bytes, description and strict of a tool whose members are checked. */
enum tg_status api_read_tool(struct api_read *d, const struct tg_json *v, size_t name_max,
                             struct chat_tool *tool);
/* Tools, each by a reader of the dialect's, at most so many, no two of a name; name: where in a
 * tool it stands, for the error. */
typedef enum tg_status (*api_tool_reader)(struct api_read *d, const struct tg_json *v,
                                          struct chat_tool *tool);
enum tg_status api_read_tool_list(struct api_read *d, const struct tg_json *v, size_t most,
                                  api_tool_reader read, const char *name);

#endif
