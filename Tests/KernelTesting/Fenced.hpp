#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace lt::products {

/// An array that ends where memory does, after numbers that are none: what reads or writes beyond it ends the
/// program, and what reads before it shows.
template <typename Element>
class Fenced {
  public:
    explicit Fenced(size_t count) : count(count) {
        const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        size = (count * sizeof(Element) + page - 1) / page * page + 2 * page;
        void *found = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (found == MAP_FAILED || mprotect(static_cast<char *>(found) + size - page, page, PROT_NONE)) {
            std::abort();
        }
        memory = static_cast<char *>(found);
        std::fill_n(memory, size - page, static_cast<char>(0xff));
        first = reinterpret_cast<Element *>(memory + size - page) - count;
        std::fill_n(first, count, Element(0));
    }
    ~Fenced() { munmap(memory, size); }
    Fenced(const Fenced &) = delete;
    Fenced &operator=(const Fenced &) = delete;

    Element *data() { return first; }
    const Element *data() const { return first; }
    Element &operator[](size_t i) { return first[i]; }
    const size_t count;

  private:
    char *memory;
    size_t size;
    Element *first;
};

}  // namespace lt::products
