import Foundation
import Latent

/// Writes a line for each figure of a synthetic set (schema 1).
struct AugmentationWriter {
    private typealias Figure = AugmentationEvaluation.Figure

    private let output: StandardOutput
    private let format: RowFormat

    private static let schema = 1
    private static let columns = [
        "metric", "subject", "class", "features", "value", "low", "high", "interval", "items",
    ]

    /// Begins on standard output, which has nothing else.
    init(format: RowFormat?) throws {
        output = StandardOutput()
        self.format = format ?? (output.isTerminal ? .table : .ndjson)
        if [.csv, .tsv].contains(self.format) {
            try output.line(self.format.separated(Self.columns))
        }
    }

    /// Writes a part of the figures: ``AugmentationEvaluation/figures(onStep:onPairs:onPart:)``.
    func write(_ figures: [AugmentationEvaluation.Figure]) throws {
        switch format {
        case .ndjson: for figure in figures { try output.line(object(figure)) }
        case .csv, .tsv:
            for figure in figures { try output.line(format.separated(Self.fields(figure))) }
        case .table: try table(figures)
        }
        try output.flush()
    }

    private func object(_ figure: Figure) -> String {
        var line = JSONLine()
        line.add("schema", Self.schema)
        line.add("metric", figure.metric.rawValue)
        line.add("subject", figure.subject)
        line.add("class", figure.className)
        line.add("features", figure.features)
        line.addEstimate(
            figure.value, isCount: figure.metric.isCount, low: figure.low, high: figure.high,
            interval: figure.interval)
        if let count = figure.itemCount { line.add("items", count) }
        return line.text
    }

    private static func fields(_ figure: Figure) -> [String] {
        [
            figure.metric.rawValue, figure.subject ?? "", figure.className ?? "",
            figure.features ?? "",
            figure.metric.isCount ? "\(Int(figure.value))" : "\(figure.value)",
            figure.low.map { "\($0)" } ?? "", figure.high.map { "\($0)" } ?? "",
            figure.interval ?? "", figure.itemCount.map { "\($0)" } ?? "",
        ]
    }

    // MARK: Table

    /// Counts by class; or likeness and copies; or what classifiers reach.
    private func table(_ figures: [Figure]) throws {
        try counts(figures)
        try likeness(figures)
        try usefulness(figures)
    }

    private func likeness(_ figures: [Figure]) throws {
        guard figures.contains(where: { $0.features != nil }) else { return }
        try output.line("")
        try output.line(
            Self.row("synthetic", "low", "high", "real", "metric") + "features")
        for figure in figures {
            guard figure.subject == "synthetic", figure.features != nil else { continue }
            let real = figures.first {
                $0.metric == figure.metric && $0.features == figure.features
                    && $0.subject == "real"
            }
            try output.line(
                Self.row(
                    Self.text(figure, figure.value), Self.text(figure, figure.low),
                    Self.text(figure, figure.high), Self.text(figure, real?.value),
                    figure.metric.rawValue) + (figure.features ?? ""))
        }
    }

    private func counts(_ figures: [Figure]) throws {
        let metrics: [AugmentationEvaluation.Metric] = [.realCount, .heldOutCount, .syntheticCount]
        guard figures.contains(where: { metrics.contains($0.metric) }) else { return }
        try output.line(
            ["real", "held out", "synthetic"].map { $0.flushRight(10) }.joined(separator: " ")
                + "  class")
        var names: [String?] = [nil]
        for figure in figures {
            if figure.metric == .realCount, let name = figure.className { names.append(name) }
        }
        for name in names {
            let values = metrics.map { metric in
                figures.first { $0.metric == metric && $0.className == name }
                    .map { "\(Int($0.value))" } ?? "-"
            }
            try output.line(
                values.map { $0.flushRight(10) }.joined(separator: " ")
                    + "  \(name?.onOneLine ?? "all")")
        }
    }

    private static func row(
        _ value: String, _ low: String, _ high: String, _ real: String, _ metric: String
    ) -> String {
        [value, low, high, real].map { $0.flushRight(10) }.joined(separator: " ")
            + "  \(metric.flushLeft(18)) "
    }

    private static func text(_ figure: Figure, _ value: Double?) -> String {
        value.map { LatentCLI.format($0, digits: figure.metric.isCount ? 0 : 4) } ?? "-"
    }

    /// One line for each thing that classifiers were trained on, in per cent.
    private func usefulness(_ figures: [Figure]) throws {
        let names = figures.filter { $0.metric == .accuracy }.compactMap(\.subject)
        guard !names.isEmpty else { return }
        try output.line("")
        let headings = ["accuracy %", "balanced %", "less real", "less classic"]
        try output.line(headings.map { $0.flushRight(22) }.joined() + "  trained on")
        for name in names {
            let cells = [
                AugmentationEvaluation.Metric.accuracy, .balancedAccuracy, .accuracyAgainstReal,
                .accuracyAgainstClassic,
            ].map { metric in
                let found = figures.first { $0.metric == metric && $0.subject == name }
                let isBase =
                    metric == .accuracyAgainstReal && name == "real"
                    || metric == .accuracyAgainstClassic && name == "real+classic"
                guard let found, !isBase else { return "-".flushRight(22) }
                let isDifference = ![.accuracy, .balancedAccuracy].contains(metric)
                func percent(_ value: Double) -> String {
                    String(format: isDifference ? "%+.1f" : "%.1f", 100 * value)
                }
                guard let low = found.low, let high = found.high else {
                    return percent(found.value).flushRight(22)
                }
                return "\(percent(found.value)) (\(percent(low)), \(percent(high)))".flushRight(22)
            }
            try output.line(cells.joined() + "  \(name)")
        }
    }
}
