/* The kernels for x86-64 with AVX-512 (F, DQ, BW, VL) and FMA, compiled with
 * -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512. On other platforms the table is empty.
 */
#include "kernels.h"

#if defined(__x86_64__)
#if !defined(__AVX512F__) || !defined(__AVX512DQ__) || !defined(__AVX512BW__) || \
    !defined(__AVX512VL__) || !defined(__FMA__)
#error "compile this file with -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512"
#endif

#define SIZE 4
#include "one_precision.h"
#define SIZE 8
#include "one_precision.h"

const DnnKernels dnn_kernels_avx512[2] = {KERNELS("avx512", f32, 4), KERNELS("avx512", f64, 8)};

#else
const DnnKernels dnn_kernels_avx512[2] = {{NULL}, {NULL}};
#endif
