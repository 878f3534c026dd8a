#version 460
// One workgroup for HEADS query heads of ROWS rows that share a kv head: online softmax (Milakov &
// Gimelshein 2018) over tiles of KEYS keys a thread, so that each key is read once for all of
// them. A thread scores its keys, then sums its own dimensions of V over the tile. With SPLIT a
// row's keys are cut into splits, a workgroup each; attention_join.comp adds them up. Otherwise
// they are taken in passes, which hand on what they have in dst and sums.
#include "types.glsl"
PUSH(gpu_push_attention);
#include "access.glsl"
#include "reduce.glsl"
#include "mathf.glsl"
layout(constant_id = 1) const uint HEAD_DIM = 256; // a multiple of 4
layout(constant_id = 2) const uint HEADS = 1;
layout(constant_id = 3) const uint ROWS = 1;
layout(constant_id = 4) const uint KEYS = 4;
layout(constant_id = 5) const uint HALF = 0;
layout(constant_id = 6) const uint SPLIT = 0;
const uint QUERIES = HEADS * ROWS;
const uint DIM4 = HEAD_DIM / 4;
const uint OWN4 = (DIM4 + GROUP - 1) / GROUP; // vectors of 4 dimensions that a thread sums
const uint TILE = KEYS * GROUP;
const float LEAST = -3.0e38;

shared vec4 query[QUERIES * DIM4];
shared float weight[QUERIES * TILE];
shared float part[QUERIES * GROUP]; // of a reduction, by subgroup
// Global: glslc 2023.2 fails on parameters of specialised size.
vec4 acc[QUERIES * OWN4];
float most[QUERIES], total[QUERIES], top[QUERIES], score[QUERIES * KEYS];
uint low[ROWS], high[ROWS]; // row r sees keys low[r] .. high[r] - 1
uint first_cell, kv_head;

uint keys_of(uint row) // that a row sees, its own included
{
    uint keys = position_of(token_of(p.rows, row)) + 1;
    return p.window > 0 ? min(keys, p.window) : keys;
}

uint vector_of(uint key) // index of a key's first vector of 4 in the cache
{
    uint cell = first_cell + key;
    cell = cell < p.ring ? cell : cell - p.ring;
    return (cell * p.kv_heads + kv_head) * DIM4;
}

vec4 cached(Floats cache, uint at)
{
    if (HALF == 0)
        return floats4(cache, at);
    uvec2 w = words2(cache, at);
    return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y));
}

// Scores of keys j .. j + KEYS - 1, of which those below keys are read.
void scores(uint j, uint keys)
{
    uint at[KEYS];
    for (uint c = 0; c < KEYS; c++)
        at[c] = vector_of(min(j + c, keys - 1));
    vec4 sum[QUERIES * KEYS];
    for (uint i = 0; i < QUERIES * KEYS; i++)
        sum[i] = vec4(0.0);
    [[dont_unroll]] for (uint i = 0; i < DIM4; i++) {
        vec4 k[KEYS];
        for (uint c = 0; c < KEYS; c++)
            k[c] = cached(p.k, at[c] + i);
        for (uint q = 0; q < QUERIES; q++) {
            vec4 x = query[q * DIM4 + i];
            for (uint c = 0; c < KEYS; c++)
                sum[q * KEYS + c] += x * k[c];
        }
    }
    for (uint i = 0; i < QUERIES * KEYS; i++)
        score[i] = (sum[i].x + sum[i].y) + (sum[i].z + sum[i].w);
}

void group_max_top()
{
    for (uint q = 0; q < QUERIES; q++)
        top[q] = subgroupMax(top[q]);
    if (gl_NumSubgroups == 1)
        return;
    barrier();
    if (subgroupElect())
        for (uint q = 0; q < QUERIES; q++)
            part[gl_SubgroupID * QUERIES + q] = top[q];
    barrier();
    for (uint i = 0; i < gl_NumSubgroups; i++)
        for (uint q = 0; q < QUERIES; q++)
            top[q] = max(top[q], part[i * QUERIES + q]);
}

void add_values(uint j0, uint count, uint t)
{
    [[dont_unroll]] for (uint j = 0; j < count; j++) {
        uint at = vector_of(j0 + j);
        for (uint i = 0; i < OWN4; i++) {
            uint d = min(t + i * GROUP, DIM4 - 1); // a thread without dimensions repeats the last
            vec4 v = cached(p.v, at + d);
            for (uint q = 0; q < QUERIES; q++)
                acc[q * OWN4 + i] += weight[q * TILE + j] * v;
        }
    }
}

