// The tiles of the processor beside those in plain C++ and beside AVX-512, on layers of many sizes.
// Tools/amx.sh runs this in an emulator, as the first and only process there.

#include <sys/reboot.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "KernelTesting.h"

namespace {

uint64_t state = 1;

/// 0 ..< limit.
int chosen(int limit) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<int>((state >> 33) % static_cast<uint64_t>(limit));
}

/// Numbers that bfloat16 holds exactly, of sizes 0.004 to 8.
std::vector<float> numbers(size_t count) {
    std::vector<float> numbers(count);
    for (auto &number : numbers) {
        number = std::ldexp(static_cast<float>(chosen(257) - 128), chosen(6) - 9);
    }
    return numbers;
}

struct Outcome {
    std::vector<float> y, half, to_x, to_weight;
};

Outcome run(int32_t units, const LTKLayer &layer, const std::vector<float> &x,
            const std::vector<float> &weight, const std::vector<float> &bias,
            const std::vector<float> &slope) {
    Outcome found{std::vector<float>(slope.size()), std::vector<float>(slope.size()),
                  std::vector<float>(x.size()), std::vector<float>(weight.size())};
    LTKForward(units, layer, x.data(), weight.data(), bias.data(), false, false, found.y.data());
    LTKForward(units, layer, x.data(), weight.data(), bias.data(), true, true, found.half.data());
    LTKBackward(units, layer, x.data(), weight.data(), slope.data(), found.to_x.data(),
                found.to_weight.data());
    return found;
}

/// To the bit, but that no number is as good as another that is none.
bool equal(const std::vector<float> &a, const std::vector<float> &b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float p, float q) {
        return (std::isnan(p) && std::isnan(q)) || std::memcmp(&p, &q, 4) == 0;
    });
}

/// The largest |a - b| / (|b| + 1), infinite where only one is a number.
double distance(const std::vector<float> &a, const std::vector<float> &b) {
    double most = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        if (std::isfinite(a[i]) != std::isfinite(b[i])) {
            return INFINITY;
        }
        if (std::isfinite(b[i])) {
            most = std::max(most, std::fabs(static_cast<double>(a[i]) - b[i]) / (std::fabs(b[i]) + 1.0));
        }
    }
    return most;
}

bool check(int problems) {
    std::printf("amx: AVX-512 BF16 %s, tiles %s\n", LTKHas(LTKVectors) ? "yes" : "no",
                LTKHas(LTKTiles) ? "yes" : "no");
    if (!LTKHas(LTKVectors) || !LTKHas(LTKTiles)) {
        return false;
    }
    int same = 0, compared = 0;
    double most = 0, most_half = 0;
    for (int problem = 0; problem < problems; ++problem) {
        LTKLayer layer{1 + chosen(70), 1 + chosen(80), 1 + chosen(80), 1, 1, 1, 1, 0, false};
        if (problem % 3 == 1) {
            layer = {1 + chosen(40), 1 + chosen(40), 1 + chosen(40), 2 + 2 * chosen(2),
                     2 + 2 * chosen(3), 4, 2, 1, problem % 2 == 0};
        } else if (problem % 3 == 2) {
            layer = {1 + chosen(40), 1 + chosen(40), 1 + chosen(40), 1 + chosen(4), 1 + chosen(4),
                     3, 1, 1, false};
        }
        const auto count = [](int a, int b, int c, int d) {
            return static_cast<size_t>(a) * b * c * d;
        };
        auto x = numbers(count(layer.items, layer.inputs, layer.height, layer.width));
        const auto weight = numbers(count(layer.inputs, layer.outputs, layer.kernel, layer.kernel));
        const auto bias = numbers(layer.outputs);
        auto slope = numbers(count(layer.items, layer.outputs, LTKOutputHeight(layer),
                                   LTKOutputWidth(layer)));
        if (problem % 5 == 4) {
            x[chosen(static_cast<int>(x.size()))] = problem % 2 ? NAN : INFINITY;
            slope[chosen(static_cast<int>(slope.size()))] = problem % 2 ? -INFINITY : NAN;
        }
        const auto found = run(LTKTiles, layer, x, weight, bias, slope);
        const auto plain = run(LTKEmulatedTiles, layer, x, weight, bias, slope);
        const auto vectors = run(LTKVectors, layer, x, weight, bias, slope);
        const bool is_same = equal(found.y, plain.y) && equal(found.half, plain.half) &&
                             equal(found.to_x, plain.to_x) && equal(found.to_weight, plain.to_weight);
        // Of one item, AVX-512 here has vdpbf16ps of memory, whose address Bochs 3.0 mistakes: it takes
        // displacements of 8 bits times 4 in place of 64. Processors do not, as TileTests shows.
        const bool is_compared = layer.items > 1;
        const double apart =
            is_compared ? std::max({distance(found.y, vectors.y), distance(found.to_x, vectors.to_x),
                                    distance(found.to_weight, vectors.to_weight)})
                        : 0;
        same += is_same;
        compared += is_compared;
        most = std::max(most, apart);
        most_half = std::max(most_half, is_compared ? distance(found.half, vectors.half) : 0);
        if (!is_same || !(apart < 1e-4)) {
            std::printf("amx: problem %d: %d of %dx%dx%d to %d, kernel %d%s: %s, %.2g from AVX-512\n",
                        problem, layer.items, layer.inputs, layer.height, layer.width, layer.outputs,
                        layer.kernel, layer.isTransposed ? ", transposed" : "",
                        is_same ? "same as in C++" : "not as in C++", apart);
        }
    }
    std::printf("amx: %d of %d layers, outputs and gradients, are to the bit what plain C++ has; %d of them "
                "are at most %.2g (float32) and %.2g (bfloat16) from AVX-512\n",
                same, problems, compared, most, most_half);
    return same == problems && most < 1e-4 && most_half < 1.0 / 128;
}

}  // namespace

int main() {
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    const bool is_right = check(120);
    std::printf("amx: %s\n", is_right ? "all well" : "FAILED");
    std::fflush(stdout);
    if (getpid() == 1) {
        sleep(1);  // for the serial line
        reboot(RB_POWER_OFF);
    }
    return is_right ? 0 : 1;
}
