#pragma once

// The one place where C++ exceptions end. Every function of the C interface runs its body here.

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <string>
#include <vector>

#include "include/CTorch.h"

struct LTTensor {
    at::Tensor value;
};

namespace lt {

std::string &last_error();

inline LTTensor *wrap(at::Tensor value) { return new LTTensor{std::move(value)}; }

template <typename Body>
LTStatus guarded(Body &&body) noexcept {
    try {
        body();
        return 0;
    } catch (const c10::Error &error) {
        last_error() = error.what_without_backtrace();
    } catch (const std::exception &error) {
        last_error() = error.what();
    } catch (...) {
        last_error() = "unknown C++ exception";
    }
    return 1;
}

/// For the many functions whose body is one expression that yields a tensor.
template <typename Expression>
LTStatus yields(LTTensor **out, Expression &&expression) noexcept {
    return guarded([&] { *out = wrap(expression()); });
}

/// The tensors behind handles.
inline std::vector<at::Tensor> values(LTTensor *const *tensors, size_t count) {
    std::vector<at::Tensor> list;
    list.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        list.push_back(tensors[i]->value);
    }
    return list;
}

/// The gradients of parameters, each of which must have one.
inline std::vector<at::Tensor> gradients(LTTensor *const *tensors, size_t count) {
    std::vector<at::Tensor> list;
    list.reserve(count);
    for (size_t i = 0; i < count; ++i) {
        TORCH_CHECK(tensors[i]->value.grad().defined(), "parameter ", i, " of ", count,
                    " has no gradient");
        list.push_back(tensors[i]->value.grad());
    }
    return list;
}

}  // namespace lt
