#pragma once

#include <ATen/ATen.h>

#include <optional>

namespace lt {

/// Whether a convolution, its transpose or a linear layer is to be made of products of bfloat16: this
/// thread asked for bfloat16, and the processor has it.
bool uses_products(const at::Tensor &x);

/// x [N, C, H, W] by square kernels: [C', C, k, k], or [C, C', k, k] where it is transposed; then the
/// larger of it and 0 where it is rectified.
///
/// What comes out is bfloat16 with all items of a place side by side, or, of a transposed 4×4 kernel of
/// stride 2 to few channels, float32 as libtorch's is. Gradients flow to all three, once.
at::Tensor product_convolution(const at::Tensor &x, const at::Tensor &weight,
                               const std::optional<at::Tensor> &bias, int64_t stride,
                               int64_t padding, bool transposed, bool rectified);

/// x [N, C] by a matrix [C', C].
at::Tensor product_linear(const at::Tensor &x, const at::Tensor &weight,
                          const std::optional<at::Tensor> &bias, bool rectified);

}  // namespace lt
