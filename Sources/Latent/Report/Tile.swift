/// A window of features as a small picture, sized so that a sheet of them is comfortable to look at.
struct Tile {
    /// The picture, pixel by pixel, before it is enlarged.
    private let canvas: Canvas
    private let xFactor: Int
    private let yFactor: Int

    /// In pixels of the sheet.
    var width: Int { canvas.width * xFactor }
    /// In pixels of the sheet.
    var height: Int { canvas.height * yFactor }

    /// Small windows are enlarged by the largest whole factor that stays within this.
    static let comfortable = 128
    /// Large windows are reduced to this.
    static let largest = 192

    /// Makes the picture of a window.
    ///
    /// Images are shown as they are: grey where they have one channel, RGB where they have three,
    /// else the mean of the channels. Spectrograms have low frequencies at the bottom and colours
    /// for levels. A value that is not a number, or is infinite, shows as a colour that no grey
    /// picture and no spectrogram has.
    init(_ window: FeatureMap, _ domain: Domain) {
        let (across, down) = Self.size(of: window, domain)
        let isColored = domain == .image && window.channelCount == 3
        let planes = (0..<window.channelCount).map { channel in
            Self.reduced(window, channel: channel, height: down.pixels, width: across.pixels)
        }
        var canvas = Canvas(width: across.pixels, height: down.pixels, background: .missing)
        for row in 0..<down.pixels {
            for column in 0..<across.pixels {
                let values = planes.map { $0[row * across.pixels + column] }
                let mean = values.reduce(0, +) / Float(max(1, values.count))
                guard !values.isEmpty, mean.isFinite else { continue }
                let color =
                    isColored
                    ? Color(red: values[0], green: values[1], blue: values[2])
                    : domain == .audio
                        ? LevelColors.color(mean) : Color(red: mean, green: mean, blue: mean)
                canvas.fill(
                    x: column, y: domain == .audio ? down.pixels - 1 - row : row, width: 1,
                    height: 1, color)
            }
        }
        self.canvas = canvas
        (xFactor, yFactor) = (across.factor, down.factor)
    }

    /// Draws the picture.
    func draw(on sheet: inout Canvas, x: Int, y: Int) {
        sheet.draw(canvas, x: x, y: y, xFactor: xFactor, yFactor: yFactor)
    }

    private typealias Side = (pixels: Int, factor: Int)

    private static func size(of window: FeatureMap, _ domain: Domain) -> (Side, Side) {
        func side(_ length: Int, _ longest: Int) -> Side {
            if longest > largest {
                return (max(1, (length * largest + longest / 2) / longest), 1)
            }
            return (length, max(1, comfortable / longest))
        }
        let (height, width) = (max(1, window.height), max(1, window.width))
        // The axes of a spectrogram have nothing to do with each other; pixels of images are square.
        let longest = max(height, width)
        return domain == .audio
            ? (side(width, width), side(height, height))
            : (side(width, longest), side(height, longest))
    }

    /// Means over the areas of the pixels; a plane that keeps its size is unchanged.
    private static func reduced(
        _ window: FeatureMap, channel: Int, height: Int, width: Int
    ) -> [Float] {
        let plane = window.values.dropFirst(channel * window.height * window.width)
            .prefix(window.height * window.width)
        if height == window.height, width == window.width { return Array(plane) }
        guard !plane.isEmpty else { return Array(repeating: .nan, count: height * width) }
        let rows = (0..<height).map { weights($0, of: height, over: window.height) }
        let columns = (0..<width).map { weights($0, of: width, over: window.width) }
        return rows.flatMap { row in
            columns.map { column in
                var total: Float = 0
                for (y, rowWeight) in row {
                    for (x, columnWeight) in column {
                        let value = plane[plane.startIndex + y * window.width + x]
                        total += value * rowWeight * columnWeight
                    }
                }
                return total
            }
        }
    }

    /// How much of each old pixel a new one consists of.
    private static func weights(
        _ index: Int, of count: Int, over length: Int
    ) -> [(index: Int, weight: Float)] {
        let step = Double(length) / Double(count)
        let (start, end) = (Double(index) * step, Double(index + 1) * step)
        return (Int(start)..<min(length, Int(end.rounded(.up)))).compactMap { old in
            let shared = min(end, Double(old + 1)) - max(start, Double(old))
            return shared > 1e-9 ? (old, Float(shared / step)) : nil
        }
    }
}
