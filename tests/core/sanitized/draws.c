/* Random draws of all small sizes, on memory that ends where the arrays end: parts of a call are what the whole call gives.
 * Run under AddressSanitizer. */
#include "core/kernels/sampling.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long failures;

static void check(const DnnSampling *sampling, int size, ptrdiff_t first, ptrdiff_t n, const char *logits,
                  const char *zeros_and_ones, const char *noise)
{
    char *z = malloc((size_t)(n * size) + 1), *x = malloc((size_t)(n * size) + 1);
    memcpy(z, logits + first * size, (size_t)(n * size));
    sampling->bernoulli(1, 2, first, n, z, x);
    failures += memcmp(x, zeros_and_ones + first * size, (size_t)(n * size)) != 0;
    sampling->bernoulli(1, 2, first, n, z, z);
    failures += memcmp(x, z, (size_t)(n * size)) != 0;
    if (first % DNN_SAMPLING_ALIGNED == 0) {
        sampling->normal(1, 3, first, n, x);
        failures += memcmp(x, noise + first * size, (size_t)(n * size)) != 0;
    }
    free(z);
    free(x);
}

int main(void)
{
    enum { N = 3000 };
    const DnnSampling *const tables[] = {dnn_sampling_baseline, dnn_sampling_avx2, dnn_sampling_avx512};
    for (int isa = 0; isa < 3; isa++) {
        if ((isa == 1 && !__builtin_cpu_supports("avx2")) || (isa == 2 && !__builtin_cpu_supports("avx512dq")))
            continue;
        for (int precision = 0; precision < 2; precision++) {
            const int size = precision ? 8 : 4;
            char *logits = malloc(N * size), *whole = malloc(N * size), *noise = malloc(N * size);
            for (int i = 0; i < N; i++) {
                const double z = i % 21 - 10;
                if (size == 4)
                    ((float *)logits)[i] = (float)z;
                else
                    ((double *)logits)[i] = z;
            }
            const DnnSampling *sampling = &tables[isa][precision];
            sampling->bernoulli(1, 2, 0, N, logits, whole);
            sampling->normal(1, 3, 0, N, noise);
            for (ptrdiff_t n = 0; n < 200; n++)
                for (ptrdiff_t first = 0; first < 130; first += n % 7 + 1)
                    check(sampling, size, first, n, logits, whole, noise);
            for (ptrdiff_t n = 1000; n < 1100; n++)
                check(sampling, size, 1024, n, logits, whole, noise);
            free(logits);
            free(whole);
            free(noise);
        }
    }
    if (failures)
        fprintf(stderr, "%ld draws differ\n", failures);
    return failures != 0;
}
