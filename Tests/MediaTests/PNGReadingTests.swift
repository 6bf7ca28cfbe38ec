import Foundation
import Media
import Testing

@Suite("PNG reading") struct PNGReadingTests {
    static let kinds: [(type: Int, depths: [Int])] = [
        (0, [1, 2, 4, 8, 16]), (2, [8, 16]), (4, [8, 16]), (6, [8, 16]),
    ]

    @Test("every colour type and depth gives its stored codes", arguments: kinds.indices)
    func everyKind(index: Int) throws {
        let (type, depths) = Self.kinds[index]
        for depth in depths {
            for isInterlaced in [false, true] {
                for (width, height) in [(1, 1), (3, 2), (9, 5), (8, 8), (17, 11)] {
                    let png = PNGBytes(
                        width: width, height: height, depth: depth, type: type,
                        isInterlaced: isInterlaced, code: { $0 * 7 + $1 * 5003 + $2 * 29 })
                    let image = try Image(pngData: png.bytes, path: nil)
                    #expect(image.width == width && image.height == height)
                    #expect(image.channelCount == png.channelCount)
                    #expect(image.bitDepth == depth)
                    #expect(image.samples == png.codes)
                }
            }
        }
    }

    @Test("16-bit codes have the high byte first in the file")
    func endianness() throws {
        let png = PNGBytes(width: 1, height: 1, depth: 16, type: 0, code: { _, _, _ in 0x1234 })
        #expect(png.rows == [0, 0x12, 0x34])
        #expect(try Image(pngData: png.bytes, path: nil).samples == [0x1234])
    }

    @Test("a palette becomes 8-bit RGB", arguments: [1, 2, 4, 8])
    func palette(depth: Int) throws {
        let count = 1 << depth
        let palette: [UInt8] = (0..<count).flatMap { index -> [UInt8] in
            [UInt8(index), UInt8(255 - index), 7]
        }
        for isInterlaced in [false, true] {
            let png = PNGBytes(
                width: 13, height: 7, depth: depth, type: 3, isInterlaced: isInterlaced,
                palette: palette)
            let image = try Image(pngData: png.bytes, path: nil)
            #expect(image.channelCount == 3 && image.bitDepth == 8)
            let expected = png.codes.flatMap { code -> [UInt16] in [code, 255 - code, 7] }
            #expect(image.samples == expected)
        }
    }

    @Test("transparency of a palette becomes alpha, opaque where it is not given")
    func paletteTransparency() throws {
        let png = PNGBytes(
            width: 3, height: 1, depth: 2, type: 3, palette: [1, 2, 3, 4, 5, 6, 7, 8, 9],
            transparency: [0, 128], code: { x, _, _ in x })
        let image = try Image(pngData: png.bytes, path: nil)
        #expect(image.samples == [1, 2, 3, 0, 4, 5, 6, 128, 7, 8, 9, 255])
    }

    @Test("a palette index outside the palette is named")
    func paletteIndex() throws {
        let png = PNGBytes(
            width: 3, height: 2, depth: 8, type: 3, palette: [1, 2, 3, 4, 5, 6],
            code: { x, y, _ in x == 1 && y == 1 ? 9 : 1 })
        let error = try #require(throws: MediaError.self) {
            try Image(pngData: png.bytes, path: "a.png")
        }
        #expect(error.code == .corrupt)
        #expect(error.description.contains("a.png: the pixel in row 1, column 1 has colour 9"))
    }

    @Test("a colour key becomes alpha", arguments: [1, 2, 4, 8, 16])
    func colorKey(depth: Int) throws {
        let top = UInt16((1 << depth) - 1)
        // The high byte is noise below 16 bits.
        let grey = PNGBytes(
            width: 5, height: 3, depth: depth, type: 0,
            transparency: depth == 16 ? [0, 7] : [0, 1])
        let key: UInt16 = depth == 16 ? 7 : 1
        let image = try Image(pngData: grey.bytes, path: nil)
        #expect(image.channelCount == 2 && image.bitDepth == depth)
        #expect(image.samples == grey.codes.flatMap { [$0, $0 == key ? 0 : top] })
    }

    @Test("a colour key must match in all three channels")
    func colorKeyRGB() throws {
        let png = PNGBytes(
            width: 3, height: 1, type: 2, transparency: [0, 1, 0, 2, 0, 3],
            code: { x, _, c in x == 2 && c == 1 ? 9 : c + (x == 1 ? 0 : 1) })
        let image = try Image(pngData: png.bytes, path: nil)
        #expect(image.samples == [1, 2, 3, 0, 0, 1, 2, 255, 1, 9, 3, 255])
    }

    @Test("files that Pillow wrote give Pillow's values")
    func pillow() throws {
        let rgb = try #require(Data(base64Encoded: pillowRGB))
        let image = try Image(pngData: [UInt8](rgb), path: nil)
        var expected: [UInt16] = []
        for y in 0..<4 {
            for x in 0..<5 { expected += [x * 50, y * 60, x * y * 11].map { UInt16($0 % 256) } }
        }
        #expect(image.samples == expected)
        #expect(image.width == 5 && image.height == 4)

        let palette = try #require(Data(base64Encoded: pillowPalette))
        let colors: [[UInt16]] = [[10, 20, 30, 0], [40, 50, 60, 128], [70, 80, 90, 255]]
        #expect(
            try Image(pngData: [UInt8](palette), path: nil).samples
                == [0, 1, 2, 0, 2, 1, 0, 1].flatMap { colors[$0] })

        let grey = try #require(Data(base64Encoded: pillowGrey16))
        #expect(
            try Image(pngData: [UInt8](grey), path: nil).samples
                == [0, 13_107, 26_214, 39_321, 52_428, 65_535])
    }

    @Test("chunks that carry no pixels are ignored, even damaged, and so is what follows the end")
    func ancillary() throws {
        var text = PNGBytes.chunk("tEXt", Array("a\u{0}b".utf8))
        text[text.count - 1] ^= 1
        let png = PNGBytes(extra: text + PNGBytes.chunk("iCCP", [1, 2, 3]))
        #expect(try Image(pngData: png.bytes + [1, 2, 3], path: nil).samples == png.codes)
    }

    @Test("a palette that only suggests colours is ignored")
    func suggestedPalette() throws {
        let png = PNGBytes(palette: [1, 2])
        #expect(try Image(pngData: png.bytes, path: nil).samples == png.codes)
    }
}

private let pillowRGB =
    "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAECAIAAADJUWIXAAAAIUlEQVR4nGNkYGAwQkIsDDYMDAzccATn"
    + "i0EQMl+RgUERAFDZAmaPlUZfAAAAAElFTkSuQmCC"
private let pillowPalette =
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAACAgMAAAACxpXwAAAACVBMVEUKFB4oMjxGUFoWrIR0AAAAA3RS"
    + "TlMAgP/s97MYAAAADElEQVR4nGOQYJgIAADdAKoYf3nDAAAAAElFTkSuQmCC"
private let pillowGrey16 =
    "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACEAAAAADoj+WFAAAAFklEQVR4nGNkYDA2NjZmmDnzzJn//wEW"
    + "0gWWM1Vt+wAAAABJRU5ErkJggg=="
