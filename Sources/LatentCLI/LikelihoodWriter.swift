import Foundation
import Latent

/// Writes a line for each file's likelihood (schema 1), and one for their mean.
struct LikelihoodWriter {
    private let output: StandardOutput
    private let format: RowFormat
    private let bits: (Double) -> Double

    private static let schema = 1
    private static let columns = [
        "path", "log_likelihood_nats", "bits_per_dimension", "windows", "error_code",
        "error_message",
    ]

    /// Makes a writer; `bits` gives nats of a window as bits for each value.
    init(_ output: StandardOutput, format: RowFormat, bits: @escaping (Double) -> Double) {
        self.output = output
        self.format = format
        self.bits = bits
    }

    /// Writes the header, where the format has one.
    func begin() throws {
        switch format {
        case .ndjson: break
        case .csv, .tsv: try output.line(format.separated(Self.columns))
        case .table: try output.line(Self.row("nats", "bits/dim", "path"))
        }
    }

    private static func row(_ nats: String, _ bits: String, _ text: String) -> String {
        "\(nats.flushRight(14)) \(bits.flushRight(10))  \(text.onOneLine)"
    }

    /// Writes the line of a file.
    func write(_ item: Item, _ likelihood: ItemLikelihood) throws {
        let nats = likelihood.logLikelihood
        switch format {
        case .ndjson:
            var line = JSONLine()
            line.add("schema", Self.schema)
            line.add("path", item.path)
            line.add("label", item.label)
            line.add("log_likelihood_nats", nats)
            line.add("bits_per_dimension", bits(nats))
            line.add("windows", likelihood.windowCount)
            try output.line(line.text)
        case .csv, .tsv:
            try output.line(
                format.separated([
                    item.path, "\(nats)", "\(bits(nats))", "\(likelihood.windowCount)", "", "",
                ]))
        case .table:
            try output.line(
                Self.row(
                    LatentCLI.format(nats, digits: 3), LatentCLI.format(bits(nats), digits: 4),
                    item.path))
        }
    }

    /// Writes the line of a file that could not be read.
    func write(_ item: Item, _ error: ItemError) throws {
        switch format {
        case .ndjson:
            try output.line(JSONLine(schema: Self.schema, item, error).text)
        case .csv, .tsv:
            try output.line(format.separated([item.path, "", "", "", error.code, error.message]))
        case .table:
            try output.line(Self.row("-", "-", "ERROR \(item.path): \(error.message)"))
        }
    }

    /// Writes the mean; tables of commas or tabs, which are read by columns, have none.
    func write(_ summary: LikelihoodEvaluation.Summary) throws {
        switch format {
        case .ndjson:
            var line = JSONLine()
            line.add("schema", Self.schema)
            line.add("summary", true)
            line.add("items", summary.itemCount)
            line.add("mean_nats", summary.meanNats)
            line.add("standard_error_nats", summary.standardErrorNats)
            line.add("bits_per_dimension", bits(summary.meanNats))
            try output.line(line.text)
        case .csv, .tsv: break
        case .table:
            let error =
                summary.standardErrorNats.map { " ± \(LatentCLI.format($0, digits: 3))" } ?? ""
            try output.line(
                Self.row(
                    LatentCLI.format(summary.meanNats, digits: 3),
                    LatentCLI.format(bits(summary.meanNats), digits: 4),
                    "mean of \(summary.itemCount) files\(error)"))
        }
    }
}
