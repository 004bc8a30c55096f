/* The kernels for x86-64 with AVX2 and FMA, compiled with -mavx2 -mfma. On other platforms the table is empty. */
#include "kernels.h"

#if defined(__x86_64__)
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile this file with -mavx2 -mfma"
#endif

#define SIZE 4
#include "one_precision.h"
#define SIZE 8
#include "one_precision.h"

const DnnKernels dnn_kernels_avx2[2] = {KERNELS("avx2", f32, 4), KERNELS("avx2", f64, 8)};

#else
const DnnKernels dnn_kernels_avx2[2] = {{NULL}, {NULL}};
#endif
