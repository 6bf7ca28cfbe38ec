import ArgumentParser
import Foundation
import Latent

/// The formats of rows on standard output.
enum RowFormat: String, CaseIterable, ExpressibleByArgument {
    case ndjson, csv, tsv, table
}

extension ScoreKind {
    /// Digits after the point that people need.
    var digits: Int { [.mse, .neighbours, .mixture].contains(self) ? 5 : 2 }

    /// The name of a score that was asked for among the components of a line: all are in nats.
    var componentName: String {
        String(rawValue.map { "-+".contains($0) ? "_" : $0 }) + "_nats"
    }
}

/// Writes a score line for each file (schema 1).
struct ScoreWriter {
    private let output: StandardOutput
    private let format: RowFormat
    private let kind: ScoreKind
    private let furtherViews: [String]
    private let components: [(name: String, kind: ScoreKind, sign: Double)]
    /// Whether the model has thresholds of groups, so that lines say which held.
    private let hasGroups: Bool
    /// Whether files may differ in their draws, so that lines say how many there were.
    private let hasDraws: Bool

    private static let schema = 1
    private var columns: [String] {
        ["path", "label", "score", "kind", "threshold", "threshold_kind"]
            + (hasGroups ? ["group"] : []) + ["p_value", "anomaly", "windows"]
            + (hasDraws ? ["draws"] : []) + components.map(\.name) + [
                "error_code", "error_message",
            ]
    }

    /// The names of the figures, and their sign beside the score of that kind.
    private static let usualComponents: [(name: String, kind: ScoreKind, sign: Double)] = [
        ("reconstruction_nats", .reconstructionProbability, -1), ("kl_nats", .kl, 1),
        ("negative_elbo_nats", .elbo, 1), ("mse", .mse, 1),
        ("negative_iw_bound_nats", .iwBound, 1), ("residual", .residual, 1),
        ("latent", .latent, 1), ("neighbours", .neighbours, 1), ("mixture", .mixture, 1),
        ("masked", .masked, 1), ("ensemble", .ensemble, 1),
    ]

    init(
        _ output: StandardOutput, format: RowFormat, kind: ScoreKind, furtherViews: [String] = [],
        hasGroups: Bool = false, hasDraws: Bool = false
    ) {
        self.hasGroups = hasGroups
        self.hasDraws = hasDraws
        self.furtherViews = furtherViews
        self.output = output
        self.format = format
        self.kind = kind
        // What was asked for stands beside what is always there.
        components =
            Self.usualComponents + (kind.isRequested ? [(kind.componentName, kind, 1)] : [])
    }

    private func components(
        _ values: [ScoreKind: Double]
    ) -> [(name: String, value: Double?)] {
        components.map { component in
            (component.name, values[component.kind].map { $0 * component.sign })
        }
    }

    /// Writes the header, where the format has one.
    func begin() throws {
        switch format {
        case .ndjson: break
        case .csv, .tsv: try separated(columns)
        case .table:
            try output.line(row("score", "threshold", "p", draws: "draws", "verdict", "path"))
        }
    }

    private func row(
        _ score: String, _ threshold: String, _ p: String, draws: String, _ verdict: String,
        _ path: String
    ) -> String {
        "\(score.flushRight(12)) \(threshold.flushRight(12)) \(p.flushRight(8)) "
            + (hasDraws ? "\(draws.flushRight(6))  " : " ")
            + "\(verdict.flushLeft(8)) \(path.onOneLine)"
    }

    /// Writes the line of a file that was scored.
    ///
    /// - Parameters:
    ///   - item: the file
    ///   - score: its figures
    ///   - pValue: its conformal p-value
    ///   - verdicts: what it is judged by
    ///   - group: whose threshold that is; nil for that of all files
    ///   - segments: of a recording with maps
    /// - Throws: what standard output throws
    func write(
        _ item: Item, _ score: ItemScore, pValue: Double?, verdicts: Verdicts?, group: String?,
        segments: [Segment]? = nil
    ) throws {
        let value = score.values[kind] ?? .nan
        let threshold = verdicts?.threshold
        let isAnomaly = verdicts?.isAnomaly(value)
        let components = components(score.values)
        switch format {
        case .ndjson:
            var line = JSONLine()
            line.add("schema", Self.schema)
            line.add("path", item.path)
            line.add("label", item.label)
            line.add("score", value)
            line.add("kind", kind.rawValue)
            line.add("threshold", threshold)
            line.add("threshold_kind", verdicts?.kind.rawValue)
            if hasGroups { line.add("group", group) }
            line.add("p_value", pValue)
            line.add("anomaly", isAnomaly)
            line.add("windows", score.windowCount)
            if hasDraws { line.add("draws", score.drawCount) }
            line.add("components", JSONLine(components))
            if !furtherViews.isEmpty {
                var views = JSONLine()
                for (name, values) in zip(furtherViews, score.further) {
                    views.add(name, JSONLine(self.components(values)))
                }
                line.add("views", views)
            }
            if let segments { line.add("segments", segments.map(JSONLine.init)) }
            try output.line(line.text)
        case .csv, .tsv:
            let figures: [String?] =
                [
                    item.path, item.label, "\(value)", kind.rawValue, threshold.map { "\($0)" },
                    verdicts?.kind.rawValue,
                ] + (hasGroups ? [group] : []) + [
                    pValue.map { "\($0)" }, isAnomaly.map { "\($0)" },
                    "\(score.windowCount)",
                ] + (hasDraws ? ["\(score.drawCount)"] : [])
            try separated(
                figures.map { $0 ?? "" } + components.map { $0.1.map { "\($0)" } ?? "" } + ["", ""])
        case .table:
            let digits = kind.digits
            try output.line(
                row(
                    LatentCLI.format(value, digits: digits),
                    threshold.map { LatentCLI.format($0, digits: digits) } ?? "-",
                    pValue.map { LatentCLI.format($0, digits: 4) } ?? "-",
                    draws: "\(score.drawCount)",
                    isAnomaly.map { $0 ? "ANOMALY" : "ok" } ?? "-", item.path))
        }
    }

