/* Any JSON as a file of calibrations. What is accepted must print, read back as it was, give
 * probabilities that are numbers from 0 to 1, and never fall where its line rises. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/alloc.h"
#include "policy/calibration_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_scores(const struct pol_calibration *c)
{
    struct pol_features f = { .known = true };
    double last = -1;
    for (int i = 0; i <= 8; i++) {
        for (size_t k = 0; k < POL_FEATURES; k++)
            f.v[k] = (double)((i * (int)(k + 1)) % 9) / 8;
        double p = pol_calibration_apply(c, &f);
        if (!(p >= 0 && p <= 1))
            abort();
    }
    for (double logit = -30; logit <= 30; logit += 0.75) {
        double p = pol_map_apply(&c->map, logit);
        if (!(p >= last))
            abort();
        last = p;
    }
}

static void read_back(const struct pol_calibration *list, size_t n)
{
    struct tg_buf text;
    struct tg_json *root;
    struct tg_error err;
    struct pol_calibration *again;
    size_t n_again, stale;
    tg_buf_init(&text, 1 << 26);
    if (pol_calibrations_print(list, n, &text) != TG_OK ||
        tg_json_parse(tg_buf_str(&text), &root, &err) != TG_OK ||
        pol_calibrations_parse(root, &again, &n_again, &stale, &err) != TG_OK)
        abort();
    if (n_again != n || stale)
        abort();
    for (size_t i = 0; i < n; i++) {
        const struct pol_calibration *a = &list[i], *b = &again[i];
        if (!pol_key_equal(&a->key, &b->key) || a->map.n != b->map.n ||
            memcmp(a->map.x, b->map.x, a->map.n * sizeof(double)) != 0 ||
            fabs(a->bias - b->bias) > 0)
            abort();
        for (size_t k = 0; k < POL_FEATURES; k++)
            if (fabs(a->weight[k] - b->weight[k]) > 0)
                abort();
    }
    tg_free(again);
    tg_json_free(root);
    tg_buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tg_json *root;
    struct tg_error err = { 0 };
    struct pol_calibration *list;
    size_t n, stale;
    if (tg_json_parse((struct tg_str){ (const char *)data, size }, &root, &err) != TG_OK)
        return 0;
    if (pol_calibrations_parse(root, &list, &n, &stale, &err) == TG_OK) {
        for (size_t i = 0; i < n; i++)
            try_scores(&list[i]);
        read_back(list, n);
    } else if (list || n || stale || !err.text[0]) {
        abort();
    }
    tg_free(list);
    tg_json_free(root);
    return 0;
}
