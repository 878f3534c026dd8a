/* Layouts that C and GLSL share: the step block and the push constants of every shader. C sees
 * addresses as 64-bit integers, GLSL as buffer references (types.glsl defines GPU_ADDR); both lay
 * the structs out alike: 8-byte addresses first, then 4-byte words. */
#ifndef GPU_SHARED_H
#define GPU_SHARED_H

#ifdef GPU_GLSL
#define GPU_U32 uint
#define GPU_I32 int
#define GPU_F32 float
#else
#include <stdint.h>
#define GPU_ADDR uint64_t
#define GPU_U32 uint32_t
#define GPU_I32 int32_t
#define GPU_F32 float
#endif

#define GPU_STEP_TOKENS 512
#define GPU_PUSH_MAX 128

/* Weight types, as the specialisation constant of the matrix shaders: enum le_type. */
#define GPU_W_F32 0
#define GPU_W_F16 1
#define GPU_W_Q4_0 2
#define GPU_W_Q4_1 3
#define GPU_W_Q5_0 6
#define GPU_W_Q5_1 7
#define GPU_W_Q8_0 8
#define GPU_W_Q2_K 10
#define GPU_W_Q3_K 11
#define GPU_W_Q4_K 12
#define GPU_W_Q5_K 13
#define GPU_W_Q6_K 14
#define GPU_W_IQ4_NL 20
#define GPU_W_IQ4_XS 23
#define GPU_W_BF16 30
#define GPU_W_MXFP4 39
/* Elements of a row that one dequantisation step yields; rows are padded to a multiple. */
#define GPU_CHUNK 32

/* Whose rows the matrix shaders read: the ops' own, or those of each row's experts, of which each
 * has an input row of its own or all share their row's. */
#define GPU_EXPERTS_NONE 0
#define GPU_EXPERTS_SHARE 1
#define GPU_EXPERTS_OWN 2

/* Variants of map.comp. */
#define GPU_MAP_SCALE 0
#define GPU_MAP_SOFTCAP 1
#define GPU_MAP_GATHER 2

/* Everything that changes from step to step. Written by the host, read by the shaders. */
struct gpu_step {
    GPU_U32 n[2]; /* rows by enum le_rows */
    GPU_U32 n_ranges, bad; /* checked variant: ranges in the table; an access was outside */
    GPU_U32 ranges[2];     /* address of the table, low word first: begin, end of each, ascending */
    GPU_U32 bad_at[2];     /* the first such address */
    GPU_I32 id[GPU_STEP_TOKENS];
    GPU_I32 pos[GPU_STEP_TOKENS];
    GPU_U32 row[GPU_STEP_TOKENS]; /* token of each output */
};

/* One part of a weight: planes of chunks, row after row; strides in 4-byte words a row. */
struct gpu_push_matmul {
    GPU_ADDR q, s, h, d; /* planes: quants, scales, high bits, block scales */
    GPU_ADDR x, dst, step;
    GPU_ADDR ids;        /* of experts (matvec), or the groups (matmul) */
    GPU_U32 rows;        /* enum le_rows */
    GPU_U32 width;       /* in */
    GPU_U32 out_rows;    /* of this part */
    GPU_U32 dst_stride, dst_offset; /* offset with experts: the part's first row of all of them */
    GPU_U32 chunks;      /* a row */
    GPU_U32 s_stride, d_stride;
    GPU_U32 used, experts; /* a row; in the weight */
    GPU_U32 first;         /* workgroup in x: of a matmul in several dispatches */
    GPU_U32 reserved;
};

/* The groups: the pairs of a row and one of its experts, expert by expert, cut into tiles.
 * group.comp writes n_tiles and list_at, 2 words unused, 4 words a tile (expert, first in the list,
 * how many, unused), and from word list_at the list of pairs (row * used + j). */
#define GPU_GROUPS_TILE 32
#define GPU_EXPERTS_MAX 1024
struct gpu_push_group {
    GPU_ADDR groups, ids, step;
    GPU_U32 rows, used, experts, list_at;
};

struct gpu_push_route {
    GPU_ADDR ids, weights, logits, scale, step;
    GPU_U32 experts, used;
};

struct gpu_push_expert_sum {
    GPU_ADDR dst, src, weights, step;
    GPU_U32 width, used;
};

struct gpu_push_embed {
    GPU_ADDR q, s, h, d;
    GPU_ADDR dst, step;
    GPU_U32 width, row0, out_rows;
    GPU_U32 chunks;
    GPU_U32 s_stride, d_stride;
    GPU_F32 scale;
    GPU_U32 reserved;
};

struct gpu_push_rms {
    GPU_ADDR dst, src, w, resid, step;
    GPU_U32 width, per_row;
    GPU_F32 eps, src_scale, dst_scale;
    GPU_U32 reserved;
};

struct gpu_push_rope {
    GPU_ADDR x, turns, step; /* turns: uvec2 per pair, theta / 2 pi as a 64-bit binary fraction */
    GPU_U32 heads, head_dim, rows, reserved;
};

struct gpu_push_kv_store {
    GPU_ADDR k_cache, v_cache, k, v, step;
    GPU_U32 width, ring;
};

/* A row's keys are cut into splits: each of 64 keys, or of as many times 64 as leave no more than
 * 32 splits. */
#define GPU_SPLIT_KEYS 64
#define GPU_SPLITS_MAX 32
/* Many rows take their keys in passes, a dispatch each: no dispatch is too long, and a software
 * driver that ends a shader's loops after 65535 rounds in all is not misled. */
#define GPU_PASS_KEYS 16384
#ifdef GPU_GLSL
#define GPU_INLINE
#else
#define GPU_INLINE static inline
#endif

GPU_INLINE GPU_U32 gpu_split_keys(GPU_U32 keys) /* of a split */
{
    const GPU_U32 most = GPU_SPLIT_KEYS * GPU_SPLITS_MAX;
    return GPU_SPLIT_KEYS * ((keys + most - 1) / most);
}

GPU_INLINE GPU_U32 gpu_splits(GPU_U32 keys) /* keys > 0 */
{
    const GPU_U32 size = gpu_split_keys(keys);
    return (keys + size - 1) / size;
}

struct gpu_push_attention {
    GPU_ADDR dst, q, k, v, step;
    GPU_ADDR partial; /* of splits: [row, head, split] vectors */
    GPU_ADDR sums;    /* as many pairs: largest score, sum; of passes: [row, head] */
    GPU_U32 heads, kv_heads, ring, window, rows;
    GPU_U32 pass;     /* handles GPU_PASS_KEYS keys, after those of the passes before */
};

struct gpu_push_geglu {
    GPU_ADDR dst, gate, up, step;
    GPU_U32 width, up_stride, up_offset, reserved;
};

struct gpu_push_map {
    GPU_ADDR dst, src, step;
    GPU_U32 width;
    GPU_F32 scale;
};

#endif
