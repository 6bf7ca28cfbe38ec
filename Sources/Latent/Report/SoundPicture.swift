import Foundation
import Media

/// A recording's spectrogram with the anomaly of its frames under it, and its segments.
struct SoundPicture {
    /// The log-mels, [1, M, T], 0…1.
    let spectrogram: FeatureMap
    let map: AnomalyMap
    /// The anomaly of the frames, [T].
    let curve: [Float]
    let segments: [Segment]
    /// A value of the curve.
    let threshold: Double

    private static let comfortableWidth = 900
    private static let largestWidth = 1_600
    private static let bandHeight = 5
    private static let curveHeight = 160
    private static let margin = (left: 58, right: 16, top: 12, bottom: 30)
    private static let gap = 10
    /// The curve is of logarithms, between these places beside the threshold.
    private static let range = 1e-2...1e2
    private static let shade = Color(0xFFD9D2)
    private static let red = Color(0xC62828)

    /// The picture; the same recording gives the same bytes.
    func png() throws(MediaError) -> [UInt8] {
        let frames = curve.count
        let factor = max(1, Self.comfortableWidth / max(1, frames))
        let columns = min(frames * factor, Self.largestWidth)
        let bands = spectrogram.height * Self.bandHeight
        let (left, top) = (Self.margin.left, Self.margin.top)
        let curveTop = top + bands + Self.gap
        var canvas = Canvas(
            width: left + columns + Self.margin.right,
            height: curveTop + Self.curveHeight + Self.margin.bottom, background: .paper)

        drawSpectrogram(on: &canvas, columns: columns)
        let seconds = max(map.duration, 1e-9)
        func column(at time: Double) -> Int {
            left + Int((time / seconds * Double(columns)).rounded())
        }
        for segment in segments {
            let (start, end) = (column(at: segment.start), column(at: segment.end))
            canvas.fill(
                x: start, y: curveTop, width: max(1, end - start), height: Self.curveHeight,
                Self.shade)
            for x in [start, max(start, end - 1)] {
                canvas.fill(x: x, y: top, width: 1, height: bands, Self.shade)
            }
        }
        canvas.fill(x: left, y: curveTop, width: 1, height: Self.curveHeight, .line)
        canvas.fill(
            x: left, y: curveTop + Self.curveHeight, width: columns, height: 1, .line)
        drawCurve(on: &canvas, columns: columns, top: curveTop)
        drawTimes(on: &canvas, top: curveTop + Self.curveHeight + 6, seconds: seconds, at: column)
        canvas.text("mel", x: 8, y: top + bands / 2 - 7)
        return try canvas.png()
    }

    /// The frames that a column of pixels stands for.
    private func frames(ofColumn column: Int, of columns: Int) -> Range<Int> {
        let start = column * curve.count / columns
        return start..<max(start + 1, (column + 1) * curve.count / columns)
    }

    /// Low bands at the bottom; of several frames in a column the loudest.
    private func drawSpectrogram(on canvas: inout Canvas, columns: Int) {
        for column in 0..<columns {
            let range = frames(ofColumn: column, of: columns)
            for band in 0..<spectrogram.height {
                let row = band * spectrogram.width
                let level =
                    spectrogram.values[row + range.lowerBound..<row + range.upperBound]
                    .max() ?? 0
                canvas.fill(
                    x: Self.margin.left + column,
                    y: Self.margin.top + (spectrogram.height - 1 - band) * Self.bandHeight,
                    width: 1, height: Self.bandHeight,
                    level.isFinite ? LevelColors.color(level) : .missing)
            }
        }
    }

    private func height(of value: Double) -> Double {
        let ratio = value.isNaN ? Self.range.upperBound : value / threshold
        let held = min(Self.range.upperBound, max(Self.range.lowerBound, ratio))
        let decades = log10(Self.range.upperBound / Self.range.lowerBound)
        return Double(Self.curveHeight) * log10(held / Self.range.lowerBound) / decades
    }

    private func drawCurve(on canvas: inout Canvas, columns: Int, top: Int) {
        let bottom = Double(top + Self.curveHeight)
        let line = (0..<columns).map { column in
            let value = curve[frames(ofColumn: column, of: columns)].max() ?? 0
            return Canvas.Point(
                x: Double(Self.margin.left + column), y: bottom - height(of: Double(value)))
        }
        let y = bottom - height(of: threshold)
        canvas.dashes(
            from: Canvas.Point(x: Double(Self.margin.left), y: y),
            to: Canvas.Point(x: Double(Self.margin.left + columns), y: y), Self.red)
        canvas.stroke(line, width: 2, .ink)
        for (text, value) in [("x100", 100.0), ("x10", 10), ("x1", 1), ("x0.1", 0.1)] {
            let y = Int(bottom - height(of: value * threshold))
            canvas.text(text, x: 4, y: max(top, y - 7), value == 1 ? Self.red : .ink)
        }
    }

    /// Marks at 1, 2 or 5 times a power of ten seconds, no more than a dozen.
    private func drawTimes(
        on canvas: inout Canvas, top: Int, seconds: Double, at column: (Double) -> Int
    ) {
        let decade = pow(10, log10(seconds / 12).rounded(.down))
        let step = [1.0, 2, 5, 10].map { $0 * decade }.first { seconds / $0 <= 12 } ?? seconds
        for index in 0...12 where Double(index) * step <= seconds {
            let time = Double(index) * step
            let text = String(format: step < 0.1 ? "%.2fs" : step < 1 ? "%.1fs" : "%.0fs", time)
            let x = column(time)
            canvas.fill(x: x, y: top - 6, width: 1, height: 4, .ink)
            let room = canvas.width - Canvas.textWidth(text)
            canvas.text(text, x: max(0, min(x - Canvas.textWidth(text) / 2, room)), y: top)
        }
    }
}
