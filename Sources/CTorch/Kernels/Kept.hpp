#pragma once

// What layers work out again and again from the same weights and sizes, kept by each thread.

#include <ATen/ATen.h>

#include <array>
#include <map>
#include <memory>
#include <utility>

#include "Products.hpp"

namespace lt {

/// Weights and sizes come and go: beyond so many all are forgotten, and made anew when asked for.
constexpr size_t kept_limit = 256;

/// The links of a layer's sizes, which are few in one run.
inline std::shared_ptr<const products::Links> kept_links(const products::Geometry &g,
                                                         bool to_output) {
    using Key = std::array<int, 9>;
    thread_local std::map<Key, std::shared_ptr<const products::Links>> kept;
    Key key{g.height, g.width,   g.output_height, g.output_width, g.kernel,
            g.stride, g.padding, g.transposed,    to_output};
    auto found = kept.find(key);
    if (found != kept.end()) {
        return found->second;
    }
    if (kept.size() >= kept_limit) {
        kept.clear();
    }
    auto links = std::make_shared<const products::Links>(products::links(g, to_output));
    kept.emplace(key, links);
    return links;
}

/// The panels of weights, which are those of the last time unless somebody has written to the weights.
///
/// Views of the same numbers have the same panels. Training writes to them in each step and gains
/// nothing; `make` gives what is not kept.
template <typename Make>
std::shared_ptr<const products::Panels> kept_panels(const at::Tensor &weight, const Make &make) {
    struct Entry {
        // Without it the address could be that of other numbers by now.
        c10::weak_intrusive_ptr<c10::StorageImpl> storage;
        uint32_t version;
        std::shared_ptr<const products::Panels> panels;
    };
    using Key = std::pair<const void *, int64_t>;
    thread_local std::map<Key, Entry> kept;
    Key key{weight.const_data_ptr(), weight.numel()};
    auto version = static_cast<uint32_t>(weight._version());
    auto found = kept.find(key);
    if (found != kept.end() && !found->second.storage.expired() &&
        found->second.version == version) {
        return found->second.panels;
    }
    if (kept.size() >= kept_limit) {
        kept.clear();
    }
    auto panels = std::make_shared<const products::Panels>(make());
    kept.insert_or_assign(
        key, Entry{c10::weak_intrusive_ptr<c10::StorageImpl>(
                       weight.storage().getWeakStorageImpl()),
                   version, panels});
    return panels;
}

}  // namespace lt
