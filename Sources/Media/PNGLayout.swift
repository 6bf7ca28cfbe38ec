import CPNG

/// Where the pixels of a PNG are: its chunks, without those that carry no pixels.
///
/// Ancillary chunks never reach libpng. Text, profiles and the frames of an animation can therefore
/// neither cost memory nor make the image unreadable, however damaged they are.
struct PNGLayout {
    /// The signature and the chunks IHDR, PLTE, tRNS, IDAT and IEND, adjacent ones joined.
    private(set) var ranges: [CPNGRange] = []
    /// The compressed size of the pixels, in bytes.
    private(set) var pixelDataByteCount = 0

    /// Walks the chunks up to IEND; what follows that is not looked at.
    ///
    /// - Throws: ``MediaError`` with code `.empty`, `.unsupported`, `.truncated` or `.corrupt`
    init(_ bytes: [UInt8]) throws(MediaError) {
        try Self.checkSignature(bytes)
        ranges = [CPNGRange(offset: 0, count: FileSignature.pngMagic.count)]

        var offset = FileSignature.pngMagic.count
        var previous = ""
        while true {
            guard bytes.count - offset >= 12 else {
                throw MediaError(
                    .truncated,
                    offset == bytes.count
                        ? "the PNG ends after \(bytes.count) bytes without an IEND chunk"
                        : "the PNG ends inside a chunk header, after \(bytes.count) bytes")
            }
            let length = Self.bigEndian(bytes, offset)
            let type = try Self.chunkType(bytes, offset + 4)
            guard length <= Int(Int32.max) else {
                throw MediaError(
                    .corrupt,
                    "chunk \(type) at byte \(offset) declares \(length) bytes, "
                        + "more than PNG allows")
            }
            if previous.isEmpty && type != "IHDR" {
                // Apple's phone tools write colours reordered and premultiplied, behind this mark.
                throw type == "CgBI"
                    ? MediaError(
                        .unsupported, "an Apple CgBI image, not a standard PNG",
                        hint: "convert it with Xcode's pngcrush -revert-iphone-optimizations")
                    : MediaError(.corrupt, "the first chunk is \(type), expected IHDR")
            }
            guard length <= bytes.count - offset - 12 else {
                throw MediaError(
                    .truncated,
                    "the PNG ends inside chunk \(type): \(length) bytes declared at byte \(offset),"
                        + " \(max(0, bytes.count - offset - 8)) left in the file",
                    hint: "copy or download the file again")
            }
            let isCritical = bytes[offset + 4] & 0x20 == 0
            let isKnown = ["IHDR", "PLTE", "tRNS", "IDAT", "IEND"].contains(type)
            if isCritical && !isKnown {
                throw MediaError(.corrupt, "unknown critical chunk \(type) at byte \(offset)")
            }
            if !isKnown && !Self.namesWithoutPixels.contains(type) {
                // Either a program's own chunk or one of ours with a damaged name.
                let body = bytes[(offset + 4)..<(offset + 8 + length)]
                guard Checksum.crc32(body) == UInt32(Self.bigEndian(bytes, offset + 8 + length))
                else {
                    throw MediaError(
                        .corrupt, "chunk \(type) at byte \(offset) has a wrong checksum",
                        hint: "copy or download the file again")
                }
            }
            if type == "IDAT" {
                if pixelDataByteCount > 0 && previous != "IDAT" {
                    throw MediaError(
                        .corrupt,
                        "the IDAT chunks are interrupted by \(previous) "
                            + "before byte \(offset)")
                }
                pixelDataByteCount += length
            }
            // In other images a palette only suggests what a poor display might show.
            let isSuggestion = type == "PLTE" && Self.colorType(bytes) != 3
            if isKnown && !isSuggestion { append(offset: offset, count: length + 12) }
            previous = type
            offset += length + 12
            if type == "IEND" { return }
        }
    }

    /// The public chunks that do not change pixels; damage inside them is no concern of ours.
    private static let namesWithoutPixels: Set<String> = [
        "acTL", "bKGD", "cHRM", "cICP", "cLLI", "dSIG", "eXIf", "fcTL", "fdAT", "gAMA", "gIFg",
        "gIFt", "gIFx", "hIST", "iCCP", "iTXt", "mDCV", "oFFs", "pCAL", "pHYs", "sBIT", "sCAL",
        "sPLT", "sRGB", "sTER", "tEXt", "tIME", "zTXt",
    ]

    /// The colour type in IHDR, which is the first chunk; 0 when that is too short.
    private static func colorType(_ bytes: [UInt8]) -> UInt8 {
        bytes.count > 25 ? bytes[25] : 0
    }

    private mutating func append(offset: Int, count: Int) {
        let last = ranges.count - 1
        if last >= 0, ranges[last].offset + ranges[last].count == offset {
            ranges[last].count += count
        } else {
            ranges.append(CPNGRange(offset: offset, count: count))
        }
    }

    private static func checkSignature(_ bytes: [UInt8]) throws(MediaError) {
        let magic = FileSignature.pngMagic
        if bytes.starts(with: magic) { return }
        if bytes.isEmpty { throw MediaError(.empty, "the file is empty, 0 bytes") }
        if magic.starts(with: bytes) {
            throw MediaError(
                .truncated, "the PNG ends after \(bytes.count) bytes, inside its signature")
        }
        // The signature was made to show this: line ends or the eighth bit changed on the way.
        if bytes.dropFirst().starts(with: magic[1...3]) {
            throw MediaError(
                .corrupt, "the PNG signature is damaged, as by a text-mode transfer",
                hint: "copy the file again in binary mode")
        }
        throw MediaError(
            .unsupported, "this is \(FileSignature.describe(bytes)), not a PNG",
            hint: "convert it to PNG")
    }

    private static func bigEndian(_ bytes: [UInt8], _ offset: Int) -> Int {
        bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
    }

    private static func chunkType(_ bytes: [UInt8], _ offset: Int) throws(MediaError) -> String {
        let name = bytes[offset..<offset + 4]
        guard name.allSatisfy({ (65...90).contains($0 & 0xDF) && $0 < 128 }) else {
            throw MediaError(
                .corrupt, "no chunk begins at byte \(offset - 4), where one is expected")
        }
        return String(decoding: name, as: UTF8.self)
    }
}

/// The checksum of PNG chunks.
private enum Checksum {
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in
            value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1
        }
    }

    static func crc32(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        let table = table
        return ~bytes.reduce(0xFFFF_FFFF) { $0 >> 8 ^ table[Int(($0 ^ UInt32($1)) & 255)] }
    }
}
