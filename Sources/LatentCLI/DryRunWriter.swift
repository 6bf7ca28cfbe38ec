import Latent

/// Writes what a run of `augment` would write (schema 1): a line for each class, and one for all.
struct DryRunWriter {
    private let output = StandardOutput()
    private let format: RowFormat
    private let originals: Bool

    private static let schema = 1
    private static let columns = ["row", "class", "real", "originals", "new", "done"]

    init(format: RowFormat?, originals: Bool) {
        self.format = format ?? (output.isTerminal ? .table : .ndjson)
        self.originals = originals
    }

    /// Numbers of files.
    private struct Row {
        let label: String?
        /// Files of DATA.
        let real: Int
        /// Of these are written too.
        let originals: Int
        let new: Int
        /// Of all that is written is there already.
        let done: Int
    }

    /// Writes the shares of classes, and how much of each is there.
    func write(_ shares: [AugmentationPlan.Share], progress: RunProgress?) throws {
        switch format {
        case .ndjson: break
        case .csv, .tsv: try output.line(format.separated(Self.columns))
        case .table: try output.line(Self.line(Self.columns.dropFirst(2).map(\.self), "class"))
        }
        let rows = shares.map {
            Row(
                label: $0.label, real: $0.realCount, originals: originals ? $0.originalCount : 0,
                new: $0.newCount, done: progress?.counts[$0.label] ?? 0)
        }
        for row in rows { try write(row, kind: "class") }
        try write(
            Row(
                label: nil, real: rows.reduce(0) { $0 + $1.real },
                originals: rows.reduce(0) { $0 + $1.originals },
                new: rows.reduce(0) { $0 + $1.new }, done: progress?.fileCount ?? 0), kind: "total")
        try output.flush()
    }

    private func write(_ row: Row, kind: String) throws {
        let counts = [row.real, row.originals, row.new, row.done]
        switch format {
        case .ndjson:
            var line = JSONLine()
            line.add("schema", Self.schema)
            line.add("row", kind)
            line.add("class", row.label)
            for (name, count) in zip(Self.columns.dropFirst(2), counts) { line.add(name, count) }
            try output.line(line.text)
        case .csv, .tsv:
            try output.line(
                format.separated([kind, row.label ?? ""] + counts.map { "\($0)" }))
        case .table:
            try output.line(
                Self.line(
                    counts.map { "\($0)" },
                    kind == "total" ? "in all" : row.label ?? "without class"))
        }
    }

    private static func line(_ figures: [String], _ name: String) -> String {
        figures.map { $0.flushRight(9) }.joined(separator: " ") + "  " + name.onOneLine
    }
}
