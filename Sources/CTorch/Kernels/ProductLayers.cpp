// Convolutions and linear layers of products of bfloat16, with their gradients.

#include "ProductLayers.hpp"

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "Kept.hpp"
#include "Products.hpp"

namespace lt {

using products::BFloat16;
using products::Geometry;
using products::Links;
using products::Panels;

namespace {

const BFloat16 *numbers(const at::Tensor &x) {
    return reinterpret_cast<const BFloat16 *>(x.data_ptr<at::BFloat16>());
}

BFloat16 *mutable_numbers(const at::Tensor &x) {
    return reinterpret_cast<BFloat16 *>(x.data_ptr<at::BFloat16>());
}

/// [N, C, H, W] as [H, W, N, C] of bfloat16, an odd number of channels filled up with a zero.
at::Tensor by_place(const at::Tensor &x) {
    auto y = x.to(at::kBFloat16).permute({2, 3, 0, 1});
    return (y.size(3) % 2 ? at::constant_pad_nd(y, {0, 1}) : y).contiguous();
}

/// [H, W, N, C] as [N, C, H, W], without moving anything.
at::Tensor by_item(const at::Tensor &y) { return y.permute({2, 3, 0, 1}); }

at::Tensor empty(const Geometry &g, bool of_output, int64_t items, int64_t channels) {
    return of_output ? at::empty({g.output_height, g.output_width, items, channels}, at::kBFloat16)
                     : at::empty({g.height, g.width, items, channels}, at::kBFloat16);
}

/// Pairs of items side by side, [places, ceil(N / 2), C, 2].
at::Tensor interleaved(const at::Tensor &y) {
    auto pairs = at::empty({y.size(0) * y.size(1), (y.size(2) + 1) / 2, y.size(3), 2}, y.options());
    products::prepare(numbers(y), nullptr, static_cast<int>(y.size(0) * y.size(1)),
                      static_cast<int>(y.size(2)), static_cast<int>(y.size(3)),
                      {nullptr, mutable_numbers(pairs), nullptr});
    return pairs;
}

/// The slope of what a layer's products sum up to, as its gradients need it.
struct Slope {
    at::Tensor rows;   // [H', W', N, C'], C' even
    at::Tensor pairs;  // [H' · W', ceil(N / 2), C', 2]
    at::Tensor bias;   // [C']

    /// `output` is [H', W', N, C'] of a rectified layer, or undefined.
    Slope(const at::Tensor &slope, const at::Tensor &output, int64_t channels)
        : rows(by_place(slope)) {
        int64_t places = rows.size(0) * rows.size(1), columns = rows.size(3);
        auto masked = output.defined() ? at::empty_like(rows) : at::Tensor();
        auto known = output.defined() && channels % 2 ? at::constant_pad_nd(output, {0, 1}) : output;
        pairs = at::empty({places, (rows.size(2) + 1) / 2, columns, 2}, rows.options());
        auto sums = at::empty({places, columns}, at::kFloat);
        products::prepare(numbers(rows), known.defined() ? numbers(known) : nullptr,
                          static_cast<int>(places), static_cast<int>(rows.size(2)),
                          static_cast<int>(columns),
                          {output.defined() ? mutable_numbers(masked) : nullptr,
                           mutable_numbers(pairs), sums.data_ptr<float>()});
        if (output.defined()) {
            rows = masked;
        }
        bias = sums.sum(0).narrow(0, 0, channels);
    }
};

/// Weights of a layer, and where each stands.
struct Weights {
    at::Tensor values;  // float32, contiguous
    bool transposed;

    int64_t taps() const { return values.size(2) * values.size(3); }
    int64_t inputs() const { return values.size(transposed ? 0 : 1); }
    int64_t outputs() const { return values.size(transposed ? 1 : 0); }
    int64_t input_stride() const { return values.stride(transposed ? 0 : 1); }
    int64_t output_stride() const { return values.stride(transposed ? 1 : 0); }

