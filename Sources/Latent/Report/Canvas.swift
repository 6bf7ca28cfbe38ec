import Media

/// A picture under construction: RGB, eight bits a channel, rows from the top.
///
/// What lies outside is cut off, so that nothing drawn can fail.
struct Canvas {
    /// In pixels.
    let width: Int
    /// In pixels.
    let height: Int
    private var pixels: [Color]

    /// Makes an empty picture; its sides are at least one pixel.
    init(width: Int, height: Int, background: Color) {
        self.width = max(1, width)
        self.height = max(1, height)
        pixels = Array(repeating: background, count: self.width * self.height)
    }

    /// The colour of a pixel of the picture.
    subscript(x: Int, y: Int) -> Color { pixels[y * width + x] }

    /// The picture as a PNG file; equal pictures give equal bytes.
    func png() throws(MediaError) -> [UInt8] {
        let samples = [UInt16](unsafeUninitializedCapacity: 3 * pixels.count) { out, count in
            for (index, pixel) in pixels.enumerated() {
                out[3 * index] = UInt16(pixel.red)
                out[3 * index + 1] = UInt16(pixel.green)
                out[3 * index + 2] = UInt16(pixel.blue)
            }
            count = 3 * pixels.count
        }
        return try Image(
            width: width, height: height, channelCount: 3, bitDepth: 8, samples: samples
        ).pngData()
    }

    /// Colours a rectangle.
    mutating func fill(
        x: Int, y: Int, width: Int, height: Int, _ color: Color, opacity: Float = 1
    ) {
        let columns = max(0, x)..<max(0, x, min(self.width, x + width))
        for row in max(0, y)..<max(0, y, min(self.height, y + height)) {
            for column in columns {
                let index = row * self.width + column
                pixels[index] = opacity < 1 ? color.over(pixels[index], opacity: opacity) : color
            }
        }
    }

    /// Copies a picture, each of its pixels as a square.
    mutating func draw(_ tile: Canvas, x: Int, y: Int, xFactor: Int = 1, yFactor: Int = 1) {
        for row in 0..<tile.height {
            for column in 0..<tile.width {
                fill(
                    x: x + column * xFactor, y: y + row * yFactor, width: xFactor, height: yFactor,
                    tile[column, row])
            }
        }
    }

    /// Draws a mark with its middle on a pixel.
    mutating func draw(_ mark: Mark, x: Int, y: Int, _ color: Color, opacity: Float = 1) {
        for spot in mark.spots {
            let (column, row) = (x + spot.x, y + spot.y)
            guard (0..<width).contains(column), (0..<height).contains(row) else { continue }
            let index = row * width + column
            pixels[index] = color.over(pixels[index], opacity: spot.coverage * opacity)
        }
    }

    /// A place between pixels: the middle of the pixel in the top left corner is (0, 0).
    struct Point: Equatable {
        var x: Double
        var y: Double
    }

    /// Draws connected lines with smooth edges and round ends.
    mutating func stroke(_ points: [Point], width: Double, _ color: Color) {
        // Points closer than a quarter of a pixel to the one before would show nothing new.
        var kept: [Point] = []
        for (index, point) in points.enumerated() {
            guard let last = kept.last, index < points.count - 1 else {
                kept.append(point)
                continue
            }
            if max(abs(point.x - last.x), abs(point.y - last.y)) >= 0.25 { kept.append(point) }
        }
        let reach = width / 2 + 1
        func range(_ values: [Double], _ count: Int) -> Range<Int> {
            let low = min(max((values.min() ?? 0) - reach, 0), Double(count))
            let high = min(max((values.max() ?? 0) + reach + 1, low), Double(count))
            return Int(low)..<Int(high)
        }
        let columns = range(kept.map(\.x), self.width)
        let rows = range(kept.map(\.y), height)
        // The largest cover of each pixel by any piece: joints are not darker than the rest.
        var cover = [Float](repeating: 0, count: columns.count * rows.count)
        for (a, b) in zip(kept, kept.dropFirst()) {
            let (dx, dy) = (b.x - a.x, b.y - a.y)
            let square = dx * dx + dy * dy
            for row in range([a.y, b.y], height) {
                for column in range([a.x, b.x], self.width) {
                    let (x, y) = (Double(column) - a.x, Double(row) - a.y)
                    let along = square > 0 ? min(max((x * dx + y * dy) / square, 0), 1) : 0
                    let (left, up) = (x - along * dx, y - along * dy)
                    let distance = (left * left + up * up).squareRoot()
                    let index =
                        (row - rows.lowerBound) * columns.count + column - columns.lowerBound
                    let share = Float(min(max(width / 2 + 0.5 - distance, 0), 1))
                    cover[index] = max(cover[index], share)
                }
            }
        }
        for row in rows {
            for column in columns {
                let share = cover[
                    (row - rows.lowerBound) * columns.count + column - columns.lowerBound]
                let index = row * self.width + column
                if share > 0 { pixels[index] = color.over(pixels[index], opacity: share) }
            }
        }
    }

