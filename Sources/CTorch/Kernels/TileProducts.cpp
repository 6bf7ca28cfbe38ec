#include "TileProducts.hpp"

#if defined(__x86_64__)

#include <cpuid.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>

#include "Team.hpp"
#include "VectorProducts.hpp"

namespace lt::products::tiles {

namespace {

/// The tiles of the processor.
struct Registers {
    LT_TILES explicit Registers(int rows) {
        // Intel's software developer's manual, volume 1, 18.2: palette 1, bytes of a row and rows of each.
        struct alignas(64) {
            uint8_t palette = 1, start = 0, reserved[14] = {};
            uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
            uint8_t rows[16] = {};
        } configuration;
        for (int tile = 0; tile < 8; ++tile) {
            configuration.rows[tile] = static_cast<uint8_t>(tile < 6 ? rows : 16);
        }
        _tile_loadconfig(&configuration);
    }
    LT_TILES ~Registers() { _tile_release(); }
    Registers(const Registers &) = delete;
    Registers &operator=(const Registers &) = delete;

    template <int tile>
    LT_TILES void zero() {
        _tile_zero(tile);
    }
    template <int tile>
    LT_TILES void load(const BFloat16 *from, int64_t stride) {
        _tile_loadd(tile, from, stride);
    }
    template <int tile>
    LT_TILES void store(float *to, int64_t stride) {
        _tile_stored(tile, to, stride);
    }
    template <int sum, int a, int b>
    LT_TILES void multiply_add() {
        _tile_dpbf16ps(sum, a, b);
    }
};

/// Whether the switch that keeps libtorch's products from tiles is set: it keeps these from them too.
bool is_forbidden() {
    const char *limit = std::getenv("ONEDNN_MAX_CPU_ISA");
    limit = limit ? limit : std::getenv("DNNL_MAX_CPU_ISA");
    return limit && !admits_tiles(limit);
}

/// What the processor and the system say.
bool exist() {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) {
        return false;  // no xgetbv
    }
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    constexpr uint32_t states = 3 << 17;  // XTILECFG and XTILEDATA
    if ((low & states) != states || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return false;
    }
    return (d >> 22 & 1) && (d >> 24 & 1);  // AMX-BF16, AMX-TILE
}

/// Asks Linux for the memory that switching threads takes with tiles: once, for all threads.
bool are_granted() {
    constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XTILEDATA
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

/// Small integers, so that all sums are exact, whatever their order.
int number(size_t index) { return static_cast<int>(index * 7 % 19 % 9) - 4; }

std::vector<float> numbers(size_t count) {
    std::vector<float> numbers(count);
    for (size_t i = 0; i < count; ++i) {
        numbers[i] = static_cast<float>(number(i));
    }
    return numbers;
}

std::vector<BFloat16> half_numbers(size_t count) {
    std::vector<BFloat16> halves(count);
    for (size_t i = 0; i < count; ++i) {
        const auto wide = static_cast<float>(number(i / 3));
        uint32_t bits;
        std::memcpy(&bits, &wide, 4);
        halves[i] = static_cast<BFloat16>(bits >> 16);
    }
    return halves;
}

/// Whether sums are those of the vectors, on sizes that leave a rest everywhere.
bool are_right() {
    constexpr int places = 2, taps = 2, rows = 37, depth = 70, columns = 45, pairs = (rows + 1) / 2;
    const Links links{{0, 2}, {{1, 0}, {0, 1}}};
    const auto source = half_numbers(places * pairs * depth * 2);
    const auto weights = numbers(taps * depth * columns);
    const auto panels = pack(weights.data(), taps, depth, columns, depth * columns, columns, 1);
    std::vector<float> found(rows * columns), expected(found);
    tiles::multiply(source.data(), panels, weights.data(), true, links, rows, found.data());
    vectors::multiply(source.data(), panels, weights.data(), true, links, rows, expected.data());
    const auto slopes = half_numbers(pairs * columns * 2);
    std::vector<float> gradient(taps * depth * columns), expected_gradient(gradient);
    tiles::weight_gradient(source.data(), slopes.data(), links, taps, pairs, depth, columns,
                    gradient.data());
    vectors::weight_gradient(source.data(), slopes.data(), links, taps, pairs, depth, columns,
                             expected_gradient.data());
    return found == expected && gradient == expected_gradient;
}

}  // namespace

bool admits_tiles(const char *limit) {
    const bool is_known = strncasecmp(limit, "AVX", 3) == 0 || strncasecmp(limit, "SSE", 3) == 0;
    return !is_known || strcasestr(limit, "AMX");
}

bool available() { return !is_forbidden() && exist() && are_granted() && are_right(); }

template <typename Element>
void multiply(const BFloat16 *source, const Panels &panels, const float *bias, bool rectified,
              const Links &links, int rows, Element *destination) {
    const Multiplication<Registers, Element> product{source, panels, bias,       rectified,
                                                     links,  rows,   destination};
    in_parallel(product.count(), product);
}

template void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int,
                       BFloat16 *);
template void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int,
                       float *);

void weight_gradient(const BFloat16 *source_pairs, const BFloat16 *slope_pairs, const Links &links,
                     int taps, int pairs, int depth, int columns, float *gradient) {
    int places = 0;
    for (const Links::Step &step : links.steps) {
        places = std::max(places, step.source + 1);
    }
    const std::unique_ptr<Tile[]> source(new Tile[Transposition::size(places, pairs, depth)]);
    in_parallel(places, Transposition{source_pairs, pairs, depth, source.get()});
    const WeightGradient<Registers> sum{source.get(), slope_pairs, links,   taps,
                                        pairs,        depth,       columns, gradient};
    in_parallel(sum.count(), sum);
}

}  // namespace lt::products::tiles

#endif
