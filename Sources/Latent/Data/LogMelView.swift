import Foundation
import Media
import Torch

/// Recordings as log-mel spectrograms [1, M, T], scaled to 0…1.
///
/// Power spectrum of Hann-windowed frames, centred on multiples of the hop with reflected ends; a
/// bank of M triangles of equal area on Slaney's mel scale; natural logarithm. The loudest value of
/// the clip becomes 1, `rangeNats` below it 0: the level of a clip does not count. Where level is kept,
/// `referenceNats` becomes 1 for all clips, and what is louder is more than 1.
///
/// Source: Davis & Mermelstein 1980 for mel bands; Slaney's Auditory Toolbox 1998 for the scale and
/// the area normalisation, as librosa's default.
public struct LogMelView: Codable, Sendable, Equatable {
    /// 10 / ln 10: levels of power in decibels are those in nats times this.
    public static let decibelsPerNat = 4.342_944_819

    /// Hz; recordings of another rate are resampled.
    public var sampleRate: Int
    /// Samples of a frame, N.
    public var fftLength: Int
    /// Samples from frame to frame.
    public var hopLength: Int
    /// Number of mel bands, M.
    public var melCount: Int
    /// What lies between 0 and 1, in nats of power: 4.34 dB each.
    public var rangeNats: Double

    /// The level that becomes 1, in nats of power, where level is kept; nil where it is removed.
    public var referenceNats: Double?

    /// Makes a view with frames of about 32 ms at half overlap.
    public init(sampleRate: Int, melCount: Int = 40, rangeNats: Double = 10) {
        self.sampleRate = sampleRate
        // A rate that is none is refused by ``validate()``.
        let target = max(1, Double(sampleRate) * 0.032)
        fftLength = 1 << Int(log2(target).rounded())
        hopLength = fftLength / 2
        self.melCount = melCount
        self.rangeNats = rangeNats
    }

    /// Checks what a file or a flag may have got wrong.
    public func validate() throws(LatentError) {
        guard (1_000...768_000).contains(sampleRate) else {
            throw LatentError(.usage, "a sample rate of \(sampleRate) Hz; expected 1000 to 768000")
        }
        guard (16...65_536).contains(fftLength), fftLength % 2 == 0 else {
            throw LatentError(.usage, "an FFT of \(fftLength); expected an even 16 to 65536")
        }
        guard (1...fftLength / 2).contains(hopLength) else {
            throw LatentError(
                .usage, "a hop of \(hopLength) samples; expected 1 to \(fftLength / 2)",
                hint: "frames must overlap by half, or the signal cannot be put together again")
        }
        guard (1...fftLength / 4).contains(melCount) else {
            throw LatentError(
                .usage,
                "\(melCount) mel bands from an FFT of \(fftLength); expected 1 to "
                    + "\(fftLength / 4)", hint: "use fewer --mels or a longer --fft")
        }
        guard rangeNats > 0, rangeNats < 100 else {
            throw LatentError(.usage, "a range of \(rangeNats) nats; expected 0 to 100")
        }
        guard abs(referenceNats ?? 0) < 1_000 else {
            throw LatentError(
                .usage, "a reference of \(referenceNats ?? 0) nats; expected -1000 to 1000")
        }
    }

    /// Frames of a signal of so many samples.
    public func frameCount(sampleCount: Int) -> Int {
        1 + max(sampleCount, fftLength / 2 + 1) / hopLength
    }

    /// The number of samples that a recording has at the view's rate.
    public func sampleCount(of frameCount: Int, at rate: Int) -> Int {
        rate == sampleRate
            ? frameCount
            : Resampler(from: rate, to: sampleRate).outputCount(frameCount)
    }

    /// Below the power of one step of 24 bits: silence.
    private static let powerFloor = 1e-12

    /// The signal at the view's rate, one channel.
    func signal(of audio: Audio) throws -> (samples: [Float], conversions: [String]) {
        var conversions: [String] = []
        var samples = audio.samples
        if audio.channelCount > 1 {
            samples = audio.mono()
            conversions.append("\(audio.channelCount) channels to their mean")
        }
        if audio.sampleRate != sampleRate {
            samples = try Resampler(from: audio.sampleRate, to: sampleRate).apply(samples)
            conversions.append("\(audio.sampleRate) Hz to \(sampleRate) Hz")
        }
        return (samples, conversions)
    }

    /// The features of a recording, and what was converted.
    public func features(of audio: Audio) throws -> (FeatureMap, SourceDescription) {
        try features(of: audio, signal: signal(of: audio))
    }

