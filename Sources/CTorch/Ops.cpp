// Operations: unwrap, call, wrap.

#include "Guard.hpp"
#include "Kernels/ProductLayers.hpp"

using lt::guarded;
using lt::wrap;
using lt::yields;

namespace {
at::IntArrayRef list(const int64_t *values, size_t count) { return {values, count}; }

std::optional<at::Tensor> optional(const LTTensor *tensor) {
    return tensor ? std::optional<at::Tensor>(tensor->value) : std::nullopt;
}

/// What has no more channels is taken for an image, not for what stands between layers.
constexpr int64_t image_channels = 4;

/// Weights as a layer of float32 reads them on the processor: channels side by side.
///
/// oneDNN gives channels side by side, which libtorch brings back into planes for the next layer unless its
/// weights say that it reads them so. Of one channel both orders are the same but for the strides that say so.
at::Tensor by_channel(const at::Tensor &x, const at::Tensor &weight) {
    if (!x.is_cpu() || x.scalar_type() != at::kFloat) {
        return weight;
    }
    return weight.size(1) > 1
               ? weight.contiguous(at::MemoryFormat::ChannelsLast)
               : weight.clone(at::MemoryFormat::ChannelsLast);
}
}  // namespace

#define UNARY(Name, expression)                                   \
    LTStatus LTTensor##Name(const LTTensor *a, LTTensor **out) {  \
        return yields(out, [&] { return expression(a->value); }); \
    }
#define BINARY(Name, expression)                                                     \
    LTStatus LTTensor##Name(const LTTensor *a, const LTTensor *b, LTTensor **out) {  \
        return yields(out, [&] { return expression(a->value, b->value); });          \
    }

BINARY(Add, at::add)
BINARY(Subtract, at::sub)
BINARY(Multiply, at::mul)
BINARY(Divide, at::div)
BINARY(Maximum, at::maximum)
UNARY(Exp, at::exp)
UNARY(Expm1, at::expm1)
UNARY(Log, at::log)
UNARY(Log1p, at::log1p)
UNARY(Round, at::round)
UNARY(Tanh, at::tanh)
UNARY(Sqrt, at::sqrt)
UNARY(Square, at::square)
UNARY(Abs, at::abs)
UNARY(Sigmoid, at::sigmoid)
UNARY(Softplus, at::softplus)
UNARY(ReLU, at::relu)
UNARY(SiLU, at::silu)

LTStatus LTTensorWiden(const LTTensor *a, LTTensor **out) {
    return yields(out, [&] { return a->value.to(at::kFloat); });
}

LTStatus LTTensorAffine(const LTTensor *a, double scale, double offset, LTTensor **out) {
    return yields(out, [&] {
        auto scaled = scale == 1 ? a->value : at::mul(a->value, scale);
        return offset == 0 ? scaled : at::add(scaled, offset);
    });
}

LTStatus LTTensorClamp(const LTTensor *a, double lower, double upper, LTTensor **out) {
    return yields(out, [&] { return at::clamp(a->value, lower, upper); });
}

LTStatus LTTensorReshape(const LTTensor *a, const int64_t *shape, size_t rank, LTTensor **out) {
    return yields(out, [&] { return a->value.reshape(list(shape, rank)); });
}

LTStatus LTTensorTranspose(const LTTensor *a, int64_t first, int64_t second, LTTensor **out) {
    return yields(out, [&] { return a->value.transpose(first, second); });
}

LTStatus LTTensorNarrow(const LTTensor *a, int64_t axis, int64_t start, int64_t length,
                        LTTensor **out) {
    return yields(out, [&] { return a->value.narrow(axis, start, length); });
}

LTStatus LTTensorConcatenate(const LTTensor *const *tensors, size_t count, int64_t axis,
                             LTTensor **out) {
    return yields(out, [&] {
        std::vector<at::Tensor> values;
        values.reserve(count);
        for (size_t i = 0; i < count; ++i) {
            values.push_back(tensors[i]->value);
        }
        return at::cat(values, axis);
    });
}

