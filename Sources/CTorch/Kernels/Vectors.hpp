#pragma once

// What the kernels of AVX-512 share.

#if defined(__x86_64__)

#include <immintrin.h>

/// Compiled for these vectors whatever the rest is compiled for: nothing is called without them.
#define LT_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")))

namespace lt::products {

/// Rows of 16 numbers of 32 bits become columns.
LT_BF16 inline void transpose(__m512i (&r)[16]) {
    __m512i t[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    // Number j of r[4 g + i] now has quarters of column 4 j + i, of rows 4 g to 4 g + 3.
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) {
        __m512i a = _mm512_shuffle_i32x4(r[i], r[4 + i], 0x88);
        __m512i b = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0x88);
        __m512i c = _mm512_shuffle_i32x4(r[i], r[4 + i], 0xdd);
        __m512i d = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0xdd);
        t[i] = _mm512_shuffle_i32x4(a, b, 0x88);
        t[8 + i] = _mm512_shuffle_i32x4(a, b, 0xdd);
        t[4 + i] = _mm512_shuffle_i32x4(c, d, 0x88);
        t[12 + i] = _mm512_shuffle_i32x4(c, d, 0xdd);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) {
        r[i] = t[i];
    }
}

}  // namespace lt::products

#endif