    /// Writes the line of a file that could not be read.
    func write(_ item: Item, _ error: ItemError) throws {
        switch format {
        case .ndjson:
            try output.line(JSONLine(schema: Self.schema, item, error).text)
        case .csv, .tsv:
            var fields = [String](repeating: "", count: columns.count)
            fields[0] = item.path
            fields[1] = item.label ?? ""
            fields[columns.count - 2] = error.code
            fields[columns.count - 1] = error.message
            try separated(fields)
        case .table:
            try output.line(
                row("-", "-", "-", draws: "-", "ERROR", "\(item.path): \(error.message)"))
        }
    }

    /// All files of a call as one.
    struct Summary {
        let fileCount: Int
        let errorCount: Int
        /// Nil without verdicts.
        let flaggedCount: Int?
        /// How far the scores are from the calibration's; nil where there are none to compare.
        let drift: Drift?
    }

    /// Writes the summary, in the formats that have room for it.
    func write(_ summary: Summary) throws {
        guard format == .ndjson else {
            return try output.line(
                "\(counted(summary.fileCount, "file")), \(counted(summary.errorCount, "error")), "
                    + "\(summary.flaggedCount.map { "\($0)" } ?? "-") flagged"
                    + (summary.drift.map { "; \($0.sentence)" } ?? ""))
        }
        var line = JSONLine()
        line.add("schema", Self.schema)
        line.add("summary", true)
        line.add("files", summary.fileCount)
        line.add("errors", summary.errorCount)
        if let count = summary.flaggedCount {
            line.add("flagged", count)
        } else {
            line.add("flagged", nil as Double?)
        }
        line.add("ks", summary.drift?.kolmogorovSmirnov)
        line.add("ks_p", summary.drift?.pValue)
        line.add("psi", summary.drift?.stabilityIndex)
        try output.line(line.text)
    }

    private func separated(_ fields: [String]) throws {
        try output.line(format.separated(fields))
    }
}

extension RowFormat {
    /// Fields with commas (quoted as RFC 4180 says) or tabs (which fields then lose).
    func separated(_ fields: [String]) -> String {
        if self == .tsv {
            return fields.map { $0.onOneLine.replacing("\t", with: " ") }.joined(separator: "\t")
        }
        return fields.map { field in
            // By scalars: a combining mark behind a quote would make it another character.
            field.unicodeScalars.contains { ",\"\r\n".unicodeScalars.contains($0) }
                ? "\"" + field.replacingOccurrences(of: "\"", with: "\"\"", options: .literal)
                    + "\"" : field
        }.joined(separator: ",")
    }
}

/// A JSON object whose keys keep their order, which Foundation's encoder does not promise.
struct JSONLine {
    private var members: [String] = []

    init() {}

    /// An object of the figures that there are.
    init(_ figures: [(name: String, value: Double?)]) {
        for case (let name, let value?) in figures { add(name, value) }
    }

    /// A stretch of a recording.
    init(_ segment: Segment) {
        add("start_s", segment.start)
        add("end_s", segment.end)
        add("score", segment.score)
        add("p_value", segment.pValue)
    }

    /// The line of a file that could not be read, which is the same for every verb.
    init(schema: Int, _ item: Item, _ error: ItemError) {
        add("schema", schema)
        add("path", item.path)
        var inner = JSONLine()
        inner.add("code", error.code)
        inner.add("message", error.message)
        add("error", inner)
    }

    var text: String { "{" + members.joined(separator: ",") + "}" }

    /// A figure with its interval; counts are whole numbers.
    mutating func addEstimate(
        _ value: Double, isCount: Bool, low: Double?, high: Double?, interval: String?
    ) {
        if isCount { add("value", Int(value)) } else { add("value", value) }
        add("low", low)
        add("high", high)
        add("interval", interval)
    }

    mutating func add(_ key: String, _ value: String?) {
        append(key, value.map(Self.quoted))
    }

    mutating func add(_ key: String, _ value: Int) { append(key, "\(value)") }
    mutating func add(_ key: String, _ value: Bool?) { append(key, value.map { "\($0)" }) }
    mutating func add(_ key: String, _ value: JSONLine) { append(key, value.text) }
    mutating func add(_ key: String, _ values: [String]) {
        append(key, "[" + values.map(Self.quoted).joined(separator: ",") + "]")
    }
    mutating func add(_ key: String, _ values: [JSONLine]) {
        append(key, "[" + values.map(\.text).joined(separator: ",") + "]")
    }

    /// JSON has no infinity and no NaN: they become null.
    mutating func add(_ key: String, _ value: Double?) {
        append(key, value.flatMap { $0.isFinite ? "\($0)" : nil })
    }

    private mutating func append(_ key: String, _ value: String?) {
        members.append("\"\(key)\":\(value ?? "null")")
    }

    private static func quoted(_ text: String) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        let data = (try? encoder.encode(text)) ?? Data("\"\"".utf8)
        return String(decoding: data, as: UTF8.self)
    }
}
