#pragma once

#include "Products.hpp"

namespace lt::products::vectors {

/// Whether the processor has AVX-512 BF16, and nothing keeps libtorch from it.
bool available();

/// As `products::multiply`, in vectors.
template <typename Element>
void multiply(const BFloat16 *source, const Panels &panels, const float *bias, bool rectified,
              const Links &links, int rows, Element *destination);

/// As `products::weight_gradient`, in vectors.
void weight_gradient(const BFloat16 *source_pairs, const BFloat16 *slope_pairs, const Links &links,
                     int taps, int pairs, int depth, int columns, float *gradient);

}  // namespace lt::products::vectors
