import Foundation

/// Where everything stands on a contact sheet: a title, headings of columns, labelled rows of tiles.
struct SheetLayout {
    /// A row of windows.
    struct Row {
        /// Lines of text at the left.
        let label: [String]
        let windows: [FeatureMap]
        /// Whether the row belongs to the one above, and stands close to it.
        let isTied: Bool

        init(_ label: [String], _ windows: [FeatureMap], isTied: Bool = false) {
            self.label = label
            self.windows = windows
            self.isTied = isTied
        }
    }

    let title: String?
    let headings: [String]
    let rows: [Row]
    /// What stands below the tiles.
    var legend: SheetLegend?

    /// Around everything.
    private static let margin = 12
    /// Between tiles, and between rows that belong together.
    private static let gap = 4
    /// Between other rows, and between text and tiles.
    private static let space = 12
    private static let lineHeight = Canvas.textHeight() + leading
    private static let leading = 6

    /// Draws the sheet.
    ///
    /// - Throws: ``LatentError`` `.usage` for no windows, for shapes that differ, or for more pixels
    ///   than an image should have
    func drawn(_ domain: Domain) throws(LatentError) -> Canvas {
        try checkShapes()
        guard let tile = rows.lazy.compactMap({ $0.windows.first }).first.map({ Tile($0, domain) })
        else { throw LatentError(.usage, "there are no windows to lay out") }
        let cellWidth = max(tile.width, headings.map { Canvas.textWidth($0) + 8 }.max() ?? 0)
        let labelWidth = rows.flatMap(\.label).map { Canvas.textWidth($0) }.max() ?? 0
        let labelHeight = (rows.map(\.label.count).max() ?? 0) * Self.lineHeight
        let cellHeight = max(tile.height, labelHeight)

        let left = Self.margin + (labelWidth > 0 ? labelWidth + Self.space : 0)
        var top = Self.margin
        if title != nil { top += Canvas.textHeight() + Self.space }
        let headingTop = top
        if !headings.isEmpty { top += Canvas.textHeight() + Self.space / 2 }
        var tops: [Int] = []
        for row in rows {
            if let last = tops.last {
                top = last + cellHeight + (row.isTied ? Self.gap : Self.space)
            }
            tops.append(top)
        }
        let columnCount = rows.map(\.windows.count).max() ?? 0
        let right = left + columnCount * (cellWidth + Self.gap) - Self.gap
        // A title longer than the tiles widens the sheet; a very long one loses its middle.
        let title = title?.shortened(to: 80)
        let titleEnd = Self.margin + (title.map { Canvas.textWidth($0) } ?? 0)
        let legendEnd = Self.margin + (legend?.width ?? 0)
        let width = max(right, titleEnd, legendEnd) + Self.margin
        let bottom = (tops.last ?? 0) + cellHeight
        let height = bottom + (legend.map { Self.space + $0.height } ?? 0) + Self.margin
        let (pixelCount, isTooLarge) = width.multipliedReportingOverflow(by: height)
        guard !isTooLarge, pixelCount <= 64 << 20 else {
            throw LatentError(
                .usage, "a sheet of \(width)×\(height) pixels is too large",
                hint: "lay out fewer windows")
        }

        var canvas = Canvas(width: width, height: height, background: .page)
        if let title { canvas.text(title, x: Self.margin, y: Self.margin) }
        for (column, heading) in headings.enumerated() {
            let middle = left + column * (cellWidth + Self.gap) + cellWidth / 2
            canvas.text(heading, x: middle - Canvas.textWidth(heading) / 2, y: headingTop)
        }
        for (row, top) in zip(rows, tops) {
            let textTop = top + (cellHeight - row.label.count * Self.lineHeight + Self.leading) / 2
            for (line, text) in row.label.enumerated() {
                canvas.text(
                    text, x: left - Self.space - Canvas.textWidth(text),
                    y: textTop + line * Self.lineHeight)
            }
            for (column, window) in row.windows.enumerated() {
                Tile(window, domain).draw(
                    on: &canvas,
                    x: left + column * (cellWidth + Self.gap) + (cellWidth - tile.width) / 2,
                    y: top + (cellHeight - tile.height) / 2)
            }
        }
        legend?.draw(on: &canvas, x: Self.margin, y: bottom + Self.space)
        return canvas
    }

    private func checkShapes() throws(LatentError) {
        let windows = rows.flatMap(\.windows)
        guard let first = windows.first else { return }
        for window in windows {
            guard window.channelCount == first.channelCount, window.height == first.height,
                window.width == first.width
            else {
                throw LatentError(
                    .usage,
                    "a window of \(window.channelCount)×\(window.height)×\(window.width) beside one "
                        + "of \(first.channelCount)×\(first.height)×\(first.width)")
            }
        }
    }
}

/// A number with so many digits after the point, in words where it is none; never -0.0.
func decimal(_ value: Double, digits: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "NaN" : value > 0 ? "inf" : "-inf" }
    if abs(value) >= 1e6 { return String(format: "%.2e", value) }
    let text = String(format: "%.\(digits)f", value)
    return text.contains { ("1"..."9").contains($0) } ? text : text.replacing("-", with: "")
}