    Panels panels(bool to_output) const {
        return to_output
                   ? products::pack(values.data_ptr<float>(), static_cast<int>(taps()),
                                    static_cast<int>(inputs()), static_cast<int>(outputs()), 1,
                                    input_stride(), output_stride())
                   : products::pack(values.data_ptr<float>(), static_cast<int>(taps()),
                                    static_cast<int>(outputs()), static_cast<int>(inputs()), 1,
                                    output_stride(), input_stride());
    }

    /// A gradient [k][k][inputs][outputs], perhaps a part of a larger one, as the weights lie.
    at::Tensor ordered(const at::Tensor &gradient) const {
        if (taps() == 1) {
            return (transposed ? gradient.permute({2, 3, 0, 1}) : gradient.permute({3, 2, 0, 1}))
                .contiguous();
        }
        auto result = at::empty_like(values);
        products::unpack(gradient.data_ptr<float>(), static_cast<int>(taps()),
                         static_cast<int>(inputs()), static_cast<int>(outputs()),
                         gradient.stride(1), gradient.stride(2), input_stride(), output_stride(),
                         result.data_ptr<float>());
        return result;
    }
};

Geometry geometry(const at::Tensor &x, const at::Tensor &weight, int64_t stride, int64_t padding,
                  bool transposed) {
    int kernel = static_cast<int>(weight.size(2)), s = static_cast<int>(stride),
        p = static_cast<int>(padding), h = static_cast<int>(x.size(2)),
        w = static_cast<int>(x.size(3));
    auto side = [&](int n) {
        return transposed ? (n - 1) * s + kernel - 2 * p : (n + 2 * p - kernel) / s + 1;
    };
    return {h, w, side(h), side(w), kernel, s, p, transposed};
}

/// Panels of weights that are as they were the last time while nobody trains them.
template <typename Make>
std::shared_ptr<const Panels> panels_of(const at::Tensor &weight, bool keeps, const Make &make) {
    return keeps ? kept_panels(weight, make) : std::make_shared<const Panels>(make());
}

/// A convolution of many channels, of one to many, or a linear layer.
struct Product : torch::autograd::Function<Product> {
    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x,
                              const at::Tensor &weight, const std::optional<at::Tensor> &bias,
                              int64_t stride, int64_t padding, bool transposed, bool rectified,
                              bool keeps) {
        auto g = geometry(x, weight, stride, padding, transposed);
        auto source = by_place(x);
        Weights weights{weight.to(at::kFloat).contiguous(), transposed};
        auto y = empty(g, true, x.size(0), weights.outputs());
        auto start = bias ? bias->to(at::kFloat).contiguous() : at::Tensor();
        auto panels = panels_of(weight, keeps, [&] { return weights.panels(true); });
        products::multiply(numbers(source), *panels,
                           bias ? start.data_ptr<float>() : nullptr, rectified,
                           *kept_links(g, true), static_cast<int>(x.size(0)),
                           mutable_numbers(y));
        context->save_for_backward({source, weights.values, rectified ? y : at::Tensor()});
        context->saved_data["shape"] =
            std::vector<int64_t>{x.size(2), x.size(3), stride, padding, transposed};
        context->saved_data["type"] = x.scalar_type();
        context->saved_data["biased"] = bias.has_value();
        return by_item(y);
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                   torch::autograd::variable_list slopes) {
        auto saved = context->get_saved_variables();
        auto shape = context->saved_data["shape"].toIntVector();
        const auto &source = saved[0];
        Weights weights{saved[1], shape[4] != 0};
        auto g = geometry(by_item(source), weights.values, shape[2], shape[3], shape[4] != 0);
        Slope slope(slopes[0], saved[2], weights.outputs());
        int items = static_cast<int>(source.size(2));
        at::Tensor to_input, to_weight, to_bias;
        if (context->needs_input_grad(0)) {
            auto y = empty(g, false, items, weights.inputs());
            products::multiply(numbers(slope.rows), weights.panels(false), nullptr, false,
                               *kept_links(g, false), items, mutable_numbers(y));
            to_input = by_item(y).to(context->saved_data["type"].toScalarType());
        }
        if (context->needs_input_grad(1)) {
            int64_t depth = source.size(3), columns = slope.rows.size(3);
            auto pairs = interleaved(source);
            // Of one tap the two may change places, which gives the order that weights have.
            bool swaps = g.inputs() == 1 && g.taps() == 1 && !g.transposed;
            auto sum = at::zeros({g.kernel, g.kernel, swaps ? columns : depth, swaps ? depth : columns},
                                 at::kFloat);
            products::weight_gradient(
                numbers(swaps ? slope.pairs : pairs), numbers(swaps ? pairs : slope.pairs),
                *kept_links(g, true), g.taps(), (items + 1) / 2,
                static_cast<int>(swaps ? columns : depth),
                static_cast<int>(swaps ? depth : columns), sum.data_ptr<float>());
            to_weight = weights.ordered((swaps ? sum.transpose(2, 3) : sum)
                                            .narrow(2, 0, weights.inputs())
                                            .narrow(3, 0, weights.outputs()));
        }
        if (context->saved_data["biased"].toBool() && context->needs_input_grad(2)) {
            to_bias = slope.bias;
        }
        return {to_input, to_weight, to_bias, {}, {}, {}, {}, {}};
    }
};

/// Every place of a row of places is a sum of itself alone.
std::shared_ptr<const Links> identity(int places) {
    return kept_links({1, places, 1, places, 1, 1, 0, false}, true);
}

/// What the kernel of a convolution sees at each place, [H', W', N, C · k²].
at::Tensor unfolded(const at::Tensor &x, const Geometry &g) {
    auto values = x.to(at::kFloat).contiguous();
    int64_t depth = (x.size(1) * g.taps() + 1) / 2 * 2;
    auto y = empty(g, true, x.size(0), depth);
    products::unfold(values.data_ptr<float>(), g, static_cast<int>(x.size(0)),
                     static_cast<int>(x.size(1)), mutable_numbers(y));
    return y;
}

/// sum over places and items of source · slope, [depth, columns] of float32, from pairs of items.
at::Tensor matrix_gradient(const at::Tensor &source, const at::Tensor &slope) {
    auto sum = at::zeros({source.size(2), slope.size(2)}, at::kFloat);
    products::weight_gradient(numbers(source), numbers(slope),
                              *identity(static_cast<int>(source.size(0))), 1,
                              static_cast<int>(source.size(1)), static_cast<int>(source.size(2)),
                              static_cast<int>(slope.size(2)), sum.data_ptr<float>());
    return sum;
}

/// A convolution of so few channels that all the kernel sees is one row of a matrix.
struct ProductOfFew : torch::autograd::Function<ProductOfFew> {
    static constexpr int64_t depth_limit = 64;

    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x,
                              const at::Tensor &weight, const std::optional<at::Tensor> &bias,
                              int64_t stride, int64_t padding, bool rectified, bool keeps) {
        auto g = geometry(x, weight, stride, padding, false);
        auto source = unfolded(x, g);
        auto values = weight.to(at::kFloat).contiguous();
        int depth = static_cast<int>(weight.size(1)) * g.taps();
        int columns = static_cast<int>(weight.size(0));
        auto y = empty(g, true, x.size(0), columns);
        auto start = bias ? bias->to(at::kFloat).contiguous() : at::Tensor();
        auto panels = panels_of(weight, keeps, [&] {
            return products::pack(values.data_ptr<float>(), 1, depth, columns, 0, 1, depth);
        });
        products::multiply(
            numbers(source), *panels,
            bias ? start.data_ptr<float>() : nullptr, rectified, *identity(g.outputs()),
            static_cast<int>(x.size(0)), mutable_numbers(y));
        context->save_for_backward({source, values, rectified ? y : at::Tensor()});
        context->saved_data["shape"] =
            std::vector<int64_t>{x.size(2), x.size(3), stride, padding};
        context->saved_data["type"] = x.scalar_type();
        context->saved_data["biased"] = bias.has_value();
        return by_item(y);
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                   torch::autograd::variable_list slopes) {
        auto saved = context->get_saved_variables();
        auto shape = context->saved_data["shape"].toIntVector();
        const auto &source = saved[0], &values = saved[1];
        Slope slope(slopes[0], saved[2], values.size(0));
        int64_t depth = values.size(1) * values.size(2) * values.size(3);
        at::Tensor to_input, to_weight, to_bias;
        if (context->needs_input_grad(0)) {
            auto columns = at::empty({source.size(0) * source.size(1), source.size(2), depth},
                                     at::kFloat);
            products::multiply(
                numbers(slope.rows),
                products::pack(values.data_ptr<float>(), 1, static_cast<int>(values.size(0)),
                               static_cast<int>(depth), 0, depth, 1),
                nullptr, false, *identity(static_cast<int>(columns.size(0))),
                static_cast<int>(source.size(2)), columns.data_ptr<float>());
            to_input = at::col2im(columns.permute({1, 2, 0}), {shape[0], shape[1]},
                                  {values.size(2), values.size(3)}, {1, 1}, {shape[3], shape[3]},
                                  {shape[2], shape[2]})
                           .to(context->saved_data["type"].toScalarType());
        }
        if (context->needs_input_grad(1)) {
            to_weight = matrix_gradient(interleaved(source), slope.pairs)
                            .narrow(0, 0, depth)
                            .narrow(1, 0, values.size(0))
                            .t()
                            .contiguous()
                            .view(values.sizes());
        }
        if (context->saved_data["biased"].toBool() && context->needs_input_grad(2)) {
            to_bias = slope.bias;
        }
        return {to_input, to_weight, to_bias, {}, {}, {}, {}};
    }
};

