/// What a sound file may ask for before it is refused.
public struct AudioLimits: Sendable {
    /// The largest decoded size, in bytes, at four bytes per sample: two hours and 20 minutes of mono at
    /// 16 kHz, or 25 minutes of stereo at 44.1 kHz.
    public var maximumByteCount = 512 << 20
    /// The sample rates that are believed, in Hz.
    public var sampleRates = 1_000...768_000
    /// The largest number of channels.
    public var maximumChannelCount = 64

    /// Creates the limits that suit most machines.
    public init() {}
}

/// Sound as samples in time.
public struct Audio: Sendable, Equatable {
    /// Frames per second, in Hz.
    public let sampleRate: Int
    /// Samples per frame: 1 for mono, 2 for stereo.
    public let channelCount: Int
    /// The samples, interleaved `[T, C]`; full scale is ±1, which float files may exceed.
    public let samples: [Float]
    /// What the file said about its format, such as `WAV, signed 16-bit PCM`.
    public let encoding: String

    /// The number of frames `T`, one sample per channel each.
    public var frameCount: Int { samples.count / channelCount }

    /// Creates audio from its samples.
    ///
    /// It is a programmer's mistake to give a sample rate or channel count below 1, more than 1024
    /// channels, or a number of samples that is no whole number of frames.
    public init(sampleRate: Int, channelCount: Int, samples: [Float], encoding: String) {
        precondition((1...Int(Int32.max)).contains(sampleRate), "sample rate \(sampleRate) Hz")
        precondition((1...1024).contains(channelCount), "\(channelCount) channels")
        precondition(
            samples.count % channelCount == 0,
            "\(samples.count) samples are no whole number of \(channelCount)-channel frames")
        self.sampleRate = sampleRate
        self.channelCount = channelCount
        self.samples = samples
        self.encoding = encoding
    }

    /// Returns the mean of all channels, one sample per frame.
    ///
    /// - Returns: `[T]`; of mono audio, the samples themselves
    public func mono() -> [Float] {
        if channelCount == 1 { return samples }
        let scale = Float(channelCount)
        return [Float](unsafeUninitializedCapacity: frameCount) { out, count in
            for frame in 0..<frameCount {
                var sum: Float = 0
                for channel in 0..<channelCount { sum += samples[frame * channelCount + channel] }
                out[frame] = sum / scale
            }
            count = frameCount
        }
    }
}
