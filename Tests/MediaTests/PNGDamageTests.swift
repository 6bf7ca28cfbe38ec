import Media
import Testing

@Suite("Damaged PNG") struct PNGDamageTests {
    private func error(_ bytes: [UInt8], _ limits: ImageLimits = .init()) -> MediaError? {
        do throws(MediaError) {
            _ = try Image(pngData: bytes, path: nil, limits: limits)
            return nil
        } catch {
            return error
        }
    }

    @Test("a file cut at any byte is an error")
    func truncation() {
        for isInterlaced in [false, true] {
            let bytes = PNGBytes(width: 9, height: 4, isInterlaced: isInterlaced).bytes
            #expect(error([])?.code == .empty)
            for count in 1..<bytes.count {
                #expect(error(Array(bytes[..<count]))?.code == .truncated, "\(count) bytes")
            }
        }
    }

    @Test("a flipped bit is an error, wherever it is", arguments: [0, 2, 3])
    func bitFlips(type: Int) {
        let png = PNGBytes(
            width: 5, height: 3, type: type,
            palette: type == 3 ? (0..<768).map { UInt8($0 & 255) } : [],
            transparency: type == 3 ? [1, 2] : type == 2 ? [0, 1, 0, 2, 0, 3] : [0, 1])
        let bytes = png.bytes
        for bit in 0..<bytes.count * 8 {
            var flipped = bytes
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(error(flipped) != nil, "bit \(bit)")
        }
    }

    @Test("pixels that end early are a truncation, surplus ones are ignored")
    func rowCount() throws {
        let png = PNGBytes()
        let short = png.assembled(pixels: PNGBytes.zlib(Array(png.rows.dropLast())))
        #expect(error(short)?.code == .truncated)
        let long = png.assembled(pixels: PNGBytes.zlib(png.rows + [1, 2, 3]))
        #expect(try Image(pngData: long, path: nil).samples == png.codes)
    }

    @Test("a wrong checksum of the pixels is an error")
    func adler() {
        let png = PNGBytes()
        var pixels = PNGBytes.zlib(png.rows)
        pixels[pixels.count - 1] ^= 1
        #expect(error(png.assembled(pixels: pixels))?.code == .corrupt)
    }

    @Test("pixels that the data cannot hold are refused at once")
    func bomb() throws {
        var png = PNGBytes(width: 8000, height: 7500, type: 0)
        let bytes = png.assembled(pixels: [UInt8](repeating: 0, count: 100))
        let clock = ContinuousClock()
        let start = clock.now
        let found = try #require(error(bytes))
        #expect(clock.now - start < .milliseconds(200))
        #expect(found.code == .truncated)
        #expect(found.message.contains("8000×7500") && found.message.contains("60000000"))
        png.width = 100_000
        #expect(error(png.assembled(pixels: []))?.code == .tooLarge)
    }

    @Test("limits are refused with both numbers")
    func limits() throws {
        let bytes = PNGBytes(width: 20, height: 10).bytes
        var limits = ImageLimits()
        limits.maximumPixelCount = 199
        var found = try #require(error(bytes, limits))
        #expect(found.code == .tooLarge)
        #expect(found.message.contains("200") && found.message.contains("199"))
        limits = ImageLimits()
        limits.maximumSide = 19
        found = try #require(error(bytes, limits))
        #expect(found.code == .tooLarge && found.message.contains("19"))
        limits = ImageLimits()
        limits.maximumByteCount = 1199
        found = try #require(error(bytes, limits))
        #expect(found.code == .tooLarge && found.message.contains("1200"))
        limits.maximumByteCount = 1200
        #expect(error(bytes, limits) == nil)
    }

    @Test(
        "other kinds of file are named",
        arguments: [
            ("a JPEG image", [0xFF, 0xD8, 0xFF, 0xE0]), ("a GIF image", Array("GIF89a".utf8)),
            ("text", Array("hello".utf8)), ("a WAV file", Array("RIFF....WAVE".utf8)),
            ("first bytes 01 02 FF", [1, 2, 255]),
        ] as [(String, [UInt8])])
    func otherKinds(name: String, bytes: [UInt8]) throws {
        let found = try #require(error(bytes))
        #expect(found.code == .unsupported)
        #expect(found.message.contains(name))
    }

    @Test("a PNG changed by a text-mode transfer is recognised")
    func textMode() throws {
        let bytes = PNGBytes().bytes.filter { $0 != 13 }
        let found = try #require(error(bytes))
        #expect(found.code == .corrupt && found.message.contains("text-mode"))
    }

    @Test("structural faults are errors")
    func structure() {
        let png = PNGBytes()
        let pixels = PNGBytes.chunk("IDAT", PNGBytes.zlib(png.rows))
        let end = PNGBytes.chunk("IEND", [])
        let start = PNGBytes.signature
        #expect(error(start + pixels + end)?.code == .corrupt)
        #expect(error(start + png.header + end)?.code != nil)
        #expect(error(start + png.header + pixels)?.code == .truncated)
        let unknown = PNGBytes.chunk("ABCD", [])
        #expect(error(start + png.header + unknown + pixels + end)?.code == .corrupt)
        let text = PNGBytes.chunk("tEXt", [])
        #expect(error(start + png.header + pixels + text + pixels + end)?.code == .corrupt)
        #expect(error(PNGBytes(type: 3).bytes)?.code == .corrupt)
        #expect(error(PNGBytes(depth: 4, type: 2).bytes)?.code == .corrupt)
        #expect(error(PNGBytes(width: 0).bytes)?.code == .corrupt)
    }
}