/// A transposed 4×4 convolution of stride 2 and padding 1 to few channels, in float32.
///
/// Forward it is a 3×3 convolution to four times as many channels, one set for each place of a 2×2
/// cell; backward, what the kernel sees of the slope is one row of a matrix.
struct ProductToFew : torch::autograd::Function<ProductToFew> {
    static constexpr int64_t channel_limit = 4;

    /// [9][C][2 · 2 · C'] of [C][C'][4][4], zero where a tap does not reach.
    static at::Tensor spread(const at::Tensor &weight) {
        int64_t inputs = weight.size(0), outputs = weight.size(1);
        auto wide = at::zeros({9, inputs, 2, 2, outputs}, at::kFloat);
        for (int64_t v = 0; v < 3; ++v) {
            for (int64_t u = 0; u < 3; ++u) {
                for (int64_t py = 0; py < 2; ++py) {
                    for (int64_t px = 0; px < 2; ++px) {
                        int64_t ky = py + 3 - 2 * v, kx = px + 3 - 2 * u;
                        if (ky >= 0 && ky < 4 && kx >= 0 && kx < 4) {
                            wide.select(0, 3 * v + u).select(1, py).select(1, px).copy_(
                                weight.select(3, kx).select(2, ky));
                        }
                    }
                }
            }
        }
        return wide;
    }

