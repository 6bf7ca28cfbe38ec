#include "Products.hpp"

#include <cstdlib>
#include <cstring>

namespace lt::products {

#if defined(__x86_64__)

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

#else

// Other processors have none of this: nothing is called where `available` says so.
bool available() { return false; }
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

#endif

}  // namespace lt::products
