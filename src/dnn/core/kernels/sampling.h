/* Random draws: a counter-based generator, and Bernoulli and normal variables from its words.
 *
 * The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"): four words
 * of 32 bits are a function of a key, which is the seed, and of a counter, whose high half is the number of the call. Hence
 * any part of a call can be drawn by any thread. The low half of the counter is the number of a quadruple of words; 16
 * quadruples are a block of 64 words, in the order in which vectors store them:
 *
 *     counter        0    1   ..   15       word 0, ..., 15     the first words of the 16 quadruples
 *     quadruple     w0   w0         w0      word 16, ..., 31    the second words
 *                   w1   w1         w1      ...
 *
 * This file is compiled without contraction to fused multiply-adds (setup.py), so that all instruction sets of a platform
 * give the same bits. sampling_baseline.c, sampling_avx2.c and sampling_avx512.c each include it twice, once per SIZE.
 */
#ifndef DNN_SAMPLING_H
#define DNN_SAMPLING_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define DNN_SAMPLING_ALIGNED 64 /* values; parts of a call that several threads draw begin at multiples of this */

typedef struct {
    /* out = 1 with the probability sigmoid(logit), otherwise 0, for the values first .. first + n of a call; NaN where the
     * logit is NaN. logits and out begin with the value `first`, and may be the same array. */
    void (*bernoulli)(uint64_t seed, uint64_t call, ptrdiff_t first, ptrdiff_t n, const void *logits, void *out);

    /* out = independent standard normal values: those numbered first .. first + n of a call. `first` is a multiple of
     * DNN_SAMPLING_ALIGNED. */
    void (*normal)(uint64_t seed, uint64_t call, ptrdiff_t first, ptrdiff_t n, void *out);
} DnnSampling;

extern const DnnSampling dnn_sampling_baseline[2], dnn_sampling_avx2[2], dnn_sampling_avx512[2];

#endif

#if defined(SIZE)

#ifndef DNN_SAMPLING_WORDS
#define DNN_SAMPLING_WORDS

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#if defined(__clang__)
#define IN_PLACE _Pragma("clang loop vectorize(assume_safety)")
#else
#define IN_PLACE _Pragma("GCC ivdep")
#endif

#define QUADRUPLES 16               /* of a block */
#define BLOCK_WORDS (4 * QUADRUPLES)
#define STRIP_BLOCKS 16             /* blocks whose words are on the stack: 4 KB, which stay in L1 */
#define STRIP_WORDS (STRIP_BLOCKS * BLOCK_WORDS)

_Static_assert(DNN_SAMPLING_ALIGNED == BLOCK_WORDS, "a part of a call begins with a block");

/* Vectors of 64 bits per lane. MUL multiplies the low halves of its lanes; the high halves may hold anything. */
#if defined(__AVX512F__)
#define VECTOR __m512i
#define SPREAD _mm512_set1_epi64
#define MUL _mm512_mul_epu32
#define HIGH(v) _mm512_srli_epi64(v, 32)
#define XOR(a, b) _mm512_xor_si512(a, b)
#define COUNT _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7)
#define PLUS _mm512_add_epi64
#define STORE_LOW(to, v) _mm256_storeu_si256((__m256i *)(to), _mm512_cvtepi64_epi32(v))
#define VECTOR_LANES 8
#elif defined(__AVX2__)
#define VECTOR __m256i
#define SPREAD _mm256_set1_epi64x
#define MUL _mm256_mul_epu32
#define HIGH(v) _mm256_srli_epi64(v, 32)
#define XOR(a, b) _mm256_xor_si256(a, b)
#define COUNT _mm256_setr_epi64x(0, 1, 2, 3)
#define PLUS _mm256_add_epi64
#define STORE_LOW(to, v)                                                                                     \
    _mm_storeu_si128((__m128i *)(to), _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(                    \
                                          v, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6))))
#define VECTOR_LANES 4
#endif

