import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

extension Image {
    /// The colour of a pixel.
    func color(_ x: Int, _ y: Int) -> Color {
        let at = (y * width + x) * channelCount
        return Color(
            red: Float(samples[at]) / 255, green: Float(samples[at + 1]) / 255,
            blue: Float(samples[at + 2]) / 255)
    }
}

@Suite("Canvas") struct CanvasTests {
    private static func inkCount(_ character: Character) -> Int {
        var count = 0
        for column in 0..<BitmapFont.width {
            for row in 0..<BitmapFont.rowCount
            where BitmapFont.isInk(character, column: column, row: row) { count += 1 }
        }
        return count
    }

    private static func glyph(_ character: Character) -> [String] {
        (0..<BitmapFont.rowCount).map { row in
            String(
                (0..<BitmapFont.width).map { column in
                    BitmapFont.isInk(character, column: column, row: row) ? "#" : "." as Character
                })
        }
    }

    @Test("every printable character has a glyph of its own; any other is a box")
    func font() {
        let printable = (32...126).map { Character(UnicodeScalar($0)) }
        #expect(Set(printable.map(Self.glyph)).count == 95)
        #expect(Self.inkCount(" ") == 0)
        for character in printable.dropFirst() { #expect(Self.inkCount(character) > 1) }
        for character in ["ö", "\n", "\r\n", "漢", "\u{7F}", "\u{0}"] as [Character] {
            #expect(Self.inkCount(character) == 20)
        }
        #expect(
            Self.glyph("F") == [
                "#####", "#....", "#....", "####.", "#....", "#....", "#....", ".....",
            ])
    }

    @Test("text stands where it is told, sideways as well, and is cut at the edge")
    func text() {
        var canvas = Canvas(width: 40, height: 40, background: .paper)
        // A column of ink at the left of L, a row at its foot.
        canvas.text("L", x: 3, y: 4, .ink, size: 2)
        #expect(canvas[3, 4] == .ink)
        #expect(canvas[4, 17] == .ink)
        #expect(canvas[12, 17] == .ink)
        #expect(canvas[12, 15] == .paper)
        #expect(canvas[3, 18] == .paper)

        var upright = Canvas(width: 40, height: 40, background: .paper)
        upright.text("L", x: 3, y: 30, .ink, size: 2, isUpright: true)
        #expect(upright[3, 29] == .ink)
        #expect(upright[16, 28] == .ink)
        #expect(upright[16, 20] == .ink)
        #expect(upright[14, 20] == .paper)
        #expect(upright[16, 19] == .paper)

        canvas.text("WWWWWWWW", x: -10, y: 35)
        canvas.fill(x: -5, y: -5, width: 7, height: 7, .missing)
        #expect(canvas[1, 1] == .missing)
        #expect(canvas[2, 2] == .paper)
        canvas.fill(x: 50, y: 50, width: 7, height: 7, .missing)
        canvas.fill(x: 5, y: 5, width: -7, height: 7, .missing)
        #expect(Canvas.textWidth("") == 0)
        #expect(Canvas.textWidth("ab", size: 2) == 22)
        #expect("a long name of a class".shortened(to: 8) == "a l..ass")
        #expect("short".shortened(to: 5) == "short")
        #expect("short".shortened(to: 2) == "sh")
    }

    @Test("marks have the area of their disc and stay near their middle")
    func marks() {
        for shape in Mark.Shape.allCases {
            let spots = Mark(shape, radius: 5).spots
            let area = spots.reduce(0) { $0 + $1.coverage }
            #expect(abs(area / (25 * .pi) - 1) < 0.03)
            let x = spots.reduce(0) { $0 + Float($1.x) * $1.coverage } / area
            let y = spots.reduce(0) { $0 + Float($1.y) * $1.coverage } / area
            #expect(abs(x) < 0.05 && abs(y) < 0.05)
        }
        var canvas = Canvas(width: 4, height: 4, background: .paper)
        canvas.draw(Mark(.disc, radius: 3), x: 0, y: 0, .ink)
        #expect(canvas[0, 0] == .ink)
        #expect(canvas[3, 3] == .paper)
    }