LTStatus LTTensorRepeatInterleave(const LTTensor *a, int64_t count, int64_t axis, LTTensor **out) {
    return yields(out, [&] { return a->value.repeat_interleave(count, axis); });
}

LTStatus LTTensorPad(const LTTensor *a, const int64_t *padding, size_t count, double value,
                     LTTensor **out) {
    return yields(out, [&] { return at::constant_pad_nd(a->value, list(padding, count), value); });
}

LTStatus LTTensorSum(const LTTensor *a, const int64_t *axes, size_t count, bool keep,
                     LTTensor **out) {
    return yields(out, [&] { return a->value.sum(list(axes, count), keep); });
}

LTStatus LTTensorMean(const LTTensor *a, const int64_t *axes, size_t count, bool keep,
                      LTTensor **out) {
    return yields(out, [&] { return a->value.mean(list(axes, count), keep); });
}

LTStatus LTTensorLogSumExp(const LTTensor *a, int64_t axis, LTTensor **out) {
    return yields(out, [&] { return at::logsumexp(a->value, axis); });
}

LTStatus LTTensorAllFinite(const LTTensor *a, bool *finite) {
    return guarded([&] { *finite = at::isfinite(a->value).all().item<bool>(); });
}

LTStatus LTSymmetricEigen(const LTTensor *a, LTTensor **values, LTTensor **vectors) {
    return guarded([&] {
        auto matrix = a->value.to(at::kDouble);
        // LAPACK does not say so by itself.
        TORCH_CHECK(at::isfinite(matrix).all().item<bool>(),
                    "a matrix that holds NaN or infinity has no eigenvalues");
        auto [found, columns] = at::linalg_eigh(matrix);
        // Both are made before either is handed over, so that a failure leaks nothing.
        auto first = found.to(a->value.scalar_type());
        auto second = columns.to(a->value.scalar_type());
        *values = wrap(std::move(first));
        *vectors = wrap(std::move(second));
    });
}

LTStatus LTCholesky(const LTTensor *a, LTTensor **out) {
    return yields(out, [&] {
        return at::linalg_cholesky(a->value.to(at::kDouble)).to(a->value.scalar_type());
    });
}

LTStatus LTSolveLowerTriangular(const LTTensor *a, const LTTensor *b, LTTensor **out) {
    return yields(out, [&] {
        return at::linalg_solve_triangular(a->value, b->value, /*upper=*/false);
    });
}

LTStatus LTMatMul(const LTTensor *a, const LTTensor *b, LTTensor **out) {
    return yields(out, [&] { return at::matmul(a->value, b->value); });
}

LTStatus LTLinear(const LTTensor *x, const LTTensor *weight, const LTTensor *bias, bool rectified,
                  LTTensor **out) {
    return yields(out, [&] {
        if (lt::uses_products(x->value)) {
            return lt::product_linear(x->value, weight->value, optional(bias), rectified);
        }
        auto y = at::linear(x->value, weight->value, optional(bias));
        return rectified ? at::relu_(y) : y;
    });
}

LTStatus LTConv1d(const LTTensor *x, const LTTensor *weight, const LTTensor *bias, int64_t stride,
                  int64_t padding, LTTensor **out) {
    return yields(out, [&] {
        return at::conv1d(x->value, weight->value, optional(bias), stride, padding);
    });
}

LTStatus LTConvTranspose1d(const LTTensor *x, const LTTensor *weight, const LTTensor *bias,
                           int64_t stride, int64_t padding, LTTensor **out) {
    return yields(out, [&] {
        return at::conv_transpose1d(x->value, weight->value, optional(bias), stride, padding);
    });
}

LTStatus LTConv2d(const LTTensor *x, const LTTensor *weight, const LTTensor *bias, int64_t stride,
                  int64_t padding, bool rectified, LTTensor **out) {
    return yields(out, [&] {
        if (lt::uses_products(x->value)) {
            return lt::product_convolution(x->value, weight->value, optional(bias), stride, padding,
                                           false, rectified);
        }
        auto y = at::conv2d(x->value, by_channel(x->value, weight->value), optional(bias), stride,
                            padding);
        return rectified ? at::relu_(y) : y;
    });
}

