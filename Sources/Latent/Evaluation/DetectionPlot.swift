import Foundation

/// The ROC curve, precision over recall, and the two distributions of scores, in one picture.
public struct DetectionPlot: Sendable {
    /// In pixels.
    public static let width = 1680
    /// In pixels.
    public static let height = 612
    /// The whole PNG file, RGB of eight bits; the same figures give the same bytes.
    public let png: [UInt8]

    private static let margin = 20
    private static let normal = Color(0x0072B2)
    private static let anomalous = Color(0xD55E00)
    private static let faint = Color(0x6B7178)

    /// Draws a picture.
    ///
    /// - Parameters:
    ///   - evaluation: what is shown
    ///   - figures: those of the evaluation, from which areas and their intervals are written beside
    ///     the curves
    ///   - title: a line above; the counts of items when nil
    /// - Throws: `MediaError` when memory runs out
    public init(
        _ evaluation: DetectionEvaluation, figures: [DetectionEvaluation.Figure],
        title: String? = nil
    ) throws {
        var canvas = Canvas(width: Self.width, height: Self.height, background: .paper)
        let counts =
            "\(evaluation.ranking.normals.count) normal and "
            + "\(evaluation.ranking.strata[0].count) anomalous items"
        let room = Canvas.characterCount(width: Self.width - 2 * Self.margin, size: 3)
        canvas.text(
            (title ?? counts).shortened(to: room), x: Self.margin, y: Self.margin, size: 3)
        let curve = Curve(evaluation)
        Self.drawROC(curve, figures, on: &canvas)
        Self.drawPrecision(curve, figures, on: &canvas)
        Self.drawScores(evaluation, on: &canvas)
        png = try canvas.png()
    }

    // MARK: Curves

    /// Shares after each step, from the highest score down.
    private struct Curve {
        var falsePositives: [Double] = []
        var recalls: [Double] = []
        var precisions: [Double] = []
        /// What the stored verdicts give.
        let verdicts: (falsePositives: Double, recall: Double, precision: Double)?
        /// The share of all items that is anomalous: the precision of chance.
        let share: Double

        init(_ evaluation: DetectionEvaluation) {
            let ranking = evaluation.ranking
            let (normals, anomalies) = (ranking.normals, ranking.strata[0])
            let before = (ranking.before(normals), ranking.before(anomalies))
            for step in 1...ranking.values.count {
                let (wrong, right) = (before.0[step], before.1[step])
                falsePositives.append(Double(wrong) / Double(normals.count))
                recalls.append(Double(right) / Double(anomalies.count))
                precisions.append(Double(right) / Double(right + wrong))
            }
            share = Double(anomalies.count) / Double(anomalies.count + normals.count)
            let verdicts = (normals.verdicts, anomalies.verdicts)
            let flagged = (verdicts.0.count { $0 == true }, verdicts.1.count { $0 == true })
            let isWhole = !verdicts.0.contains(nil) && !verdicts.1.contains(nil)
            self.verdicts =
                isWhole && flagged.0 + flagged.1 > 0
                ? (
                    Double(flagged.0) / Double(normals.count),
                    Double(flagged.1) / Double(anomalies.count),
                    Double(flagged.1) / Double(flagged.0 + flagged.1)
                ) : nil
        }
    }

    private static func text(
        _ name: String, _ metric: DetectionEvaluation.Metric,
        _ figures: [DetectionEvaluation.Figure]
    ) -> String {
        guard let figure = figures.first(where: { $0.metric == metric && $0.className == nil })
        else { return "" }
        let value = "\(name) \(decimal(figure.value, digits: 4))"
        guard let low = figure.low, let high = figure.high else { return value }
        return value + " (\(decimal(low, digits: 3)) to \(decimal(high, digits: 3)))"
    }

    private static func drawROC(
        _ curve: Curve, _ figures: [DetectionEvaluation.Figure], on canvas: inout Canvas
    ) {
        let panel = Panel(0, x: .shares, y: .shares)
        panel.drawAxes(
            on: &canvas, title: "ROC", subtitle: text("AUROC", .auroc, figures),
            names: ("false-positive rate", "true-positive rate"))
        canvas.dashes(from: panel.point(0, 0), to: panel.point(1, 1), faint)
        let points = zip(curve.falsePositives, curve.recalls).map { panel.point($0, $1) }
        canvas.stroke([panel.point(0, 0)] + points, width: 3, normal)
        if let verdicts = curve.verdicts {
            panel.mark(verdicts.falsePositives, verdicts.recall, atRight: true, on: &canvas)
        }
    }

