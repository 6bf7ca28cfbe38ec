#pragma once

// The names of Gloo's types that libtorch's ProcessGroupGloo.hpp mentions.
//
// Gloo is inside libtorch_cpu, but the PyTorch wheel ships without Gloo's headers. libtorch's own
// header only holds these types behind shared and unique pointers, so that their names are all it
// takes to create a process group; nothing here is ever created, called or looked into. A libtorch
// that does come with Gloo's headers is searched first, and then these are not read.

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace gloo {

class Context {
  public:
    void setTimeout(std::chrono::milliseconds timeout);
};

namespace rendezvous {
class Store {
  public:
    virtual ~Store() = default;
    virtual void set(const std::string &key, const std::vector<char> &value) = 0;
    virtual std::vector<char> get(const std::string &key) = 0;
    virtual void wait(const std::vector<std::string> &keys) = 0;
    virtual void wait(const std::vector<std::string> &keys,
                      const std::chrono::milliseconds &timeout) = 0;
};
}  // namespace rendezvous

namespace transport {
class Device;
class UnboundBuffer;
}  // namespace transport

}  // namespace gloo
