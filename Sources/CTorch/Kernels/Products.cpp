#include "Products.hpp"

#if defined(__x86_64__)

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#define LT_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")))

namespace lt::products {

namespace {

/// The team of threads that libtorch computes with: GNU OpenMP's, found by name.
///
/// `at::parallel_for` is made of pragmas, which are comments to a compiler without `-fopenmp`, and with it
/// clang would bring a second runtime with threads of its own.
struct Team {
    using Work = void (*)(void *);
    void (*parallel)(Work, void *, unsigned, unsigned);
    int (*place)();
    int (*size)();

    static const Team &shared() {
        static const Team team = {
            reinterpret_cast<decltype(parallel)>(dlsym(RTLD_DEFAULT, "GOMP_parallel")),
            reinterpret_cast<decltype(place)>(dlsym(RTLD_DEFAULT, "omp_get_thread_num")),
            reinterpret_cast<decltype(size)>(dlsym(RTLD_DEFAULT, "omp_get_num_threads")),
        };
        return team;
    }

    bool exists() const { return parallel && place && size; }
};

/// Calls `body` with parts of 0 ..< count, by all threads of an operation; by one where there is no team.
template <typename Body>
void in_parallel(int64_t count, const Body &body) {
    const Team &team = Team::shared();
    int64_t threads = std::min<int64_t>(at::get_num_threads(), count);
    if (threads <= 1 || at::in_parallel_region() || !team.exists()) {
        body(0, count);
        return;
    }
    struct Job {
        const Body &body;
        const Team &team;
        int64_t count;
    } job{body, team, count};
    team.parallel(
        [](void *data) {
            const Job &job = *static_cast<const Job *>(data);
            int64_t place = job.team.place(), size = job.team.size();
            int64_t begin = job.count * place / size, end = job.count * (place + 1) / size;
            if (begin < end) {
                job.body(begin, end);
            }
        },
        &job, static_cast<unsigned>(threads), 0);
}

}  // namespace

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

Links links(const Geometry &g, bool to_output) {
    // The coarse side has a place for each position of the kernel, the fine side those it covers.
    bool to_coarse = to_output != g.transposed;
    int coarse_rows = g.transposed ? g.height : g.output_height;
    int coarse_columns = g.transposed ? g.width : g.output_width;
    int fine_rows = g.transposed ? g.output_height : g.height;
    int fine_columns = g.transposed ? g.output_width : g.width;
    int rows = to_coarse ? coarse_rows : fine_rows;
    int columns = to_coarse ? coarse_columns : fine_columns;
    Links links;
    links.first.reserve(rows * columns + 1);
    links.steps.reserve(static_cast<size_t>(coarse_rows) * coarse_columns * g.taps());
    links.first.push_back(0);
    for (int y = 0; y < rows; ++y) {
        for (int x = 0; x < columns; ++x) {
            for (int tap = 0; tap < g.taps(); ++tap) {
                int ky = tap / g.kernel, kx = tap % g.kernel;
                if (to_coarse) {
                    int v = y * g.stride + ky - g.padding, u = x * g.stride + kx - g.padding;
                    if (v >= 0 && v < fine_rows && u >= 0 && u < fine_columns) {
                        links.steps.push_back({v * fine_columns + u, tap});
                    }
                } else {
                    int v = y + g.padding - ky, u = x + g.padding - kx;
                    if (v >= 0 && u >= 0 && v % g.stride == 0 && u % g.stride == 0 &&
                        v / g.stride < coarse_rows && u / g.stride < coarse_columns) {
                        links.steps.push_back({v / g.stride * coarse_columns + u / g.stride, tap});
                    }
                }
            }
            links.first.push_back(static_cast<int32_t>(links.steps.size()));
        }
    }
    return links;
}

namespace {

BFloat16 rounded(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return static_cast<BFloat16>(bits >> 16 | 0x40);
    }
    return static_cast<BFloat16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace

namespace {

/// Pairs of bfloat16 of two rows of up to 16 weights.
LT_BF16 inline __m512i pairs_of(__m512 even, __m512 odd) {
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(even));
    __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(odd));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

}  // namespace

namespace {

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

/// Fills panels from weights whose depth lies side by side in memory, as that of linear layers does: 16
/// columns of 16 pairs at a time.
LT_BF16 void pack_along_depth(const float *weights, int depth, int64_t tap_stride,
                              int64_t column_stride, Panels &panels) {
    const int64_t tap_size = static_cast<int64_t>(panels.depth) * Panels::width;
    for (int column = 0; column < panels.columns; column += 16) {
        const int columns = std::min(16, panels.columns - column);
        for (int tap = 0; tap < panels.taps; ++tap) {
            const float *from = weights + tap * tap_stride + column * column_stride;
            BFloat16 *out = panels.values.data() +
                            (static_cast<int64_t>(column / Panels::width) * panels.taps + tap) *
                                tap_size +
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
    panels.values.assign(static_cast<size_t>(panels.blocks()) * taps * panels.depth * Panels::width,
                         0);
    if (depth_stride == 1) {
        pack_along_depth(weights, depth, tap_stride, column_stride, panels);
        return panels;
    }
    // Vectors go along taps or columns, whichever lie side by side in memory.
    const bool along_taps = tap_stride == 1 && taps > 1;
    const int64_t tap_size = static_cast<int64_t>(panels.depth) * Panels::width;
    const int lanes = along_taps ? taps : columns;
    const int64_t lane_stride = along_taps ? 1 : column_stride;
    const __m512i counted = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i from = _mm512_mullo_epi32(counted, _mm512_set1_epi32((int)lane_stride));
    // In pairs of numbers: to the next panel.
    const __m512i to = _mm512_mullo_epi32(counted, _mm512_set1_epi32((int)(tap_size / 2)));
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
                                    tap_size +
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

}  // namespace lt::products

#else

// Other processors have none of this: nothing is called where `available` says so.
namespace lt::products {

bool available() { return false; }
Links links(const Geometry &, bool) { return {}; }
Panels pack(const float *, int, int, int, int64_t, int64_t, int64_t) { return {}; }
template <typename Element>
void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int, Element *) {}
template void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int,
                       BFloat16 *);
template void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int,
                       float *);
void unfold(const float *, const Geometry &, int, int, BFloat16 *) {}
void prepare(const BFloat16 *, const BFloat16 *, int, int, int, const Prepared &) {}
void weight_gradient(const BFloat16 *, const BFloat16 *, const Links &, int, int, int, int, float *) {}

}  // namespace lt::products

#endif
