import Foundation
import Media
import Torch

/// Where noise comes from.
public enum NoiseSource: Sendable, Equatable {
    /// The same power at all frequencies.
    case white
    /// The same power in each octave.
    case pink
    /// A random part of one of these recordings.
    case files([String])
}

/// Noise in a recording.
extension Signal {
    /// Adds noise at a signal-to-noise ratio.
    ///
    /// Both powers are means over the whole recording and all channels: the ratio is met exactly. White
    /// and pink noise are independent in each channel; that of a file is its mean channel at the
    /// recording's rate, from a random place, again from its beginning where it ends.
    ///
    /// - Parameters:
    ///   - sources: of which one is drawn, and of files one
    ///   - recordings: by which files are read
    ///   - ratio: 10 · log10 of the power of the signal over that of the noise, in dB
    ///   - generator: the source of the draws
    /// - Returns: what was done; `silent` where signal or noise are, and nothing is added
    /// - Throws: `MediaError` or ``LatentError`` for a file that cannot be read right
    mutating func add(
        noise sources: [NoiseSource], from recordings: NoiseRecordings, ratio: Double,
        using generator: inout Generator
    ) throws -> [String: AppliedTransform.Value] {
        let chosen = Int(generator.next() % UInt64(max(1, sources.count)))
        var values: [String: AppliedTransform.Value] = ["snr_db": .number(ratio)]
        var noise = self
        switch sources.isEmpty ? .white : sources[chosen] {
        case .white:
            values["noise"] = .text("white")
            for channel in channels.indices {
                noise.channels[channel] = generator.normals(length)
            }
        case .pink:
            values["noise"] = .text("pink")
            for channel in channels.indices {
                noise.channels[channel] = Self.pinkNoise(length, using: &generator)
            }
        case .files(let paths):
            let path = paths[Int(generator.next() % UInt64(paths.count))]
            let (samples, start) = try part(
                of: recordings.samples(of: path, sampleRate: sampleRate), using: &generator)
            noise.channels = [[Float]](repeating: samples, count: channels.count)
            values["noise"] = .text(path)
            values["noise_start_s"] = .number(seconds: start)
        }
        let (wanted, found) = (power / pow(10, ratio / 10), noise.power)
        guard wanted > 0, found > 0 else {
            values["snr_db"] = nil
            values["silent"] = .flag(true)
            return values
        }
        let factor = Float((wanted / found).squareRoot())
        for channel in channels.indices {
            for index in channels[channel].indices {
                channels[channel][index] += factor * noise.channels[channel][index]
            }
        }
        return values
    }

    /// A part of a recording of the same rate as long as this, and where it begins, in seconds.
    private func part(
        of samples: [Float], using generator: inout Generator
    ) -> (samples: [Float], start: Double) {
        let room = max(1, samples.count - length + 1)
        let start = Int(Double(generator.uniform()) * Double(room))
        var part = Array(samples[start..<min(samples.count, start + length)])
        // Whole copies one after the other, the last one cut; a seam fades out and in.
        if part.count < length {
            var copy = Signal(
                Audio(
                    sampleRate: sampleRate, channelCount: 1, samples: part, encoding: "synthetic"))
            let fade = min(fadeCount, part.count / 2)
            copy.fade(0..<fade, isRising: true)
            copy.fade(part.count - fade..<part.count, isRising: false)
            let period = copy.channels[0]
            part = (0..<length).map { period[$0 % period.count] }
        }
        return (part, Double(start) / Double(sampleRate))
    }

    /// Noise whose power falls by 3 dB an octave.
    ///
    /// Source: Paul Kellet's filter of white noise (musicdsp.org, 1999), right to 0.05 dB above 9 Hz at
    /// 44.1 kHz, and likewise in shares of other rates.
    static func pinkNoise(_ count: Int, using generator: inout Generator) -> [Float] {
        let poles: [Float] = [0.99886, 0.99332, 0.969, 0.8665, 0.55, -0.7616]
        let gains: [Float] = [0.0555179, 0.0750759, 0.153852, 0.3104856, 0.5329522, -0.016898]
        // The slowest pole has forgotten its beginning after this.
        let lead = 8192
        let white = generator.normals(count + lead)
        var states = [Float](repeating: 0, count: poles.count)
        var delayed: Float = 0
        var result: [Float] = []
        result.reserveCapacity(count)
        for (index, value) in white.enumerated() {
            var sum = delayed + value * 0.5362
            for pole in poles.indices {
                states[pole] = poles[pole] * states[pole] + value * gains[pole]
                sum += states[pole]
            }
            delayed = value * 0.115926
            if index >= lead { result.append(sum) }
        }
        return result
    }
}

extension AppliedTransform.Value {
    fileprivate static func number(seconds: Double) -> Self { .number(Transform.rounded(seconds)) }
}
