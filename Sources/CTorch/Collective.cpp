// Sums and broadcasts among the processes of a run, over libtorch's c10d and Gloo.
//
// Nothing here runs before a group is created.

// What libtorch was built with; without it the header is empty.
#ifndef USE_C10D_GLOO
#define USE_C10D_GLOO
#endif

#include <c10/util/Logging.h>
#include <signal.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "Guard.hpp"

using lt::guarded;
using Milliseconds = std::chrono::milliseconds;

struct LTGroup {
    int rank;
    int size;
    Milliseconds timeout;
    c10::intrusive_ptr<c10d::Store> store;
    // After the store, so that it is destroyed before.
    c10::intrusive_ptr<c10d::Backend> backend;
    /// True from before the first message of an exchange until it has succeeded, and so for ever
    /// after one that failed: what arrives later could belong to either.
    bool is_waiting = false;
    /// Types and counts that all processes were found to have in common.
    std::set<std::pair<at::ScalarType, int64_t>> agreed;
};

namespace {
/// Keeps SIGPIPE from the calling thread and from those that it starts, which inherit the mask:
/// Gloo writes to its sockets in a way that raises it when the other process is gone, and the
/// default action is to die without a word.
void ignore_broken_pipes() {
    sigset_t signal;
    sigemptyset(&signal);
    sigaddset(&signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &signal, nullptr);
}

/// c10d reports every failure on standard error too, with a stack trace; the exception says enough.
/// Whoever wants to see more sets TORCH_CPP_LOG_LEVEL.
void quieten_log() {
    if (std::getenv("TORCH_CPP_LOG_LEVEL") != nullptr) {
        c10::initLogging();
    } else {
        FLAGS_caffe2_log_level = c10::GLOG_FATAL;
    }
}

bool is_loopback(const std::string &address) {
    return address == "localhost" || address == "::1" || address.rfind("127.", 0) == 0;
}

c10::intrusive_ptr<c10d::ProcessGroupGloo::Options> options(const std::string &address,
                                                            Milliseconds timeout) {
    using Gloo = c10d::ProcessGroupGloo;
    c10::intrusive_ptr<Gloo::Options> result;
    if (is_loopback(address) && std::getenv("GLOO_SOCKET_IFNAME") == nullptr) {
        // Then all processes are on this machine, and no other needs to reach them.
        result = Gloo::Options::create(timeout);
        result->devices.push_back(
            Gloo::createDeviceForHostname(address, c10d::getDefaultGlooLazyInit()));
    } else {
        // The interfaces that GLOO_SOCKET_IFNAME names, that of the host's name, or loopback.
        result = Gloo::Options::create_default(timeout);
    }
    result->threads = 1;  // one exchange at a time
    return result;
}

struct Membership {
    int rank;
    int size;
    std::string address;
    uint16_t port;
    bool hosts_store;
    std::string prefix;
    double timeout_seconds;

    Milliseconds timeout() const {
        return Milliseconds(std::max<int64_t>(1, static_cast<int64_t>(timeout_seconds * 1000)));
    }
};

/// Waits until every process has reached the store, and names those that have not.
void meet(c10d::Store &store, const Membership &membership, Milliseconds timeout) {
    std::vector<std::string> keys;
    for (int i = 0; i < membership.size; ++i) {
        keys.push_back("arrived/" + std::to_string(i));
    }
    store.set(keys[static_cast<size_t>(membership.rank)], std::vector<uint8_t>{1});
    try {
        store.wait(keys, timeout);
    } catch (const c10::DistStoreError &) {
        std::string missing;
        for (size_t i = 0; i < keys.size(); ++i) {
            if (!store.check({keys[i]})) {
                missing += (missing.empty() ? "" : ", ") + std::to_string(i);
            }
        }
        TORCH_CHECK(false, "of ", membership.size, " processes, those of rank ", missing,
                    " did not come within ", membership.timeout_seconds, " s");
    }
}

std::unique_ptr<LTGroup> join(const Membership &membership) {
    auto start = std::chrono::steady_clock::now();
    auto timeout = membership.timeout();
    c10d::TCPStoreOptions settings;
    settings.port = membership.port;
    settings.isServer = membership.hosts_store;
    settings.waitWorkers = false;  // `meet` says who is missing
    settings.timeout = timeout;
    auto store = c10::make_intrusive<c10d::PrefixStore>(
        membership.prefix, c10::make_intrusive<c10d::TCPStore>(membership.address, settings));
    auto spent = std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - start);
    meet(*store, membership, std::max(Milliseconds(1), timeout - spent));
    auto backend = c10::make_intrusive<c10d::ProcessGroupGloo>(
        store, membership.rank, membership.size, options(membership.address, timeout));
    return std::unique_ptr<LTGroup>(new LTGroup{membership.rank, membership.size, timeout,
                                                std::move(store), std::move(backend), false, {}});
}

