import Foundation
import Media

extension AugmentationEvaluation {
    /// Writes pictures to look at: `classes.png`, real files and synthetic ones below them, class by
    /// class, and `nearest.png`, the synthetic files that are nearest to a training file, and that.
    ///
    /// - Parameters:
    ///   - folder: made where it is missing
    ///   - pairs: what ``figures(onStep:onPairs:)`` gave
    ///   - overwrite: whether files that are there are replaced
    /// - Returns: the names of the files
    /// - Throws: `MediaError` and ``LatentError`` `.cannotWrite`
    public func writeSheets(
        to folder: String, pairs: [Pair], overwrite: Bool
    ) throws -> [String] {
        let sheets = [
            ("classes.png", try classSheet()), ("nearest.png", try nearestSheet(pairs)),
        ]
        try FileManager.default.makeFolder(folder)
        for (name, sheet) in sheets {
            try FileBytes.write(sheet.png, to: "\(folder)/\(name)", overwrite: overwrite)
        }
        return sheets.map(\.0)
    }

    private static let sheetClassLimit = 20
    private static let sheetColumnCount = 10

    private func classSheet() throws -> ContactSheet {
        let names: [String?] =
            isLabelled && !classNames.isEmpty
            ? Array(classNames.prefix(Self.sheetClassLimit)) : [nil]
        let sets = [
            ("real", training, draw(from: training, 8)),
            ("synthetic", synthetic, draw(from: synthetic, 9)),
        ]
        let rows = names.flatMap { name in
            sets.enumerated().map { index, set in
                let places = set.2.lazy.filter { name == nil || set.1.items[$0].label == name }
                return ContactSheet.Row(
                    label: (index == 0 ? name.map { [$0] } ?? [] : []) + [set.0],
                    windows: places.prefix(Self.sheetColumnCount).map { set.1.maps.map($0) },
                    isTied: index > 0)
            }
        }
        let more = names == [nil] ? 0 : classNames.count - names.count
        return try .rows(
            rows, domain: domain,
            title: "real files, and synthetic ones below them"
                + (more > 0 ? "; \(more) more classes" : ""), legend: legend)
    }

    private func nearestSheet(_ pairs: [Pair]) throws -> ContactSheet {
        let nearest = pairs.sorted { ($0.distance, $0.synthetic) < ($1.distance, $1.synthetic) }
            .prefix(3 * Self.sheetColumnCount)
        let rows = stride(from: 0, to: nearest.count, by: Self.sheetColumnCount).flatMap { start in
            let part = nearest[start..<min(start + Self.sheetColumnCount, nearest.count)]
            let ranks = "\(part.startIndex + 1) to \(part.endIndex)"
            let ends = [part.first, part.last].compactMap { $0 }.map {
                decimal($0.distance, digits: 2)
            }
            return [
                ContactSheet.Row(
                    label: ["synthetic", ranks],
                    windows: part.map { synthetic.maps.map($0.synthetic) }),
                ContactSheet.Row(
                    label: ["real", ends.joined(separator: " to ")],
                    windows: part.map { training.maps.map($0.training) }, isTied: true),
            ]
        }
        let lines = [
            "below each synthetic file the real one that is nearest to it; nearest pairs first, "
                + "\(nearest.count) of \(pairs.count)",
            "left of real ones: Euclidean distances of the first and the last pair of the row",
        ]
        return try .rows(
            rows, domain: domain, title: "synthetic files nearest to a training file",
            legend: SheetLegend(lines: lines + legend.lines, levels: legend.levels))
    }
}
