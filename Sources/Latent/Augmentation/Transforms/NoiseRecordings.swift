import Media
import Synchronization

/// Recordings of noise as they are mixed in, kept in memory while they fit, as each new file takes a part of one.
final class NoiseRecordings: Sendable {
    private struct Key: Hashable {
        let path: String
        let sampleRate: Int
    }

    private let kept = Mutex<[Key: [Float]]>([:])
    private let gate = LargeFileGate()

    /// Samples that are kept: 64 MB.
    private static let sampleLimit = 16 << 20

    /// The mean channel of a recording at a sample rate.
    ///
    /// - Throws: `MediaError` for a file that cannot be read right
    func samples(of path: String, sampleRate: Int) throws -> [Float] {
        let key = Key(path: path, sampleRate: sampleRate)
        if let known = kept.withLock({ $0[key] }) { return known }
        let bytes = try FileBytes.read(path)
        let samples = try gate.run(bytes) {
            let audio = try Audio(recording: bytes, path: path)
            return try Resampler(from: audio.sampleRate, to: sampleRate).apply(audio.mono())
        }
        kept.withLock { kept in
            let count = kept.values.reduce(0) { $0 + $1.count }
            if count + samples.count > Self.sampleLimit { kept = [:] }
            if samples.count <= Self.sampleLimit { kept[key] = samples }
        }
        return samples
    }
}
