/* Random draws for x86-64 with AVX2, compiled with its flags. On other platforms the table is empty. */
#if defined(__x86_64__)
#define SIZE 4
#include "sampling.h"
#define SIZE 8
#include "sampling.h"

const DnnSampling dnn_sampling_avx2[2] = {{bernoulli_f32, normal_f32}, {bernoulli_f64, normal_f64}};
#else
#include "sampling.h"
const DnnSampling dnn_sampling_avx2[2] = {{NULL, NULL}, {NULL, NULL}};
#endif
