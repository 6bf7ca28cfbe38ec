#include "VectorProducts.hpp"

#if defined(__x86_64__)

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "Team.hpp"
#include "Vectors.hpp"

namespace lt::products::vectors {

bool available() {
    // What keeps libtorch from AVX-512 keeps these kernels from it: a machine without is tried by one
    // switch.
    static const bool is_allowed = [] {
        const char *capability = std::getenv("ATEN_CPU_CAPABILITY");
        return capability == nullptr || std::strncmp(capability, "avx512", 6) == 0;
    }();
    return is_allowed && __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

namespace {

/// Up to 12 rows of a destination by 16 or 32 columns.
template <typename Element, int rows, int vectors>
LT_BF16 void tile(const BFloat16 *const *sources, const BFloat16 *const *panels, int count,
                  int depth, const float *bias, bool rectified, uint32_t mask, Element *out,
                  int64_t out_stride) {
    __m512 sums[rows][vectors];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; ++v) {
        __m512 start = bias ? _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16 * v),
                                                    bias + 16 * v)
                            : _mm512_setzero_ps();
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; ++r) {
            sums[r][v] = start;
        }
    }
    const int64_t stride = depth;
    for (int link = 0; link < count; ++link) {
        constexpr int groups = (rows + 2) / 3;
        const BFloat16 *row[groups];
#pragma clang loop unroll(full)
        for (int g = 0; g < groups; ++g) {
            row[g] = sources[link] + 3 * g * stride;
        }
        const BFloat16 *panel = panels[link];
        for (int k = 0; k < depth; k += 2) {
            __m512bh b[vectors];
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; ++v) {
                b[v] = (__m512bh)_mm512_loadu_si512(panel + 32 * v);
            }
            panel += 64;
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; ++r) {
                int pair;
                std::memcpy(&pair, row[r / 3] + r % 3 * stride, 4);
                __m512bh a = (__m512bh)_mm512_set1_epi32(pair);
#pragma clang loop unroll(full)
                for (int v = 0; v < vectors; ++v) {
                    sums[r][v] = _mm512_dpbf16_ps(sums[r][v], a, b[v]);
                }
            }
#pragma clang loop unroll(full)
            for (int g = 0; g < groups; ++g) {
                row[g] += 2;
            }
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; ++v) {
            __m512 value = sums[r][v];
            if (rectified) {
                // In this order a NaN stays one.
                value = _mm512_max_ps(_mm512_setzero_ps(), value);
            }
            auto kept = static_cast<__mmask16>(mask >> 16 * v);
            Element *place = out + r * out_stride + 16 * v;
            if constexpr (sizeof(Element) == 2) {
                _mm256_mask_storeu_epi16(place, kept, (__m256i)_mm512_cvtneps_pbh(value));
            } else {
                _mm512_mask_storeu_ps(place, kept, value);
            }
        }
    }
}

template <typename Element>
using Tile = void (*)(const BFloat16 *const *, const BFloat16 *const *, int, int, const float *,
                      bool, uint32_t, Element *, int64_t);

constexpr int tile_rows = 12;

template <typename Element, int vectors, int... rows>
constexpr std::array<Tile<Element>, tile_rows> make_tiles(std::integer_sequence<int, rows...>) {
    return {tile<Element, rows + 1, vectors>...};
}

/// By the number of rows, less one.
template <typename Element, int vectors>
constexpr auto tiles =
    make_tiles<Element, vectors>(std::make_integer_sequence<int, tile_rows>{});

}  // namespace

template <typename Element>
void multiply(const BFloat16 *source, const Panels &panels, const float *bias, bool rectified,
              const Links &links, int rows, Element *destination) {
    int depth = panels.depth, columns = panels.columns;
    int parts = (rows + tile_rows - 1) / tile_rows;
    auto body = [&](int64_t begin, int64_t end) {
        std::vector<const BFloat16 *> from, by;
        for (int64_t job = begin; job < end; ++job) {
            int64_t place = job / parts, part = job % parts;
            int row = static_cast<int>(rows * part / parts);
            int next = static_cast<int>(rows * (part + 1) / parts);
            int count = links.first[place + 1] - links.first[place];
            const Links::Step *step = links.steps.data() + links.first[place];
            from.resize(count);
            by.resize(count);
            for (int i = 0; i < count; ++i) {
                from[i] = source + (static_cast<int64_t>(step[i].source) * rows + row) * depth;
            }
            for (int block = 0; block < panels.blocks(); ++block) {
                int column = block * Panels::width;
                int width = std::min(Panels::width, columns - column);
                uint32_t mask = width == 32 ? ~0u : (1u << width) - 1;
                for (int i = 0; i < count; ++i) {
                    by[i] = panels.at(block, step[i].tap);
                }
                (width > 16 ? tiles<Element, 2> : tiles<Element, 1>)[next - row - 1](
                    from.data(), by.data(), count, depth, bias ? bias + column : nullptr, rectified,
                    mask, destination + (place * rows + row) * columns + column, columns);
            }
        }
    };
    in_parallel(static_cast<int64_t>(links.places()) * parts, body);
}

