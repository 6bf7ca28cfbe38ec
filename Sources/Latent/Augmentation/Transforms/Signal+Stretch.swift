import Foundation

/// Another duration at the same pitch.
extension Signal {
    /// Makes the sound last so many samples, with its pitch as it is.
    ///
    /// Windows of 25 ms of the sound are laid over each other at half overlap, each taken from where, up
    /// to 10 ms away, the sound goes on most like it did behind the window before. All channels are cut at
    /// the same places. The end is faded.
    ///
    /// Source: Verhelst & Roelands, "An overlap-add technique based on waveform similarity (WSOLA)",
    /// ICASSP 1993. Differs: the place is looked for at about 8 kHz first, then around the best one at the
    /// full rate.
    ///
    /// - Complexity: about 3 million multiplications for a second of the result, whatever the rate up
    ///   to 48 kHz
    mutating func stretch(to count: Int) {
        guard count != length else { return }
        let hop = max(4, sampleRate / 80)
        let speed = Double(length) / Double(count)
        var search = SimilaritySearch(self, hop: hop, speed: speed)
        let window = (0..<2 * hop).map {
            Float(0.5 - 0.5 * cos(.pi * Double($0) / Double(hop)))
        }
        var result = [[Float]](
            repeating: [Float](repeating: 0, count: count), count: channels.count)
        let sourceLength = length
        for frame in 0...(count + hop - 1) / hop {
            let centre = search.next(near: Int((Double(frame * hop) * speed).rounded()))
            for channel in channels.indices {
                for place in 0..<2 * hop {
                    let (from, to) = (centre + place - hop, frame * hop + place - hop)
                    guard from >= 0, from < sourceLength, to >= 0, to < count else { continue }
                    result[channel][to] += window[place] * channels[channel][from]
                }
            }
        }
        channels = result
        fade(count - min(fadeCount, count / 2)..<count, isRising: false)
    }
}

/// Finds where a sound goes on as it did.
private struct SimilaritySearch {
    private let hop: Int
    private let range: Int
    /// Samples of the full rate that are one of the coarse one.
    private let step: Int
    /// Silence before the first sample, so that nothing is read outside.
    private let margin: Int
    /// The mean of all channels.
    private let full: [Float]
    private let coarse: [Float]
    private var previous: Int?

    init(_ signal: Signal, hop: Int, speed: Double) {
        self.hop = hop
        range = max(2, signal.sampleRate / 100)
        step = max(1, signal.sampleRate / 8000)
        // Far enough for the last window, which may begin behind the end.
        let reach = Int(Double(2 * hop) * max(1, speed)) + 3 * hop + 2 * range
        margin = (reach / step + 2) * step
        let scale = 1 / Float(signal.channels.count)
        var mean = [Float](repeating: 0, count: signal.length)
        for channel in signal.channels {
            for index in mean.indices { mean[index] += channel[index] * scale }
        }
        let silence = [Float](repeating: 0, count: margin)
        full = silence + mean + silence
        coarse = stride(from: 0, to: full.count - step + 1, by: step).map { [full, step] start in
            full[start..<start + step].reduce(0, +) / Float(step)
        }
    }

    /// The middle of the next window.
    mutating func next(near nominal: Int) -> Int {
        guard let previous else {
            self.previous = 0
            return 0
        }
        let wanted = previous + hop
        var best = nominal
        if step > 1 {
            best +=
                step
                * offset(
                    of: coarse, like: (wanted + margin) / step, near: (nominal + margin) / step,
                    half: max(1, hop / step), range: range / step)
            best += offset(
                of: full, like: wanted + margin, near: best + margin, half: hop, range: step)
        } else {
            best += offset(
                of: full, like: wanted + margin, near: nominal + margin, half: hop, range: range)
        }
        self.previous = best
        return best
    }

    /// The offset, of the range to either side, at which the correlation with the wanted part is largest
    /// for its power; the smallest where several are.
    private func offset(
        of samples: [Float], like wanted: Int, near nominal: Int, half: Int, range: Int
    ) -> Int {
        samples.withUnsafeBufferPointer { samples in
            func similarity(_ centre: Int) -> Float {
                var (product, power): (Float, Float) = (0, 0)
                for place in -half..<half {
                    let value = samples[centre + place]
                    product += value * samples[wanted + place]
                    power += value * value
                }
                return power > 0 ? product / power.squareRoot() : 0
            }
            var best = 0
            var largest = similarity(nominal)
            for distance in stride(from: 1, through: range, by: 1) {
                for offset in [-distance, distance] {
                    let value = similarity(nominal + offset)
                    if value > largest { (best, largest) = (offset, value) }
                }
            }
            return best
        }
    }
}