LTStatus LTConvTranspose2d(const LTTensor *x, const LTTensor *weight, const LTTensor *bias,
                           int64_t stride, int64_t padding, bool rectified, LTTensor **out) {
    return yields(out, [&] {
        if (lt::uses_products(x->value)) {
            return lt::product_convolution(x->value, weight->value, optional(bias), stride, padding,
                                           true, rectified);
        }
        auto y = at::conv_transpose2d(
            x->value, by_channel(x->value, weight->value), optional(bias), stride, padding);
        // Of few channels it is an image, read by rows.
        y = y.size(1) <= image_channels ? y.contiguous() : y;
        return rectified ? at::relu_(y) : y;
    });
}

LTStatus LTBinaryCrossEntropyWithLogits(const LTTensor *logits, const LTTensor *target,
                                        LTTensor **out) {
    return yields(out, [&] {
        return at::binary_cross_entropy_with_logits(logits->value, target->value, {}, {},
                                                    at::Reduction::None);
    });
}

LTStatus LTMaxPool2d(const LTTensor *x, int64_t size, LTTensor **out) {
    return yields(out, [&] {
        // libtorch compares channels side by side, and what is not so one number after the other.
        auto interleaved = x->value.contiguous(at::MemoryFormat::ChannelsLast);
        return at::max_pool2d(interleaved, {size, size});
    });
}

LTStatus LTResizeBilinear(const LTTensor *x, int64_t height, int64_t width, LTTensor **out) {
    return yields(out, [&] {
        return at::_upsample_bilinear2d_aa(x->value, {height, width}, /*align_corners=*/false);
    });
}

LTStatus LTResizeBicubic(const LTTensor *x, int64_t height, int64_t width, LTTensor **out) {
    return yields(out, [&] {
        return at::upsample_bicubic2d(x->value, {height, width}, /*align_corners=*/false);
    });
}

LTStatus LTAffineGrid(const LTTensor *maps, int64_t height, int64_t width, LTTensor **out) {
    return yields(out, [&] {
        return at::affine_grid_generator(maps->value, {maps->value.size(0), 1, height, width},
                                         /*align_corners=*/false);
    });
}

LTStatus LTGridSample(const LTTensor *x, const LTTensor *grid, bool repeatsEdges, LTTensor **out) {
    return yields(out, [&] {
        return at::grid_sampler(x->value, grid->value, /*interpolation: bilinear=*/0,
                                /*padding: zeros, border=*/repeatsEdges ? 1 : 0,
                                /*align_corners=*/false);
    });
}

LTStatus LTDilate(const LTTensor *x, int64_t rows, int64_t columns, LTTensor **out) {
    return yields(out, [&] {
        // Padding counts for nothing: it is -infinity.
        auto tall = at::max_pool2d(x->value, {2 * rows + 1, 1}, {1, 1}, {rows, 0});
        return at::max_pool2d(tall, {1, 2 * columns + 1}, {1, 1}, {0, columns});
    });
}

LTStatus LTShortTimeFourier(const LTTensor *signal, int64_t fft_length, int64_t hop_length,
                            const LTTensor *window, bool center, LTTensor **out) {
    return yields(out, [&] {
        return at::stft(signal->value, fft_length, hop_length, window->value.numel(), window->value,
                        center, "reflect", /*normalized=*/false, /*onesided=*/true,
                        /*return_complex=*/true);
    });
}

LTStatus LTInverseShortTimeFourier(const LTTensor *spectrum, int64_t fft_length,
                                   int64_t hop_length, const LTTensor *window, int64_t length,
                                   LTTensor **out) {
    return yields(out, [&] {
        return at::istft(spectrum->value, fft_length, hop_length, window->value.numel(),
                         window->value, /*center=*/true, /*normalized=*/false, /*onesided=*/true,
                         length, /*return_complex=*/false);
    });
}
