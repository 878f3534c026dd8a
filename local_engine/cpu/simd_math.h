/* exp, tanh and GELU on vectors. Included by the files of the SIMD sets alone. */

/* The next VL elements of which n are left. */
static inline vf v_load_left(const float *p, size_t n)
{
    return n >= VL ? v_load(p) : v_load_n(p, n);
}

static inline void v_store_left(float *p, vf v, size_t n)
{
    if (n >= VL)
        v_store(p, v);
    else
        v_store_n(p, v, n);
}

/* exp(x) = 2^n (1 + p), n = round(x / ln 2), p = exp(r) - 1 by its Taylor series to r^7 / 7! with
 * |r| <= ln 2 / 2, whose rest is below 6e-9. */
static inline vf v_exp_parts(vf x, vf *p)
{
    vf n = v_round(v_mul(x, v_set(1.44269504f)));
    vf r = v_fnma(n, v_set(0x1.62e43p-1f), x); /* ln 2 in two parts */
    r = v_fma(n, v_set(1.904654323e-9f), r);
    vf q = v_fma(r, v_set(1.0f / 5040), v_set(1.0f / 720));
    q = v_fma(r, q, v_set(1.0f / 120));
    q = v_fma(r, q, v_set(1.0f / 24));
    q = v_fma(r, q, v_set(1.0f / 6));
    q = v_fma(r, q, v_set(0.5f));
    *p = v_fma(v_mul(r, r), q, r);
    return v_power(n);
}

/* Within 2 ulp; 0 below -87 (where the result would leave the normal range), exp(88) above 88; NaN
 * stays NaN. */
static inline vf v_exp(vf x)
{
    vf p, power = v_exp_parts(v_min(v_set(88.0f), v_max(v_set(-87.0f), x)), &p);
    return v_drop_below(v_fma(power, p, power), x, v_set(-87.0f));
}

/* em / (em + 2), em = exp(2 x) - 1, which is exact to some ulp near 0 too. */
static inline vf v_tanh(vf x)
{
    vf p, power = v_exp_parts(v_min(v_set(40.0f), v_max(v_set(-40.0f), v_add(x, x))), &p);
    vf em = v_fma(power, p, v_sub(power, v_set(1.0f)));
    return v_div(em, v_add(em, v_set(2.0f)));
}

/* 0.5 z (1 + tanh(u)) = z / (1 + exp(-2 u)), u = sqrt(2 / pi) (z + 0.044715 z^3) (Hendrycks &
 * Gimpel 2016). */
static inline vf v_gelu(vf z)
{
    vf u = v_fma(v_mul(v_mul(z, z), z), v_set(0.044715f), z);
    vf e = v_exp(v_mul(u, v_set(-2 * 0.7978845608028654f)));
    return v_div(z, v_add(v_set(1.0f), e));
}
