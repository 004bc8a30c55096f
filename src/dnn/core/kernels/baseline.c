/* The kernels for any processor of the platform, and the definitions that do not depend on the instruction set: the
 * tables of names, the choice of a table of kernels at run time, and small functions without vectors.
 */
#define _DEFAULT_SOURCE /* clock_gettime, madvise */

#include "kernels.h"

#include <stdlib.h>

#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#include <time.h>
#endif
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#define SIZE 4
#include "one_precision.h"
#define SIZE 8
#include "one_precision.h"

const DnnKernels dnn_kernels_baseline[2] = {KERNELS("baseline", f32, 4), KERNELS("baseline", f64, 8)};

#define ROW(name, row_wise, slope_from_z, init, output, n_par, par0)                                         \
    {#name, row_wise, slope_from_z, init, output, n_par, par0},
const DnnActivation dnn_activations[] = {DNN_ACTIVATIONS(ROW){NULL, 0, 0, NULL, 0, 0, 0.0}};
#undef ROW

#define ROW(id, name, output, classes, n_par, low, high) {#id, name, output, classes, n_par, low, high},
const DnnLoss dnn_losses[] = {DNN_LOSSES(ROW){NULL, NULL, NULL, 0, 0, 0.0, 0.0}};
#undef ROW

#define ROW(name, n_slots, n_hyper, whole_gradient) {#name, n_slots, n_hyper, whole_gradient},
const DnnOptimizer dnn_optimizers[] = {DNN_OPTIMIZERS(ROW){NULL, 0, 0, 0}};
#undef ROW

#define ROW(name) #name,
const char *const dnn_functions[] = {DNN_FUNCTIONS(ROW) NULL};
#undef ROW

static int supported(int isa)
{
#if defined(__x86_64__)
    if (isa == 1)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isa == 2)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
#endif
    return isa == 0;
}

const DnnKernels *dnn_kernels(int isa, int precision)
{
    static const DnnKernels *const tables[DNN_N_ISA] = {dnn_kernels_baseline, dnn_kernels_avx2,
                                                        dnn_kernels_avx512};
    if (isa < 0 || isa >= DNN_N_ISA || precision < 0 || precision > 1)
        return NULL;
    return tables[isa][precision].isa && supported(isa) ? &tables[isa][precision] : NULL;
}

#define ROW(name, n_slots, n_hyper, whole_gradient) optimizer_##name,
enum { DNN_OPTIMIZERS(ROW) };
#undef ROW

void dnn_scalars(int optimizer, const double *hyper, double rate, int64_t step, double *scalars)
{
    assert(step >= 1);
    memset(scalars, 0, DNN_MAX_SCALARS * sizeof *scalars);
    switch (optimizer) {
    case optimizer_sgd:
        scalars[0] = rate;
        break;
    case optimizer_momentum:
    case optimizer_nesterov:
    case optimizer_averaged:
        scalars[0] = rate;
        scalars[1] = hyper[0];
        scalars[2] = 1 - hyper[0];
        break;
    case optimizer_adam: {
        const double beta1 = hyper[0], beta2 = hyper[1], epsilon = hyper[2];
        const int form = (int)hyper[3];
        const double first = 1 - pow(beta1, (double)step), second = 1 - pow(beta2, (double)step);
        scalars[0] = form == 1 ? rate * sqrt(second) / first : rate / first;
        scalars[1] = beta1;
        scalars[2] = 1 - beta1;
        scalars[3] = beta2;
        scalars[4] = 1 - beta2;
        scalars[5] = form == 1 ? 1 : 1 / second;
        scalars[6] = form == 2 ? epsilon : 0;
        scalars[7] = form == 2 ? 0 : epsilon;
        break;
    }
    case optimizer_rmsprop_momentum:
        scalars[4] = hyper[2];
        /* fall through */
    case optimizer_rmsprop:
        scalars[0] = rate;
        scalars[1] = hyper[0];
        scalars[2] = 1 - hyper[0];
        scalars[3] = hyper[1];
        break;
    }
}

uint64_t dnn_key(uint64_t seed, int64_t step, int layer)
{
    return next_random(next_random(next_random(seed) ^ (uint64_t)step) ^ (uint64_t)layer);
}

void dnn_gather(ptrdiff_t n_rows, ptrdiff_t row_bytes, const char *X, ptrdiff_t stride, const int64_t *order,
                char *out, ptrdiff_t ld)
{
    assert(n_rows >= 0 && row_bytes >= 0 && (n_rows <= 1 || ld >= row_bytes));
    /* For a single element, a call of memcpy would take ten times as long as the copy that these constant sizes become. */
    if (row_bytes == 4)
        for (ptrdiff_t r = 0; r < n_rows; r++)
            memcpy(out + r * ld, X + order[r] * stride, 4);
    else if (row_bytes == 8)
        for (ptrdiff_t r = 0; r < n_rows; r++)
            memcpy(out + r * ld, X + order[r] * stride, 8);
    else
        for (ptrdiff_t r = 0; r < n_rows; r++)
            memcpy(out + r * ld, X + order[r] * stride, (size_t)row_bytes);
}

#define LARGE_PAGE ((size_t)1 << 21) /* bytes */

void *dnn_pages(size_t n_bytes)
{
#if defined(MADV_HUGEPAGE)
    if (n_bytes >= 2 * LARGE_PAGE) {
        char *pages = aligned_alloc(LARGE_PAGE, (n_bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE);
        if (pages)
            madvise(pages, n_bytes, MADV_HUGEPAGE);
        return pages;
    }
#endif
    return malloc(n_bytes);
}

unsigned dnn_flush_subnormals(void)
{
#if defined(__x86_64__)
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); /* FTZ: results; DAZ: operands */
    return mode;
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | (1u << 24))); /* FZ: both */
    return (unsigned)mode;
#else
    return 0;
#endif
}

void dnn_flush_restore(unsigned mode)
{
#if defined(__x86_64__)
    _mm_setcsr(mode);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)mode));
#else
    (void)mode;
#endif
}

double dnn_seconds(void)
{
#if defined(_WIN32)
    LARGE_INTEGER ticks, per_second;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&per_second);
    return (double)ticks.QuadPart / (double)per_second.QuadPart;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#endif
}
