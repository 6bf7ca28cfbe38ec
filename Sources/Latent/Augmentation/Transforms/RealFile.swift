import Media

/// The content of a file, decoded whole and at its own size.
enum DecodedFile: Sendable {
    case image(Image)
    case recording(Audio)
}

/// A real file as it is, which new ones are made of without encoding it.
struct RealFile: Sendable {
    let content: DecodedFile
    let hash: ContentHash

    /// Reads a file.
    ///
    /// - Throws: `MediaError` or ``LatentError`` for a file that cannot be read right
    init(path: String, reading: ParentReading, gate: LargeFileGate) throws {
        let bytes = try FileBytes.read(path)
        hash = ContentHash(of: bytes)
        content = try gate.run(bytes) { try reading.decode(bytes, path: path) }
    }

    /// Memory of the content.
    var byteCount: Int {
        switch content {
        case .image(let image): image.samples.count * 2
        case .recording(let audio): audio.samples.count * 4
        }
    }
}

/// What is read of a parent.
enum ParentReading: Sendable {
    /// What a model sees of it.
    case windows(Preprocessing)
    /// All of it, to be transformed.
    case whole(Domain)
    /// All of it, to be deformed as the map that a model would see.
    case deformed(Preprocessing)

    var domain: Domain {
        switch self {
        case .windows(let preprocessing), .deformed(let preprocessing): preprocessing.domain
        case .whole(let domain): domain
        }
    }

    /// Decodes a file to see whether it can be.
    func check(_ bytes: [UInt8], path: String) throws {
        switch self {
        case .windows(let preprocessing): _ = try preprocessing.features(of: bytes, path: path)
        case .whole, .deformed: _ = try decode(bytes, path: path)
        }
    }

    /// Decodes a file whole.
    fileprivate func decode(_ bytes: [UInt8], path: String) throws -> DecodedFile {
        switch domain {
        case .image:
            let image = try Image(pngData: bytes, path: path)
            if case .deformed(let preprocessing) = self {
                try preprocessing.checkSize(
                    height: image.height, width: image.width, path: path)
            }
            return .image(image)
        case .audio:
            return .recording(try Audio(recording: bytes, path: path))
        }
    }
}

extension WAVEncoding {
    /// The encoding that keeps what was decoded of a recording, which was encoded as libsndfile says: at most 24 bits
    /// of a sample, also of integers of 32 and floats of 64.
    init(keeping description: String) {
        let deep = ["24-bit", "32-bit", "64-bit", "float"]
        self = deep.contains { description.contains($0) } ? .float32 : .pcm16
    }
}
