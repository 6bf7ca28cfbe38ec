#pragma once

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdint>

namespace lt::products {

/// The team of threads that libtorch computes with: GNU OpenMP's, found by name.
///
/// `at::parallel_for` is made of pragmas, which are comments to a compiler without `-fopenmp`, and with it
/// clang would bring a second runtime with threads of its own.
struct Team {
    using Work = void (*)(void *);
    void (*parallel)(Work, void *, unsigned, unsigned);
    int (*place)();
    int (*size)();

    static const Team &shared() {
        static const Team team = {
            reinterpret_cast<decltype(parallel)>(dlsym(RTLD_DEFAULT, "GOMP_parallel")),
            reinterpret_cast<decltype(place)>(dlsym(RTLD_DEFAULT, "omp_get_thread_num")),
            reinterpret_cast<decltype(size)>(dlsym(RTLD_DEFAULT, "omp_get_num_threads")),
        };
        return team;
    }

    bool exists() const { return parallel && place && size; }
};

/// Calls `body` with parts of 0 ..< count, by all threads of an operation; by one where there is no team.
template <typename Body>
void in_parallel(int64_t count, const Body &body) {
    const Team &team = Team::shared();
    int64_t threads = std::min<int64_t>(at::get_num_threads(), count);
    if (threads <= 1 || at::in_parallel_region() || !team.exists()) {
        body(0, count);
        return;
    }
    struct Job {
        const Body &body;
        const Team &team;
        int64_t count;
    } job{body, team, count};
    team.parallel(
        [](void *data) {
            const Job &job = *static_cast<const Job *>(data);
            int64_t place = job.team.place(), size = job.team.size();
            int64_t begin = job.count * place / size, end = job.count * (place + 1) / size;
            if (begin < end) {
                job.body(begin, end);
            }
        },
        &job, static_cast<unsigned>(threads), 0);
}

}  // namespace lt::products