// Keys begin .. end - 1.
void run(uint begin, uint end)
{
    uint t = gl_LocalInvocationID.x;
    [[dont_unroll]] for (uint j0 = begin; j0 < end; j0 += TILE) {
        uint j = j0 + KEYS * t;
        if (j < end)
            scores(j, end);
        for (uint q = 0; q < QUERIES; q++) {
            top[q] = most[q];
            for (uint c = 0; c < KEYS; c++) {
                uint i = q * KEYS + c;
                bool seen = j + c < end && j + c >= low[q / HEADS] && j + c < high[q / HEADS];
                score[i] = seen ? score[i] : LEAST;
                top[q] = max(top[q], score[i]);
            }
        }
        group_max_top();
        barrier(); // the former weights have been used
        for (uint q = 0; q < QUERIES; q++) {
            float fade = exp_exact(most[q] - top[q]);
            most[q] = top[q];
            total[q] *= fade;
            for (uint i = 0; i < OWN4; i++)
                acc[q * OWN4 + i] *= fade;
            for (uint c = 0; c < KEYS; c++) {
                float s = score[q * KEYS + c], w = s == LEAST ? 0.0 : exp_exact(s - top[q]);
                total[q] += w;
                weight[q * TILE + KEYS * t + c] = w;
            }
        }
        barrier();
        add_values(j0, min(TILE, end - j0), t);
    }
}

uint vector_at(uint q, uint row0, uint n, uint head0) // of query q, in q and dst
{
    return min(row0 + q / HEADS, n - 1) * p.heads + head0 + q % HEADS;
}

void load(uint row0, uint n, uint head0)
{
    uint t = gl_LocalInvocationID.x;
    [[dont_unroll]] for (uint i = gl_LocalInvocationID.x; i < QUERIES * DIM4; i += GROUP) {
        query[i] = floats4(p.q, vector_at(i / DIM4, row0, n, head0) * DIM4 + i % DIM4);
    }
    for (uint q = 0; q < QUERIES; q++) {
        most[q] = LEAST;
        total[q] = 0.0;
        for (uint i = 0; i < OWN4; i++)
            acc[q * OWN4 + i] = vec4(0.0);
        if (SPLIT != 0 || p.pass == 0)
            continue;
        uint at = vector_at(q, row0, n, head0);
        most[q] = get(p.sums, 2 * at);
        total[q] = t == 0 ? get(p.sums, 2 * at + 1) : 0.0;
        for (uint i = 0; i < OWN4; i++)
            acc[q * OWN4 + i] = floats4(p.dst, at * DIM4 + min(t + i * GROUP, DIM4 - 1));
    }
    barrier();
}

void store(Floats to, uint at, uint q, float divisor)
{
    uint t = gl_LocalInvocationID.x;
    for (uint i = 0; i < OWN4; i++)
        if (t + i * GROUP < DIM4)
            put4(to, at * DIM4 + t + i * GROUP, acc[q * OWN4 + i] / divisor);
}

void main()
{
    uint n = rows_of(p.rows), tile = group_x(), head0 = tile * HEADS;
    if (head0 >= p.heads)
        return;
    kv_head = head0 / (p.heads / p.kv_heads);
    uint most_keys = keys_of(n - 1); // splits of all rows are as large as the last row's
    uint splits = SPLIT == 0 ? 1 : gpu_splits(most_keys);
    uint row0 = gl_WorkGroupID.y / splits * ROWS, split = gl_WorkGroupID.y % splits;
    // Keys are counted from the first that row0 sees.
    uint first = position_of(token_of(p.rows, row0)) + 1 - keys_of(row0);
    for (uint r = 0; r < ROWS; r++) {
        uint row = min(row0 + r, n - 1), end = position_of(token_of(p.rows, row)) + 1 - first;
        low[r] = end - keys_of(row);
        high[r] = end;
    }
    first_cell = first % p.ring;
    uint keys = high[ROWS - 1], size = SPLIT != 0 ? gpu_split_keys(most_keys) : GPU_PASS_KEYS;
    uint begin = (SPLIT != 0 ? split : p.pass) * size, end = min(keys, begin + size);
    if (begin >= end)
        return;
    load(row0, n, head0);
    run(begin, end);
    bool whole = SPLIT != 0 ? keys <= size : keys == end; // no other workgroup has a part in it
    for (uint q = 0; q < QUERIES; q++) {
        float sum = group_sum(total[q]);
        uint at = vector_at(q, row0, n, head0), to = at;
        if (row0 + q / HEADS >= n)
            continue;
        Floats dst = p.dst;
        if (SPLIT != 0 && !whole) {
            dst = p.partial;
            to = at * GPU_SPLITS_MAX + split;
        }
        store(dst, to, q, whole ? sum : 1.0);
        if (gl_LocalInvocationID.x == 0 && !whole) {
            put(p.sums, 2 * to, most[q]);
            put(p.sums, 2 * to + 1, sum);
        }
    }
}
