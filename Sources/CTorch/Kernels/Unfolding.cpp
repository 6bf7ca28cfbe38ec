#include "Products.hpp"

#if defined(__x86_64__)

#include <algorithm>
#include <cstring>

#include "Team.hpp"
#include "Vectors.hpp"

namespace lt::products {

namespace {

BFloat16 rounded(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return static_cast<BFloat16>(bits >> 16 | 0x40);
    }
    return static_cast<BFloat16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// One row of places of one item, [width][depth] at a stride.
LT_BF16 void unfold_row(const float *x, const Geometry &g, int channels, int y, int depth,
                        BFloat16 *out, int64_t stride) {
    const int area = g.height * g.width;
    for (int column = 0; column < g.output_width; ++column, out += stride) {
        const int u = column * g.stride - g.padding;
        const bool whole = g.kernel == 4 && u >= 0 && u + 4 <= g.width;
        BFloat16 *place = out;
        for (int channel = 0; channel < channels; ++channel) {
            for (int ky = 0; ky < g.kernel; ++ky, place += g.kernel) {
                const int v = y * g.stride + ky - g.padding;
                const float *row = x + channel * area + v * g.width + u;
                if (v < 0 || v >= g.height) {
                    std::memset(place, 0, sizeof(BFloat16) * g.kernel);
                } else if (whole) {
                    _mm_storel_epi64(reinterpret_cast<__m128i *>(place),
                                     (__m128i)_mm_cvtneps_pbh(_mm_loadu_ps(row)));
                } else {
                    for (int kx = 0; kx < g.kernel; ++kx) {
                        bool inside = u + kx >= 0 && u + kx < g.width;
                        place[kx] = inside ? rounded(row[kx]) : 0;
                    }
                }
            }
        }
        if (depth > channels * g.taps()) {
            *place = 0;
        }
    }
}

}  // namespace

void unfold(const float *x, const Geometry &g, int items, int channels, BFloat16 *destination) {
    const int depth = (channels * g.taps() + 1) / 2 * 2;
    auto body = [&](int64_t begin, int64_t end) {
        for (int64_t y = begin; y < end; ++y) {
            for (int item = 0; item < items; ++item) {
                unfold_row(x + static_cast<int64_t>(item) * channels * g.inputs(), g, channels,
                           static_cast<int>(y), depth,
                           destination + (y * g.output_width * items + item) * depth,
                           static_cast<int64_t>(items) * depth);
            }
        }
    };
    in_parallel(g.output_height, body);
}

void join_cells(const float *cells, int height, int width, int items, int channels,
                const float *bias, float *image) {
    const int64_t row = 2 * width;
    auto body = [&](int64_t begin, int64_t end) {
        for (int64_t y = begin; y < end; ++y) {
            // Four cells of one channel are a line of the cache, which is read once.
            for (int first = 0; first < items; first += 4) {
                const int last = std::min(items, first + 4);
                for (int x = 0; x < width; ++x) {
                    const float *cell =
                        cells + ((y * width + x) * items + first) * 4 * channels;
                    for (int item = first; item < last; ++item, cell += 4 * channels) {
                        for (int c = 0; c < channels; ++c) {
                            const float start = bias ? bias[c] : 0;
                            float *top = image +
                                         ((static_cast<int64_t>(item) * channels + c) * height + y) *
                                             2 * row +
                                         2 * x;
                            top[0] = cell[c] + start;
                            top[1] = cell[channels + c] + start;
                            top[row] = cell[2 * channels + c] + start;
                            top[row + 1] = cell[3 * channels + c] + start;
                        }
                    }
                }
            }
        }
    };
    in_parallel(height, body);
}

}  // namespace lt::products

#endif
