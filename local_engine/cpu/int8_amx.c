/* The packed int8 path for AVX-512 with VNNI and AMX: int8_avx512.c's groups and its products, but
 * for those of many inputs with types that have one scale for a block of 32. There a block's dots
 * of 16 inputs with a group are one product of tiles: 16 rows of 32 bytes with the block's steps,
 * which are 8 rows of 64 bytes as they lie. The dots are the same integers, and what follows is
 * add_block: the results are the same, bit for bit.
 *
 * Tiles and vectors of 512 bits hardly run at the same time (measured: their times add up), so that
 * no order of the two is better than the plain one: 705e9 operations a second (Q4_0, all in the
 * first cache) where VNNI has 486; 580e9 and 455e9 for 256 inputs from memory. Types with two
 * scales for a block would need two products of tiles half as deep, and are slower than VNNI. */
#if defined(__x86_64__)

#include "local_engine/cpu/int8_vec512.h"
#include "local_engine/cpu/int8_kernels.h"
#include "local_engine/cpu/int8_rows.h"

enum { TILE = 16 };

enum { DOTS, INPUTS, WEIGHTS }; /* tiles; the instructions take literals */

static void configure(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } c = { .palette = 1,
            .row_bytes = { [DOTS] = 4 * LANES, [INPUTS] = CPU_INT8_COLUMNS, [WEIGHTS] = 4 * LANES },
            .rows = { [DOTS] = TILE, [INPUTS] = TILE, [WEIGHTS] = STEPS } };
    _tile_loadconfig(&c);
}

/* 16 inputs from x on, which is at the panel's first block, with a panel. The first `done` have
 * been added already, and are not written. */
INLINE void tile16(uint32_t type, const struct product *p, const struct operands *panel,
                   size_t blocks, const uint8_t *x, float *dst, uint32_t lanes, bool first,
                   uint32_t done)
{
    /* A store under way holds up loads that agree with it in the low 12 bits of the address. */
    int32_t dots[2][TILE * LANES] __attribute__((aligned(2048)));
    vfloats sum[TILE];
    const size_t s = p->x_bytes;
    EACH (r, TILE)
        sum[r] = first ? v_all(0) : v_read(dst + (size_t)r * p->dst_stride, lanes);
    EACH (r, TILE)
        __builtin_prefetch(dst + (size_t)(TILE + r) * p->dst_stride, 1);
    for (size_t b = 0; b < blocks; b++) {
        int32_t *dot = dots[b & 1];
        _tile_zero(0);
        _tile_loadd(1, x, s);
        _tile_loadd(2, panel[b].u, 4 * LANES);
        _tile_dpbssd(0, 1, 2);
        _tile_stored(0, dot, 4 * LANES);
        const uint8_t *at[4] = { x, x + 4 * s, x + 8 * s, x + 12 * s };
        __asm__("" : "+r"(at[1]), "+r"(at[2]), "+r"(at[3])); /* not sixteen pointers */
        EACH (r, TILE) {
            vfloats a = v_float(v_load((const uint8_t *)(dot + r * LANES)));
            sum[r] = add_block(type, panel + b, input_at(at[r / 4], s, r % 4), a, a, sum[r]);
        }
        x += sizeof(struct cpu_int8_input);
    }
    EACH (r, TILE)
        if ((uint32_t)r >= done)
            v_write(dst + (size_t)r * p->dst_stride, lanes, sum[r]);
}

/* As fill_panel, with signed quants: here nothing is added for an offset. */
INLINE void fill_signed(uint32_t type, const uint8_t *group, size_t blocks, struct operands *panel)
{
    fill_panel(type, group, blocks, panel);
    for (size_t b = 0; b < blocks && offset_of(type) != 0; b++)
        EACH (s, STEPS)
            panel[b].u[s] = _mm512_sub_epi8(panel[b].u[s], v_byte(offset_of(type)));
}

struct tile_kernels {
    void (*fill)(const uint8_t *group, size_t blocks, struct operands *panel);
    void (*tile)(const struct product *p, const struct operands *panel, size_t blocks,
                 const uint8_t *x, float *dst, uint32_t lanes, bool first, uint32_t done);
};

