import Foundation
import Media
import Torch

extension LogMelView {
    /// How a spectrogram is turned back into a signal.
    public struct Inversion: Sendable {
        /// Rounds of Griffin–Lim.
        public var iterationCount = 60
        /// Momentum of the fast variant; 0 is the original.
        public var momentum = 0.99
        /// Rounds of the non-negative solution from mel bands to frequencies.
        public var melIterationCount = 100

        /// Makes the defaults.
        public init() {}
    }

    /// A recording with about the given log-mel spectrogram.
    ///
    /// Lossy: phase is estimated, and what the mel bands merged stays merged.
    ///
    /// - Parameters:
    ///   - map: [1, M, T] in 0…1
    ///   - referenceLevel: what 1 means, in nats of power
    ///   - sampleCount: the length wanted; nil gives T - 1 hops
    ///   - phaseSource: a signal whose phase starts the search, such as the parent's
    ///   - inversion: how many rounds of what
    ///   - generator: the source of the starting phase where there is no signal
    /// - Returns: one channel at the view's rate
    /// - Throws: `TorchError` when the map has other than M bands
    ///
    /// Source: Griffin & Lim 1984; Perraudin, Balazs & Søndergaard, "A fast Griffin–Lim algorithm",
    /// WASPAA 2013 for the momentum; Lee & Seung 2001 for the multiplicative update that solves
    /// mel · S = M for S ≥ 0.
    public func audio(
        of map: FeatureMap, referenceLevel: Double, sampleCount: Int?, phaseSource: [Float]? = nil,
        inversion: Inversion = .init(), using generator: inout Generator
    ) throws -> Audio {
        let length = sampleCount ?? max(1, (map.width - 1) * hopLength)
        // Shorter ones cannot be reflected at their ends.
        let shortest = 1 + (fftLength / 2 + hopLength - 1) / hopLength
        if map.width < shortest {
            let silence = [Float](repeating: 0, count: shortest - map.width)
            let rows = (0..<map.height).map {
                map.values[$0 * map.width..<($0 + 1) * map.width] + silence
            }
            return try audio(
                of: FeatureMap(
                    channelCount: 1, height: map.height, width: shortest,
                    values: Array(rows.joined())),
                referenceLevel: referenceLevel, sampleCount: length, phaseSource: phaseSource,
                inversion: inversion, using: &generator)
        }
        let mel = try Tensor(map.values, shape: [melCount, map.width])
        // 0 means the floor or anything below it: the floor itself is taken off, so that silence
        // does not come back as noise.
        let floor = exp(referenceLevel - rangeNats)
        let power = try (((mel - 1) * rangeNats + referenceLevel).exp() - floor)
            .clamped(to: floor * 1e-4...Double(Float.greatestFiniteMagnitude))
        let magnitude = try frequencies(ofMelPower: power, rounds: inversion.melIterationCount)
            .squareRoot()  // [F, T]
        let start: Tensor
        if let phaseSource, frameCount(sampleCount: phaseSource.count) == map.width {
            start = try spectrum(phaseSource)
        } else {
            // The spectrum of noise has random phases that fit each other.
            let noise = generator.normals(max((map.width - 1) * hopLength, fftLength))
            start = try spectrum(noise).narrowed(axis: 1, start: 0, length: map.width)
        }
        var samples = try griffinLim(
            magnitude: magnitude, start: start, window: window(), hopLength: hopLength,
            roundCount: max(1, inversion.iterationCount), momentum: inversion.momentum
        ).floats()
        if samples.count < length {
            samples += [Float](repeating: 0, count: length - samples.count)
        }
        return Audio(
            sampleRate: sampleRate, channelCount: 1, samples: Array(samples.prefix(length)),
            encoding: "synthetic")
    }

    /// Non-negative power [F, T] whose mel bands are the given ones as nearly as can be.
    private func frequencies(ofMelPower mel: Tensor, rounds: Int) throws -> Tensor {
        let bank = try melBank()  // [M, F]
        let transposed = try bank.transposed(0, 1)
        let target = try transposed.matmul(mel)  // [F, T]
        // Each frequency starts at the weighted mean of its bands.
        let weights = try transposed.sum(axes: [1], keepingAxes: true) + 1e-10
        var power = try target / weights
        for _ in 0..<rounds {
            power = try power * (target / (transposed.matmul(bank.matmul(power)) + 1e-20))
        }
        return power
    }
}
