#pragma once

// Products in tiles: 16 rows of 64 bytes, of which a processor with AMX has eight.
//
// A block of sums is four tiles, 32 rows by 32 columns. Each step loads two tiles of 16 rows by 32 numbers of
// the depth and two of 16 pairs by 16 columns, and makes four products of them, so that a tile that was
// loaded serves twice. What is left of the depth is read from copies that zeros fill up: numbers that a tile
// has by accident, times zero, need not be zero.
//
// All of this is written over an engine, which is eight tiles of one thread:
//
//     Engine(rows)                  tiles 0 to 5 of so many rows, 6 and 7 of 16
//     zero<tile>()
//     load<tile>(from, stride)      rows of 64 bytes at a stride in bytes
//     store<tile>(to, stride)
//     multiply_add<sum, a, b>()     sum[m][n] += a[m][2k] · b[k][2n] + a[m][2k + 1] · b[k][2n + 1]
//
// The processor's own is in TileProducts.cpp. Tests have another that reckons the same in plain C++, for
// processors without.

#include "Products.hpp"

#if defined(__x86_64__)

#include <algorithm>
#include <vector>

#include "Vectors.hpp"

/// What has tiles has the vectors of AVX-512 too.
#define LT_TILES \
    __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")))

namespace lt::products::tiles {

/// Whether the processor has tiles, the system lets this process use them, and they are right.
bool available();

/// Whether there may be tiles where oneDNN is limited so (ONEDNN_MAX_CPU_ISA), which does not heed names that
/// it does not know.
bool admits_tiles(const char *limit);

/// As `products::multiply`, in tiles of the processor.
template <typename Element>
void multiply(const BFloat16 *source, const Panels &panels, const float *bias, bool rectified,
              const Links &links, int rows, Element *destination);

/// As `products::weight_gradient`, in tiles of the processor.
void weight_gradient(const BFloat16 *source_pairs, const BFloat16 *slope_pairs, const Links &links,
                     int taps, int pairs, int depth, int columns, float *gradient);

/// Numbers of a tile side by side: 16 rows of 32.
struct alignas(64) Tile {
    BFloat16 values[16 * 32];
};

/// The sums of a block, [32][32].
struct alignas(64) Sums {
    float values[32 * 32];

    /// Tiles 0 and 1 are the upper 16 rows, 2 and 3 the lower.
    template <bool tall, bool wide, typename Engine>
    LT_TILES inline void take(Engine &engine) {
        constexpr int64_t stride = 32 * sizeof(float);
        engine.template store<0>(values, stride);
        if constexpr (wide) engine.template store<1>(values + 16, stride);
        if constexpr (tall) engine.template store<2>(values + 16 * 32, stride);
        if constexpr (tall && wide) engine.template store<3>(values + 16 * 32 + 16, stride);
    }
};

template <typename Engine>
LT_TILES inline void clear(Engine &engine) {
    engine.template zero<0>();
    engine.template zero<1>();
    engine.template zero<2>();
    engine.template zero<3>();
}

/// Adds to a block of sums: 32 numbers of up to 32 rows by those of up to 32 columns, in pairs.
template <bool tall, bool wide, typename Engine>
LT_TILES inline void step(Engine &engine, const BFloat16 *upper, const BFloat16 *lower,
                          int64_t row_stride, const BFloat16 *pairs, int64_t pair_stride) {
    engine.template load<6>(pairs, pair_stride);
    engine.template load<4>(upper, row_stride);
    if constexpr (wide) engine.template load<7>(pairs + 32, pair_stride);
    if constexpr (tall) engine.template load<5>(lower, row_stride);
    engine.template multiply_add<0, 4, 6>();
    if constexpr (wide) engine.template multiply_add<1, 4, 7>();
    if constexpr (tall) engine.template multiply_add<2, 5, 6>();
    if constexpr (tall && wide) engine.template multiply_add<3, 5, 7>();
}

/// Calls `body` with whether a block has more than 16 rows, and more than 16 columns.
template <typename Body>
inline void by_shape(bool tall, bool wide, const Body &body) {
    if (tall) {
        wide ? body.template operator()<true, true>() : body.template operator()<true, false>();
    } else {
        wide ? body.template operator()<false, true>() : body.template operator()<false, false>();
    }
}

/// `products::multiply`, of which one job is 32 rows and columns of a place.
template <typename Engine, typename Element>
struct Multiplication {
    const BFloat16 *source;
    const Panels &panels;
    const float *bias;
    bool rectified;
    const Links &links;
    int rows;
    Element *destination;

