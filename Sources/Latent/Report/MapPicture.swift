import Foundation

/// Draws a ``LatentMap``: points, axes, a legend, a title.
struct MapPicture {
    private let map: LatentMap
    private let title: String
    private let legend: MapLegend
    private let x: Axis
    private let y: Axis
    private let frame: Frame

    /// The pixels that the points may stand on.
    private struct Frame {
        let left: Int
        let top: Int
        let right: Int
        let bottom: Int
    }

    init(_ map: LatentMap, title: String?) {
        self.map = map
        let files = map.points.count == 1 ? "1 file" : "\(map.points.count) files"
        let missing = map.points.count { $0 == nil }
        let dimensions =
            map.dimensionCount == 1 ? "1 dimension" : "\(map.dimensionCount) dimensions"
        self.title =
            (title ?? "\(files), \(dimensions)")
            + (missing > 0 ? " (\(missing) not finite, left out)" : "")
        legend = MapLegend(map.labels)
        x = Axis(of: map.points.compactMap { $0?.x })
        y = Axis(of: map.points.compactMap { $0?.y })
        let text = Canvas.textHeight()
        let yNumbers = y.labels.map { Canvas.textWidth($0.text) }.max() ?? 0
        let outer = 14
        frame = Frame(
            left: outer + text + 10 + yNumbers + 8, top: outer + text + 14,
            right: LatentMap.width - outer - (legend.width > 0 ? legend.width + 16 : 0),
            bottom: LatentMap.height - outer - text - 14 - text - 8)
    }

    func drawn() -> Canvas {
        var canvas = Canvas(width: LatentMap.width, height: LatentMap.height, background: .paper)
        let characters = Canvas.characterCount(width: LatentMap.width - 28)
        canvas.text(title.shortened(to: characters), x: 14, y: 14)
        drawAxes(on: &canvas)
        drawPoints(on: &canvas)
        legend.draw(on: &canvas, x: frame.right + 16, y: frame.top)
        return canvas
    }

    private func drawAxes(on canvas: inout Canvas) {
        let (text, dark) = (Canvas.textHeight(), Color(0x8A9199))
        let (width, height) = (frame.right - frame.left, frame.bottom - frame.top)
        for label in x.labels {
            let column = column(label.value)
            canvas.fill(x: column, y: frame.top, width: 1, height: height, .line)
            canvas.fill(x: column, y: frame.bottom, width: 1, height: 5, dark)
            canvas.text(
                label.text, x: column - Canvas.textWidth(label.text) / 2, y: frame.bottom + 8)
        }
        for label in y.labels {
            let row = row(label.value)
            canvas.fill(x: frame.left, y: row, width: width, height: 1, .line)
            canvas.fill(x: frame.left - 5, y: row, width: 5, height: 1, dark)
            canvas.text(
                label.text, x: frame.left - 8 - Canvas.textWidth(label.text), y: row - text / 2)
        }
        canvas.fill(x: frame.left, y: frame.top, width: 1, height: height + 1, dark)
        canvas.fill(x: frame.left, y: frame.bottom, width: width, height: 1, dark)

        let xName = Self.name(1, map.shares.x, map.dimensionCount)
        canvas.text(
            xName, x: frame.left + (width - Canvas.textWidth(xName)) / 2,
            y: LatentMap.height - 14 - text)
        let yName = Self.name(2, map.shares.y, map.dimensionCount)
        canvas.text(
            yName, x: 14, y: frame.top + (height + Canvas.textWidth(yName)) / 2, isUpright: true)
    }

    private static func name(_ number: Int, _ share: Double, _ dimensionCount: Int) -> String {
        number > dimensionCount
            ? "nothing: there is one dimension"
            : "component \(number): \(decimal(100 * share, digits: 1)) % of variance"
    }

    private func drawPoints(on canvas: inout Canvas) {
        // Many points are small and see-through, so that one sees how dense they lie.
        let count = map.points.count
        let radius = count <= 300 ? 5.0 : count <= 2_000 ? 3.5 : count <= 10_000 ? 2.5 : 1.5
        let opacity: Float = count <= 300 ? 0.85 : count <= 10_000 ? 0.7 : 0.5
        let marks = Dictionary(
            uniqueKeysWithValues: Mark.Shape.allCases.map { ($0, Mark($0, radius: radius)) })
        // Files often come class by class: in their order the last class would lie over all others.
        let order = Self.scattered(count).map { ($0, legend.look(map.labels[$0])) }
        for isNamed in [false, true] {
            for (index, look) in order where look.isNamed == isNamed {
                guard let point = map.points[index], let mark = marks[look.shape] else { continue }
                canvas.draw(
                    mark, x: column(point.x), y: row(point.y), look.color, opacity: opacity)
            }
        }
    }

    /// 0..<count in an order that jumps about evenly: steps near the golden ratio of the count.
    private static func scattered(_ count: Int) -> [Int] {
        func divisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : divisor(b, a % b) }
        var step = max(1, Int(Double(count) * 0.618))
        while divisor(step, count) != 1 { step += 1 }
        return (0..<count).map { $0 * step % count }
    }

    /// Marks keep clear of the axes.
    private static let clearance = 8.0

    private func column(_ value: Double) -> Int {
        let length = Double(frame.right - frame.left) - 2 * Self.clearance
        return frame.left + Int((Self.clearance + x.place(value) * length).rounded())
    }

    private func row(_ value: Double) -> Int {
        let length = Double(frame.bottom - frame.top) - 2 * Self.clearance
        return frame.bottom - Int((Self.clearance + y.place(value) * length).rounded())
    }
}

/// A range of values with round numbers to write beside it.
struct Axis {
    /// A number on the axis.
    struct Label {
        let value: Double
        let text: String
    }

    private let lower: Double
    private let length: Double
    let labels: [Label]

    /// Makes an axis that holds values; -1…1 about them where they do not differ.
    init(of values: [Double]) {
        var (low, high) = (values.min() ?? 0, values.max() ?? 0)
        let size = max(abs(low), abs(high))
        if high - low <= 1e-9 * size || high == low { (low, high) = (low - 1, high + 1) }
        let span = high - low
        (lower, length) = (low, span)
        // 1, 2 or 5 times a power of ten, five to ten of them.
        let power = pow(10, (log10(span) - 1).rounded(.down))
        let step = power * ([1, 2, 5, 10, 20, 50].first { span / ($0 * power) <= 8 } ?? 100)
        let digits = max(0, Int(-log10(step).rounded(.down)))
        let (first, last) = ((low / step).rounded(.up), (high / step).rounded(.down))
        guard first <= last, last - first < 100 else {
            labels = []
            return
        }
        let isPlain = digits <= 4 && max(size, span) < 1e5
        labels = stride(from: first, through: last, by: 1).map { number in
            let value = number * step
            let text =
                isPlain
                ? decimal(value, digits: digits)
                : value == 0 ? "0" : String(format: "%.1e", value)
            return Label(value: value, text: text)
        }
    }

    /// Where a value lies, 0…1.
    func place(_ value: Double) -> Double { (value - lower) / length }
}
