// Optimisation steps over lists of parameters.

#include "Guard.hpp"

using lt::gradients;
using lt::guarded;
using lt::values;

LTStatus LTAdamWStep(LTTensor *const *parameters, LTTensor *const *first_moments,
                     LTTensor *const *second_moments, LTTensor *const *step_counts, size_t count,
                     double learning_rate, double beta1, double beta2, double epsilon,
                     double weight_decay) {
    return guarded([&] {
        c10::NoGradGuard off;
        // First, since it throws: a step that is not taken must not be counted.
        auto slopes = gradients(parameters, count);
        auto steps = values(step_counts, count);
        at::_foreach_add_(steps, 1);
        auto weights = values(parameters, count);
        auto m = values(first_moments, count);
        auto v = values(second_moments, count);
        at::_fused_adamw_(weights, slopes, m, v, {}, steps, learning_rate,
                          beta1, beta2, weight_decay, epsilon, /*amsgrad=*/false,
                          /*maximize=*/false);
        // The fused step does not say that it wrote to them; what is kept of weights goes by that.
        for (auto &weight : weights) {
            weight.unsafeGetTensorImpl()->bump_version();
        }
    });
}

LTStatus LTClipGradientNorm(LTTensor *const *parameters, size_t count, double maximum,
                            double *norm) {
    return guarded([&] {
        c10::NoGradGuard off;
        auto list = gradients(parameters, count);
        auto norms = at::_foreach_norm(list, 2);
        *norm = at::linalg_vector_norm(at::stack(norms), 2).item<double>();
        // The small constant is PyTorch's clip_grad_norm_: no division by zero, same result.
        double scale = maximum / (*norm + 1e-6);
        if (scale < 1) {
            at::_foreach_mul_(list, scale);
        }
    });
}

LTStatus LTUpdateAverages(LTTensor *const *averages, LTTensor *const *parameters, size_t count,
                          double decay) {
    return guarded([&] {
        c10::NoGradGuard off;
        at::_foreach_lerp_(values(averages, count), values(parameters, count), 1 - decay);
    });
}
