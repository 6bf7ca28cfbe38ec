import Foundation
import Media
import Torch

/// A recording as one row of samples for each channel; what is done to its time, its level and its
/// spectrum is in the files beside.
struct Signal {
    let sampleRate: Int
    /// All of one length.
    var channels: [[Float]]

    init(_ audio: Audio) {
        sampleRate = audio.sampleRate
        let count = audio.channelCount
        channels = (0..<count).map { channel in
            stride(from: channel, to: audio.samples.count, by: count).map { audio.samples[$0] }
        }
    }

    /// Samples of each channel.
    var length: Int { channels[0].count }

    /// The largest magnitude.
    var peak: Float { channels.joined().reduce(0) { max($0, abs($1)) } }

    /// The mean square over all channels.
    var power: Double {
        channels.joined().reduce(0) { $0 + Double($1) * Double($1) }
            / Double(max(1, length * channels.count))
    }

    /// The channels, sample by sample.
    func audio(encoding: String) -> Audio {
        var samples: [Float] = []
        samples.reserveCapacity(length * channels.count)
        for index in 0..<length {
            for channel in channels { samples.append(channel[index]) }
        }
        return Audio(
            sampleRate: sampleRate, channelCount: channels.count, samples: samples,
            encoding: encoding)
    }

    /// Applies a transform.
    ///
    /// - Returns: what was done; nothing for a transform of another kind
    /// - Throws: `MediaError` or ``LatentError`` for a file of noise that cannot be read right
    mutating func change(
        _ transform: Transform, noiseSources: [NoiseSource], recordings: NoiseRecordings,
        using generator: inout Generator
    ) throws -> [AppliedTransform] {
        let drawn = transform.draw(using: &generator)
        let values: [String: AppliedTransform.Value]
        switch transform.kind {
        case .gain:
            scale(by: Float(pow(10, drawn / 20)))
            values = ["gain_db": .number(drawn)]
        case .snr:
            values = try add(
                noise: noiseSources, from: recordings, ratio: drawn, using: &generator)
        case .timeShift:
            let offset = Int((drawn * Double(length)).rounded())
            shift(by: offset)
            values = ["shift_s": .number(seconds(offset))]
        case .timeStretch:
            let factor = Transform.rounded(1 + drawn)
            stretch(to: max(1, Int((Double(length) * factor).rounded())))
            values = ["factor": .number(factor)]
        case .pitchShift:
            try shiftPitch(semitones: drawn)
            values = ["semitones": .number(drawn)]
        case .timeMask:
            let count = Int((drawn * Double(length)).rounded())
            let start = Int(Double(generator.uniform()) * Double(length - count + 1))
            silence(start..<start + count)
            values = ["start_s": .number(seconds(start)), "length_s": .number(seconds(count))]
        case .frequencyMask:
            let band = band(share: drawn, using: &generator)
            try remove(band)
            values = ["low_hz": .number(band.lowerBound), "high_hz": .number(band.upperBound)]
        default:
            return []
        }
        return [AppliedTransform(transform.kind, values)]
    }

    private func seconds(_ samples: Int) -> Double {
        Transform.rounded(Double(samples) / Double(sampleRate))
    }

    /// Multiplies all samples.
    mutating func scale(by factor: Float) {
        for channel in channels.indices {
            for index in channels[channel].indices { channels[channel][index] *= factor }
        }
    }

    /// Samples over which sound begins or ends where it is cut: 5 ms, and no click.
    var fadeCount: Int { max(1, sampleRate / 200) }

    /// Fades a range in or out, in all channels: half a period of a cosine.
    ///
    /// - Parameters:
    ///   - range: within the signal
    ///   - isRising: from silence, or to it
    mutating func fade(_ range: Range<Int>, isRising: Bool) {
        for (place, index) in range.enumerated() {
            let share = (Double(place) + 0.5) / Double(range.count)
            let gain = Float(0.5 - 0.5 * cos(.pi * (isRising ? share : 1 - share)))
            for channel in channels.indices { channels[channel][index] *= gain }
        }
    }
}