    private static func drawPrecision(
        _ curve: Curve, _ figures: [DetectionEvaluation.Figure], on canvas: inout Canvas
    ) {
        let panel = Panel(1, x: .shares, y: .shares)
        panel.drawAxes(
            on: &canvas, title: "Precision and recall",
            subtitle: text("AP", .averagePrecision, figures), names: ("recall", "precision"))
        canvas.dashes(from: panel.point(0, curve.share), to: panel.point(1, curve.share), faint)
        // Steps: the area below them is the average precision.
        var points: [Canvas.Point] = []
        var last = 0.0
        for (recall, precision) in zip(curve.recalls, curve.precisions) where recall > last {
            points += [panel.point(last, precision), panel.point(recall, precision)]
            last = recall
        }
        // Flagging the rest finds nothing more, and costs precision.
        points.append(panel.point(1, curve.share))
        canvas.stroke(points, width: 3, normal)
        if let verdicts = curve.verdicts {
            panel.mark(verdicts.recall, verdicts.precision, atRight: false, on: &canvas)
        }
    }

    // MARK: Scores

    private static func drawScores(_ evaluation: DetectionEvaluation, on canvas: inout Canvas) {
        let ranking = evaluation.ranking
        let scale = ScoreScale(ranking)
        let count = ranking.normals.count + ranking.strata[0].count
        // Few items would be a bar each in narrow bins; ten pixels a bin are enough for any number.
        let binCount = min(max(Int(3 * Double(count).squareRoot()), 12), 43)
        /// The share of a stratum that lies in each bin.
        func shares(_ stratum: Ranking.Stratum) -> [Double] {
            var shares = [Double](repeating: 0, count: binCount)
            for place in stratum.places {
                let position = scale.place(ranking.values[Int(place)]) * Double(binCount)
                shares[min(max(Int(position), 0), binCount - 1)] += 1 / Double(stratum.count)
            }
            return shares
        }
        let both = [
            (shares(ranking.normals), normal), (shares(ranking.strata[0]), anomalous),
        ]
        let highest = both.flatMap(\.0).max() ?? 1
        let axis = Axis(of: [0, highest * 1.05])
        let panel = Panel(
            2, x: .init(labels: scale.labels, place: scale.place),
            y: .init(labels: axis.labels, place: axis.place))
        let threshold = evaluation.threshold.flatMap { threshold in
            (0...1).contains(scale.place(threshold)) ? threshold : nil
        }
        panel.drawAxes(
            on: &canvas, title: "Scores", subtitle: "",
            names: (
                scale.isFolded ? "score (log scale far from normal)" : "score", "share of items"
            ))
        drawLegend(panel, hasThreshold: threshold != nil, on: &canvas)
        let bottom = Int(panel.point(0, at: 0).y.rounded())
        for (shares, color) in both {
            // Outlines of what is there, and none along the axis.
            for run in shares.indices.split(whereSeparator: { shares[$0] <= 0 }) {
                let corners = run.flatMap { bin in
                    [bin, bin + 1].map { edge in
                        panel.point(Double(edge) / Double(binCount), at: axis.place(shares[bin]))
                    }
                }
                for left in stride(from: 0, to: corners.count, by: 2) {
                    let (a, b) = (corners[left], corners[left + 1])
                    let (start, top) = (Int(a.x.rounded()), Int(a.y.rounded()))
                    canvas.fill(
                        x: start, y: top, width: Int(b.x.rounded()) - start,
                        height: bottom - top, color, opacity: 0.35)
                }
                let ends = [corners[0], corners[corners.count - 1]].map {
                    Canvas.Point(x: $0.x, y: Double(bottom))
                }
                canvas.stroke([ends[0]] + corners + [ends[1]], width: 2, color)
            }
        }
        if let threshold {
            let place = scale.place(threshold)
            canvas.dashes(
                from: panel.point(place, at: 0), to: panel.point(place, at: 1), .ink)
        }
    }

