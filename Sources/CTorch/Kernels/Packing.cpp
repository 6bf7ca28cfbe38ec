#include "Products.hpp"

#if defined(__x86_64__)

#include <algorithm>
#include <cassert>

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

/// Fills panels from weights whose taps lie side by side in memory, as those of convolutions do: 16 taps of
/// 16 columns at a time.
LT_BF16 void pack_along_taps(const float *weights, int depth, int64_t depth_stride,
                             int64_t column_stride, Panels &panels) {
    for (int tap = 0; tap < panels.taps; tap += 16) {
        const int taps = std::min(16, panels.taps - tap);
        const auto kept = static_cast<__mmask16>((1u << taps) - 1);
        for (int column = 0; column < panels.columns; column += 16) {
            const int columns = std::min(16, panels.columns - column);
            BFloat16 *out = panels.values.data() +
                            (static_cast<int64_t>(column / Panels::width) * panels.taps + tap) *
                                panels.size() +
                            column % Panels::width * 2;
            for (int k = 0; k < depth; k += 2, out += 2 * Panels::width) {
                const float *from = weights + tap + k * depth_stride + column * column_stride;
                __m512i r[16];
                for (int i = 0; i < 16; ++i) {
                    const auto even = i < columns ? kept : __mmask16(0);
                    const auto odd = k + 1 < depth ? even : __mmask16(0);
                    r[i] = pairs_of(
                        _mm512_maskz_loadu_ps(even, from + i * column_stride),
                        _mm512_maskz_loadu_ps(odd, from + i * column_stride + depth_stride));
                }
                transpose(r);
                for (int i = 0; i < taps; ++i) {
                    _mm512_storeu_si512(out + i * panels.size(), r[i]);
                }
            }
        }
    }
}

/// Fills panels from weights whose columns lie side by side in memory.
LT_BF16 void pack_along_columns(const float *weights, int depth, int64_t tap_stride,
                                int64_t depth_stride, Panels &panels) {
    for (int tap = 0; tap < panels.taps; ++tap) {
        for (int column = 0; column < panels.columns; column += 16) {
            const int columns = std::min(16, panels.columns - column);
            const auto kept = static_cast<__mmask16>((1u << columns) - 1);
            const float *from = weights + tap * tap_stride + column;
            BFloat16 *out = panels.values.data() +
                            (static_cast<int64_t>(column / Panels::width) * panels.taps + tap) *
                                panels.size() +
                            column % Panels::width * 2;
            for (int k = 0; k < depth; k += 2, out += 2 * Panels::width) {
                const auto odd = k + 1 < depth ? kept : __mmask16(0);
                _mm512_storeu_si512(
                    out, pairs_of(_mm512_maskz_loadu_ps(kept, from + k * depth_stride),
                                  _mm512_maskz_loadu_ps(odd, from + (k + 1) * depth_stride)));
            }
        }
    }
}

}  // namespace

Panels pack(const float *weights, int taps, int depth, int columns, int64_t tap_stride,
            int64_t depth_stride, int64_t column_stride) {
    Panels panels;
    panels.taps = taps;
    panels.depth = (depth + 1) / 2 * 2;
    panels.columns = columns;
    panels.values.assign(static_cast<size_t>(panels.blocks()) * taps * panels.size(), 0);
    if (depth_stride == 1) {
        pack_along_depth(weights, depth, tap_stride, column_stride, panels);
    } else if (tap_stride == 1 && taps > 1) {
        pack_along_taps(weights, depth, depth_stride, column_stride, panels);
    } else {
        assert(column_stride == 1);
        pack_along_columns(weights, depth, tap_stride, depth_stride, panels);
    }
    return panels;
}

LT_BF16 void unpack(const float *gradient, int taps, int depth, int columns, int64_t tap_stride,
                    int64_t row_stride, int64_t depth_stride, int64_t column_stride,
                    float *weights) {
    for (int tap = 0; tap < taps; tap += 16) {
        const int taps_left = std::min(16, taps - tap);
        const auto kept_taps = static_cast<__mmask16>((1u << taps_left) - 1);
        for (int k = 0; k < depth; ++k) {
            for (int column = 0; column < columns; column += 16) {
                const int columns_left = std::min(16, columns - column);
                const auto kept_columns = static_cast<__mmask16>((1u << columns_left) - 1);
                const float *from = gradient + tap * tap_stride + k * row_stride + column;
                __m512i r[16];
                for (int i = 0; i < 16; ++i) {
                    r[i] = _mm512_maskz_loadu_epi32(i < taps_left ? kept_columns : __mmask16(0),
                                                    from + i * tap_stride);
                }
                transpose(r);
                float *out = weights + k * depth_stride + column * column_stride + tap;
                for (int i = 0; i < columns_left; ++i) {
                    _mm512_mask_storeu_epi32(out + i * column_stride, kept_taps, r[i]);
                }
            }
        }
    }
}

}  // namespace lt::products

#endif