    @Test("levels get lighter evenly, and classes differ")
    func colors() {
        func lightness(_ color: Color) -> Double {
            func linear(_ code: UInt8) -> Double {
                let value = Double(code) / 255
                return value <= 0.04045 ? value / 12.92 : pow((value + 0.055) / 1.055, 2.4)
            }
            let luminance =
                0.2126 * linear(color.red) + 0.7152 * linear(color.green)
                + 0.0722 * linear(color.blue)
            return 116 * cbrt(luminance) - 16
        }
        let levels = (0...16).map { lightness(LevelColors.color(Float($0) / 16)) }
        for (a, b) in zip(levels, levels.dropFirst()) { #expect((2.5...9).contains(b - a)) }
        #expect(LevelColors.color(0) == Color(0x2A0148))
        #expect(LevelColors.color(1) == Color(0xFFEA6D))
        #expect(LevelColors.color(-3) == LevelColors.color(0))
        #expect(LevelColors.color(7) == LevelColors.color(1))
        #expect(ClassColors.all.count == 20)
    }
}

@Suite("ContactSheet") struct ContactSheetTests {
    private func window(
        _ level: Float, height: Int = 8, width: Int = 8, channelCount: Int = 1
    ) -> FeatureMap {
        FeatureMap(
            channelCount: channelCount, height: height, width: width,
            values: Array(repeating: level, count: channelCount * height * width))
    }

    private func image(_ sheet: ContactSheet) throws -> Image {
        let image = try Image(pngData: sheet.png, path: nil)
        #expect(image.width == sheet.width)
        #expect(image.height == sheet.height)
        return image
    }

    private func grey(_ level: Float) -> Color { Color(red: level, green: level, blue: level) }

    @Test(
        "tiles are enlarged by whole factors up to 128 pixels, and reduced to 192",
        arguments: [
            (8, 8, 128, 128), (28, 28, 112, 112), (32, 64, 64, 128), (100, 100, 100, 100),
            (192, 150, 192, 150), (400, 200, 192, 96), (1, 1, 128, 128), (2, 3000, 1, 192),
        ])
    func sizes(height: Int, width: Int, expectedHeight: Int, expectedWidth: Int) {
        let tile = Tile(window(0.5, height: height, width: width), .image)
        #expect(tile.height == expectedHeight)
        #expect(tile.width == expectedWidth)
    }

    @Test("the axes of a spectrogram are sized each by itself")
    func spectrogramSize() {
        let tile = Tile(window(0.5, height: 40, width: 1000), .audio)
        #expect(tile.height == 120)
        #expect(tile.width == 192)
    }

    @Test("a legend stands below the tiles, with the colours of levels from low to high")
    func legend() throws {
        let rows = [ContactSheet.Row(label: ["real"], windows: [window(0.5)])]
        let bare = try image(.rows(rows, domain: .audio))
        let legend = SheetLegend(
            lines: ["time", "frequency"], levels: .init(low: "-43 dB", high: "0"))
        let full = try image(.rows(rows, domain: .audio, legend: legend))
        // Three lines of text with a space before them; the tiles are where they were.
        #expect(full.height == bare.height + 12 + legend.height)
        #expect(legend.height == 3 * SheetLegend(lines: [""]).height)
        for y in stride(from: 0, to: bare.height - 12, by: 7) {
            for x in stride(from: 0, to: bare.width - 12, by: 7) {
                #expect(full.color(x, y) == bare.color(x, y))
            }
        }
        // The bar: its ends are the ends of the scale.
        let y = full.height - 12 - legend.height / 3 + 2
        let row = (0..<full.width).map { full.color($0, y) }
        let low = try #require(row.firstIndex(of: LevelColors.color(0)))
        let high = try #require(row.lastIndex(of: LevelColors.color(1)))
        #expect(high == low + 95)
        // A line that is longer than the tiles widens the sheet.
        let long = String(repeating: "m", count: 60)
        #expect(
            try image(.rows(rows, domain: .image, legend: SheetLegend(lines: [long]))).width
                >= Canvas.textWidth(long) + 24)
    }