    static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x,
                              const at::Tensor &weight, const std::optional<at::Tensor> &bias,
                              bool keeps) {
        auto source = by_place(x);
        auto values = weight.to(at::kFloat).contiguous();
        int64_t h = x.size(2), w = x.size(3), outputs = weight.size(1);
        int rows = static_cast<int>(h), columns = static_cast<int>(w);
        int depth = static_cast<int>(weight.size(0)), width = static_cast<int>(4 * outputs);
        auto panels = panels_of(weight, keeps, [&] {
            auto wide = spread(values);
            return products::pack(wide.data_ptr<float>(), 9, depth, width, depth * width, width, 1);
        });
        auto y = at::empty({h, w, x.size(0), 2, 2, outputs}, at::kFloat);
        products::multiply<float>(
            numbers(source), *panels, nullptr, false,
            *kept_links({rows, columns, rows, columns, 3, 1, 1, false}, true),
            static_cast<int>(x.size(0)), y.data_ptr<float>());
        context->save_for_backward({source, values});
        context->saved_data["type"] = x.scalar_type();
        context->saved_data["biased"] = bias.has_value();
        auto image = at::empty({x.size(0), outputs, 2 * h, 2 * w}, at::kFloat);
        auto start = bias ? bias->to(at::kFloat).contiguous() : at::Tensor();
        products::join_cells(y.const_data_ptr<float>(), rows, columns,
                             static_cast<int>(x.size(0)), static_cast<int>(outputs),
                             bias ? start.const_data_ptr<float>() : nullptr,
                             image.data_ptr<float>());
        return image;
    }

    static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                   torch::autograd::variable_list slopes) {
        auto saved = context->get_saved_variables();
        const auto &source = saved[0], &values = saved[1];
        int h = static_cast<int>(source.size(0)), w = static_cast<int>(source.size(1));
        auto seen = unfolded(slopes[0], {2 * h, 2 * w, h, w, 4, 2, 1, false});
        at::Tensor to_input, to_weight, to_bias;
        if (context->needs_input_grad(0)) {
            int depth = static_cast<int>(values.size(1)) * 16;
            int columns = static_cast<int>(values.size(0));
            auto y = at::empty({h, w, source.size(2), columns}, at::kBFloat16);
            products::multiply(
                numbers(seen),
                products::pack(values.data_ptr<float>(), 1, depth, columns, 0, 1, depth), nullptr,
                false, *identity(h * w), static_cast<int>(source.size(2)), mutable_numbers(y));
            to_input = by_item(y).to(context->saved_data["type"].toScalarType());
        }
        if (context->needs_input_grad(1)) {
            to_weight = matrix_gradient(interleaved(source), interleaved(seen))
                            .narrow(0, 0, values.size(0))
                            .contiguous()
                            .view(values.sizes());
        }
        if (context->saved_data["biased"].toBool() && context->needs_input_grad(2)) {
            to_bias = slopes[0].to(at::kFloat).sum({0, 2, 3});
        }
        return {to_input, to_weight, to_bias, {}};
    }
};

}  // namespace

