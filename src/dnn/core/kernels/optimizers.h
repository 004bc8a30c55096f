/* Penalties and the optimizers. Part of one_precision.h. */

static double NAME(penalty)(ptrdiff_t n_rows, ptrdiff_t n_cols, const void *W_, ptrdiff_t ldw, double l2,
                            double l1, void *G_, ptrdiff_t ldg)
{
    const REAL *restrict W = W_, l2_real = (REAL)l2, l1_real = (REAL)l1;
    REAL *restrict G = G_;
    double squares = 0, magnitudes = 0;
    ASSERT_BLOCK(n_rows, n_cols, ldw);
    assert(!G || n_rows <= 1 || ldg >= n_cols);
    if (n_cols == 1) {
        squares = ldw == 1 ? NAME(sum_of_squares)(n_rows, W, 1) : NAME(sum_of_squares)(n_rows, W, ldw);
        if (l1 != 0)
            magnitudes = NAME(sum_of_magnitudes)(n_rows, W, ldw);
    } else
        for (ptrdiff_t r = 0; r < n_rows; r++) {
            squares += NAME(sum_of_squares)(n_cols, W + r * ldw, 1);
            if (l1 != 0)
                magnitudes += NAME(sum_of_magnitudes)(n_cols, W + r * ldw, 1);
        }
    if (G && ldw == n_cols && ldg == n_cols)
        n_cols *= n_rows, n_rows = 1;
    for (ptrdiff_t r = 0; G && r < n_rows; r++) {
        const REAL *restrict w = W + r * ldw;
        REAL *restrict g = G + r * ldg;
        if (l1 != 0)
            for (ptrdiff_t c = 0; c < n_cols; c++) {
                const REAL signed_step = NAME(signed_step)(w[c], l1_real);
                g[c] += l2_real * w[c] + signed_step;
            }
        else
            for (ptrdiff_t c = 0; c < n_cols; c++)
                g[c] += l2_real * w[c];
    }
    return l2 / 2 * squares + l1 * magnitudes;
}

/* An update of one row: parameters p, their gradient g, slots 0 and 1 of their state u and v. s: the scalars, in the
 * order of dnn_scalars. */
#define UPDATE(name)                                                                                         \
    static void NAME(name##_update)(const REAL *s, ptrdiff_t n, REAL *restrict p, const REAL *restrict g,    \
                                    REAL *restrict u, REAL *restrict v)

UPDATE(sgd)
{
    (void)u, (void)v;
    const REAL rate = s[0];
    for (ptrdiff_t i = 0; i < n; i++)
        p[i] -= rate * g[i];
}

UPDATE(momentum)
{
    (void)v;
    const REAL rate = s[0], mu = s[1];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = mu * u[i] - rate * g[i];
        p[i] += u[i];
    }
}

UPDATE(nesterov)
{
    (void)v;
    const REAL rate = s[0], mu = s[1];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = mu * u[i] - rate * g[i];
        p[i] += mu * u[i] - rate * g[i];
    }
}

UPDATE(averaged)
{
    (void)v;
    const REAL rate = s[0], mu = s[1], one_minus_mu = s[2];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = mu * u[i] + one_minus_mu * g[i];
        p[i] -= rate * u[i];
    }
}

/* The root and the quotient are correctly rounded: approximations with corrections were slower. */
UPDATE(adam)
{
    const REAL a = s[0], beta1 = s[1], one_minus_beta1 = s[2], beta2 = s[3], one_minus_beta2 = s[4];
    const REAL c = s[5], inside = s[6], outside = s[7];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = beta1 * u[i] + one_minus_beta1 * g[i];
        v[i] = beta2 * v[i] + one_minus_beta2 * (g[i] * g[i]);
        p[i] -= a * u[i] / (NAME(root)(c * v[i] + inside) + outside);
    }
}

/* u: the mean square. */
UPDATE(rmsprop)
{
    (void)v;
    const REAL rate = s[0], rho = s[1], one_minus_rho = s[2], epsilon = s[3];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = rho * u[i] + one_minus_rho * (g[i] * g[i]);
        p[i] -= rate * g[i] / (NAME(root)(u[i]) + epsilon);
    }
}

/* u: the mean square, v: the momentum. */
UPDATE(rmsprop_momentum)
{
    const REAL rate = s[0], rho = s[1], one_minus_rho = s[2], epsilon = s[3], mu = s[4];
    for (ptrdiff_t i = 0; i < n; i++) {
        u[i] = rho * u[i] + one_minus_rho * (g[i] * g[i]);
        v[i] = mu * v[i] + g[i] / (NAME(root)(u[i]) + epsilon);
        p[i] -= rate * v[i];
    }
}
#undef UPDATE

static void NAME(update)(int optimizer, const double *scalars, ptrdiff_t n_rows, ptrdiff_t n_cols, void *P_,
                         ptrdiff_t ldp, const void *G_, ptrdiff_t ldg, void *S_, ptrdiff_t slot)
{
#define ROW(name, n_slots, n_hyper, whole_gradient) NAME(name##_update),
    static void (*const rows[])(const REAL *, ptrdiff_t, REAL *, const REAL *, REAL *,
                                REAL *) = {DNN_OPTIMIZERS(ROW)};
#undef ROW
    REAL *P = P_, *S = S_, real_scalars[DNN_MAX_SCALARS];
    const REAL *G = G_;
    assert(0 <= optimizer && optimizer < (int)(sizeof rows / sizeof *rows));
    ASSERT_BLOCK(n_rows, n_cols, ldp);
    ASSERT_BLOCK(n_rows, n_cols, ldg);
    const int n_slots = dnn_optimizers[optimizer].n_slots;
    assert(n_slots == 0 || S);
    for (int i = 0; i < DNN_MAX_SCALARS; i++)
        real_scalars[i] = (REAL)scalars[i];
    if (ldp == n_cols && ldg == n_cols)
        n_cols *= n_rows, n_rows = 1;
    for (ptrdiff_t r = 0; r < n_rows; r++)
        rows[optimizer](real_scalars, n_cols, P + r * ldp, G + r * ldg, n_slots > 0 ? S + r * ldp : NULL,
                        n_slots > 1 ? S + slot + r * ldp : NULL);
}
