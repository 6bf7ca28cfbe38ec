import Foundation
import Torch

/// What is done to the spectrum of a recording.
extension Signal {
    /// A band of a share of the mel scale up to half the sample rate, at a random place, in Hz.
    func band(share: Double, using generator: inout Generator) -> ClosedRange<Double> {
        let top = LogMelView.mel(Double(sampleRate) / 2)
        let low = Double(generator.uniform()) * (1 - share) * top
        let edges = [low, low + share * top].map { Transform.rounded(LogMelView.hertz($0)) }
        return edges[0]...max(edges[0], edges[1])
    }

    /// Removes a band of frequencies.
    ///
    /// Frequencies of the short-time Fourier transform that lie in it become 0: Hann windows of about
    /// 32 ms at a hop of a quarter, so that the edges are about 60 Hz wide.
    ///
    /// - Throws: `TorchError` when memory runs out
    mutating func remove(_ band: ClosedRange<Double>) throws {
        let fftLength = 1 << max(4, Int(log2(Double(sampleRate) * 0.032).rounded()))
        let hop = fftLength / 4
        let kept = (0...fftLength / 2).map { bin -> Float in
            let frequency = Double(bin * sampleRate) / Double(fftLength)
            return frequency >= band.lowerBound && frequency < band.upperBound ? 0 : 1
        }
        guard kept.contains(0) else { return }
        let mask = try Tensor(kept, shape: [kept.count, 1])
        let window = try Tensor(
            (0..<fftLength).map {
                Float(0.5 - 0.5 * cos(2 * .pi * Double($0) / Double(fftLength)))
            }, shape: [fftLength])
        // A sample depends on the two windows around it alone, so that long recordings are done in blocks,
        // and each reads a little more on both sides than it gives.
        let (blockLength, margin) = (hop << 12, 2 * fftLength)
        let count = length
        for channel in channels.indices {
            var result: [Float] = []
            result.reserveCapacity(count)
            for start in stride(from: 0, to: count, by: blockLength) {
                let end = min(count, start + blockLength)
                let read = max(0, start - margin)..<min(count, end + margin)
                var part = Array(channels[channel][read])
                // What is shorter than a window cannot be reflected at its ends.
                part += [Float](repeating: 0, count: max(0, fftLength - part.count))
                let spectrum = try shortTimeFourier(
                    Tensor(part, shape: [part.count]), fftLength: fftLength, hopLength: hop,
                    window: window)
                let filtered = try inverseShortTimeFourier(
                    spectrum * mask, fftLength: fftLength, hopLength: hop, window: window,
                    length: part.count
                ).floats()
                result += filtered[(start - read.lowerBound)..<(end - read.lowerBound)]
            }
            channels[channel] = result
        }
    }
}