    @Test("one sample is a sheet of one tile")
    func single() throws {
        let image = try image(.samples([window(0.6)], domain: .image))
        #expect(image.width == 128 + 24)
        #expect(image.height == 128 + 24)
        #expect(image.color(11, 11) == .page)
        #expect(image.color(12, 12) == grey(0.6))
        #expect(image.color(139, 139) == grey(0.6))
        #expect(image.color(140, 140) == .page)
    }

    @Test("samples fill rows from the left, four pixels apart")
    func samples() throws {
        let levels: [Float] = [0, 0.2, 0.4, 0.6, 0.8]
        let sheet = try ContactSheet.samples(
            levels.map { window($0) }, domain: .image, columns: 3)
        let image = try image(sheet)
        #expect(image.width == 24 + 3 * 128 + 2 * 4)
        #expect(image.height == 24 + 2 * 128 + 4)
        for (index, level) in levels.enumerated() {
            let (x, y) = (12 + index % 3 * 132, 12 + index / 3 * 132)
            #expect(image.color(x, y) == grey(level))
            #expect(image.color(x + 127, y + 127) == grey(level))
            #expect(image.color(x + 128, y) == .page)
        }
        #expect(image.color(12 + 2 * 132, 12 + 132) == .page)
        #expect(
            try ContactSheet.samples(levels.map { window($0) }, domain: .image, columns: 3).png
                == sheet.png)
    }

    @Test("a reconstruction stands below its original, and pairs stand apart")
    func pairs() throws {
        let originals: [Float] = [0.1, 0.2, 0.3]
        let image = try image(
            .reconstructions(
                originals: originals.map { window($0) },
                reconstructions: originals.map { window($0 + 0.5) }, domain: .image, columns: 2))
        let left = 12 + Canvas.textWidth("original") + 12
        #expect(image.width == left + 2 * 128 + 4 + 12)
        #expect(image.height == 24 + 4 * 128 + 2 * 4 + 12)
        for (index, level) in originals.enumerated() {
            let (x, y) = (left + index % 2 * 132, 12 + index / 2 * 272)
            #expect(image.color(x, y) == grey(level))
            #expect(image.color(x, y + 128) == .page)
            #expect(image.color(x, y + 132) == grey(level + 0.5))
        }
    }

    @Test("traversals have headings and labels that fit, however small the tiles")
    func traversals() throws {
        // Tiles of 4×128: narrower than the headings.
        let rows = [3, 11].map { dimension in
            ContactSheet.Traversal(
                dimension: dimension, klNats: 1.234,
                windows: [window(0, height: 64, width: 2), window(1, height: 64, width: 2)])
        }
        let image = try image(
            .traversals(rows, values: [-1.5, 1.5], domain: .image, title: "a title of the sheet"))
        let left = 12 + Canvas.textWidth("1.23 nats") + 12
        let cell = Canvas.textWidth("-1.5") + 8
        let top = 12 + 14 + 12 + 14 + 6
        #expect(image.color(left + (cell - 4) / 2, top) == grey(0))
        #expect(image.color(left + cell + 4 + (cell - 4) / 2, top + 127) == grey(1))
        #expect(
            image.width == 24
                + max(left - 12 + 2 * cell + 4, Canvas.textWidth("a title of the sheet")))
        // Nothing reaches the margins.
        for x in 0..<image.width {
            #expect(image.color(x, 11) == .page && image.color(x, image.height - 12) == .page)
        }
        for y in 0..<image.height {
            #expect(image.color(11, y) == .page && image.color(image.width - 12, y) == .page)
        }
    }

    @Test("log-mel windows have the low bands at the bottom, in colour")
    func spectrogram() throws {
        let map = FeatureMap(channelCount: 1, height: 2, width: 1, values: [0, 1])
        let image = try image(.samples([map], domain: .audio))
        #expect(image.color(12, 12) == LevelColors.color(1))
        #expect(image.color(12, 12 + 127) == LevelColors.color(0))
    }

    @Test("RGB is shown as it is, out of range is clipped, what is no number is told apart")
    func values() throws {
        let color = FeatureMap(channelCount: 3, height: 1, width: 1, values: [1, 0.2, 0])
        #expect(
            try image(.samples([color], domain: .image)).color(12, 12)
                == Color(red: 1, green: 0.2, blue: 0))
        let odd = FeatureMap(
            channelCount: 1, height: 2, width: 2, values: [.nan, .infinity, -3, 3])
        for domain in Domain.allCases {
            let image = try image(.samples([odd], domain: domain))
            let (first, second) = domain == .image ? (12, 139) : (139, 12)
            #expect(image.color(12, first) == .missing)
            #expect(image.color(139, first) == .missing)
            #expect(image.color(12, second) != .missing)
            #expect(image.color(139, second) != .missing)
        }
        let missing = FeatureMap(channelCount: 3, height: 1, width: 1, values: [1, .nan, 0])
        #expect(try image(.samples([missing], domain: .image)).color(12, 12) == .missing)
        let two = FeatureMap(channelCount: 2, height: 1, width: 1, values: [0.2, 0.6])
        #expect(try image(.samples([two], domain: .image)).color(12, 12) == grey(0.4))
    }

    @Test("a reduced tile is the mean of what it covers")
    func reduction() throws {
        // Columns of 0 and 1 by turns; 384 → 192 joins each two.
        let values = (0..<384 * 2).map { Float($0 % 2) }
        let stripes = FeatureMap(channelCount: 1, height: 2, width: 384, values: values)
        let image = try image(.samples([stripes], domain: .image))
        #expect(image.width == 192 + 24)
        #expect(image.color(12, 12) == grey(0.5))
        #expect(image.color(203, 12) == grey(0.5))
        // 300 → 192 mixes in other shares, and still gives the mean.
        let plain = FeatureMap(
            channelCount: 1, height: 300, width: 300,
            values: [Float](repeating: 0.4, count: 90_000))
        #expect(try self.image(.samples([plain], domain: .image)).color(100, 100) == grey(0.4))
    }

    @Test("what cannot be laid out is a usage error")
    func refusals() throws {
        let windows = [window(0), window(1)]
        let attempts: [() throws -> ContactSheet] = [
            { try .samples([], domain: .image) },
            { try .traversals([], values: [], domain: .image) },
            { try .traversals([], values: [1], domain: .image) },
            { try .reconstructions(originals: windows, reconstructions: [], domain: .image) },
            { try .reconstructions(originals: [], reconstructions: [], domain: .image) },
            { try .samples([self.window(0), self.window(0, width: 9)], domain: .image) },
            {
                try .traversals(
                    [.init(dimension: 0, klNats: 0, windows: windows)], values: [1], domain: .image)
            },
            {
                try .samples(
                    Array(repeating: self.window(0), count: 5000), domain: .image, columns: 1)
            },
        ]
        for attempt in attempts {
            #expect { try attempt() } throws: { ($0 as? LatentError)?.code == .usage }
        }
        // A number of columns below one is one.
        #expect(try ContactSheet.samples(windows, domain: .image, columns: 0).width == 152)
    }

    @Test("numbers are written as people do")
    func numbers() {
        #expect(decimal(-0.04, digits: 1) == "0.0")
        #expect(decimal(-0.06, digits: 1) == "-0.1")
        #expect(decimal(.nan, digits: 1) == "NaN")
        #expect(decimal(-.infinity, digits: 1) == "-inf")
        #expect(decimal(12_345_678, digits: 1) == "1.23e+07")
    }
}
