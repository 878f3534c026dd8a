/* The packed int8 kernels on one core, in processor time (others may run too): packing, one input
 * row at a time from memory, many rows.
 *
 *   bench_pack [SET [TYPE]]     SET: avx512, avx512-plain, avx2, avx2-plain, neon; TYPE: Q4_0, ...
 *
 * Columns: GB/s of file bytes packed; GB/s of packed bytes read by one input row from a matrix
 * larger than the caches (and which part of a plain read of the same memory that is); 1e9
 * operations (two for a multiplication and its addition) a second with 4, 16, 128 and 512 input
 * rows and a matrix in the caches. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "config/base/alloc.h"
#include "local_engine/cpu/pack.h"
#include "local_engine/gguf.h"

enum { IN = 5376, OUT = 512, ROWS_MAX = 512, STREAM_BYTES = 800 << 20 };

struct bench {
    const struct cpu_pack_kernels *k;
    uint32_t type;
    uint8_t *groups, *x;
    float *dst;
    size_t group_bytes;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *pages(size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "bench_pack: no memory for %zu bytes\n", n);
        exit(1);
    }
    madvise(p, n, MADV_HUGEPAGE);
    return p;
}

/* Packs random rows over and over until the groups fill `count` places; GB/s of the file's. */
static double pack_all(struct bench *b, uint32_t count)
{
    uint32_t n = 0, bytes = 0, lanes = b->k->lanes;
    le_type_block(b->type, &n, &bytes);
    uint64_t row = IN / n * bytes;
    uint8_t *file = tg_alloc((size_t)(row * lanes));
    if (!file)
        exit(1);
    for (size_t i = 0; i < row * lanes; i++)
        file[i] = (uint8_t)rand() & 0x3f;
    double t = now();
    for (uint32_t g = 0; g < count; g++)
        b->k->pack(b->type, IN, file, row, lanes, b->groups + g * b->group_bytes);
    t = now() - t;
    tg_free(file);
    return (double)(row * lanes) * count / t * 1e-9;
}

/* The fastest run of a second: seconds of one product. */
static double fastest(const struct bench *b, uint32_t groups, uint32_t rows)
{
    double best = 1e9, begun = now();
    while (now() - begun < 1) {
        double t = now();
        b->k->matmul(b->type, IN, b->groups, groups, groups * b->k->lanes, b->x, rows, b->dst,
                     (size_t)groups * b->k->lanes);
        t = now() - t;
        best = t < best ? t : best;
    }
    return best;
}

static double read_speed(const uint8_t *p, size_t n)
{
    double best = 1e9;
    static volatile uint64_t sink;
    for (int i = 0; i < 3; i++) {
        double t = now();
        uint64_t sum[16] = { 0 };
        for (size_t k = 0; k + 128 <= n; k += 128)
            for (int j = 0; j < 16; j++) {
                uint64_t w;
                memcpy(&w, p + k + 8 * j, sizeof(w));
                sum[j] += w;
            }
        for (int j = 0; j < 16; j++)
            sink += sum[j];
        t = now() - t;
        best = t < best ? t : best;
    }
    return (double)n / best * 1e-9;
}

static void bench_type(struct bench *b)
{
    b->group_bytes = b->k->group_bytes(b->type, IN);
    if (b->group_bytes == 0)
        return;
    uint32_t many = (uint32_t)(STREAM_BYTES / b->group_bytes), few = OUT / b->k->lanes;
    double packed = pack_all(b, many), bytes = (double)many * (double)b->group_bytes;
    double plain = read_speed(b->groups, (size_t)many * b->group_bytes);
    double gemv = bytes / fastest(b, many, 1) * 1e-9;
    printf("| %s | %s | %.2f | %.1f (%.0f%%) |", b->k->name, le_type_name(b->type), packed, gemv,
           100 * gemv / plain);
    static const uint32_t rows[] = { 4, 16, 128, ROWS_MAX };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        printf(" %.0f |", 2.0 * IN * OUT * rows[i] / fastest(b, few, rows[i]) * 1e-9);
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const char *const sets[] = { "avx512", "avx512-plain", "avx2", "avx2-plain", "neon" };
    struct bench b = { .groups = pages(STREAM_BYTES), .dst = pages((size_t)STREAM_BYTES) };
    b.x = pages((size_t)ROWS_MAX * IN * 4);
    printf("| kernels | type | pack GB/s | 1 row GB/s (of a read) | 4 rows GOPS | 16 | 128 |"
           " 512 |\n|---|---|---|---|---|---|---|---|\n");
    for (size_t s = 0; s < sizeof(sets) / sizeof(*sets); s++) {
        b.k = cpu_pack_kernels(sets[s]);
        if (!b.k || (argc > 1 && strcmp(argv[1], sets[s]) != 0))
            continue;
        float x[IN];
        for (uint32_t r = 0; r < ROWS_MAX; r++) {
            for (int i = 0; i < IN; i++)
                x[i] = (float)rand() / (float)RAND_MAX - 0.5f;
            b.k->input(x, IN, b.x + r * b.k->input_bytes(IN));
        }
        for (b.type = 0; b.type < 64; b.type++)
            if (argc < 3 || strcmp(argv[2], le_type_name(b.type)) == 0)
                bench_type(&b);
    }
    return 0;
}
