import Foundation
import Latent

/// Writes a line for each figure of detection (schema 1).
struct DetectionWriter {
    private let output: StandardOutput
    private let format: RowFormat

    private static let schema = 1
    private static let columns = ["metric", "class", "value", "low", "high", "interval"]

    init(_ output: StandardOutput, format: RowFormat) {
        self.output = output
        self.format = format
    }

    /// Writes figures to standard output, all there is to say there.
    static func print(_ figures: [DetectionEvaluation.Figure], format: RowFormat?) throws {
        let output = StandardOutput()
        let writer = DetectionWriter(
            output, format: format ?? (output.isTerminal ? .table : .ndjson))
        try writer.begin()
        for figure in figures { try writer.write(figure) }
        try output.flush()
    }

    /// Writes the header, where the format has one.
    func begin() throws {
        switch format {
        case .ndjson: break
        case .csv, .tsv: try output.line(format.separated(Self.columns))
        case .table: try output.line(Self.row("value", "low", "high", "metric", "class"))
        }
    }

    private static func row(
        _ value: String, _ low: String, _ high: String, _ metric: String, _ name: String
    ) -> String {
        let figures = [value, low, high].map { $0.flushRight(10) }.joined(separator: " ")
        guard !name.isEmpty else { return "\(figures)  \(metric)" }
        return "\(figures)  \(metric.flushLeft(18)) \(name.onOneLine)"
    }

    /// Writes a figure.
    func write(_ figure: DetectionEvaluation.Figure) throws {
        switch format {
        case .ndjson:
            var line = JSONLine()
            line.add("schema", Self.schema)
            line.add("metric", figure.metric.rawValue)
            line.add("class", figure.className)
            line.addEstimate(
                figure.value, isCount: figure.metric.isCount, low: figure.low, high: figure.high,
                interval: figure.interval?.rawValue)
            try output.line(line.text)
        case .csv, .tsv:
            let value = figure.metric.isCount ? "\(Int(figure.value))" : "\(figure.value)"
            try output.line(
                format.separated([
                    figure.metric.rawValue, figure.className ?? "", value,
                    figure.low.map { "\($0)" } ?? "", figure.high.map { "\($0)" } ?? "",
                    figure.interval?.rawValue ?? "",
                ]))
        case .table:
            let isScore =
                [.threshold, .bestF1Threshold].contains(figure.metric)
                && abs(figure.value) >= 10
            let digits = figure.metric.isCount ? 0 : isScore ? 2 : 4
            func text(_ value: Double?) -> String {
                value.map { LatentCLI.format($0, digits: digits) } ?? "-"
            }
            try output.line(
                Self.row(
                    text(figure.value), text(figure.low), text(figure.high),
                    figure.metric.rawValue, figure.className ?? ""))
        }
    }
}