/* Writes the words of n_blocks blocks of a call. */
static void draw_words(uint64_t seed, uint64_t call, uint64_t first_block, ptrdiff_t n_blocks, uint32_t *words)
{
    for (ptrdiff_t b = 0; b < n_blocks; b++, words += BLOCK_WORDS) {
        const uint64_t first = (first_block + (uint64_t)b) * QUADRUPLES;
#if defined(VECTOR)
        for (int l = 0; l < QUADRUPLES; l += 2 * VECTOR_LANES) { /* two vectors of each word: all are in registers */
            uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
            VECTOR c0[2], c1[2], c2[2], c3[2];
            for (int i = 0; i < 2; i++) {
                c0[i] = PLUS(SPREAD((long long)(first + (uint64_t)(l + i * VECTOR_LANES))), COUNT);
                c1[i] = HIGH(c0[i]);
                c2[i] = SPREAD((long long)call);
                c3[i] = HIGH(c2[i]);
            }
            for (int round = 0; round < 10; round++) {
                for (int i = 0; i < 2; i++) {
                    const VECTOR p = MUL(SPREAD(0xd2511f53), c0[i]), q = MUL(SPREAD(0xcd9e8d57), c2[i]);
                    c0[i] = XOR(XOR(HIGH(q), c1[i]), SPREAD(k0));
                    c1[i] = q;
                    c2[i] = XOR(XOR(HIGH(p), c3[i]), SPREAD(k1));
                    c3[i] = p;
                }
                k0 += 0x9e3779b9;
                k1 += 0xbb67ae85;
            }
            for (int i = 0; i < 2; i++) {
                uint32_t *to = words + l + i * VECTOR_LANES;
                STORE_LOW(to, c0[i]);
                STORE_LOW(to + QUADRUPLES, c1[i]);
                STORE_LOW(to + 2 * QUADRUPLES, c2[i]);
                STORE_LOW(to + 3 * QUADRUPLES, c3[i]);
            }
        }
#else
        uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
        uint32_t *c0 = words, *c1 = c0 + QUADRUPLES, *c2 = c1 + QUADRUPLES, *c3 = c2 + QUADRUPLES;
        for (int l = 0; l < QUADRUPLES; l++) { /* `first` is a multiple of 16: adding l does not carry */
            c0[l] = (uint32_t)first + (uint32_t)l;
            c1[l] = (uint32_t)(first >> 32);
            c2[l] = (uint32_t)call;
            c3[l] = (uint32_t)(call >> 32);
        }
        for (int round = 0; round < 10; round++) {
            for (int l = 0; l < QUADRUPLES; l++) {
                const uint64_t p = (uint64_t)0xd2511f53 * c0[l], q = (uint64_t)0xcd9e8d57 * c2[l];
                c0[l] = (uint32_t)(q >> 32) ^ c1[l] ^ k0;
                c1[l] = (uint32_t)q;
                c2[l] = (uint32_t)(p >> 32) ^ c3[l] ^ k1;
                c3[l] = (uint32_t)p;
            }
            k0 += 0x9e3779b9;
            k1 += 0xbb67ae85;
        }
#endif
    }
}

#endif

#include "math.h"

#undef WORDS_PER_VALUE
#define WORDS_PER_VALUE (SIZE / 4) /* of a normal variable */
#define HALF_BLOCK (BLOCK_WORDS / WORDS_PER_VALUE / 2)

/* Returns a word as a number between 0 and 1, both excluded unless it is rounded to 1. Conversion of 31 bits with a sign is an
 * instruction on every processor; of a small word all bits are kept. */
static inline REAL NAME(unit)(uint32_t word)
{
    return ((REAL)(int32_t)(word >> 1) + REAL_C(0.5)) * REAL_C(0x1p-31);
}

/* Returns 1 with the probability sigmoid(z), otherwise 0. The less likely value of the two is returned if u is below its
 * probability a / (1 + a) <= 1/2, where a = exp(-|z|): hence both tails are exact to 2^-32, as sigmoid(z) near 1 is not. */
static inline REAL NAME(toss)(REAL z, uint32_t word)
{
    const REAL a = NAME(exp_below)(-NAME(abs_)(z));
    const int unlikely = NAME(unit)(word) * (1 + a) < a, likely = z > 0;
    const REAL value = likely != unlikely ? 1 : 0;
    return z != z ? z : value;
}

static void NAME(bernoulli)(uint64_t seed, uint64_t call, ptrdiff_t first, ptrdiff_t n, const void *logits_, void *out_)
{
    const REAL *logits = logits_;
    REAL *out = out_;
    uint32_t words[STRIP_WORDS];
    assert(first >= 0 && n >= 0);
    for (ptrdiff_t done = 0, count; done < n; done += count) {
        const ptrdiff_t block = (first + done) / BLOCK_WORDS, skip = (first + done) % BLOCK_WORDS;
        count = n - done < STRIP_WORDS - skip ? n - done : STRIP_WORDS - skip;
        draw_words(seed, call, (uint64_t)block, (skip + count + BLOCK_WORDS - 1) / BLOCK_WORDS, words);
        IN_PLACE
        for (ptrdiff_t i = 0; i < count; i++)
            out[done + i] = NAME(toss)(logits[done + i], words[skip + i]);
    }
}

