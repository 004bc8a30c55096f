/* Random draws for any processor of the platform. */
#define SIZE 4
#include "sampling.h"
#define SIZE 8
#include "sampling.h"

const DnnSampling dnn_sampling_baseline[2] = {{bernoulli_f32, normal_f32}, {bernoulli_f64, normal_f64}};