/// Joins on a thread of its own, which is left behind when it takes too long: the store's client
/// waits without end for a server that accepts connections and then says nothing.
std::unique_ptr<LTGroup> join_in_time(const Membership &membership) {
    auto promise = std::make_shared<std::promise<std::unique_ptr<LTGroup>>>();
    auto future = promise->get_future();
    std::thread([promise, membership] {
        try {
            ignore_broken_pipes();
            promise->set_value(join(membership));
        } catch (...) {
            promise->set_exception(std::current_exception());
        }
    }).detach();
    // A little longer than its own timeout, since its messages say more.
    auto limit = membership.timeout() + std::chrono::seconds(1);
    TORCH_CHECK(future.wait_for(limit) == std::future_status::ready, "no answer within ",
                membership.timeout_seconds, " s");
    return future.get();
}

/// Runs an exchange and tells a lost process from a wrong argument. The body checks its arguments,
/// and only then calls `finish`.
template <typename Body>
LTStatus exchanges(LTGroup *group, Body &&body) noexcept {
    auto status = guarded([&] {
        TORCH_CHECK(!group->is_waiting, "an exchange with it has failed before");
        body();
    });
    return status != 0 && group->is_waiting ? static_cast<LTStatus>(LTStatusLost) : status;
}

/// Starts a piece of work and waits for its end; Gloo's own timeout bounds each of its messages.
template <typename Start>
void finish(LTGroup *group, Start &&start) {
    group->is_waiting = true;
    start()->wait();
    group->is_waiting = false;
}

void reduce(LTGroup *group, at::Tensor buffer, c10d::ReduceOp::RedOpType operation) {
    c10d::AllreduceOptions options;
    options.reduceOp = operation;
    options.timeout = group->timeout;
    std::vector<at::Tensor> list{std::move(buffer)};
    finish(group, [&] { return group->backend->allreduce(list, options); });
}

/// Makes sure that all processes are about to send as much, once for each type and count: where
/// one sends more than another expects, Gloo ends the process.
void agree(LTGroup *group, const at::Tensor &buffer) {
    std::pair<at::ScalarType, int64_t> form{buffer.scalar_type(), buffer.numel()};
    if (group->agreed.count(form) != 0) {
        return;
    }
    auto count = static_cast<double>(form.second);
    auto type = static_cast<double>(form.first);
    auto extremes = at::tensor({count, -count, type, -type}, at::kDouble);
    reduce(group, extremes, c10d::ReduceOp::MAX);
    auto *found = extremes.data_ptr<double>();
    TORCH_CHECK(found[0] == -found[1] && found[2] == -found[3],
                "the processes of the run exchange different things: from ",
                static_cast<int64_t>(-found[1]), " to ", static_cast<int64_t>(found[0]),
                " elements, ", form.second, " in rank ", group->rank);
    group->agreed.insert(form);
}