    int parts() const { return (rows + 31) / 32; }
    int64_t count() const {
        return static_cast<int64_t>(links.places()) * parts() * panels.blocks();
    }

    LT_TILES void operator()(int64_t begin, int64_t end) const {
        const int height = std::min(rows, 16);
        Engine engine(height);
        Sums sums;
        std::vector<Rows> sources;
        int64_t known = -1;
        for (int64_t job = begin; job < end; ++job) {
            const int64_t block = job % panels.blocks(), part = job / panels.blocks() % parts();
            const int64_t place = job / panels.blocks() / parts();
            // The last tiles end with the last row, whatever of it the tiles before have.
            const int row = static_cast<int>(32 * part);
            const int upper = std::min(row, rows - height);
            const int lower = std::min(row + 16, rows - height);
            const bool tall = row + 16 < rows;
            if (job / panels.blocks() != known) {
                known = job / panels.blocks();
                gather(place, upper, tall ? lower : upper, height, sources);
            }
            const int column = static_cast<int>(block * Panels::width);
            const int width = std::min(Panels::width, panels.columns - column);
            by_shape(tall, width > 16, [&]<bool is_tall, bool is_wide>() {
                sum<is_tall, is_wide>(engine, sources, place, block, sums);
            });
            const int count = std::min(32, rows - row);
            Element *out = destination + (place * rows + row) * panels.columns + column;
            finish(sums.values + (row - upper) * 32, std::min(count, 16), column, width, out);
            if (tall) {
                finish(sums.values + (16 + row + 16 - lower) * 32, count - 16, column, width,
                       out + static_cast<int64_t>(16) * panels.columns);
            }
        }
    }

  private:
    /// Where 32 rows of a place begin, and what is left of their depth beyond a multiple of 32.
    struct Rows {
        const BFloat16 *upper, *lower;
        Tile rest[2];
    };

    int whole() const { return panels.depth / 32 * 32; }

    LT_TILES void gather(int64_t place, int upper, int lower, int height,
                         std::vector<Rows> &sources) const {
        const Links::Step *steps = links.steps.data() + links.first[place];
        sources.resize(links.first[place + 1] - links.first[place]);
        const int left = panels.depth - whole();
        const auto kept = static_cast<__mmask32>((1u << left) - 1);
        for (size_t i = 0; i < sources.size(); ++i) {
            const BFloat16 *first =
                source + static_cast<int64_t>(steps[i].source) * rows * panels.depth;
            sources[i].upper = first + static_cast<int64_t>(upper) * panels.depth;
            sources[i].lower = first + static_cast<int64_t>(lower) * panels.depth;
            for (int r = 0; left > 0 && r < height; ++r) {
                const int64_t at = static_cast<int64_t>(r) * panels.depth + whole();
                _mm512_store_si512(sources[i].rest[0].values + 32 * r,
                                   _mm512_maskz_loadu_epi16(kept, sources[i].upper + at));
                _mm512_store_si512(sources[i].rest[1].values + 32 * r,
                                   _mm512_maskz_loadu_epi16(kept, sources[i].lower + at));
            }
        }
    }

