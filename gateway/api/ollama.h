/* The Ollama dialect: /api/chat and /api/generate in lines of JSON, and what its clients ask about
 * models. Pure, any thread. */
#ifndef GATEWAY_API_OLLAMA_H
#define GATEWAY_API_OLLAMA_H

#include "gateway/api/dialect.h"

/* Streams unless asked not to; a line each for text, thinking, all tool calls together, and the
 * end, which carries the note as its member "tollgate". A request without messages or prompt asks
 * to load the model, and is answered as loaded. Calls without ids are given "call_tg_N"; results
 * without ids are matched by name and order with the calls of the newest message that has any. */
extern const struct api_dialect oll_chat, oll_generate;

/* /api/embed and /api/embeddings: vectors, never a stream. Without a text they ask to load the
 * model, and get none. */
extern const struct api_dialect oll_embed, oll_embeddings;

/* {"error": "text"} */
enum tg_status oll_error_print(const struct api_error *e, struct tg_buf *out);

/* The version of Ollama's API that the dialect follows: clients compare it with what they need. */
#define OLL_API_VERSION "0.12.6"

/* One name that a client may ask for. Strings may be empty, numbers 0, where nothing is known. */
struct oll_model {
    const char *name;
    const char *family, *quantization, *digest; /* digest: hex */
    uint64_t parameters, bytes;
    int64_t modified_s;
    uint32_t context;
    bool thinks, on_gpu;
    struct tg_str remote; /* of a provider's model, which has no more than a time: its name there */
};

/* GET /api/tags */
enum tg_status oll_tags_print(const struct oll_model *models, size_t n, struct tg_buf *out);
/* GET /api/ps: the one model that is loaded. It stays: it expires in a far future. */
enum tg_status oll_ps_print(const struct oll_model *m, struct tg_buf *out);
/* GET /api/version; version: Tollgate's own. */
enum tg_status oll_version_print(const char *version, struct tg_buf *out);
/* POST /api/show. Decode as api_dialect's; *name is the model without ":latest". */
enum tg_status oll_show_decode(struct tg_str body, struct tg_arena *arena, struct tg_str *name,
                               struct api_error *err);
/* Of a provider's model: capabilities are what may be asked of it, as nobody knows what it can. */
enum tg_status oll_show_print(const struct oll_model *m, struct tg_buf *out);

#endif
