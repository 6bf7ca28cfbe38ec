/// The kind of media in a file, told from its first bytes and never from its name.
public enum MediaKind: Sendable {
    /// A PNG image.
    case png
    /// A sound file of a kind that libsndfile knows.
    case audio

    /// Returns what the bytes look like, or `nil` when they are neither.
    ///
    /// Looks at the first 36 bytes only, so a damaged file still has a kind.
    public static func sniff(_ bytes: [UInt8]) -> MediaKind? {
        FileSignature.match(bytes)?.kind
    }
}

/// The first bytes by which kinds of file are known, to name them in messages.
struct FileSignature {
    /// What a message calls such a file, with its article.
    let description: String
    let kind: MediaKind?
    let magic: [UInt8]
    let second: (offset: Int, magic: [UInt8])?

    private init(
        _ description: String, _ magic: [UInt8], _ second: (Int, [UInt8])? = nil,
        kind: MediaKind? = nil
    ) {
        self.description = description
        self.kind = kind
        self.magic = magic
        self.second = second
    }

    private init(
        _ description: String, _ magic: String, _ second: (Int, String)? = nil,
        kind: MediaKind? = nil
    ) {
        self.init(
            description, Array(magic.utf8), second.map { ($0.0, Array($0.1.utf8)) }, kind: kind)
    }

    static let pngMagic: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    /// Returns the signature that the bytes begin with.
    static func match(_ bytes: [UInt8]) -> FileSignature? {
        if let found = all.first(where: { $0.matches(bytes) }) { return found }
        // MPEG audio has no magic but 11 set bits, then version, layer and bit rate, none of which
        // may have its reserved value.
        guard bytes.count >= 4, bytes[0] == 0xFF, bytes[1] & 0xE0 == 0xE0,
            bytes[1] & 0x18 != 0x08, bytes[1] & 0x06 != 0, bytes[2] & 0xF0 != 0xF0
        else { return nil }
        return FileSignature("MPEG audio", [], kind: .audio)
    }

    /// Returns what to call a file of unreadable kind: `a JPEG image`, or its first bytes.
    static func describe(_ bytes: [UInt8]) -> String {
        if let found = match(bytes) { return found.description }
        let head = bytes.prefix(64)
        if !head.isEmpty, head.allSatisfy({ (0x20..<0x7F).contains($0) || (9...13).contains($0) }) {
            return "text"
        }
        let digits = head.prefix(4).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
        }
        return "an unknown kind of file (first bytes \(digits.joined(separator: " ")))"
    }

    /// A kind that libsndfile knows and we refuse.
    static let midiSampleDump = FileSignature("a MIDI sample dump", [0xF0, 0x7E])

    func matches(_ bytes: [UInt8]) -> Bool {
        guard bytes.starts(with: magic) else { return false }
        guard let second else { return true }
        return bytes.dropFirst(second.offset).starts(with: second.magic)
    }

    private static let all: [FileSignature] = [
        FileSignature("a PNG image", pngMagic, kind: .png),
        FileSignature("a WAV file", "RIFF", (8, "WAVE"), kind: .audio),
        FileSignature("a WAV file", "RIFX", (8, "WAVE"), kind: .audio),
        FileSignature("an RF64 file", "RF64", (8, "WAVE"), kind: .audio),
        FileSignature("an AIFF file", "FORM", (8, "AIF"), kind: .audio),
        FileSignature("an 8SVX file", "FORM", (8, "8SVX"), kind: .audio),
        FileSignature("a 16SV file", "FORM", (8, "16SV"), kind: .audio),
        FileSignature("a FLAC file", "fLaC", kind: .audio),
        FileSignature("an Ogg file", "OggS", kind: .audio),
        FileSignature("a CAF file", "caff", kind: .audio),
        FileSignature("an AU file", ".snd", kind: .audio),
        FileSignature("an AU file", "dns.", kind: .audio),
        FileSignature("a VOC file", "Creative Voice File", kind: .audio),
        FileSignature("a NIST Sphere file", "NIST_1A", kind: .audio),
        FileSignature(
            "a Wave64 file", Array("riff".utf8), (4, [0x2E, 0x91, 0xCF, 0x11]), kind: .audio),
        FileSignature("MPEG audio", "ID3", kind: .audio),
        FileSignature("a JPEG image", [0xFF, 0xD8, 0xFF]),
        FileSignature("a GIF image", "GIF8"),
        FileSignature("a WebP image", "RIFF", (8, "WEBP")),
        FileSignature("an AVI video", "RIFF", (8, "AVI ")),
        FileSignature("a BMP image", "BM"),
        FileSignature("a TIFF image", [0x49, 0x49, 0x2A, 0x00]),
        FileSignature("a TIFF image", [0x4D, 0x4D, 0x00, 0x2A]),
        FileSignature("an icon", [0x00, 0x00, 0x01, 0x00]),
        FileSignature("a QOI image", "qoif"),
        FileSignature("a Photoshop image", "8BPS"),
        FileSignature("a JPEG 2000 image", [0x00, 0x00, 0x00, 0x0C, 0x6A, 0x50, 0x20, 0x20]),
        FileSignature("a JPEG XL image", [0x00, 0x00, 0x00, 0x0C, 0x4A, 0x58, 0x4C, 0x20]),
        FileSignature("a HEIF image", [], (4, Array("ftyphei".utf8))),
        FileSignature("a HEIF image", [], (4, Array("ftypmif1".utf8))),
        FileSignature("an AVIF image", [], (4, Array("ftypavif".utf8))),
        FileSignature("an MPEG-4 file", [], (4, Array("ftyp".utf8))),
        FileSignature("a PBM, PGM or PPM image", "P1\n"),
        FileSignature("a PBM, PGM or PPM image", "P4\n"),
        FileSignature("a PBM, PGM or PPM image", "P2\n"),
        FileSignature("a PBM, PGM or PPM image", "P5\n"),
        FileSignature("a PBM, PGM or PPM image", "P3\n"),
        FileSignature("a PBM, PGM or PPM image", "P6\n"),
        FileSignature("an MNG animation", [0x8A, 0x4D, 0x4E, 0x47]),
        FileSignature("a JNG image", [0x8B, 0x4A, 0x4E, 0x47]),
        FileSignature("a Matroska or WebM video", [0x1A, 0x45, 0xDF, 0xA3]),
        FileSignature("a MIDI file", "MThd"),
        midiSampleDump,
        FileSignature("a PDF document", "%PDF"),
        FileSignature("a ZIP archive", [0x50, 0x4B, 0x03, 0x04]),
        FileSignature("gzip-compressed data", [0x1F, 0x8B]),
        FileSignature("a Git LFS pointer, not the file itself", "version https://git-lfs"),
        FileSignature("an SVG or XML document", "<?xml"),
        FileSignature("an SVG document", "<svg"),
        FileSignature("an HTML page", "<!DOCTYPE html"),
        FileSignature("an HTML page", "<!doctype html"),
        FileSignature("an HTML page", "<html"),
    ]
}