    /// Draws a straight line of dashes.
    mutating func dashes(from a: Point, to b: Point, width: Double = 1.5, _ color: Color) {
        let length = ((b.x - a.x) * (b.x - a.x) + (b.y - a.y) * (b.y - a.y)).squareRoot()
        func point(_ place: Double) -> Point {
            let share = length > 0 ? min(place / length, 1) : 0
            return Point(x: a.x + share * (b.x - a.x), y: a.y + share * (b.y - a.y))
        }
        for start in stride(from: 0, through: length, by: 11) {
            stroke([point(start), point(start + 6)], width: width, color)
        }
    }

    // MARK: Text

    /// Draws one line of text, its top left corner at a pixel; reads upwards where `isUpright` says
    /// so, its bottom left corner at the pixel.
    mutating func text(
        _ text: String, x: Int, y: Int, _ color: Color = .ink, size: Int = 2,
        isUpright: Bool = false
    ) {
        for (index, character) in text.enumerated() {
            for column in 0..<BitmapFont.width {
                for row in 0..<BitmapFont.rowCount
                where BitmapFont.isInk(character, column: column, row: row) {
                    let along = (index * BitmapFont.advance + column) * size
                    fill(
                        x: isUpright ? x + row * size : x + along,
                        y: isUpright ? y - along - size : y + row * size,
                        width: size, height: size, color)
                }
            }
        }
    }

    /// The pixels that a line of text is long.
    static func textWidth(_ text: String, size: Int = 2) -> Int {
        let gap = BitmapFont.advance - BitmapFont.width
        return max(0, (text.count * BitmapFont.advance - gap) * size)
    }

    /// The most characters that a line of so many pixels has room for.
    static func characterCount(width: Int, size: Int = 2) -> Int {
        max(0, width / (BitmapFont.advance * size))
    }

    /// The pixels that a line of text is high, without the tails of letters such as g.
    static func textHeight(size: Int = 2) -> Int { BitmapFont.height * size }
}

extension String {
    /// The text with so many characters at most, without its middle: names that begin alike often
    /// differ at the end.
    func shortened(to count: Int) -> String {
        guard self.count > count, count > 2 else { return String(prefix(count)) }
        let rest = count - 2
        return prefix((rest + 1) / 2) + ".." + suffix(rest / 2)
    }
}

/// A small filled shape with smooth edges, made once and drawn many times.
struct Mark {
    /// A pixel that the shape covers, wholly or in part, counted from its middle.
    struct Spot {
        let x: Int
        let y: Int
        let coverage: Float
    }

    /// Which shape.
    enum Shape: CaseIterable {
        case disc, square, triangle, diamond
    }

    let spots: [Spot]

    /// Makes a shape of the area of a disc of this radius.
    init(_ shape: Shape, radius: Double) {
        let reach = Int((2 * radius).rounded(.up)) + 1
        let samples = (0..<8).map { (Double($0) + 0.5) / 8 - 0.5 }
        var spots: [Spot] = []
        for y in -reach...reach {
            for x in -reach...reach {
                var inside = 0
                for down in samples {
                    for right in samples
                    where Self.contains(
                        shape, (Double(x) + right) / radius, (Double(y) + down) / radius)
                    { inside += 1 }
                }
                guard inside > 0 else { continue }
                spots.append(Spot(x: x, y: y, coverage: Float(inside) / 64))
            }
        }
        self.spots = spots
    }

    /// Whether the shape of a disc's area, of radius 1, contains a point.
    private static func contains(_ shape: Shape, _ x: Double, _ y: Double) -> Bool {
        let half = Double.pi.squareRoot() / 2
        switch shape {
        case .disc:
            return x * x + y * y <= 1
        case .square:
            return max(abs(x), abs(y)) <= half
        case .diamond:
            return abs(x) + abs(y) <= half * 2.0.squareRoot()
        case .triangle:
            // Its centre of gravity in the middle, a corner at the top.
            let outer = (4 * Double.pi / (3 * 3.0.squareRoot())).squareRoot()
            return y <= outer / 2 && abs(x) * 3.0.squareRoot() <= y + outer
        }
    }
}