bool uses_products(const at::Tensor &x) {
    return at::autocast::is_autocast_enabled(at::kCPU) && x.device().is_cpu() &&
           products::available();
}

namespace {

/// What libtorch's layers check, of which these are the twins.
void check(const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias,
           int64_t rank, bool transposed) {
    int64_t inputs = weight.size(transposed ? 0 : 1), outputs = weight.size(transposed ? 1 : 0);
    TORCH_CHECK(x.dim() == rank && weight.dim() == rank, "a layer of ", rank, " axes got an input of ",
                x.dim(), " and weights of ", weight.dim());
    TORCH_CHECK(x.size(1) == inputs, "an input of ", x.size(1), " channels, expected ", inputs);
    TORCH_CHECK(rank == 2 || weight.size(2) == weight.size(3), "a kernel that is not square");
    TORCH_CHECK(!bias || (bias->dim() == 1 && bias->size(0) == outputs),
                "a bias that does not fit ", outputs, " channels");
}

}  // namespace

at::Tensor product_convolution(const at::Tensor &x, const at::Tensor &weight,
                               const std::optional<at::Tensor> &bias, int64_t stride,
                               int64_t padding, bool transposed, bool rectified) {
    check(x, weight, bias, 4, transposed);
    int64_t kernel = weight.size(2);
    bool keeps = !at::GradMode::is_enabled();
    if (!transposed && weight.size(1) * kernel * kernel <= ProductOfFew::depth_limit) {
        return ProductOfFew::apply(x, weight, bias, stride, padding, rectified, keeps);
    }
    if (transposed && kernel == 4 && stride == 2 && padding == 1 && !rectified &&
        weight.size(1) <= ProductToFew::channel_limit) {
        return ProductToFew::apply(x, weight, bias, keeps);
    }
    return Product::apply(x, weight, bias, stride, padding, transposed, rectified, keeps);
}

at::Tensor product_linear(const at::Tensor &x, const at::Tensor &weight,
                          const std::optional<at::Tensor> &bias, bool rectified) {
    check(x, weight, bias, 2, false);
    auto y = Product::apply(x.unsqueeze(2).unsqueeze(3), weight.unsqueeze(2).unsqueeze(3), bias, 1,
                            0, false, rectified, !at::GradMode::is_enabled());
    return y.squeeze(3).squeeze(2);
}

}  // namespace lt
