import Media

/// What there is to know of one readable file before anything is trained.
public struct CheckedFile: Sendable {
    /// What training would see of it.
    public let surveyed: SurveyedItem
    /// SHA-256 of the file.
    public let hash: ContentHash
    /// Size of the file.
    public let byteCount: Int
    /// Channels, of an image with alpha.
    public let channelCount: Int
    /// Whether all pixels have one colour, or all samples are one to a step of 16 bits.
    public let isUniform: Bool

    /// What may be wrong with a file.
    public enum Problem: String, Sendable, CaseIterable {
        /// It cannot be decoded.
        case unreadable
        /// A recording of less than one frame of a spectrogram.
        case short
        /// An image with a side that is below what any network reads.
        case small
        /// A recording without sound.
        case silent
        /// An image of one colour.
        case constant
        /// The same bytes as a file before it.
        case duplicate
    }

    /// Shorter recordings, in seconds, are less than one frame at the usual setting.
    static let shortestSeconds = 0.032
    /// The shortest side of a window.
    static let smallestSide = 8
    /// Samples that differ by less are silence: one step of 16 bits.
    static let silence: Float = 1 / 32_768

    /// Whether it is a recording.
    public var isRecording: Bool { surveyed.sampleRate > 0 }

    /// Length of a recording; 0 of an image.
    public var seconds: Double {
        isRecording ? Double(surveyed.width) / Double(surveyed.sampleRate) : 0
    }

    /// What is odd about its content; the first where several things are.
    public var problem: Problem? {
        if isRecording {
            return seconds < Self.shortestSeconds ? .short : isUniform ? .silent : nil
        }
        if min(surveyed.height, surveyed.width) < Self.smallestSide { return .small }
        return isUniform ? .constant : nil
    }

    /// What is wrong and what to do, for people; nil of a file without problem.
    public var message: String? {
        switch problem {
        case .short:
            "\(surveyed.width) samples at \(surveyed.sampleRate) Hz, expected \(Self.shortestSeconds) s "
                + "or more; leave it out, as nearly all of it would be padding"
        case .small:
            "\(surveyed.height)×\(surveyed.width) pixels, expected sides of \(Self.smallestSide) or "
                + "more; leave it out, or give it larger"
        case .silent: "has no sound; leave it out, unless silence is normal"
        case .constant: "all pixels have one colour; leave it out, unless that is normal"
        case .unreadable, .duplicate, nil: nil
        }
    }

    /// Reads a file, as its first bytes say what it is.
    ///
    /// - Parameters:
    ///   - item: the file
    ///   - domain: what it must be; nil goes by its name, or else its first bytes
    ///   - gate: shared by threads that read at the same time
    /// - Throws: `MediaError` for a file that cannot be read right
    init(_ item: Item, domain: Domain?, gate: LargeFileGate) throws {
        let bytes = try FileBytes.read(item.path)
        self = try gate.run(bytes) {
            let hash = ContentHash(of: bytes)
            let domain =
                domain ?? Domain(path: item.path)
                ?? (MediaKind.sniff(bytes) == .audio ? .audio : .image)
            switch domain {
            case .image:
                let image = try Image(pngData: bytes, path: item.path)
                return CheckedFile(
                    surveyed: SurveyedItem(item, contentWord: hash.word, image: image), hash: hash,
                    byteCount: bytes.count, channelCount: image.channelCount,
                    isUniform: image.isUniform)
            case .audio:
                let audio = try Audio(recording: bytes, path: item.path)
                return CheckedFile(
                    surveyed: SurveyedItem(item, contentWord: hash.word, audio: audio), hash: hash,
                    byteCount: bytes.count, channelCount: audio.channelCount,
                    isUniform: audio.isUniform)
            }
        }
    }

    private init(
        surveyed: SurveyedItem, hash: ContentHash, byteCount: Int, channelCount: Int,
        isUniform: Bool
    ) {
        self.surveyed = surveyed
        self.hash = hash
        self.byteCount = byteCount
        self.channelCount = channelCount
        self.isUniform = isUniform
    }
}

extension Image {
    /// Whether all pixels have one colour; ends at the first that differs.
    fileprivate var isUniform: Bool {
        samples.withUnsafeBufferPointer { codes in
            !(channelCount..<max(channelCount, codes.count)).contains {
                codes[$0] != codes[$0 - channelCount]
            }
        }
    }
}

extension Audio {
    /// Whether all samples are one, to a step of 16 bits; ends at the first that differs.
    fileprivate var isUniform: Bool {
        samples.withUnsafeBufferPointer { values in
            var (low, high) = (values.first ?? 0, values.first ?? 0)
            for value in values {
                low = min(low, value)
                high = max(high, value)
                if high - low >= CheckedFile.silence { return false }
            }
            return true
        }
    }
}