/* sin x and cos x for |x| <= pi/4: so few terms of the series of Taylor that the rest is below half an ulp */
#if SIZE == 4
#define SIN_TAIL(x2) POLY_4(x2, -1 / 6.0f, 1 / 120.0f, -1 / 5040.0f, 1 / 362880.0f)
#define COS_TAIL(x2) POLY_4(x2, -0.5f, 1 / 24.0f, -1 / 720.0f, 1 / 40320.0f)
#else
#define SIN_TAIL(x2) \
    POLY_8(x2, -1 / 6.0, 1 / 120.0, -1 / 5040.0, 1 / 362880.0, -1 / 39916800.0, 1 / 6227020800.0, -1 / 1307674368000.0, \
           1 / 355687428096000.0)
#define COS_TAIL(x2) \
    POLY_8(x2, -0.5, 1 / 24.0, -1 / 720.0, 1 / 40320.0, -1 / 3628800.0, 1 / 479001600.0, -1 / 87178291200.0, \
           1 / 20922789888000.0)
#endif

/* Returns two normal variables: a random point of the plane in polar coordinates (Box and Muller 1958). The highest bits of
 * `angle` choose a quarter of the circle, counted from -pi/4; the others are an angle in -pi/4 .. pi/4, exactly. */
static inline void NAME(box_muller)(BITS radius, BITS angle, REAL *x, REAL *y)
{
    const BITS shifted = angle + ((BITS)1 << (8 * SIZE - 3)), quarter = shifted >> (8 * SIZE - 2);
    const BITS within = shifted & (((BITS)1 << (8 * SIZE - 2)) - 1);
    REAL k, scale;
#if SIZE == 4
    const REAL u = NAME(unit)(radius);
    const REAL t = (REAL)((int32_t)within - (1 << 29)) * 1.46291807926715968e-9f; /* 2 pi / 2^32 */
#else
    const REAL u = NAME(real)(radius >> 12 | 0x3ff0000000000000) - (1 - 0x1p-53);
    const REAL t = (NAME(real)(within >> 10 | 0x4330000000000000) - 0x1.8p52) * 3.48786849800863114e-16; /* pi / 2^53 */
#endif
    const REAL f = NAME(log_reduced)(u, &k, &scale), t2 = t * t;
    const REAL r = NAME(root)(-2 * NAME(log_sum)(k, f));
    const REAL sine = t + t * t2 * SIN_TAIL(t2), cosine = 1 + t2 * COS_TAIL(t2);
    const REAL cos_shifted = quarter & 1 ? sine : cosine, sin_shifted = quarter & 1 ? cosine : sine;
    const int shift = 8 * SIZE - 2; /* from bit 1 to the sign */
    *x = NAME(real)(NAME(bits)(r * cos_shifted) ^ ((quarter + 1) & 2) << shift);
    *y = NAME(real)(NAME(bits)(r * sin_shifted) ^ (quarter & 2) << shift);
}

static void NAME(normal)(uint64_t seed, uint64_t call, ptrdiff_t first, ptrdiff_t n, void *out_)
{
    REAL *out = out_, values[2 * HALF_BLOCK];
    uint32_t words[STRIP_WORDS];
    const ptrdiff_t per_block = 2 * HALF_BLOCK, n_blocks = (n + per_block - 1) / per_block;
    assert(first >= 0 && n >= 0 && first % DNN_SAMPLING_ALIGNED == 0);
    for (ptrdiff_t b = 0; b < n_blocks; b++) {
        if (b % STRIP_BLOCKS == 0)
            draw_words(seed, call, (uint64_t)(first / per_block + b),
                       n_blocks - b < STRIP_BLOCKS ? n_blocks - b : STRIP_BLOCKS, words);
        const uint32_t *w = words + b % STRIP_BLOCKS * BLOCK_WORDS;
        const ptrdiff_t count = n - b * per_block < per_block ? n - b * per_block : per_block;
        REAL *to = count == per_block ? out + b * per_block : values;
        IN_PLACE
        for (int i = 0; i < HALF_BLOCK; i++) {
#if SIZE == 4
            NAME(box_muller)(w[i], w[HALF_BLOCK + i], &to[i], &to[HALF_BLOCK + i]);
#else /* a word of 64 bits: its low half from the first half of the block, its high half from the second */
            NAME(box_muller)(w[i] | (uint64_t)w[2 * HALF_BLOCK + i] << 32,
                             w[HALF_BLOCK + i] | (uint64_t)w[3 * HALF_BLOCK + i] << 32, &to[i], &to[HALF_BLOCK + i]);
#endif
        }
        if (to == values)
            memcpy(out + b * per_block, values, (size_t)count * SIZE);
    }
}

#undef SIN_TAIL
#undef COS_TAIL
#undef HALF_BLOCK
#undef SIZE
#endif
