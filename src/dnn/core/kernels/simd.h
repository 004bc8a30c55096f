/* Vectors of one instruction set and one precision: part of one_precision.h, included once per SIZE.
 *
 *   vreal                   a vector of N_LANES elements
 *   MASK_OF(n)              a mask of the first n lanes, 0 <= n <= N_LANES
 *   LOAD_PART, STORE_PART   access only the lanes of a mask in memory; the other lanes of a loaded vector are 0
 *   WHERE_ABOVE_0(v, x)     x in the lanes where v > 0 or v is NaN, otherwise 0
 */
#ifndef DNN_SIMD_H
#define DNN_SIMD_H

#include <immintrin.h>
#include <stdbool.h>

#define INLINE static inline __attribute__((always_inline))
/* Before each loop over a block of C: gcc does not keep the block in registers if it unrolls one of these loops too late. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL_2 _Pragma("clang loop unroll_count(2)")
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#define UNROLL_2 _Pragma("GCC unroll 2")
#define UNROLL_4 _Pragma("GCC unroll 4")
#endif

#if !defined(__AVX512F__)
INLINE float sum_of_8(__m256 v)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}

INLINE double sum_of_4(__m256d v)
{
    const __m128d x = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}
#endif

#endif

/* The macros that the last inclusion has defined, here and in tuning_avx2.h or tuning_avx512.h */
#undef vreal
#undef N_LANES
#undef MASK
#undef MASK_OF
#undef LOAD
#undef LOAD_PART
#undef STORE
#undef STORE_PART
#undef SET
#undef ADD
#undef FMA
#undef MAX
#undef SUM
#undef WHERE_ABOVE_0
#undef NR
#undef GEMV_VECTORS
#undef BLOCKS_4
#undef BLOCKS_3
#undef BLOCKS_2
#undef BLOCKS_1
#undef PACKS_SLIVERS
#undef NC_PANELS
#undef PACKS_B
#undef PREFETCHES_B
#undef PACK_AHEAD
#undef KC_TN
#undef TN_HALF_PANEL_ROWS
#undef TN_PACK_ROWS
#undef TN_PACKS_B
#undef TN_PACKS_A
#undef PACK_A_BYTES
#undef TN_STREAMS
#undef NT_MR
#undef NT_NR
#undef NT_NARROW_BLOCKS
#undef NT_BLOCKS
#undef NT_PACK_COLUMNS
#undef NT_PACK_BYTES
#undef UNROLL_SUM_2
#undef UNROLL_SUM_4

#if SIZE == 4 && defined(__AVX512F__)
#define vreal __m512
#define N_LANES 16
#define MASK __mmask16
#define MASK_OF(n) ((__mmask16)((1u << (n)) - 1))
#define LOAD _mm512_loadu_ps
#define LOAD_PART(mask, p) _mm512_maskz_loadu_ps(mask, p)
#define STORE _mm512_storeu_ps
#define STORE_PART(mask, p, v) _mm512_mask_storeu_ps(p, mask, v)
#define SET _mm512_set1_ps
#define ADD _mm512_add_ps
#define FMA _mm512_fmadd_ps
#define MAX _mm512_max_ps
#define SUM _mm512_reduce_add_ps
#define WHERE_ABOVE_0(v, x) \
    _mm512_mask_blend_ps(_mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LE_OQ), x, _mm512_setzero_ps())
#elif SIZE == 8 && defined(__AVX512F__)
#define vreal __m512d
#define N_LANES 8
#define MASK __mmask8
#define MASK_OF(n) ((__mmask8)((1u << (n)) - 1))
#define LOAD _mm512_loadu_pd
#define LOAD_PART(mask, p) _mm512_maskz_loadu_pd(mask, p)
#define STORE _mm512_storeu_pd
#define STORE_PART(mask, p, v) _mm512_mask_storeu_pd(p, mask, v)
#define SET _mm512_set1_pd
#define ADD _mm512_add_pd
#define FMA _mm512_fmadd_pd
#define MAX _mm512_max_pd
#define SUM _mm512_reduce_add_pd
#define WHERE_ABOVE_0(v, x) \
    _mm512_mask_blend_pd(_mm512_cmp_pd_mask(v, _mm512_setzero_pd(), _CMP_LE_OQ), x, _mm512_setzero_pd())
#elif SIZE == 4
#define vreal __m256
#define N_LANES 8
#define MASK __m256i
#define MASK_OF(n) _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define LOAD _mm256_loadu_ps
#define LOAD_PART(mask, p) _mm256_maskload_ps(p, mask)
#define STORE _mm256_storeu_ps
#define STORE_PART(mask, p, v) _mm256_maskstore_ps(p, mask, v)
#define SET _mm256_set1_ps
#define ADD _mm256_add_ps
#define FMA _mm256_fmadd_ps
#define MAX _mm256_max_ps
#define SUM sum_of_8
#define WHERE_ABOVE_0(v, x) _mm256_andnot_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_LE_OQ), x)
#else
#define vreal __m256d
#define N_LANES 4
#define MASK __m256i
#define MASK_OF(n) _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)(n)), _mm256_setr_epi64x(0, 1, 2, 3))
#define LOAD _mm256_loadu_pd
#define LOAD_PART(mask, p) _mm256_maskload_pd(p, mask)
#define STORE _mm256_storeu_pd
#define STORE_PART(mask, p, v) _mm256_maskstore_pd(p, mask, v)
#define SET _mm256_set1_pd
#define ADD _mm256_add_pd
#define FMA _mm256_fmadd_pd
#define MAX _mm256_max_pd
#define SUM sum_of_4
#define WHERE_ABOVE_0(v, x) _mm256_andnot_pd(_mm256_cmp_pd(v, _mm256_setzero_pd(), _CMP_LE_OQ), x)
#endif
