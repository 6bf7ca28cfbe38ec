// Library state, creation, host copies, properties and autograd.

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <c10/util/ParallelGuard.h>
#include <dlfcn.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif
#include <torch/headeronly/version.h>

#include <cstring>
#include <mutex>

#include "Guard.hpp"
#include "Kernels/Products.hpp"

#include <ATen/autocast_mode.h>

namespace lt {
std::string &last_error() {
    thread_local std::string message;
    return message;
}

/// CUDA's half of libtorch registers itself when it is opened; nothing links to it, so that a run
/// on the CPU does not wait for it.
void open_cuda() {
    static std::once_flag once;
    std::call_once(once, [] { dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL); });
}

at::Device device(const char *name) {
    if (std::strncmp(name, "cuda", 4) == 0) {
        open_cuda();
    }
    return at::Device(std::string(name));
}

bool is_available(const at::Device &device) {
    if (device.is_cpu()) {
        return true;
    }
    if (device.is_cuda()) {
        // libtorch keeps the index in 8 bits with a sign: cuda:255 would be -1, any device.
        return at::globalContext().hasCUDA() && device.index() >= 0 &&
               device.index() < static_cast<int>(at::detail::getCUDAHooks().deviceCount());
    }
    return device.is_mps() && at::globalContext().hasMPS();
}
}  // namespace lt

using lt::guarded;
using lt::yields;

const char *LTLastError(void) { return lt::last_error().c_str(); }

const char *LTVersion(void) { return TORCH_VERSION; }

LTStatus LTConfigureThreads(int32_t count) {
    return guarded([&] {
        at::globalContext().setFlushDenormal(true);
        at::set_num_threads(count);
        // What it was set to is found out on the first question, and is another thread's by then.
        (void)at::get_num_threads();
#if defined(__GLIBC__)
        // What a step frees the next one takes: given back to the kernel in between, each page would
        // be mapped and cleared anew, which takes longer than the arithmetic of small networks.
        mallopt(M_MMAP_THRESHOLD, 32 << 20);
        mallopt(M_TRIM_THRESHOLD, 512 << 20);
        mallopt(M_TOP_PAD, 16 << 20);
#endif
    });
}

int32_t LTThreadCount(void) { return at::get_num_threads(); }

void LTSerializeThisThread(void) {
    at::globalContext().setFlushDenormal(true);
    // What libtorch's libraries divide among OpenMP's threads by themselves.
    at::set_num_threads(1);
    // Lives as long as the thread: at::parallel_for then believes to be inside a parallel region.
    thread_local c10::ParallelGuard guard(true);
    (void)guard;
}

bool LTDeviceIsAvailable(const char *name) {
    bool available = false;
    guarded([&] { available = lt::is_available(lt::device(name)); });
    return available;
}

LTStatus LTUseDeterministicAlgorithms(void) {
    return guarded([] {
        at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
        // It would fill all new memory with NaN; nothing here reads what it has not written.
        at::globalContext().setDeterministicFillUninitializedMemory(false);
    });
}

bool LTHasBFloat16(void) { return lt::products::available(); }

bool LTSetBFloat16(bool enabled) {
    bool before = at::autocast::is_autocast_enabled(at::kCPU);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, enabled);
    // The copies of the weights are those of one step.
    at::autocast::clear_cache();
    return before;
}

LTStatus LTTensorFromFloats(const float *data, const int64_t *shape, size_t rank, LTTensor **out) {
    return yields(out, [&] {
        auto tensor = at::empty(at::IntArrayRef(shape, rank), at::kFloat);
        if (tensor.numel() > 0) {
            std::memcpy(tensor.data_ptr<float>(), data, tensor.nbytes());
        }
        return tensor;
    });
}

LTStatus LTTensorBorrowFloats(const float *data, const int64_t *shape, size_t rank,
                              LTTensor **out) {
    return yields(out, [&] {
        return at::from_blob(const_cast<float *>(data), at::IntArrayRef(shape, rank), at::kFloat);
    });
}

LTStatus LTTensorFull(double value, const int64_t *shape, size_t rank, const char *device,
                      LTTensor **out) {
    return yields(out, [&] {
        return at::full(at::IntArrayRef(shape, rank), value,
                        at::TensorOptions().dtype(at::kFloat).device(lt::device(device)));
    });
}

LTStatus LTTensorCopyFloats(const LTTensor *tensor, float *data, size_t count) {
    return guarded([&] {
        TORCH_CHECK(static_cast<size_t>(tensor->value.numel()) == count, "the tensor has ",
                    tensor->value.numel(), " elements, the buffer ", count);
        auto host = tensor->value.detach().to(at::kCPU, at::kFloat).contiguous();
        if (count > 0) {
            std::memcpy(data, host.data_ptr<float>(), host.nbytes());
        }
    });
}

LTStatus LTTensorAssign(LTTensor *tensor, const LTTensor *source) {
    return guarded([&] {
        c10::NoGradGuard off;
        TORCH_CHECK(tensor->value.sizes() == source->value.sizes(), "cannot assign shape ",
                    source->value.sizes(), " to shape ", tensor->value.sizes());
        tensor->value.copy_(source->value);
    });
}

LTStatus LTTensorToDevice(const LTTensor *tensor, const char *device, LTTensor **out) {
    return yields(out, [&] { return tensor->value.to(lt::device(device)); });
}

LTStatus LTTensorItem(const LTTensor *tensor, double *value) {
    return guarded([&] { *value = tensor->value.item<double>(); });
}

size_t LTTensorRank(const LTTensor *tensor) { return static_cast<size_t>(tensor->value.dim()); }

void LTTensorShape(const LTTensor *tensor, int64_t *shape) {
    auto sizes = tensor->value.sizes();
    std::copy(sizes.begin(), sizes.end(), shape);
}

LTStatus LTTensorDevice(const LTTensor *tensor, char *name, size_t capacity) {
    return guarded([&] {
        std::string text = tensor->value.device().str();
        TORCH_CHECK(text.size() < capacity, "the device's name is too long");
        std::memcpy(name, text.c_str(), text.size() + 1);
    });
}

void LTTensorFree(LTTensor *tensor) { delete tensor; }

bool LTSetGradientMode(bool enabled) {
    bool before = c10::GradMode::is_enabled();
    c10::GradMode::set_enabled(enabled);
    return before;
}

LTStatus LTTensorSetRequiresGradient(LTTensor *tensor, bool required) {
    return guarded([&] { tensor->value.requires_grad_(required); });
}

LTStatus LTTensorBackward(const LTTensor *tensor) {
    return guarded([&] { tensor->value.backward(); });
}

LTStatus LTTensorGradient(const LTTensor *tensor, LTTensor **out) {
    return guarded([&] {
        const auto &gradient = tensor->value.grad();
        *out = gradient.defined() ? lt::wrap(gradient) : nullptr;
    });
}

LTStatus LTTensorClearGradient(LTTensor *tensor) {
    return guarded([&] { tensor->value.mutable_grad() = at::Tensor(); });
}

LTStatus LTMoveGradients(LTTensor *const *others, LTTensor *const *leaves, size_t count) {
    return guarded([&] {
        c10::NoGradGuard off;
        for (size_t i = 0; i < count; ++i) {
            auto &from = others[i]->value.mutable_grad();
            auto &to = leaves[i]->value.mutable_grad();
            if (from.defined() && to.defined()) {
                to.add_(from);
            } else if (from.defined()) {
                to = from;
            }
            from = at::Tensor();
        }
    });
}

LTStatus LTTensorDetach(const LTTensor *tensor, LTTensor **out) {
    return yields(out, [&] { return tensor->value.detach(); });
}
