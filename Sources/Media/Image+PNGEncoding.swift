import CPNG

extension Image {
    /// Returns the image as a PNG file.
    ///
    /// Grey, RGB and alpha are kept, and codes of 8 and 16 bits as they are; smaller codes are
    /// scaled up to 8 bits. The bytes hold nothing but the pixels: the same image, level and zlib
    /// give the same bytes.
    ///
    /// - Parameter compressionLevel: 0, fast and large, to 9, slow and small
    /// - Returns: the whole file
    /// - Throws: ``MediaError`` with code `.tooLarge` when memory runs out
    public func pngData(compressionLevel: Int = 6) throws(MediaError) -> [UInt8] {
        precondition((0...9).contains(compressionLevel), "compression level is 0 to 9")
        var codes = samples
        if bitDepth < 8 {
            let factor = 255 / maximumCode
            for index in codes.indices { codes[index] *= factor }
        }
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        var message = [CChar](repeating: 0, count: Int(CPNGMessageCapacity))
        let status = codes.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return Int32(CPNGStatusMemory) }
            return CPNGEncode(
                base, UInt32(width), UInt32(height), Int32(channelCount),
                Int32(max(8, bitDepth)), Int32(compressionLevel), &bytes, &count, &message)
        }
        defer { CPNGFree(bytes) }
        guard status == Int32(CPNGStatusSuccess), let bytes else {
            let text = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            throw MediaError(
                .tooLarge,
                "the \(width)×\(height) image cannot be encoded as PNG (libpng: "
                    + String(decoding: text, as: UTF8.self) + ")")
        }
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }
}