    template <bool tall, bool wide>
    LT_TILES void sum(Engine &engine, const std::vector<Rows> &sources, int64_t place,
                      int64_t block, Sums &sums) const {
        constexpr int64_t pair_stride = 2 * Panels::width * sizeof(BFloat16);
        const int64_t stride = panels.depth * static_cast<int64_t>(sizeof(BFloat16));
        const int end = whole();
        clear(engine);
        const Links::Step *steps = links.steps.data() + links.first[place];
        for (size_t i = 0; i < sources.size(); ++i) {
            const Rows &rows = sources[i];
            const BFloat16 *panel = panels.at(static_cast<int>(block), steps[i].tap);
            for (int k = 0; k < end; k += 32) {
                step<tall, wide>(engine, rows.upper + k, rows.lower + k, stride,
                                 panel + k * Panels::width, pair_stride);
            }
            if (end < panels.depth) {
                step<tall, wide>(engine, rows.rest[0].values, rows.rest[1].values,
                                 32 * sizeof(BFloat16), panel + end * Panels::width, pair_stride);
            }
        }
        sums.take<tall, wide>(engine);
    }

    /// Adds the bias to rows of sums, and writes them.
    LT_TILES void finish(const float *sums, int count, int column, int width, Element *out) const {
        const uint32_t mask = width == 32 ? ~0u : (1u << width) - 1;
        for (int v = 0; 16 * v < width; ++v) {
            const auto kept = static_cast<__mmask16>(mask >> 16 * v);
            const __m512 start = bias ? _mm512_maskz_loadu_ps(kept, bias + column + 16 * v)
                                      : _mm512_setzero_ps();
            for (int r = 0; r < count; ++r) {
                __m512 value = _mm512_add_ps(start, _mm512_load_ps(sums + 32 * r + 16 * v));
                if (rectified) {
                    // In this order a NaN stays one.
                    value = _mm512_max_ps(_mm512_setzero_ps(), value);
                }
                Element *place = out + static_cast<int64_t>(r) * panels.columns + 16 * v;
                if constexpr (sizeof(Element) == 2) {
                    _mm256_mask_storeu_epi16(place, kept, (__m256i)_mm512_cvtneps_pbh(value));
                } else {
                    _mm512_mask_storeu_ps(place, kept, value);
                }
            }
        }
    }
};

/// Pairs of rows [places][pairs][depth][2] as tiles [places][ceil(depth / 16)][ceil(pairs / 16)] of 16
/// numbers of the depth by 32 rows, zeros beyond. One job is a place.
struct Transposition {
    const BFloat16 *source_pairs;
    int pairs, depth;
    Tile *tiles;

    static int sixteens(int n) { return (n + 15) / 16; }
    static size_t size(int places, int pairs, int depth) {
        return static_cast<size_t>(places) * sixteens(depth) * sixteens(pairs);
    }

    LT_BF16 void operator()(int64_t begin, int64_t end) const {
        for (int64_t place = begin; place < end; ++place) {
            const BFloat16 *from = source_pairs + place * pairs * depth * 2;
            Tile *to = tiles + place * sixteens(depth) * sixteens(pairs);
            for (int k = 0; k < depth; k += 16) {
                const int width = std::min(16, depth - k);
                const auto kept = static_cast<__mmask16>((1u << width) - 1);
                for (int first = 0; first < pairs; first += 16, ++to) {
                    const int count = std::min(16, pairs - first);
                    __m512i r[16];
                    for (int i = 0; i < 16; ++i) {
                        r[i] = _mm512_maskz_loadu_epi32(
                            i < count ? kept : __mmask16(0),
                            from + (static_cast<int64_t>(first + i) * depth + k) * 2);
                    }
                    transpose(r);
                    for (int i = 0; i < 16; ++i) {
                        _mm512_store_si512(to->values + 32 * i, r[i]);
                    }
                }
            }
        }
    }
};

/// `products::weight_gradient` of a source that is transposed. One job is a tap's 32 rows and columns, so
/// that sums do not depend on how many threads there are.
template <typename Engine>
struct WeightGradient {
    const Tile *source;
    const BFloat16 *slope_pairs;
    const Links &links;
    int taps, pairs, depth, columns;
    float *gradient;

    int parts() const { return (depth + 31) / 32; }
    int blocks() const { return (columns + 31) / 32; }
    int64_t count() const { return static_cast<int64_t>(taps) * parts() * blocks(); }

