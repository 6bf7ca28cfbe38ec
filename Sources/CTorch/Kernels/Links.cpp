#include "Products.hpp"

#include <cstddef>

namespace lt::products {

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

}  // namespace lt::products
