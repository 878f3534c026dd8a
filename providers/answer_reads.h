/* Large whole answers are read on workers: the JSON of a megabyte would hold up the loop. Loop
 * thread. */
#ifndef PROVIDERS_ANSWER_READS_H
#define PROVIDERS_ANSWER_READS_H

#include "config/base/workers.h"
#include "providers/openai_vectors.h"

struct prov_reads; /* opaque: all that are under way */
struct prov_read;  /* opaque: one answer */

/* The workers stay the caller's. NULL: out of memory. */
struct prov_reads *prov_reads_new(struct tg_workers *workers);
/* When the workers have been freed: frees what they have not reported too. NULL allowed. */
void prov_reads_free(struct prov_reads *r);

/* Reads the body, which is taken, as prov_vectors_read or, for a request without inputs,
 * prov_reader_whole does. The events come later, all in one turn of the loop, unless prov_read_drop
 * was called, also from within one of them. NULL: the caller has to read it, and keeps the body: it
 * is small, no worker is free, or there are none (reads NULL). */
struct prov_read *prov_read_start(struct prov_reads *reads, struct tg_buf *body,
                                  const struct chat_request *request, prov_event_fn fn, void *arg);
/* Nobody waits for it any more. NULL allowed. */
void prov_read_drop(struct prov_read *r);

#endif
