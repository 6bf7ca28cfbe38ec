#include "Products.hpp"

#if defined(__x86_64__)

#include <algorithm>

#include "Vectors.hpp"

namespace lt::products {

namespace {

/// Pairs of bfloat16 of two rows of up to 16 weights.
LT_BF16 inline __m512i pairs_of(__m512 even, __m512 odd) {
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even));
    __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

/// Fills panels from weights whose depth lies side by side in memory, as that of linear layers does: 16
/// columns of 16 pairs at a time.
LT_BF16 void pack_along_depth(const float *weights, int depth, int64_t tap_stride,
                              int64_t column_stride, Panels &panels) {
    for (int column = 0; column < panels.columns; column += 16) {
        const int columns = std::min(16, panels.columns - column);
        for (int tap = 0; tap < panels.taps; ++tap) {
            const float *from = weights + tap * tap_stride + column * column_stride;
            BFloat16 *out = panels.values.data() +
                            (static_cast<int64_t>(column / Panels::width) * panels.taps + tap) *
                                panels.size() +
                            column % Panels::width * 2;
            for (int k = 0; k < depth; k += 32, out += 32 * Panels::width) {
                const int left = std::min(32, depth - k);
                const auto kept = static_cast<uint32_t>(left == 32 ? ~0u : (1u << left) - 1);
                __m512i r[16];
                for (int i = 0; i < 16; ++i) {
                    const float *row = from + i * column_stride + k;
                    const uint32_t mask = i < columns ? kept : 0;
                    r[i] = (__m512i)_mm512_cvtne2ps_pbh(
                        _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), row + 16),
                        _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), row));
                }
                transpose(r);
                for (int i = 0; i < (left + 1) / 2; ++i) {
                    _mm512_storeu_si512(out + i * 2 * Panels::width, r[i]);
                }
            }
        }
    }
}

}  // namespace

LT_BF16 Panels pack(const float *weights, int taps, int depth, int columns, int64_t tap_stride,
                    int64_t depth_stride, int64_t column_stride) {
    Panels panels;
    panels.taps = taps;
    panels.depth = (depth + 1) / 2 * 2;
    panels.columns = columns;
    panels.values.assign(static_cast<size_t>(panels.blocks()) * taps * panels.size(), 0);
    if (depth_stride == 1) {
        pack_along_depth(weights, depth, tap_stride, column_stride, panels);
        return panels;
    }
    // Vectors go along taps or columns, whichever lie side by side in memory.
    const bool along_taps = tap_stride == 1 && taps > 1;
    const int lanes = along_taps ? taps : columns;
    const int64_t lane_stride = along_taps ? 1 : column_stride;
    const __m512i counted = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i from = _mm512_mullo_epi32(counted, _mm512_set1_epi32((int)lane_stride));
    // In pairs of numbers: to the next panel.
    const __m512i to = _mm512_mullo_epi32(counted, _mm512_set1_epi32((int)(panels.size() / 2)));
    for (int outer = 0; outer < (along_taps ? columns : taps); ++outer) {
        for (int k = 0; k < depth; k += 2) {
            for (int lane = 0; lane < lanes; lane += 16) {
                int tap = along_taps ? lane : outer, column = along_taps ? outer : lane;
                auto mask = static_cast<__mmask16>(
                    lanes - lane >= 16 ? 0xffff : (1 << (lanes - lane)) - 1);
                const float *first =
                    weights + tap * tap_stride + k * depth_stride + column * column_stride;
                auto read = [&](const float *place, __mmask16 kept) LT_BF16 {
                    return lane_stride == 1
                               ? _mm512_maskz_loadu_ps(kept, place)
                               : _mm512_mask_i32gather_ps(_mm512_setzero_ps(), kept, from, place, 4);
                };
                BFloat16 *out = panels.values.data() +
                                (static_cast<int64_t>(column / Panels::width) * taps + tap) *
                                    panels.size() +
                                (k / 2 * Panels::width + column % Panels::width) * 2;
                __m512i pairs =
                    pairs_of(read(first, mask),
                             read(first + depth_stride, k + 1 < depth ? mask : __mmask16(0)));
                if (along_taps) {
                    _mm512_mask_i32scatter_epi32(out, mask, to, pairs, 4);
                } else {
                    _mm512_mask_storeu_epi32(out, mask, pairs);
                }
            }
        }
    }
    return panels;
}

}  // namespace lt::products

#endif
