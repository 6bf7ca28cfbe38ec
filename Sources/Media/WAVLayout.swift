/// Where the samples of a WAV file are, and whether they are all there.
///
/// libsndfile reads what it finds and does not say that a file was cut off, so the chunks are
/// walked here first.
struct WAVLayout {
    /// Whether the size in the file's first bytes exceeds the file.
    let isShorterThanDeclared: Bool

    /// The true size of the sound, to be read in place of what the file says at `offset`.
    ///
    /// Set for a streaming program's file, since libsndfile knows only some of their habits.
    private(set) var correction: (offset: Int, bytes: [UInt8])?

    /// Returns the layout, or `nil` when the bytes are not RIFF, RIFX or RF64 WAVE.
    ///
    /// - Throws: ``MediaError`` with code `.empty` when there is no byte of sound, `.truncated`
    ///   when the data chunk declares more than the file has
    init?(_ bytes: [UInt8]) throws(MediaError) {
        guard !bytes.isEmpty else { throw MediaError(.empty, "the file is empty, 0 bytes") }
        let reader = ChunkReader(bytes: bytes)
        guard bytes.count >= 12, reader.name(at: 8) == "WAVE",
            ["RIFF", "RIFX", "RF64"].contains(reader.name(at: 0))
        else { return nil }
        let total = reader.size(at: 4)
        isShorterThanDeclared = total + 8 > bytes.count && !Self.isStreaming(total)

        var longDataSize: Int?
        var offset = 12
        while offset + 8 <= bytes.count, let name = reader.name(at: offset) {
            let size = reader.size(at: offset + 4)
            if name == "ds64", offset + 24 <= bytes.count {
                longDataSize = reader.longSize(at: offset + 16)
            }
            if name == "data" {
                let declared = Int(UInt32.max) == size ? longDataSize ?? size : size
                try Self.checkData(declared, start: offset + 8, reader)
                if Self.isStreaming(declared), longDataSize == nil {
                    let present = UInt32(clamping: bytes.count - offset - 8)
                    correction = (offset + 4, reader.field(present))
                }
                return
            }
            offset += 8 + size + size % 2
        }
    }

    private static func checkData(
        _ declared: Int, start: Int, _ reader: ChunkReader
    ) throws(MediaError) {
        let present = reader.bytes.count - start
        // Zero is both what a streaming program leaves behind and what an empty recording has; the
        // latter is followed by nothing or by further chunks.
        if declared == 0, present == 0 || reader.chunksFill(from: start) {
            throw MediaError(.empty, "there are no samples in the file: its data chunk is empty")
        }
        // A few bytes less are a matter of padding, not of a cut.
        guard declared - present > 3, !isStreaming(declared) else { return }
        throw MediaError(
            .truncated,
            "the data chunk declares \(declared) bytes of sound, but the file has "
                + "\(present)", hint: "copy or download the file again")
    }

    /// Whether a size is one that programs write when they cannot know the length.
    ///
    /// ffmpeg leaves the largest 32-bit value, arecord 2³¹, SoX 2³¹ less some header, and RF64
    /// writers the largest 64-bit value.
    private static func isStreaming(_ size: Int) -> Bool {
        size == 0 || (0x7FFF_0000...0x8000_0000).contains(size)
            || (0xFFFF_0000...0xFFFF_FFFF).contains(size) || size == .max
    }
}

/// Reads names and sizes of RIFF chunks.
private struct ChunkReader {
    let bytes: [UInt8]

    /// RIFX has its numbers the other way round.
    private var isBigEndian: Bool { bytes[3] == UInt8(ascii: "X") }

    func name(at offset: Int) -> String? {
        guard offset + 4 <= bytes.count else { return nil }
        let name = bytes[offset..<offset + 4]
        guard name.allSatisfy({ (0x20..<0x7F).contains($0) }) else { return nil }
        return String(decoding: name, as: UTF8.self)
    }

    func size(at offset: Int) -> Int {
        let field = bytes[offset..<offset + 4]
        return isBigEndian
            ? field.reduce(0) { $0 << 8 | Int($1) }
            : field.reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    /// A size as the file would have it.
    func field(_ size: UInt32) -> [UInt8] {
        withUnsafeBytes(of: isBigEndian ? size.bigEndian : size.littleEndian) { Array($0) }
    }

    /// A 64-bit size; the largest `Int` when it does not fit.
    func longSize(at offset: Int) -> Int {
        let field = bytes[offset..<offset + 8]
        let value = field.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Int(exactly: value) ?? .max
    }

    /// Whether the rest of the file is one chunk after another, to the last byte.
    func chunksFill(from start: Int) -> Bool {
        var offset = start
        while offset + 8 <= bytes.count, name(at: offset) != nil {
            let size = size(at: offset + 4)
            offset += 8 + size + size % 2
        }
        // The padding of the last chunk may be missing.
        return offset == bytes.count || offset == bytes.count + 1
    }
}