template void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int,
                       BFloat16 *);
template void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int,
                       float *);

namespace {

/// Up to 12 rows (channels of the source) by 16 or 32 columns of a gradient.
template <int rows, int vectors>
LT_BF16 void gradient_tile(const BFloat16 *source, int64_t source_stride, const BFloat16 *slope,
                           int64_t slope_stride, int pairs, uint32_t mask, float *out,
                           int64_t out_stride) {
    __m512 sums[rows][vectors];
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; ++v) {
            sums[r][v] = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16 * v),
                                               out + r * out_stride + 16 * v);
        }
    }
    for (int pair = 0; pair < pairs; ++pair) {
        __m512bh b[vectors];
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; ++v) {
            b[v] = (__m512bh)_mm512_maskz_loadu_epi32(static_cast<__mmask16>(mask >> 16 * v),
                                                      slope + 32 * v);
        }
        slope += slope_stride;
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; ++r) {
            int both;
            std::memcpy(&both, source + 2 * r, 4);
            __m512bh a = (__m512bh)_mm512_set1_epi32(both);
#pragma clang loop unroll(full)
            for (int v = 0; v < vectors; ++v) {
                sums[r][v] = _mm512_dpbf16_ps(sums[r][v], a, b[v]);
            }
        }
        source += source_stride;
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; ++r) {
#pragma clang loop unroll(full)
        for (int v = 0; v < vectors; ++v) {
            _mm512_mask_storeu_ps(out + r * out_stride + 16 * v,
                                  static_cast<__mmask16>(mask >> 16 * v), sums[r][v]);
        }
    }
}

using GradientTile = void (*)(const BFloat16 *, int64_t, const BFloat16 *, int64_t, int, uint32_t,
                              float *, int64_t);

template <int vectors, int... rows>
constexpr std::array<GradientTile, tile_rows> make_gradient_tiles(
    std::integer_sequence<int, rows...>) {
    return {gradient_tile<rows + 1, vectors>...};
}

template <int vectors>
constexpr auto gradient_tiles =
    make_gradient_tiles<vectors>(std::make_integer_sequence<int, tile_rows>{});

}  // namespace

void weight_gradient(const BFloat16 *source_pairs, const BFloat16 *slope_pairs, const Links &links,
                     int taps, int pairs, int depth, int columns, float *gradient) {
    int parts = (depth + tile_rows - 1) / tile_rows;
    // One thread adds to a tap and part of its rows, so that sums do not depend on how many there are.
    auto body = [&](int64_t begin, int64_t end) {
        for (int place = 0; place < links.places(); ++place) {
            for (int i = links.first[place]; i < links.first[place + 1]; ++i) {
                int64_t tap = links.steps[i].tap, first = tap * parts;
                for (int64_t job = std::max(begin, first); job < std::min(end, first + parts);
                     ++job) {
                    int row = static_cast<int>(depth * (job - first) / parts);
                    int next = static_cast<int>(depth * (job - first + 1) / parts);
                    const BFloat16 *source =
                        source_pairs +
                        (static_cast<int64_t>(links.steps[i].source) * pairs * depth + row) * 2;
                    for (int column = 0; column < columns; column += Panels::width) {
                        int width = std::min(Panels::width, columns - column);
                        uint32_t mask = width == 32 ? ~0u : (1u << width) - 1;
                        (width > 16 ? gradient_tiles<2> : gradient_tiles<1>)[next - row - 1](
                            source, 2 * depth,
                            slope_pairs +
                                (static_cast<int64_t>(place) * pairs * columns + column) * 2,
                            2 * columns, pairs, mask,
                            gradient + (tap * depth + row) * columns + column, columns);
                    }
                }
            }
        }
    };
    in_parallel(static_cast<int64_t>(taps) * parts, body);
}

}  // namespace lt::products::vectors

#endif
