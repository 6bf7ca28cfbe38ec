#pragma once

// Sums of products of bfloat16 matrices: the arithmetic of convolutions and linear layers.
//
// Activations lie as [place][item][channel]: all items of a batch at one place of the image are a
// matrix [N, C]. A place of a convolution's output is then a sum of such matrices times [C, C']
// matrices of weights, one for each tap of the kernel that meets the image; what lies outside is left
// out instead of padded. The same holds for the transpose, for the gradients of both, and, with one
// place and one tap, for a linear layer. Which places take part, and by which tap, is a list of links.

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace lt::products {

using BFloat16 = uint16_t;

/// What products are made of: the vectors of AVX-512 BF16, or, where there are any, the tiles of AMX.
enum class Units { none, vectors, tiles };

/// The best that this processor has, and that nothing keeps libtorch from.
Units units();

/// Whether this processor multiplies bfloat16 as these functions do.
inline bool available() { return units() != Units::none; }

/// A convolution with square kernels, or its transpose.
struct Geometry {
    int height, width;                // of the input
    int output_height, output_width;  // of the output
    int kernel, stride, padding;
    bool transposed;

    int taps() const { return kernel * kernel; }
    int inputs() const { return height * width; }
    int outputs() const { return output_height * output_width; }
};

/// What each place of a destination is a sum of: `steps` first[d] ..< first[d + 1].
struct Links {
    struct Step {
        int32_t source;
        int32_t tap;
    };
    std::vector<int32_t> first;
    std::vector<Step> steps;

    int places() const { return static_cast<int>(first.size()) - 1; }
};

/// From input to output places, or back.
Links links(const Geometry &geometry, bool to_output);

/// Gives vectors memory that begins with a line of the cache, so that rows of 64 bytes are one line each.
template <typename Element>
struct Lined {
    using value_type = Element;
    static constexpr std::align_val_t line{64};

    Lined() = default;
    template <typename Other>
    Lined(const Lined<Other> &) {}
    Element *allocate(size_t count) {
        return static_cast<Element *>(::operator new(count * sizeof(Element), line));
    }
    void deallocate(Element *first, size_t) { ::operator delete(first, line); }
    bool operator==(const Lined &) const { return true; }
};

/// Weights [tap][depth][columns] as the products read them: blocks of 32 columns, pairs of rows.
struct Panels {
    static constexpr int width = 32;

    int taps = 0;
    int depth = 0;  // even
    int columns = 0;
    std::vector<BFloat16, Lined<BFloat16>> values;

    int blocks() const { return (columns + width - 1) / width; }
    /// Numbers of a tap in a block: the depth, and zeros up to a multiple of 32, which tiles read.
    int64_t size() const { return static_cast<int64_t>(depth + 31) / 32 * 32 * width; }
    const BFloat16 *at(int block, int tap) const {
        return values.data() + (static_cast<int64_t>(block) * taps + tap) * size();
    }
};

/// Packs float32 weights, of which one stride at least is 1; an odd depth is filled up with zeros.
Panels pack(const float *weights, int taps, int depth, int columns, int64_t tap_stride,
            int64_t depth_stride, int64_t column_stride);

/// Puts gradients into the order of weights whose taps lie side by side.
///
/// Of a gradient [tap][depth][columns] the columns lie side by side; the other strides are its own. Then come
/// those of the weights.
void unpack(const float *gradient, int taps, int depth, int columns, int64_t tap_stride,
            int64_t row_stride, int64_t depth_stride, int64_t column_stride, float *weights);

/// destination[place][row][column] = bias[column] + sum over links of source[place'][row] · panel.
///
/// `source` is [places][rows][depth], `destination` [places][rows][columns], of bfloat16 or float32;
/// `bias` may be null.
template <typename Element>
void multiply(const BFloat16 *source, const Panels &panels, const float *bias, bool rectified,
              const Links &links, int rows, Element *destination);

/// What a kernel sees of few channels at each place of the coarse side of a convolution, of float32
/// [N, C, H, W] to [places][N][depth], depth C · k² and one zero if that is odd.
void unfold(const float *x, const Geometry &convolution, int items, int channels,
            BFloat16 *destination);

/// Puts cells of 2×2 pixels together, [height][width][items][2][2][channels] to
/// [items][channels][2 · height][2 · width], and adds a number to each channel; `bias` may be null.
void join_cells(const float *cells, int height, int width, int items, int channels,
                const float *bias, float *image);

/// What the gradients of a layer are made of, in one pass over [places][rows][columns].
struct Prepared {
    /// Rows as they are, where the output is above 0; may be null.
    BFloat16 *rows;
    /// Pairs of rows side by side, [places][ceil(rows / 2)][columns][2].
    BFloat16 *pairs;
    /// Sums over the rows of each place, [places][columns]; may be null.
    float *sums;
};

/// `output` is that of a rectified layer, or null.
void prepare(const BFloat16 *source, const BFloat16 *output, int places, int rows, int columns,
             const Prepared &prepared);

/// gradient[tap][depth][columns] += sum over links and rows of source · slope, from pairs of rows.
///
/// `links` lead from the source's places to the slope's.
void weight_gradient(const BFloat16 *source_pairs, const BFloat16 *slope_pairs, const Links &links,
                     int taps, int pairs, int depth, int columns, float *gradient);

}  // namespace lt::products