#define TYPE_KERNELS(type)                                                                         \
    static void fill_##type(const uint8_t *group, size_t blocks, struct operands *panel)           \
    {                                                                                              \
        fill_signed(LE_TYPE_##type, group, blocks, panel);                                         \
    }                                                                                              \
    static void tile_##type(const struct product *p, const struct operands *panel, size_t blocks,  \
                            const uint8_t *x, float *dst, uint32_t lanes, bool first,              \
                            uint32_t done)                                                         \
    {                                                                                              \
        tile16(LE_TYPE_##type, p, panel, blocks, x, dst, lanes, first, done);                      \
    }
#define TYPE_ENTRY(type) [LE_TYPE_##type] = { fill_##type, tile_##type },
#define TYPES_OF_ONE_SCALE(f)                                                                      \
    f(Q4_0) f(Q4_1) f(Q5_0) f(Q5_1) f(Q8_0) f(Q4_K) f(Q5_K) f(IQ4_NL) f(IQ4_XS) f(MXFP4)

TYPES_OF_ONE_SCALE(TYPE_KERNELS)
static const struct tile_kernels kernels[LE_TYPE_MXFP4 + 1] = { TYPES_OF_ONE_SCALE(TYPE_ENTRY) };

/* As product_panels (int8_set.h), 16 inputs a tile; of the last 16 some may have been done. */
static void tiled_product(const struct tile_kernels *k, const struct product *p,
                          struct cpu_int8_layout at)
{
    struct operands panel[PANEL_BLOCKS];
    size_t per_chunk = at.columns / CPU_INT8_COLUMNS;
    size_t total = (size_t)((p->in + at.columns - 1) / at.columns) * per_chunk;
    for (size_t b = 0; b < total; b += PANEL_BLOCKS) {
        size_t blocks = total - b < PANEL_BLOCKS ? total - b : PANEL_BLOCKS;
        const uint8_t *x = p->x + b * sizeof(struct cpu_int8_input);
        const uint8_t *part = p->groups + b / per_chunk * at.size * LANES;
        for (uint32_t g = 0; g < p->n_groups; g++, part += p->group_bytes) {
            uint32_t left = p->n_out - g * LANES, lanes = left < LANES ? left : LANES;
            k->fill(part, blocks, panel);
            for (uint32_t r = 0; r < p->n; r += TILE) {
                uint32_t row = p->n - r < TILE ? p->n - TILE : r;
                fetch_share(part + p->group_bytes, blocks / per_chunk * at.size * LANES, r, TILE,
                            p->n);
                k->tile(p, panel, blocks, x + row * p->x_bytes,
                        p->dst + row * p->dst_stride + (size_t)g * LANES, lanes, b == 0, r - row);
            }
        }
    }
}

/* cpu/pack.h: matmul. */
static void matmul(uint32_t type, uint64_t in, const uint8_t *groups, uint32_t n_groups,
                   uint32_t n_out, const uint8_t *x, uint32_t n, float *dst, size_t dst_stride)
{
    struct product p = {
        .in = in,
        .groups = groups,
        .x = x,
        .dst = dst,
        .group_bytes = cpu_int8_group_bytes(type, in, LANES),
        .x_bytes = cpu_int8_input_bytes(in),
        .dst_stride = dst_stride,
        .n_groups = n_groups,
        .n_out = n_out,
    };
    if (kernels[type].tile && n >= TILE) {
        configure();
        for (; n >= TILE; n -= p.n) {
            p.n = n < PANEL_ROWS ? n : PANEL_ROWS;
            tiled_product(&kernels[type], &p, cpu_int8_layout(type));
            p.x += p.n * p.x_bytes;
            p.dst += p.n * dst_stride;
        }
        _tile_release();
    }
    if (n > 0)
        cpu_int8_avx512()->matmul(type, in, groups, n_groups, n_out, p.x, n, p.dst, dst_stride);
}

const struct cpu_pack_kernels *cpu_int8_amx(void)
{
    static const struct cpu_pack_kernels set = {
        "avx512-vnni-amx", LANES, group_bytes, pack, cpu_int8_input_bytes, input, matmul,
    };
    return &set;
}

#endif
