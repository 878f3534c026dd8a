/* Products with exactly dequantised weights, in floats, over the vectors of a vec_*.h. Included by
 * the files of the SIMD sets alone.
 *
 * The order of a sum: the row is cut into blocks of DEPTH elements; in a block, lane l of a vector
 * adds the products of the elements l, l + VL, l + 2 VL...; the lanes are added by v_sum4; the
 * blocks are added one after the other. It is the same however many rows share the work. */

enum {
    DEPTH = 1024, /* elements of a block */
    PANEL = 32,   /* rows of a weight that are dequantised together: a unit */
    BATCH = 96,   /* input rows whose addresses are kept at a time */
};

/* How a weight's elements are read: dequantised ones and F32 as they are. */
enum source { AS_FLOAT, AS_HALF, AS_BFLOAT };

static inline __attribute__((always_inline)) vf load_as(enum source s, const uint8_t *p)
{
    return s == AS_HALF ? v_load_half(p) : s == AS_BFLOAT ? v_load_bfloat(p)
                                                          : v_load((const float *)(const void *)p);
}

static inline vf load_rest(enum source s, const uint8_t *p, size_t n)
{
    uint16_t rest[VL] = { 0 };
    if (s == AS_FLOAT)
        return v_load_n((const float *)(const void *)p, n);
    memcpy(rest, p, n * sizeof(*rest));
    return load_as(s, (const uint8_t *)rest);
}

/* MR rows of a weight, from w on and stride bytes apart, times nx input rows from element k on:
 * sum[x][m] of n elements. nx is a constant where this is used. */
static inline __attribute__((always_inline)) void
dots(enum source s, const uint8_t *w, size_t stride, const float *const *x, int nx, size_t k,
     size_t n, float sum[][MR])
{
    size_t size = s == AS_FLOAT ? sizeof(float) : sizeof(uint16_t), i = 0;
    vf acc[NR][MR];
    for (int r = 0; r < nx; r++)
        for (int m = 0; m < MR; m++)
            acc[r][m] = v_zero();
    for (; i + VL <= n; i += VL) {
        vf v[MR];
        for (int m = 0; m < MR; m++)
            v[m] = load_as(s, w + (size_t)m * stride + i * size);
        for (int r = 0; r < nx; r++) {
            vf xv = v_load(x[r] + k + i);
            for (int m = 0; m < MR; m++)
                acc[r][m] = v_fma(xv, v[m], acc[r][m]);
        }
    }
    if (i < n)
        for (int r = 0; r < nx; r++) {
            vf xv = v_load_n(x[r] + k + i, n - i);
            for (int m = 0; m < MR; m++) {
                vf v = load_rest(s, w + (size_t)m * stride + i * size, n - i);
                acc[r][m] = v_fma(xv, v, acc[r][m]);
            }
        }
    for (int r = 0; r < nx; r++)
        v_sum4(acc[r], sum[r]);
}

static void dots_of(enum source s, const uint8_t *w, size_t stride, const float *const *x, int nx,
                    size_t k, size_t n, float sum[][MR])
{
    if (s == AS_HALF && nx == 1)
        dots(AS_HALF, w, stride, x, 1, k, n, sum);
    else if (s == AS_BFLOAT && nx == 1)
        dots(AS_BFLOAT, w, stride, x, 1, k, n, sum);
    else if (s == AS_FLOAT && nx == NR)
        dots(AS_FLOAT, w, stride, x, NR, k, n, sum);
    else
        for (int r = 0; r < nx; r++) /* the same sums, with fewer loads shared */
            switch (s) {
            case AS_FLOAT: dots(AS_FLOAT, w, stride, x + r, 1, k, n, sum + r); break;
            case AS_HALF: dots(AS_HALF, w, stride, x + r, 1, k, n, sum + r); break;
            case AS_BFLOAT: dots(AS_BFLOAT, w, stride, x + r, 1, k, n, sum + r); break;
            }
}

