#include "Products.hpp"

#include "TileProducts.hpp"
#include "VectorProducts.hpp"

namespace lt::products {

#if defined(__x86_64__)

Units units() {
    static const Units found = !vectors::available() ? Units::none
                               : tiles::available()  ? Units::tiles
                                                     : Units::vectors;
    return found;
}

template <typename Element>
void multiply(const BFloat16 *source, const Panels &panels, const float *bias, bool rectified,
              const Links &links, int rows, Element *destination) {
    (units() == Units::tiles ? tiles::multiply<Element> : vectors::multiply<Element>)(
        source, panels, bias, rectified, links, rows, destination);
}

template void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int,
                       BFloat16 *);
template void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int,
                       float *);

void weight_gradient(const BFloat16 *source_pairs, const BFloat16 *slope_pairs, const Links &links,
                     int taps, int pairs, int depth, int columns, float *gradient) {
    (units() == Units::tiles ? tiles::weight_gradient : vectors::weight_gradient)(
        source_pairs, slope_pairs, links, taps, pairs, depth, columns, gradient);
}

#else

// Other processors have none of this: nothing is called where `units` says so.
Units units() { return Units::none; }
Panels pack(const float *, int, int, int, int64_t, int64_t, int64_t) { return {}; }
void unpack(const float *, int, int, int, int64_t, int64_t, int64_t, int64_t, float *) {}
template <typename Element>
void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int, Element *) {}
template void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int,
                       BFloat16 *);
template void multiply(const BFloat16 *, const Panels &, const float *, bool, const Links &, int,
                       float *);
void unfold(const float *, const Geometry &, int, int, BFloat16 *) {}
void join_cells(const float *, int, int, int, int, const float *, float *) {}
void prepare(const BFloat16 *, const BFloat16 *, int, int, int, const Prepared &) {}
void weight_gradient(const BFloat16 *, const BFloat16 *, const Links &, int, int, int, int, float *) {}

#endif

}  // namespace lt::products
