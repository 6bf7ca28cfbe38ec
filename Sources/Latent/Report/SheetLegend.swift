/// What stands below the tiles of a sheet: what they show, and for levels a bar of their colours.
public struct SheetLegend: Sendable, Equatable {
    /// Lines of text.
    public let lines: [String]
    /// What the darkest and the brightest colour of levels stand for; nil for a sheet without.
    public let levels: Levels?

    /// The ends of the colours of levels.
    public struct Levels: Sendable, Equatable {
        /// What 0 stands for.
        public let low: String
        /// What 1 stands for.
        public let high: String

        /// Names the ends.
        public init(low: String, high: String) {
            self.low = low
            self.high = high
        }
    }

    /// Makes a legend.
    public init(lines: [String], levels: Levels? = nil) {
        self.lines = lines
        self.levels = levels
    }

    private static let barWidth = 96
    private static let space = 8
    private static let lineHeight = Canvas.textHeight() + 6

    /// In pixels.
    var width: Int {
        let bar =
            levels.map {
                Canvas.textWidth($0.low) + Canvas.textWidth($0.high) + Self.barWidth
                    + 2 * Self.space
            } ?? 0
        return max(bar, lines.map { Canvas.textWidth($0) }.max() ?? 0)
    }

    /// In pixels.
    var height: Int { (lines.count + (levels == nil ? 0 : 1)) * Self.lineHeight }

    /// Draws it.
    func draw(on canvas: inout Canvas, x: Int, y: Int) {
        var y = y
        for line in lines {
            canvas.text(line, x: x, y: y)
            y += Self.lineHeight
        }
        guard let levels else { return }
        canvas.text(levels.low, x: x, y: y)
        let left = x + Canvas.textWidth(levels.low) + Self.space
        for column in 0..<Self.barWidth {
            canvas.fill(
                x: left + column, y: y, width: 1, height: Canvas.textHeight(),
                LevelColors.color(Float(column) / Float(Self.barWidth - 1)))
        }
        canvas.text(levels.high, x: left + Self.barWidth + Self.space, y: y)
    }
}