    LT_TILES void operator()(int64_t begin, int64_t end) const {
        Engine engine(16);
        Sums sums;
        std::vector<Pair> places;
        int64_t known = -1;
        for (int64_t job = begin; job < end; ++job) {
            const int column = static_cast<int>(job % blocks()) * 32;
            const int row = static_cast<int>(job / blocks() % parts()) * 32;
            const int64_t tap = job / blocks() / parts();
            if (tap != known) {
                known = tap;
                gather(tap, places);
            }
            const int width = std::min(32, columns - column);
            by_shape(row + 16 < depth, width > 16, [&]<bool is_tall, bool is_wide>() {
                sum<is_tall, is_wide>(engine, places, row, column, sums);
            });
            const uint32_t mask = width == 32 ? ~0u : (1u << width) - 1;
            for (int r = 0; r < std::min(32, depth - row); ++r) {
                float *out = gradient + (tap * depth + row + r) * columns + column;
                for (int v = 0; 16 * v < width; ++v) {
                    const auto kept = static_cast<__mmask16>(mask >> 16 * v);
                    _mm512_mask_storeu_ps(
                        out + 16 * v, kept,
                        _mm512_add_ps(_mm512_maskz_loadu_ps(kept, out + 16 * v),
                                      _mm512_load_ps(sums.values + 32 * r + 16 * v)));
                }
            }
        }
    }

  private:
    /// Places that a tap leads from and to.
    struct Pair {
        int64_t source, slope;
    };

    void gather(int64_t tap, std::vector<Pair> &places) const {
        places.clear();
        for (int place = 0; place < links.places(); ++place) {
            for (int i = links.first[place]; i < links.first[place + 1]; ++i) {
                if (links.steps[i].tap == tap) {
                    places.push_back({links.steps[i].source, place});
                }
            }
        }
    }

    template <bool tall, bool wide>
    LT_TILES void sum(Engine &engine, const std::vector<Pair> &places, int row, int column,
                      Sums &sums) const {
        const int width = std::min(32, columns - column);
        const int64_t across = Transposition::sixteens(depth), along = Transposition::sixteens(pairs);
        const int64_t stride = columns * static_cast<int64_t>(2 * sizeof(BFloat16));
        clear(engine);
        for (const Pair &place : places) {
            const Tile *upper = source + (place.source * across + row / 16) * along;
            const Tile *lower = tall ? upper + along : upper;
            for (int first = 0; first < pairs; first += 16, ++upper, ++lower) {
                const BFloat16 *slope =
                    slope_pairs + ((place.slope * pairs + first) * columns + column) * 2;
                if (width % 16 == 0 && first + 16 <= pairs) {
                    step<tall, wide>(engine, upper->values, lower->values, 32 * sizeof(BFloat16),
                                     slope, stride);
                } else {
                    Tile filled[2];
                    fill(slope, std::min(16, pairs - first), width, filled);
                    step<tall, wide>(engine, upper->values, lower->values, 32 * sizeof(BFloat16),
                                     filled[0].values, 64 * sizeof(BFloat16));
                }
            }
        }
        sums.take<tall, wide>(engine);
    }

    /// Rows of up to 32 pairs, with zeros where there are none.
    LT_TILES void fill(const BFloat16 *slope, int count, int width, Tile (&filled)[2]) const {
        const uint32_t mask = width == 32 ? ~0u : (1u << width) - 1;
        BFloat16 *to = filled[0].values;
        for (int i = 0; i < 16; ++i, slope += static_cast<int64_t>(2) * columns, to += 64) {
            const uint32_t kept = i < count ? mask : 0;
            _mm512_store_si512(to, _mm512_maskz_loadu_epi32(static_cast<__mmask16>(kept), slope));
            _mm512_store_si512(to + 32, _mm512_maskz_loadu_epi32(
                                            static_cast<__mmask16>(kept >> 16), slope + 32));
        }
    }
};

}  // namespace lt::products::tiles

#endif
