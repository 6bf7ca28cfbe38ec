import CPNG

extension Image {
    /// Reads a PNG file.
    ///
    /// Reads every bit depth and colour type, interlaced or not; of an animated PNG the default
    /// image. Damage is an error, never a partly filled image: checksums, missing pixels, a missing
    /// end, palette indices outside the palette. Bytes after the end and damage in chunks that do
    /// not concern the pixels are ignored.
    ///
    /// - Parameters:
    ///   - path: the file
    ///   - limits: what is refused before memory is spent on it
    /// - Throws: ``MediaError`` of ``FileBytes/read(_:maximumByteCount:)``, or with code `.empty`,
    ///   `.unsupported`, `.truncated`, `.corrupt` or `.tooLarge`
    /// - Complexity: two bytes per sample, besides the file itself
    public init(contentsOf path: String, limits: ImageLimits = .init()) throws(MediaError) {
        try self.init(pngData: FileBytes.read(path), path: path, limits: limits)
    }

    /// Reads a PNG held in memory; see ``init(contentsOf:limits:)``.
    ///
    /// - Parameters:
    ///   - pngData: the whole file
    ///   - path: the name to give in errors
    ///   - limits: what is refused before memory is spent on it
    /// - Throws: ``MediaError`` as above, but for those of reading the file
    public init(
        pngData: [UInt8], path: String?, limits: ImageLimits = .init()
    ) throws(MediaError) {
        do throws(MediaError) {
            self = try Self.decode(pngData, limits)
        } catch {
            throw error.at(path)
        }
    }

    private static func decode(
        _ bytes: [UInt8], _ limits: ImageLimits
    ) throws(MediaError) -> Image {
        let layout = try PNGLayout(bytes)
        return try bytes.withUnsafeBufferPointer { (buffer) throws(MediaError) in
            try layout.ranges.withUnsafeBufferPointer { (ranges) throws(MediaError) in
                guard let base = buffer.baseAddress, let first = ranges.baseAddress,
                    let reader = CPNGReaderCreate(base, first, ranges.count)
                else { throw outOfMemory }
                defer { CPNGReaderDestroy(reader) }
                return try decode(reader, layout, limits)
            }
        }
    }

    private static func decode(
        _ reader: OpaquePointer, _ layout: PNGLayout, _ limits: ImageLimits
    ) throws(MediaError) -> Image {
        var header = CPNGHeader()
        try check(CPNGReaderReadHeader(reader, &header), reader)

        var palette: Palette?
        if header.isPalette != 0 {
            palette = Palette(count: Int(header.paletteCount)) { CPNGReaderCopyPalette(reader, $0) }
            guard header.paletteCount > 0 else {
                throw MediaError(.corrupt, "a palette image without a palette")
            }
        }
        let storedCount = Int(header.channelCount)
        let channelCount =
            palette.map { $0.hasAlpha ? 4 : 3 } ?? storedCount + Int(header.hasColorKey)
        try check(header, channelCount, limits)
        try checkPlausible(header, layout.pixelDataByteCount)

        let width = Int(header.width)
        let height = Int(header.height)
        let count = width * height * storedCount
        var status = Int32(CPNGStatusSuccess)
        var samples = [UInt16](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            if let base = buffer.baseAddress {
                status = CPNGReaderReadPixels(reader, base, count)
                initializedCount = status == Int32(CPNGStatusSuccess) ? count : 0
            }
        }
        try check(status, reader)

        if let palette {
            samples = try palette.expand(samples, width: width)
        } else if header.hasColorKey != 0 {
            let key = [header.colorKey.0, header.colorKey.1, header.colorKey.2]
            samples = addAlpha(
                samples, key: Array(key.prefix(storedCount)), bitDepth: Int(header.bitDepth))
        }
        return Image(
            width: width, height: height, channelCount: channelCount,
            bitDepth: palette == nil ? Int(header.bitDepth) : 8, samples: samples)
    }

    private static func check(
        _ header: CPNGHeader, _ channelCount: Int, _ limits: ImageLimits
    ) throws(MediaError) {
        let width = Int(header.width)
        let height = Int(header.height)
        guard max(width, height) <= limits.maximumSide else {
            throw MediaError(
                .tooLarge,
                "\(width)×\(height) pixels, but a side may have at most "
                    + "\(limits.maximumSide)", hint: "make the image smaller")
        }
        guard width * height <= limits.maximumPixelCount else {
            throw MediaError(
                .tooLarge,
                "\(width)×\(height) is \(width * height) pixels, but at most "
                    + "\(limits.maximumPixelCount) are read", hint: "make the image smaller")
        }
        let byteCount = width * height * channelCount * 2
        guard byteCount <= limits.maximumByteCount else {
            throw MediaError(
                .tooLarge,
                "\(width)×\(height) pixels of \(channelCount) channels need "
                    + "\(byteCount) bytes, but at most \(limits.maximumByteCount) are spent",
                hint: "make the image smaller")
        }
    }

