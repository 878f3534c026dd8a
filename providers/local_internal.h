/* What the local backend's files share; nobody else includes it. */
#ifndef PROVIDERS_LOCAL_INTERNAL_H
#define PROVIDERS_LOCAL_INTERNAL_H

#include "providers/backend.h"
#include "providers/local_memory.h"

/* prov_local_prepare, with what the backend is made of; counting: prov_local_count. */
enum tg_status prov_local_render(const struct le_engine *engine, struct prov_memory *memory,
                                 const struct chat_request *r, bool counting, int32_t **ids,
                                 uint32_t *n, struct chat_overflow *overflow,
                                 struct tg_error *err);

#endif
