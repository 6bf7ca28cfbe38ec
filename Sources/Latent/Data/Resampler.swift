import Foundation
import Torch

/// Changes the rate of a signal with a windowed sinc, as one strided correlation.
///
/// The cut-off lies at 0.99 of the lower Nyquist frequency, the kernel reaches 6 zero crossings, the
/// window is a squared cosine. Rates whose ratio needs large numbers are replaced by the last
/// fraction of numbers up to 1000 on the way there, which is off by less than a part in 1000, and by
/// far less unless the rates nearly divide each other.
///
/// Source: J. O. Smith, "Digital audio resampling", and the polyphase form of torchaudio's
/// `resample`.
struct Resampler {
    private let from: Int
    private let to: Int
    private static let zeroCrossings = 6.0
    private static let rolloff = 0.99

    init(from: Int, to: Int) {
        (self.from, self.to) = Self.ratio(from, to, limit: 1000)
    }

    /// The best approximation of a ratio by numbers up to a limit (continued fractions).
    static func ratio(_ numerator: Int, _ denominator: Int, limit: Int) -> (Int, Int) {
        var (a, b) = (numerator, denominator)
        var (p0, q0, p1, q1) = (0, 1, 1, 0)
        while b != 0 {
            let quotient = a / b
            let (p, q) = (quotient * p1 + p0, quotient * q1 + q0)
            if max(p, q) > limit, p1 > 0, q1 > 0 { break }
            (p0, q0, p1, q1) = (p1, q1, p, q)
            (a, b) = (b, a % b)
        }
        return (p1, q1)
    }

    /// Samples that come out for so many that go in.
    func outputCount(_ count: Int) -> Int { (count * to + from - 1) / from }

    /// The signal at the new rate.
    func apply(_ samples: [Float]) throws -> [Float] {
        guard from != to, !samples.isEmpty else { return samples }
        let base = Double(min(from, to)) * Self.rolloff
        let width = Int((Self.zeroCrossings * Double(from) / base).rounded(.up))
        let length = 2 * width + from
        // One filter for each output phase: [to, 1, length].
        var kernel: [Float] = []
        kernel.reserveCapacity(to * length)
        for phase in 0..<to {
            for tap in 0..<length {
                let position = Double(tap - width) / Double(from) - Double(phase) / Double(to)
                let time = min(max(position * base, -Self.zeroCrossings), Self.zeroCrossings)
                let window = pow(cos(time * .pi / Self.zeroCrossings / 2), 2)
                let sinc = time == 0 ? 1 : sin(time * .pi) / (time * .pi)
                kernel.append(Float(sinc * window * base / Double(from)))
            }
        }
        let x = try Tensor(samples, shape: [1, 1, samples.count])
            .padded([width, width + from], value: 0)
        let y = try conv1d(x, weight: Tensor(kernel, shape: [to, 1, length]), stride: from)
        // [1, to, S] → the phases interleaved
        let interleaved = try y.transposed(1, 2).reshaped([-1]).floats()
        return Array(interleaved.prefix(outputCount(samples.count)))
    }
}