    /// Refuses pixels that the compressed data cannot hold, before memory is allocated for them.
    ///
    /// Deflate expands at most 1032-fold: 258 bytes from two bits.
    private static func checkPlausible(
        _ header: CPNGHeader, _ compressed: Int
    ) throws(MediaError) {
        let rowBits = Int(header.width) * Int(header.channelCount) * Int(header.bitDepth)
        let needed = (rowBits + 7) / 8 * Int(header.height)
        guard needed > 1032 * compressed + 4096 else { return }
        throw MediaError(
            .truncated,
            "\(header.width)×\(header.height) pixels are \(needed) bytes, but the \(compressed) "
                + "bytes of compressed data can hold at most \(1032 * compressed)",
            hint: "copy or download the file again")
    }

    /// Adds an alpha channel that is zero where a pixel equals the key.
    private static func addAlpha(_ samples: [UInt16], key: [UInt16], bitDepth: Int) -> [UInt16] {
        let opaque = UInt16((1 << bitDepth) - 1)
        // The file has 16 bits per channel here; those above the bit depth mean nothing.
        let masked = key.map { $0 & opaque }
        let colorCount = masked.count
        let pixelCount = samples.count / colorCount
        return [UInt16](unsafeUninitializedCapacity: pixelCount * (colorCount + 1)) { out, count in
            for pixel in 0..<pixelCount {
                var isKey = true
                for channel in 0..<colorCount {
                    let code = samples[pixel * colorCount + channel]
                    isKey = isKey && code == masked[channel]
                    out[pixel * (colorCount + 1) + channel] = code
                }
                out[pixel * (colorCount + 1) + colorCount] = isKey ? 0 : opaque
            }
            count = pixelCount * (colorCount + 1)
        }
    }

    private static func check(_ status: Int32, _ reader: OpaquePointer) throws(MediaError) {
        let message = String(cString: CPNGReaderMessage(reader))
        switch status {
        case Int32(CPNGStatusSuccess): return
        case Int32(CPNGStatusMemory): throw outOfMemory
        case Int32(CPNGStatusEnded):
            throw MediaError(
                .truncated, "the pixels of the PNG end early (libpng: \(message))",
                hint: "copy or download the file again")
        default:
            throw MediaError(
                .corrupt, "the PNG is damaged (libpng: \(message))",
                hint: "copy or download the file again")
        }
    }

    private static var outOfMemory: MediaError {
        MediaError(.tooLarge, "memory ran out while reading the image")
    }
}

/// The colours of a palette image.
private struct Palette {
    /// RGBA, 256 entries; those past `count` are zero.
    let entries: [UInt8]
    let count: Int
    let hasAlpha: Bool

    init(count: Int, fill: (UnsafeMutablePointer<UInt8>) -> Void) {
        let entries = [UInt8](unsafeUninitializedCapacity: 1024) { buffer, initializedCount in
            if let base = buffer.baseAddress {
                fill(base)
                initializedCount = 1024
            }
        }
        self.entries = entries
        self.count = count
        hasAlpha = (0..<count).contains { entries[4 * $0 + 3] != 255 }
    }

    /// Replaces indices by colours.
    ///
    /// - Throws: ``MediaError`` with code `.corrupt` for an index outside the palette: the colour
    ///   meant is not known, and viewers differ in what they show
    func expand(_ indices: [UInt16], width: Int) throws(MediaError) -> [UInt16] {
        if let bad = indices.firstIndex(where: { $0 >= count }) {
            throw MediaError(
                .corrupt,
                "the pixel in row \(bad / width), column \(bad % width) has colour "
                    + "\(indices[bad]) of a palette of \(count)")
        }
        let channelCount = hasAlpha ? 4 : 3
        return [UInt16](unsafeUninitializedCapacity: indices.count * channelCount) { out, total in
            for (pixel, index) in indices.enumerated() {
                for channel in 0..<channelCount {
                    out[pixel * channelCount + channel] =
                        UInt16(entries[4 * Int(index) + channel])
                }
            }
            total = indices.count * channelCount
        }
    }
}
