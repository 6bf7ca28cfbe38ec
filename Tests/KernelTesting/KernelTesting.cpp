#include "KernelTesting.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "Fenced.hpp"
#include "Products.hpp"
#include "TileEmulation.hpp"
#include "TileProducts.hpp"
#include "VectorProducts.hpp"

namespace lt::products {

namespace {

/// To nearest even, as the processor does it; exact for what tests multiply.
BFloat16 half(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return static_cast<BFloat16>(bits >> 16 | 0x40);
    }
    return static_cast<BFloat16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float wide(BFloat16 value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float number;
    std::memcpy(&number, &bits, 4);
    return number;
}

/// [places][items][channels] of bfloat16, an odd number of channels filled up with a zero.
std::unique_ptr<Fenced<BFloat16>> by_place(const float *x, int places, int items, int channels) {
    const int even = (channels + 1) / 2 * 2;
    auto y = std::make_unique<Fenced<BFloat16>>(static_cast<size_t>(places) * items * even);
    for (int row = 0; row < places * items; ++row) {
        for (int c = 0; c < channels; ++c) {
            (*y)[static_cast<size_t>(row) * even + c] = half(x[row * channels + c]);
        }
    }
    return y;
}

Geometry geometry(const LTKLayer &layer) {
    auto side = [&](int n) {
        return layer.isTransposed ? (n - 1) * layer.stride + layer.kernel - 2 * layer.padding
                                  : (n + 2 * layer.padding - layer.kernel) / layer.stride + 1;
    };
    return {layer.height, layer.width,  side(layer.height), side(layer.width),
            layer.kernel, layer.stride, layer.padding,      layer.isTransposed};
}

#if defined(__x86_64__)

/// In parts of a few jobs, as threads have them.
template <typename Job>
void in_parts(const Job &job) {
    for (int64_t begin = 0, length = 1; begin < job.count(); begin += length, ++length) {
        job(begin, std::min(begin + length, job.count()));
    }
}

template <typename Element>
void multiply(int32_t units, const BFloat16 *source, const Panels &panels, const float *bias,
              bool rectified, const Links &links, int rows, Element *destination) {
    if (units == LTKEmulatedTiles) {
        in_parts(tiles::Multiplication<TileEmulation, Element>{source, panels, bias, rectified,
                                                               links, rows, destination});
    } else {
        (units == LTKTiles ? tiles::multiply<Element> : vectors::multiply<Element>)(
            source, panels, bias, rectified, links, rows, destination);
    }
}

void weight_gradient(int32_t units, const BFloat16 *source_pairs, int places,
                     const BFloat16 *slope_pairs, const Links &links, int taps, int pairs, int depth,
                     int columns, float *gradient) {
    if (units == LTKEmulatedTiles) {
        std::vector<tiles::Tile> source(tiles::Transposition::size(places, pairs, depth));
        tiles::Transposition{source_pairs, pairs, depth, source.data()}(0, places);
        in_parts(tiles::WeightGradient<TileEmulation>{source.data(), slope_pairs, links, taps, pairs,
                                                      depth, columns, gradient});
    } else {
        (units == LTKTiles ? tiles::weight_gradient : vectors::weight_gradient)(
            source_pairs, slope_pairs, links, taps, pairs, depth, columns, gradient);
    }
}

#endif

}  // namespace

}  // namespace lt::products

using namespace lt::products;

#if defined(__x86_64__)

bool LTKHas(int32_t units) {
    return units == LTKTiles ? tiles::available() : vectors::available();
}

void LTKForward(int32_t units, LTKLayer layer, const float *x, const float *weight,
                const float *bias, bool isRectified, bool isHalf, float *y) {
    const Geometry g = geometry(layer);
    const auto source = by_place(x, g.inputs(), layer.items, layer.inputs);
    const Panels panels = pack(weight, g.taps(), layer.inputs, layer.outputs,
                               static_cast<int64_t>(layer.inputs) * layer.outputs, layer.outputs, 1);
    const Links there = links(g, true);
    const size_t count = static_cast<size_t>(g.outputs()) * layer.items * layer.outputs;
    if (isHalf) {
        Fenced<BFloat16> sums(count);
        multiply(units, source->data(), panels, bias, isRectified, there, layer.items, sums.data());
        std::transform(sums.data(), sums.data() + count, y, wide);
    } else {
        Fenced<float> sums(count);
        multiply(units, source->data(), panels, bias, isRectified, there, layer.items, sums.data());
        std::copy_n(sums.data(), count, y);
    }
}

void LTKBackward(int32_t units, LTKLayer layer, const float *x, const float *weight,
                 const float *slope, float *toX, float *toWeight) {
    const Geometry g = geometry(layer);
    const int items = layer.items, pairs = (items + 1) / 2;
    const int depth = (layer.inputs + 1) / 2 * 2, columns = (layer.outputs + 1) / 2 * 2;
    const auto source = by_place(x, g.inputs(), items, layer.inputs);
    const auto slopes = by_place(slope, g.outputs(), items, layer.outputs);
    const int64_t tap_stride = static_cast<int64_t>(layer.inputs) * layer.outputs;
    const Panels back =
        pack(weight, g.taps(), layer.outputs, layer.inputs, tap_stride, 1, layer.outputs);
    Fenced<float> to_x(static_cast<size_t>(g.inputs()) * items * layer.inputs);
    multiply(units, slopes->data(), back, nullptr, false, links(g, false), items, to_x.data());
    std::copy_n(to_x.data(), to_x.count, toX);

    Fenced<BFloat16> source_pairs(static_cast<size_t>(g.inputs()) * pairs * depth * 2);
    prepare(source->data(), nullptr, g.inputs(), items, depth,
            {nullptr, source_pairs.data(), nullptr});
    Fenced<BFloat16> slope_pairs(static_cast<size_t>(g.outputs()) * pairs * columns * 2);
    prepare(slopes->data(), nullptr, g.outputs(), items, columns,
            {nullptr, slope_pairs.data(), nullptr});
    Fenced<float> gradient(static_cast<size_t>(g.taps()) * depth * columns);
    weight_gradient(units, source_pairs.data(), g.inputs(), slope_pairs.data(), links(g, true),
                    g.taps(), pairs, depth, columns, gradient.data());
    for (int row = 0; row < g.taps() * layer.inputs; ++row) {
        const int tap = row / layer.inputs, c = row % layer.inputs;
        std::copy_n(gradient.data() + (static_cast<size_t>(tap) * depth + c) * columns,
                    layer.outputs, toWeight + static_cast<size_t>(row) * layer.outputs);
    }
}

bool LTKAdmitsTiles(const char *limit) { return tiles::admits_tiles(limit); }

#else

bool LTKHas(int32_t) { return false; }
bool LTKAdmitsTiles(const char *) { return false; }
void LTKForward(int32_t, LTKLayer, const float *, const float *, const float *, bool, bool, float *) {}
void LTKBackward(int32_t, LTKLayer, const float *, const float *, const float *, float *, float *) {}

#endif

int32_t LTKOutputHeight(LTKLayer layer) { return geometry(layer).output_height; }
int32_t LTKOutputWidth(LTKLayer layer) { return geometry(layer).output_width; }
int64_t LTKTileProducts() { return TileEmulation::products; }