/// All elements one after the other, in a buffer of their own on the CPU.
at::Tensor flattened(const std::vector<at::Tensor> &tensors) {
    std::vector<at::Tensor> rows;
    rows.reserve(tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
        auto type = tensors[i].scalar_type();
        TORCH_CHECK(type == tensors[0].scalar_type(), "tensor ", i, " of ", tensors.size(),
                    " is of type ", type, ", the first of ", tensors[0].scalar_type());
        TORCH_CHECK(!at::isComplexType(type), "tensor ", i, " is of type ", type,
                    ", which cannot be exchanged");
        rows.push_back(tensors[i].reshape({-1}));
    }
    return at::cat(rows).to(at::kCPU);
}

void spread(const at::Tensor &buffer, const std::vector<at::Tensor> &tensors) {
    auto source = buffer.to(tensors[0].device());
    int64_t start = 0;
    for (auto tensor : tensors) {
        tensor.copy_(source.narrow(0, start, tensor.numel()).view(tensor.sizes()));
        start += tensor.numel();
    }
}

/// Runs `exchange` on all elements as one message. They are overwritten at the end only, so that
/// they stay as they are when it fails.
template <typename Exchange>
void as_one(LTGroup *group, const std::vector<at::Tensor> &tensors, Exchange &&exchange) {
    c10::NoGradGuard off;
    if (tensors.empty()) {
        return;
    }
    auto buffer = flattened(tensors);
    if (buffer.numel() == 0) {
        return;
    }
    agree(group, buffer);
    exchange(buffer);
    spread(buffer, tensors);
}

void sum(LTGroup *group, const std::vector<at::Tensor> &tensors) {
    as_one(group, tensors,
           [&](const at::Tensor &buffer) { reduce(group, buffer, c10d::ReduceOp::SUM); });
}
}  // namespace

LTStatus LTGroupCreate(int32_t rank, int32_t size, const char *address, uint16_t port,
                       bool hosts_store, const char *prefix, double timeout_seconds,
                       LTGroup **out) {
    return guarded([&] {
        quieten_log();
        *out = join_in_time({rank, size, address, port, hosts_store, prefix, timeout_seconds})
                   .release();
    });
}

void LTGroupFree(LTGroup *group) { delete group; }

LTStatus LTGroupSum(LTGroup *group, LTTensor *const *tensors, size_t count) {
    return exchanges(group, [&] { sum(group, lt::values(tensors, count)); });
}

LTStatus LTGroupSumGradients(LTGroup *group, LTTensor *const *parameters, size_t count) {
    return exchanges(group, [&] { sum(group, lt::gradients(parameters, count)); });
}

LTStatus LTGroupSumDoubles(LTGroup *group, double *values, size_t count) {
    return exchanges(group, [&] {
        if (count == 0) {
            return;
        }
        // Not a view: Gloo may hold on to it after a failure.
        auto buffer = at::empty({static_cast<int64_t>(count)}, at::kDouble);
        std::memcpy(buffer.data_ptr<double>(), values, buffer.nbytes());
        agree(group, buffer);
        reduce(group, buffer, c10d::ReduceOp::SUM);
        std::memcpy(values, buffer.data_ptr<double>(), buffer.nbytes());
    });
}

LTStatus LTGroupBroadcast(LTGroup *group, LTTensor *const *tensors, size_t count, int32_t root) {
    return exchanges(group, [&] {
        TORCH_CHECK(root >= 0 && root < group->size, "there is no rank ", root, " among ",
                    group->size, " processes");
        as_one(group, lt::values(tensors, count), [&](const at::Tensor &buffer) {
            c10d::BroadcastOptions options;
            options.rootRank = root;
            options.timeout = group->timeout;
            std::vector<at::Tensor> list{buffer};
            finish(group, [&] { return group->backend->broadcast(list, options); });
        });
    });
}

LTStatus LTGroupBarrier(LTGroup *group) {
    return exchanges(group, [&] {
        c10d::BarrierOptions options;
        options.timeout = group->timeout;
        finish(group, [&] { return group->backend->barrier(options); });
    });
}