/* A matrix and the rows it multiplies: input row i is number pairs[i] (or i), and lies at number
 * pairs[i] / share of src; its output at number pairs[i] of dst. */
struct product {
    uint32_t type;
    const uint8_t *w;
    uint64_t row_bytes;
    size_t in, out;
    const float *src;
    float *dst;
    const uint32_t *pairs;
    uint32_t share, n;
};

/* Rows from .. from + n - 1 of the weight, elements k .. k + depth - 1, as a source for dots. */
static const uint8_t *panel_of(const struct product *p, size_t from, size_t n, size_t k,
                               size_t depth, float *room, enum source *s, size_t *stride)
{
    uint32_t block, bytes;
    le_type_block(p->type, &block, &bytes);
    const uint8_t *w = p->w + from * p->row_bytes + k / block * bytes;
    bool direct = p->type == LE_TYPE_F32;
    if (p->n < NR)
        direct = direct || p->type == LE_TYPE_F16 || p->type == LE_TYPE_BF16;
    *s = AS_FLOAT;
    *stride = DEPTH * sizeof(float);
    if (direct) {
        *s = p->type == LE_TYPE_F16 ? AS_HALF : p->type == LE_TYPE_BF16 ? AS_BFLOAT : AS_FLOAT;
        *stride = p->row_bytes;
        return w;
    }
    for (size_t r = 0; r < n; r++)
        widen(p->type, w + r * p->row_bytes, room + r * DEPTH, depth);
    return (const uint8_t *)room;
}

/* The block of a panel for input rows i0 .. i0 + n - 1 (n <= BATCH). */
static void panel_times(const struct product *p, const uint8_t *w, enum source s, size_t stride,
                        size_t from, size_t rows, size_t k, size_t depth, uint32_t i0, uint32_t n)
{
    const float *x[BATCH];
    float *dst[BATCH], sum[NR][MR];
    for (uint32_t i = 0; i < n; i++) {
        size_t pair = p->pairs ? p->pairs[i0 + i] : i0 + i;
        x[i] = p->src + pair / p->share * p->in;
        dst[i] = p->dst + pair * p->out + from;
    }
    for (uint32_t i = 0; i < n; i += NR) {
        int nx = n - i < NR ? (int)(n - i) : NR;
        for (size_t o = 0; o < rows; o += MR) {
            size_t some = rows - o < MR ? rows - o : MR;
            /* The last rows of a matrix: the same sums, taken MR rows from its end or singly. */
            if (some == MR)
                dots_of(s, w + o * stride, stride, x + i, nx, k, depth, sum);
            for (size_t m = 0; some < MR && m < some; m++) {
                float one[NR][MR];
                dots_of(s, w + (o + m) * stride, 0, x + i, nx, k, depth, one);
                for (int r = 0; r < nx; r++)
                    sum[r][m] = one[r][0];
            }
            for (int r = 0; r < nx; r++)
                for (size_t m = 0; m < some; m++)
                    dst[i + (uint32_t)r][o + m] = (k > 0 ? dst[i + (uint32_t)r][o + m] : 0.0f) +
                                                  sum[r][m];
        }
    }
}

/* Rows from .. from + rows - 1 (rows <= PANEL) of the matrix times all input rows. room: PANEL *
 * DEPTH floats. For few inputs, few rows at a time: they are read again from the nearest cache. */
static void multiply_panel(const struct product *p, size_t from, size_t rows, float *room)
{
    size_t most = p->n < 4 * NR ? MR : PANEL;
    for (size_t end = from + rows; from < end; from += most) {
        size_t some = end - from < most ? end - from : most;
        for (size_t k = 0; k < p->in; k += DEPTH) {
            size_t depth = p->in - k < DEPTH ? p->in - k : DEPTH, stride;
            enum source s;
            const uint8_t *w = panel_of(p, from, some, k, depth, room, &s, &stride);
            for (uint32_t i = 0; i < p->n; i += BATCH)
                panel_times(p, w, s, stride, from, some, k, depth, i,
                            p->n - i < BATCH ? p->n - i : BATCH);
        }
    }
}