    /// The features of a recording whose signal is known.
    func features(
        of audio: Audio, signal: (samples: [Float], conversions: [String])
    ) throws -> (FeatureMap, SourceDescription) {
        let (logs, frames) = try logMel(signal.samples)
        let peak = logs.max() ?? 0
        var source = SourceDescription()
        source.channelCount = audio.channelCount
        source.sampleRate = audio.sampleRate
        source.frameCount = audio.frameCount
        source.referenceLevel = Double(peak)
        source.conversions = signal.conversions
        if audio.sampleRate < sampleRate {
            source.losses = [
                "at \(audio.sampleRate) Hz it has nothing above \(audio.sampleRate / 2) Hz, and the model "
                    + "reads up to \(sampleRate / 2) Hz: it may look anomalous by that alone"
            ]
        }
        // Silence has no level to be relative to: it is the floor everywhere.
        let isSilent = Double(peak) <= log(Self.powerFloor * 10)
        let reference = referenceNats.map { Float($0) } ?? peak
        let scale = Float(1 / rangeNats)
        let values = logs.map { isSilent ? 0 : max(0, 1 + ($0 - reference) * scale) }
        return (
            FeatureMap(channelCount: 1, height: melCount, width: frames, values: values), source
        )
    }

    /// ln of the mel power of a signal at the view's rate, [M, T], in nats.
    ///
    /// Long signals are taken in blocks of frames, so that memory is that of the result.
    public func logMel(_ samples: [Float]) throws -> (values: [Float], frameCount: Int) {
        let padded = centred(samples)
        let frames = (padded.count - fftLength) / hopLength + 1
        let bank = try melBank()
        let window = try window()
        let floor = try Tensor.full(Self.powerFloor, shape: [])
        var blocks: [(values: [Float], width: Int)] = []
        for start in stride(from: 0, to: frames, by: Self.blockFrameCount) {
            let count = min(Self.blockFrameCount, frames - start)
            let part = padded[start * hopLength..<(start + count - 1) * hopLength + fftLength]
            let spectrum = try shortTimeFourier(
                Tensor(Array(part), shape: [part.count]), fftLength: fftLength,
                hopLength: hopLength, window: window, isCentred: false)  // [F, count]
            let mel = try bank.matmul(spectrum.magnitude().squared())  // [M, count]
            blocks.append((try mel.maximum(floor).log().floats(), count))
        }
        guard blocks.count > 1 else { return (blocks.first?.values ?? [], frames) }
        var values: [Float] = []
        values.reserveCapacity(melCount * frames)
        for band in 0..<melCount {
            for block in blocks {
                values += block.values[band * block.width..<(band + 1) * block.width]
            }
        }
        return (values, frames)
    }

    private static let blockFrameCount = 8192

    /// The signal with half a frame of its reflection at both ends, so that frame t is centred on
    /// sample t · hop; silence where it is too short to reflect.
    private func centred(_ samples: [Float]) -> [Float] {
        let half = fftLength / 2
        let signal =
            samples.count > half
            ? samples : samples + [Float](repeating: 0, count: half + 1 - samples.count)
        let head = signal[1...half].reversed()
        let tail = signal[(signal.count - 1 - half)..<(signal.count - 1)].reversed()
        return head + signal + tail
    }

    /// The complex spectrum [F, T] of a signal, which is padded where it is too short to reflect.
    func spectrum(_ samples: [Float]) throws -> Tensor {
        var padded = samples
        if padded.count <= fftLength / 2 {
            padded += [Float](repeating: 0, count: fftLength / 2 + 1 - padded.count)
        }
        return try shortTimeFourier(
            Tensor(padded, shape: [padded.count]), fftLength: fftLength, hopLength: hopLength,
            window: window())
    }

    /// The periodic Hann window, [N].
    func window() throws -> Tensor {
        let values = (0..<fftLength).map {
            Float(0.5 - 0.5 * cos(2 * Double.pi * Double($0) / Double(fftLength)))
        }
        return try Tensor(values, shape: [fftLength])
    }

    /// The mel bank, [M, F].
    func melBank() throws -> Tensor {
        try Tensor(melWeights(), shape: [melCount, fftLength / 2 + 1])
    }

    /// Triangles between neighbouring mel frequencies, each of area 2 over its width in Hz.
    public func melWeights() -> [Float] {
        let top = Self.mel(Double(sampleRate) / 2)
        let edges = (0...melCount + 1).map { Self.hertz(top * Double($0) / Double(melCount + 1)) }
        let bins = fftLength / 2 + 1
        var weights = [Float](repeating: 0, count: melCount * bins)
        for band in 0..<melCount {
            let (low, centre, high) = (edges[band], edges[band + 1], edges[band + 2])
            for bin in 0..<bins {
                let frequency = Double(bin * sampleRate) / Double(fftLength)
                let rise = (frequency - low) / (centre - low)
                let fall = (high - frequency) / (high - centre)
                let weight = max(0, min(rise, fall)) * 2 / (high - low)
                weights[band * bins + bin] = Float(weight)
            }
        }
        return weights
    }

    /// Slaney's scale: linear below 1 kHz, logarithmic above.
    static func mel(_ hertz: Double) -> Double {
        hertz < 1000 ? hertz * 3 / 200 : 15 + log(hertz / 1000) * 27 / log(6.4)
    }

    static func hertz(_ mel: Double) -> Double {
        mel < 15 ? mel * 200 / 3 : 1000 * exp((mel - 15) * log(6.4) / 27)
    }
}
