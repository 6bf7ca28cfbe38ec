// Fast Griffin-Lim in passes over memory of its own: libtorch's transforms of short frames, and nothing
// allocated, padded or looked up between them. As operations of libtorch, whose inverse transform adds frames
// up number by number, a round took three times as long.

#include <algorithm>
#include <cmath>
#include <vector>

#include "Guard.hpp"

using lt::yields;

namespace {

/// Frames of a signal, N samples each at multiples of a hop, the first centred on its first sample.
struct Frames {
    int64_t count, length, hop;
    const float *window;

    int64_t samples() const { return (count - 1) * hop + 1; }
    int64_t padded() const { return samples() + length; }
};

/// What the squares of the windows add up to at each place, inverted; 0 where no window reaches.
std::vector<float> inverse_weights(const Frames &frames) {
    std::vector<float> weights(static_cast<size_t>(frames.padded()), 0);
    for (int64_t frame = 0; frame < frames.count; ++frame) {
        for (int64_t n = 0; n < frames.length; ++n) {
            weights[frame * frames.hop + n] += frames.window[n] * frames.window[n];
        }
    }
    for (float &weight : weights) {
        weight = weight > 1e-11f ? 1 / weight : 0;
    }
    return weights;
}

/// The signal that frames are nearest to, with half a frame before and after it.
void add_up(const Frames &frames, const float *values, const std::vector<float> &weights,
            std::vector<float> &signal) {
    std::fill(signal.begin(), signal.end(), 0.0f);
    for (int64_t frame = 0; frame < frames.count; ++frame) {
        float *place = signal.data() + frame * frames.hop;
        const float *from = values + frame * frames.length;
        for (int64_t n = 0; n < frames.length; ++n) {
            place[n] += from[n] * frames.window[n];
        }
    }
    for (size_t n = 0; n < signal.size(); ++n) {
        signal[n] *= weights[n];
    }
}

/// Replaces what is before and after the signal by its reflection.
void reflect(const Frames &frames, std::vector<float> &signal) {
    const int64_t half = frames.length / 2;
    float *first = signal.data() + half, *last = first + frames.samples() - 1;
    for (int64_t n = 1; n <= half; ++n) {
        first[-n] = first[n];
        last[n] = last[-n];
    }
}

void cut(const Frames &frames, const std::vector<float> &signal, float *values) {
    for (int64_t frame = 0; frame < frames.count; ++frame) {
        const float *from = signal.data() + frame * frames.hop;
        float *place = values + frame * frames.length;
        for (int64_t n = 0; n < frames.length; ++n) {
            place[n] = from[n] * frames.window[n];
        }
    }
}

/// to = magnitude · c / |c| with c = now + momentum · (now - before).
void project(const float *__restrict now, const float *__restrict before, float momentum,
             const float *__restrict magnitude, int64_t count, float *__restrict to) {
    for (int64_t i = 0; i < count; ++i) {
        float real = now[2 * i] + momentum * (now[2 * i] - before[2 * i]);
        float imaginary = now[2 * i + 1] + momentum * (now[2 * i + 1] - before[2 * i + 1]);
        float scale = magnitude[i] / (std::sqrt(real * real + imaginary * imaginary) + 1e-8f);
        to[2 * i] = scale * real;
        to[2 * i + 1] = scale * imaginary;
    }
}

}  // namespace

LTStatus LTGriffinLim(const LTTensor *magnitude, const LTTensor *start, const LTTensor *window,
                      int64_t hop_length, int64_t rounds, double momentum, LTTensor **out) {
    return yields(out, [&] {
        c10::NoGradGuard off;
        // Frames one after the other.
        auto wanted = magnitude->value.to(at::kFloat).t().contiguous();
        // A copy: rounds write to it.
        auto now = at::view_as_real(start->value.t().resolve_conj().clone(at::MemoryFormat::Contiguous));
        auto shape = window->value.to(at::kFloat).contiguous();
        Frames frames{wanted.size(0), shape.numel(), hop_length, shape.const_data_ptr<float>()};
        TORCH_CHECK(
            wanted.device().is_cpu() && now.scalar_type() == at::kFloat &&
                wanted.size(1) == frames.length / 2 + 1 && now.dim() == 3 &&
                now.size(0) == frames.count && now.size(1) == wanted.size(1),
            "magnitude ", magnitude->value.sizes(), " and start ", start->value.sizes(),
            " are not spectra of frames of ", frames.length, " samples");
        // Beyond the signal there must be one to be reflected.
        TORCH_CHECK(hop_length > 0 && frames.samples() > frames.length / 2, frames.count,
                    " frames at a hop of ", hop_length, " are less than half of one of ",
                    frames.length, " samples");
        const auto weights = inverse_weights(frames);
        std::vector<float> signal(static_cast<size_t>(frames.padded()));
        auto before = now.clone(), estimate = at::empty_like(now);
        auto values = at::empty({frames.count, frames.length}, at::kFloat);
        auto project_now = [&](int64_t round) {
            // What the first two start from has no round before it.
            auto amount = static_cast<float>(round < 2 ? 0 : momentum);
            project(now.const_data_ptr<float>(), before.const_data_ptr<float>(), amount,
                    wanted.const_data_ptr<float>(), wanted.numel(), estimate.data_ptr<float>());
            auto spectra = at::view_as_complex(estimate);
            at::fft_irfft_out(values, spectra, frames.length, 1);
            add_up(frames, values.const_data_ptr<float>(), weights, signal);
        };
        for (int64_t round = 0; round < rounds; ++round) {
            project_now(round);
            reflect(frames, signal);
            cut(frames, signal, values.data_ptr<float>());
            std::swap(now, before);
            auto spectra = at::view_as_complex(now);
            at::fft_rfft_out(spectra, values, frames.length, 1);
        }
        project_now(rounds);
        auto result = at::empty({frames.samples()}, at::kFloat);
        std::copy_n(signal.data() + frames.length / 2, frames.samples(), result.data_ptr<float>());
        return result;
    });
}