    private static func drawLegend(_ panel: Panel, hasThreshold: Bool, on canvas: inout Canvas) {
        var x = panel.left
        for (name, color) in [("normal", normal), ("anomalous", anomalous)] {
            canvas.fill(x: x, y: panel.subtitleTop, width: 14, height: 14, color, opacity: 0.35)
            canvas.fill(x: x, y: panel.subtitleTop, width: 14, height: 2, color)
            canvas.text(name, x: x + 20, y: panel.subtitleTop, faint)
            x += 20 + Canvas.textWidth(name) + 20
        }
        guard hasThreshold else { return }
        let middle = Double(panel.subtitleTop) + 6.5
        canvas.dashes(
            from: .init(x: Double(x), y: middle), to: .init(x: Double(x + 16), y: middle), .ink)
        canvas.text("threshold", x: x + 25, y: panel.subtitleTop, faint)
    }

    // MARK: Panels

    /// Numbers along an edge, and where they stand, 0…1.
    private struct Scale {
        let labels: [Axis.Label]
        let place: (Double) -> Double

        static var shares: Scale {
            let axis = Axis(of: [0, 1])
            return Scale(labels: axis.labels, place: axis.place)
        }
    }

    /// One of three diagrams side by side.
    private struct Panel {
        let x: Scale
        let y: Scale
        let left: Int
        let top: Int
        let subtitleTop: Int
        static let side = 430
        /// From one panel to the next.
        private static let advance = 550

        init(_ index: Int, x: Scale, y: Scale) {
            (self.x, self.y) = (x, y)
            left = DetectionPlot.margin + 88 + index * Self.advance
            subtitleTop = DetectionPlot.margin + 21 + 22 + 14 + 10
            top = subtitleTop + 14 + 12
        }

        /// Where two values stand.
        func point(_ x: Double, _ y: Double) -> Canvas.Point {
            point(self.x.place(x), at: self.y.place(y))
        }

        /// Where two places, 0…1, stand.
        func point(_ x: Double, at y: Double) -> Canvas.Point {
            let side = Double(Self.side)
            return .init(x: Double(left) + x * side, y: Double(top) + (1 - y) * side)
        }

        func drawAxes(
            on canvas: inout Canvas, title: String, subtitle: String,
            names: (x: String, y: String)
        ) {
            let (text, dark, side) = (Canvas.textHeight(), Color(0x8A9199), Self.side)
            canvas.text(title, x: left, y: subtitleTop - text - 10)
            canvas.text(subtitle, x: left, y: subtitleTop, DetectionPlot.faint)
            for label in x.labels {
                let column = Int(point(x.place(label.value), at: 0).x.rounded())
                canvas.fill(x: column, y: top, width: 1, height: side, .line)
                canvas.fill(x: column, y: top + side, width: 1, height: 5, dark)
                canvas.text(
                    label.text, x: column - Canvas.textWidth(label.text) / 2, y: top + side + 10)
            }
            for label in y.labels {
                let row = Int(point(0, at: y.place(label.value)).y.rounded())
                canvas.fill(x: left, y: row, width: side, height: 1, .line)
                canvas.fill(x: left - 5, y: row, width: 5, height: 1, dark)
                canvas.text(
                    label.text, x: left - 9 - Canvas.textWidth(label.text), y: row - text / 2)
            }
            canvas.fill(x: left, y: top, width: 1, height: side + 1, dark)
            canvas.fill(x: left, y: top + side, width: side + 1, height: 1, dark)
            canvas.text(
                names.x, x: left + (side - Canvas.textWidth(names.x)) / 2,
                y: top + side + 10 + text + 12)
            canvas.text(
                names.y, x: left - 84, y: top + (side + Canvas.textWidth(names.y)) / 2,
                isUpright: true)
        }

