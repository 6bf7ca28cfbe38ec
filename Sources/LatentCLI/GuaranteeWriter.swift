import Foundation
import Latent

/// Writes a line for each false-alarm rate of a calibration (schema 1).
struct GuaranteeWriter {
    private let output: StandardOutput
    private let format: RowFormat
    private let storedRate: Double
    private let namesKinds: Bool
    /// Whether there are groups, so that lines say whose they are.
    private let hasGroups: Bool

    private static let schema = 1
    private static let columns = [
        "rate", "group", "kind", "threshold", "files", "needed", "expected", "low", "high",
        "stored",
        "guarantee",
    ]

    /// Makes a writer whose tables say which score a row is of, where asked to.
    init(
        _ output: StandardOutput, format: RowFormat, storedRate: Double, namesKinds: Bool,
        hasGroups: Bool
    ) {
        self.hasGroups = hasGroups
        self.output = output
        self.format = format
        self.storedRate = storedRate
        self.namesKinds = namesKinds
    }

    /// Writes the header, where the format has one.
    func begin() throws {
        switch format {
        case .ndjson: break
        case .csv, .tsv:
            try output.line(
                format.separated(Self.columns.filter { hasGroups || $0 != "group" }))
        case .table: try output.line(row("rate", "threshold", "files", "score", "guarantee"))
        }
    }

    private func row(
        _ rate: String, _ threshold: String, _ files: String, _ kind: String, _ guarantee: String
    ) -> String {
        "\(rate.flushRight(8)) \(threshold.flushRight(12)) \(files.flushRight(7))  "
            + (namesKinds ? kind.flushLeft(17) + " " : "") + guarantee
    }

    /// Writes the line of a rate, for a group or for all files.
    func write(_ guarantee: Guarantee, of kind: ScoreKind, group: String? = nil) throws {
        let isStored = guarantee.rate == storedRate
        switch format {
        case .ndjson:
            var line = JSONLine()
            line.add("schema", Self.schema)
            line.add("rate", guarantee.rate)
            if hasGroups { line.add("group", group) }
            line.add("kind", kind.rawValue)
            line.add("threshold", guarantee.threshold)
            line.add("files", guarantee.count)
            line.add("needed", guarantee.neededCount)
            line.add("expected", guarantee.expectedShare)
            line.add("low", guarantee.interval?.lowerBound)
            line.add("high", guarantee.interval?.upperBound)
            line.add("stored", isStored)
            line.add("guarantee", guarantee.sentence)
            try output.line(line.text)
        case .csv, .tsv:
            func text(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
            try output.line(
                format.separated(
                    ["\(guarantee.rate)"] + (hasGroups ? [group ?? ""] : []) + [
                        kind.rawValue, text(guarantee.threshold),
                        "\(guarantee.count)", "\(guarantee.neededCount)",
                        text(guarantee.expectedShare), text(guarantee.interval?.lowerBound),
                        text(guarantee.interval?.upperBound), "\(isStored)", guarantee.sentence,
                    ]))
        case .table:
            let digits = kind.digits
            try output.line(
                row(
                    percent(guarantee.rate) + (isStored ? " *" : "  "),
                    guarantee.threshold.map { LatentCLI.format($0, digits: digits) } ?? "-",
                    "\(guarantee.count)", kind.rawValue,
                    (group.map { "\($0): " } ?? "") + guarantee.sentence))
        }
    }
}

extension Guarantee {
    /// What is promised, as people say it.
    var sentence: String {
        guard let expectedShare, let interval else {
            return "none: it needs \(neededCount) calibration files, there are \(count)"
        }
        return "of new normal files \(percent(expectedShare)) are flagged on average; given these "
            + "\(count) files it is \(percent(interval.lowerBound)) to "
            + "\(percent(interval.upperBound)) (95 %)"
    }
}

extension Drift {
    /// How far scores have moved, as people say it.
    var sentence: String {
        "drift of \(fileCount) files from \(calibrationCount): Kolmogorov-Smirnov "
            + "\(format(kolmogorovSmirnov, digits: 3)) (p \(format(pValue, digits: 3))), "
            + "stability index \(format(stabilityIndex, digits: 3)); "
            + (pValue < 0.01 ? "the scores have moved" : "no more than by chance")
    }
}

/// A share as `5 %`, with three digits at most.
func percent(_ share: Double) -> String { String(format: "%.3g %%", 100 * share) }
