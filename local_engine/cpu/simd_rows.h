/* The ops that work on rows or on single elements, over the vectors of a vec_*.h. Included by the
 * files of the SIMD sets alone. */

enum { SPAN = 1024 }; /* elements of a unit of the element-wise ops */

static double squares_exactly(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* The sum of squares in floats; in doubles where floats do not reach. */
static double squares(const float *x, size_t n)
{
    vf sum[4] = { v_zero(), v_zero(), v_zero(), v_zero() };
    size_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
        for (size_t k = 0; k < 4; k++) {
            vf v = v_load(x + i + k * VL);
            sum[k] = v_fma(v, v, sum[k]);
        }
    for (; i < n; i += VL) {
        vf v = v_load_left(x + i, n - i);
        sum[0] = v_fma(v, v, sum[0]);
    }
    float s = v_sum(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
    return s > 1e-20f && s < 1e30f ? (double)s : squares_exactly(x, n);
}

/* Unit: a vector. */
static void rms(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_rms *a = &w->c->a.rms;
    size_t n = a->width;
    vf scale = v_set(a->dst_scale);
    (void)scratch;
    for (size_t at = begin * n; at < end * n; at += n) {
        const float *src = a->src->p + at, *resid = a->resid ? a->resid->p + at : NULL;
        float *dst = a->dst->p + at;
        double factor = (double)a->src_scale, mean = squares(src, n) * factor * factor / a->width;
        vf norm = v_set((float)(factor / sqrt(mean + (double)a->eps)));
        for (size_t i = 0; i < n; i += VL) {
            vf v = v_mul(v_load_left(src + i, n - i), norm);
            if (a->w)
                v = v_mul(v, v_load_left(a->w->p + i, n - i));
            if (resid)
                v = v_add(v, v_load_left(resid + i, n - i));
            v_store_left(dst + i, v_mul(v, scale), n - i);
        }
    }
}

/* Unit: a token. Row t of the table: cosines, then sines, of pos * theta. */
static void rope_table(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_buf *theta = w->c->a.rope.theta;
    size_t half = theta->n;
    (void)scratch;
    for (size_t t = begin; t < end; t++) {
        float *co = w->c->aux->p + t * 2 * half, *si = co + half;
        double pos = w->step->pos[t];
        for (size_t i = 0; i < half; i++) {
            double angle = pos * (double)theta->p[i];
            co[i] = (float)cos(angle);
            si[i] = (float)sin(angle);
        }
    }
}

/* Unit: a row. */
static void rope(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_rope *a = &w->c->a.rope;
    size_t half = a->head_dim / 2, stride = a->theta->n;
    (void)scratch;
    for (size_t r = begin; r < end; r++) {
        const float *co = w->c->aux->p + cpu_row_token(w, (uint32_t)r) * 2 * stride;
        const float *si = co + stride;
        for (uint32_t h = 0; h < a->heads; h++) {
            float *x = a->x->p + (r * a->heads + h) * a->head_dim;
            size_t i = 0;
            for (; i + VL <= half; i += VL) {
                vf c = v_load(co + i), s = v_load(si + i);
                vf lo = v_load(x + i), hi = v_load(x + half + i);
                v_store(x + i, v_sub(v_mul(lo, c), v_mul(hi, s)));
                v_store(x + half + i, v_add(v_mul(hi, c), v_mul(lo, s)));
            }
            for (; i < half; i++) {
                float lo = x[i], hi = x[half + i];
                x[i] = lo * co[i] - hi * si[i];
                x[half + i] = hi * co[i] + lo * si[i];
            }
        }
    }
}

/* Unit: SPAN elements of a row of `width`; where it begins in its row, and its length. */
static size_t span(size_t unit, size_t width, size_t *row, size_t *at)
{
    size_t spans = (width + SPAN - 1) / SPAN;
    *row = unit / spans;
    *at = unit % spans * SPAN;
    return width - *at < SPAN ? width - *at : SPAN;
}

static void geglu(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    const struct le_geglu *a = &w->c->a.geglu;
    (void)scratch;
    for (size_t u = begin; u < end; u++) {
        size_t row, at, n = span(u, a->width, &row, &at);
        const float *gate = a->gate->p + row * a->width + at;
        const float *up = a->up->p + row * a->up_stride + a->up_offset + at;
        float *dst = a->dst->p + row * a->width + at;
        for (size_t i = 0; i < n; i += VL) {
            vf v = v_gelu(v_load_left(gate + i, n - i));
            v_store_left(dst + i, v_mul(v, v_load_left(up + i, n - i)), n - i);
        }
    }
}

static void softcap(const struct cpu_work *w, size_t begin, size_t end, void *scratch)
{
    size_t width = w->c->a.plain.width;
    vf cap = v_set(w->c->a.plain.scale);
    (void)scratch;
    for (size_t u = begin; u < end; u++) {
        size_t row, at, n = span(u, width, &row, &at);
        float *x = w->c->a.plain.dst->p + row * width + at;
        for (size_t i = 0; i < n; i += VL) {
            vf v = v_load_left(x + i, n - i), zero = v_sub(v, v); /* NaN if v is not finite */
            v_store_left(x + i, v_add(v_mul(cap, v_tanh(v_div(v, cap))), zero), n - i);
        }
    }
}

static size_t geglu_units(const struct cpu_work *w)
{
    return (size_t)w->rows * ((w->c->a.geglu.width + SPAN - 1) / SPAN);
}

static size_t softcap_units(const struct cpu_work *w)
{
    return (size_t)w->rows * ((w->c->a.plain.width + SPAN - 1) / SPAN);
}

static uint64_t rms_cost(const struct cpu_work *w)
{
    return 10 + w->c->a.rms.width / 4;
}

static uint64_t rope_table_cost(const struct cpu_work *w)
{
    return w->c->a.rope.theta->n * 30;
}

static uint64_t rope_cost(const struct cpu_work *w)
{
    return (uint64_t)w->c->a.rope.head_dim * w->c->a.rope.heads / 4;
}

static uint64_t span_cost(const struct cpu_work *w)
{
    (void)w;
    return SPAN * 6 / VL;
}
