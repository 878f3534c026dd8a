/* The tokenizer of the bundled model, opened once for a fuzz driver. */
#ifndef TESTS_FUZZ_SUPPORT_TOKENIZER_H
#define TESTS_FUZZ_SUPPORT_TOKENIZER_H

#include <stdio.h>
#include <stdlib.h>

#include "local_engine/tokenizer.h"

static const struct le_tokenizer *tokenizer(void)
{
    static struct le_tokenizer *t;
    struct le_gguf *g;
    struct tg_error err;
    if (t)
        return t;
    if (le_gguf_open(TG_SOURCE_DIR "/tests/golden/tiny-dense-Q8_0.gguf", &g, &err) ||
        le_tokenizer_open(g, &t, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    le_gguf_close(g);
    return t;
}

#endif