        /// Draws where the stored threshold is, and says so in the lower corner where curves are rare.
        func mark(_ x: Double, _ y: Double, atRight: Bool, on canvas: inout Canvas) {
            let note = "at the threshold"
            let start = atRight ? left + Self.side - Canvas.textWidth(note) - 12 : left + 34
            let row = top + Self.side - 30
            canvas.fill(
                x: start - 24, y: row - 6, width: Canvas.textWidth(note) + 30, height: 26, .paper,
                opacity: 0.85)
            canvas.text(note, x: start, y: row, DetectionPlot.faint)
            let place = point(x, y)
            for (column, line) in [
                (Int(place.x.rounded()), Int(place.y.rounded())), (start - 14, row + 7),
            ] {
                canvas.draw(Mark(.disc, radius: 8), x: column, y: line, .paper)
                canvas.draw(Mark(.disc, radius: 6), x: column, y: line, DetectionPlot.anomalous)
            }
        }
    }
}

/// Places for scores, which may lie thousands of times farther out than normal ones differ.
///
/// Where they do, the scale is asinh((s - m) / w), with m the median of the normal scores and w the
/// distance of their quartiles: even near them, and that of the logarithm far from them.
struct ScoreScale {
    /// Whether it is not even.
    let isFolded: Bool
    /// Round numbers to write.
    let labels: [Axis.Label]
    private let middle: Double
    private let width: Double
    private let low: Double
    private let high: Double

    init(_ ranking: Ranking) {
        let places = ranking.normals.places
        /// Places rise where scores fall.
        func quantile(_ share: Double) -> Double {
            Self.bounded(ranking.values[Int(places[Int((1 - share) * Double(places.count - 1))])])
        }
        var (low, high) = (
            Self.bounded(ranking.values[ranking.values.count - 1]), Self.bounded(ranking.values[0])
        )
        let spread = quantile(0.75) - quantile(0.25)
        isFolded = spread > 0 && high - low > 12 * spread
        if low == high { (low, high) = (low - 1, high + 1) }
        middle = quantile(0.5)
        width = max(spread, .leastNormalMagnitude)
        guard isFolded else {
            // A little room, so that the outermost bins are whole.
            let room = 0.02 * (high - low)
            (self.low, self.high) = (low - room, high + room)
            labels = Axis(of: [low - room, high + room]).labels
            return
        }
        let (middle, width) = (middle, width)
        let ends = (asinh((low - middle) / width), asinh((high - middle) / width))
        let room = 0.02 * (ends.1 - ends.0)
        (self.low, self.high) = (ends.0 - room, ends.1 + room)
        labels = Self.roundNumbers(low, high, width) { [low = self.low, high = self.high] value in
            (asinh((value - middle) / width) - low) / (high - low)
        }
    }

    /// Where a score lies, 0…1.
    func place(_ value: Double) -> Double {
        let value = Self.bounded(value)
        return ((isFolded ? asinh((value - middle) / width) : value) - low) / (high - low)
    }

    /// Differences of scores beyond would be infinite.
    private static func bounded(_ value: Double) -> Double { min(max(value, -1e300), 1e300) }

    /// 0, then powers of ten from the largest, then twice and five times those, as far as there is
    /// room for them.
    private static func roundNumbers(
        _ low: Double, _ high: Double, _ width: Double, place: (Double) -> Double
    ) -> [Axis.Label] {
        let largest = Int(log10(max(abs(low), abs(high), .leastNormalMagnitude)))
        let powers = stride(from: largest, through: largest - 6, by: -1).map { pow(10, Double($0)) }
        var candidates = [0.0]
        for factor in [1.0, 5, 2] {
            for power in powers { candidates += [factor * power, -factor * power] }
        }
        var labels: [Axis.Label] = []
        for value in candidates where value >= low && value <= high {
            let size = abs(value)
            let text =
                value == 0
                ? "0"
                : size >= 1e5 || size < 1e-3
                    ? String(format: "%.0e", value).replacing("e+0", with: "e").replacing(
                        "e-0", with: "e-")
                    : decimal(value, digits: max(0, Int(-log10(size).rounded(.down))))
            let label = Axis.Label(value: value, text: text)
            let isClear = labels.allSatisfy { other in
                let pixels = abs(place(other.value) - place(value)) * 430
                return pixels
                    > Double(Canvas.textWidth(other.text) + Canvas.textWidth(text)) / 2 + 14
            }
            if isClear { labels.append(label) }
        }
        return labels
    }
}
