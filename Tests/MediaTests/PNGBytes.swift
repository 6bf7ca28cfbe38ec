/// A PNG written by hand, with no code in common with libpng: pixels in stored (uncompressed)
/// deflate blocks, so that tests know every byte.
struct PNGBytes {
    var width = 3
    var height = 2
    var depth = 8
    /// 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGBA.
    var type = 2
    var isInterlaced = false
    var palette: [UInt8] = []
    var transparency: [UInt8] = []
    /// Chunks to put before the pixels, whole.
    var extra: [UInt8] = []
    var code: (_ x: Int, _ y: Int, _ channel: Int) -> Int = { x, y, c in x * 7 + y * 13 + c * 29 }

    static let signature: [UInt8] = [137, 80, 78, 71, 13, 10, 26, 10]

    var channelCount: Int { [0: 1, 2: 3, 3: 1, 4: 2, 6: 4][type] ?? 0 }

    func codeInRange(_ x: Int, _ y: Int, _ channel: Int) -> UInt16 {
        UInt16(code(x, y, channel) & ((1 << depth) - 1))
    }

    /// All codes as they are stored, `[H, W, C]`.
    var codes: [UInt16] {
        (0..<height).flatMap { y in
            (0..<width).flatMap { x in (0..<channelCount).map { codeInRange(x, y, $0) } }
        }
    }

    var header: [UInt8] {
        Self.chunk(
            "IHDR",
            Self.big(width) + Self.big(height) + [UInt8(depth), UInt8(type), 0, 0]
                + [isInterlaced ? 1 : 0])
    }

    /// The rows with their filter bytes, pass after pass.
    var rows: [UInt8] {
        let passes =
            isInterlaced
            ? [
                (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                (0, 1, 1, 2),
            ] : [(0, 0, 1, 1)]
        var out: [UInt8] = []
        for (x0, y0, dx, dy) in passes where x0 < width {
            for y in stride(from: y0, to: height, by: dy) {
                var bits: [UInt8] = []
                for x in stride(from: x0, to: width, by: dx) {
                    for channel in 0..<channelCount {
                        let code = codeInRange(x, y, channel)
                        bits += (0..<depth).reversed().map { UInt8(code >> UInt16($0) & 1) }
                    }
                }
                while bits.count % 8 != 0 { bits.append(0) }
                out.append(0)
                for at in stride(from: 0, to: bits.count, by: 8) {
                    out.append(bits[at..<at + 8].reduce(0) { $0 << 1 | $1 })
                }
            }
        }
        return out
    }

    var bytes: [UInt8] { assembled(pixels: Self.zlib(rows)) }

    /// The file around any bytes in place of the compressed pixels.
    func assembled(pixels: [UInt8]) -> [UInt8] {
        var out = Self.signature + header
        if !palette.isEmpty { out += Self.chunk("PLTE", palette) }
        if !transparency.isEmpty { out += Self.chunk("tRNS", transparency) }
        return out + extra + Self.chunk("IDAT", pixels) + Self.chunk("IEND", [])
    }

    static func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
        let body = Array(name.utf8) + data
        return big(data.count) + body + big(Int(crc(body)))
    }

    static func big(_ value: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    static func zlib(_ data: [UInt8]) -> [UInt8] {
        var out: [UInt8] = [0x78, 0x01]
        var at = 0
        repeat {
            let block = data[at..<min(at + 65_535, data.count)]
            at += block.count
            let size = UInt16(block.count)
            out += [at == data.count ? 1 : 0, UInt8(size & 255), UInt8(size >> 8)]
            out += [UInt8(~size & 255), UInt8(~size >> 8)] + block
        } while at < data.count
        var a: UInt32 = 1
        var b: UInt32 = 0
        for byte in data {
            a = (a + UInt32(byte)) % 65_521
            b = (b + a) % 65_521
        }
        return out + big(Int(b << 16 | a))
    }

    static func crc(_ data: [UInt8]) -> UInt32 {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in data {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return ~crc
    }
}
