#include "Products.hpp"

#if defined(__x86_64__)

#include <algorithm>

#include "Team.hpp"
#include "Vectors.hpp"

namespace lt::products {

namespace {

LT_BF16 void prepare_place(const BFloat16 *source, const BFloat16 *output, int rows, int columns,
                           BFloat16 *masked, BFloat16 *pairs, float *sums) {
    // Numbers 0, 32, 1, 33 … of two vectors of 32, and the other halves of both.
    const __m512i counted = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i low = _mm512_add_epi32(counted, _mm512_slli_epi32(_mm512_add_epi32(
                                                      counted, _mm512_set1_epi32(32)), 16));
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(16 << 16 | 16));
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
    for (int column = 0; column < columns; column += 32) {
        int width = std::min(32, columns - column);
        auto kept = static_cast<__mmask32>(width == 32 ? ~0u : (1u << width) - 1);
        auto first_pairs = static_cast<__mmask16>(width >= 16 ? 0xffff : (1 << width) - 1);
        auto last_pairs = static_cast<__mmask16>(width > 16 ? (1u << (width - 16)) - 1 : 0);
        __m512 even = _mm512_setzero_ps(), odd = even;
        for (int row = 0; row < rows; row += 2) {
            int64_t place = static_cast<int64_t>(row) * columns + column;
            auto second = row + 1 < rows ? kept : __mmask32(0);
            auto in_first = kept, in_second = second;
            if (output) {
                const __m512i zero = _mm512_setzero_si512();
                in_first = _mm512_mask_cmpgt_epi16_mask(
                    kept, _mm512_maskz_loadu_epi16(kept, output + place), zero);
                in_second = _mm512_mask_cmpgt_epi16_mask(
                    second, _mm512_maskz_loadu_epi16(second, output + place + columns), zero);
            }
            __m512i a = _mm512_maskz_loadu_epi16(in_first, source + place);
            __m512i b = _mm512_maskz_loadu_epi16(in_second, source + place + columns);
            if (masked) {
                _mm512_mask_storeu_epi16(masked + place, kept, a);
                _mm512_mask_storeu_epi16(masked + place + columns, second, b);
            }
            BFloat16 *out = pairs + (static_cast<int64_t>(row / 2) * columns + column) * 2;
            _mm512_mask_storeu_epi32(out, first_pairs, _mm512_permutex2var_epi16(a, low, b));
            _mm512_mask_storeu_epi32(out + 32, last_pairs, _mm512_permutex2var_epi16(a, high, b));
            if (sums) {
                auto wide = [](__m512i x) LT_BF16 { return _mm512_castsi512_ps(x); };
                even = _mm512_add_ps(even, _mm512_add_ps(wide(_mm512_slli_epi32(a, 16)),
                                                         wide(_mm512_slli_epi32(b, 16))));
                odd = _mm512_add_ps(odd, _mm512_add_ps(wide(_mm512_and_si512(a, upper)),
                                                       wide(_mm512_and_si512(b, upper))));
            }
        }
        if (sums) {
            alignas(64) float halves[32];
            _mm512_store_ps(halves, even);
            _mm512_store_ps(halves + 16, odd);
            for (int c = 0; c < width; ++c) {
                sums[column + c] = halves[c % 2 * 16 + c / 2];
            }
        }
    }
}

}  // namespace

void prepare(const BFloat16 *source, const BFloat16 *output, int places, int rows, int columns,
             const Prepared &prepared) {
    const int64_t size = static_cast<int64_t>(rows) * columns;
    const int64_t paired = static_cast<int64_t>(rows + 1) / 2 * columns * 2;
    auto body = [&](int64_t begin, int64_t end) {
        for (int64_t place = begin; place < end; ++place) {
            prepare_place(source + place * size, output ? output + place * size : nullptr, rows,
                          columns, prepared.rows ? prepared.rows + place * size : nullptr,
                          prepared.pairs + place * paired,
                          prepared.sums ? prepared.sums + place * columns : nullptr);
        }
    };
    in_parallel(places, body);
}

}  // namespace lt::products

#endif
