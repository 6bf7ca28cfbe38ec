import Foundation
import Latent

/// Writes what a check finds (schema 1): problems and totals, or a line for each file.
struct CheckWriter {
    private let output: StandardOutput
    private let format: RowFormat
    private let lists: Bool

    private static let schema = 1
    /// Values of a kind that a table has room for.
    private static let tableLimit = 8
    private static let columns = [
        "row", "name", "split", "label", "path", "files", "value", "message",
    ]
    private static let listColumns = [
        "path", "label", "split", "problem", "sha256", "bytes", "height", "width", "bit_depth",
        "channels", "sample_rate", "seconds", "error_code", "error_message",
    ]

    /// A problem, a number of files, or a line of the plan.
    private struct Row {
        enum Value {
            case text(String)
            case count(Int)
            case number(Double)

            var text: String {
                switch self {
                case .text(let text): text
                case .count(let count): "\(count)"
                case .number(let number): "\(number)"
                }
            }
        }

        var kind: String
        var name: String?
        var split: String?
        var label: String?
        var path: String?
        var files: Int?
        var value: Value?
        var message: String?
        /// What a person reads instead of the value.
        var words: String?
    }

    init(_ output: StandardOutput, format: RowFormat, lists: Bool) {
        self.output = output
        self.format = format
        self.lists = lists
    }

    /// Writes the header, where the format has one.
    func begin() throws {
        if [.csv, .tsv].contains(format) {
            try output.line(format.separated(lists ? Self.listColumns : Self.columns))
        }
    }

    // MARK: Files

    /// Writes the line of a file, where it is to have one.
    func write(_ item: Item, _ result: Result<CheckedFile, ItemFailed>) throws {
        if lists { return try list(item, result) }
        switch result {
        case .success(let file):
            guard let problem = file.problem else { return }
            try write(
                Row(
                    kind: problem.rawValue, split: item.split, label: item.label, path: item.path,
                    message: file.message))
        case .failure(let failed):
            try write(
                Row(
                    kind: CheckedFile.Problem.unreadable.rawValue, name: failed.error.code,
                    split: item.split, label: item.label, path: item.path,
                    message: failed.error.message))
        }
    }

    /// Writes the line of a file with the content of an earlier one.
    func write(duplicate path: String, of first: String) throws {
        try write(
            Row(
                kind: CheckedFile.Problem.duplicate.rawValue, path: path, value: .text(first),
                message: path == first
                    ? "named before; name it once, or it counts twice"
                    : "the same bytes as \(first); keep one, as copies count several times"))
    }

    private func list(_ item: Item, _ result: Result<CheckedFile, ItemFailed>) throws {
        switch (result, format) {
        case (.success(let file), .ndjson):
            var line = JSONLine()
            line.add("schema", Self.schema)
            line.add("path", item.path)
            line.add("label", item.label)
            line.add("split", item.split)
            line.add("problem", file.problem?.rawValue)
            line.add("sha256", "\(file.hash)")
            line.add("bytes", file.byteCount)
            if !file.isRecording {
                line.add("height", file.surveyed.height)
                line.add("width", file.surveyed.width)
                line.add("bit_depth", file.surveyed.bitDepth)
            }
            line.add("channels", file.channelCount)
            if file.isRecording {
                line.add("sample_rate", file.surveyed.sampleRate)
                line.add("seconds", file.seconds)
            }
            try output.line(line.text)
        case (.failure(let failed), .ndjson):
            try output.line(JSONLine(schema: Self.schema, item, failed.error).text)
        case (_, .table):
            let file = try? result.get()
            let problem = file.map { $0.problem?.rawValue ?? "ok" } ?? "unreadable"
            let shape = file.map { file in
                file.isRecording
                    ? "\(LatentCLI.format(file.seconds, digits: 3)) s"
                    : "\(file.surveyed.height)×\(file.surveyed.width)"
            }
            try output.line(
                "\(problem.flushLeft(10)) \((shape ?? "-").flushRight(12))  \(item.path.onOneLine)")
        case (_, .csv), (_, .tsv):
            var fields = [item.path, item.label ?? "", item.split ?? ""]
            switch result {
            case .success(let file):
                let item = file.surveyed
                fields += [
                    file.problem?.rawValue ?? "", "\(file.hash)", "\(file.byteCount)",
                ]
                fields +=
                    file.isRecording
                    ? ["", "", ""] : ["\(item.height)", "\(item.width)", "\(item.bitDepth)"]
                fields.append("\(file.channelCount)")
                fields += file.isRecording ? ["\(item.sampleRate)", "\(file.seconds)"] : ["", ""]
                fields += ["", ""]
            case .failure(let failed):
                fields.append(CheckedFile.Problem.unreadable.rawValue)
                fields += [String](repeating: "", count: 8)
                fields += [failed.error.code, failed.error.message]
            }
            try output.line(format.separated(fields))
        }
    }

    // MARK: Totals

    /// Writes what is there.
    func write(_ totals: DataCheck.Totals) throws {
        let hasLines = lists || totals.problems.values.contains { $0 > 0 }
        if format == .table, hasLines { try output.line("") }
        try write(
            Row(
                kind: "total", name: "bytes", files: totals.fileCount,
                value: .count(totals.byteCount), words: Self.bytes(totals.byteCount)))
        for problem in CheckedFile.Problem.allCases {
            let count = totals.problems[problem] ?? 0
            if count == 0, format == .table { continue }
            try write(Row(kind: "problem", name: problem.rawValue, files: count))
        }
        let classes = totals.classes.sorted {
            ($0.key.split ?? "", $0.key.label ?? "") < ($1.key.split ?? "", $1.key.label ?? "")
        }
        for (key, count) in classes {
            let names = [key.split, key.label].compactMap(\.self)
            try write(
                Row(
                    kind: "class", split: key.split, label: key.label, files: count,
                    words: names.isEmpty ? "without class" : names.joined(separator: " ")))
        }
        try write("size", totals.sizes, { .text("\($0.height)x\($0.width)") }) {
            "\($0.height)×\($0.width) pixels"
        }
        try write("bit-depth", totals.bitDepths, Row.Value.count) { "\($0) bits" }
        try write("channels", totals.channels, Row.Value.count) {
            "\($0) channel\($0 == 1 ? "" : "s")"
        }
        try write("sample-rate", totals.sampleRates, Row.Value.count) { "\($0) Hz" }
        guard totals.recordingCount > 0 else { return }
        for (name, seconds) in [
            ("shortest", totals.shortestSeconds), ("longest", totals.longestSeconds),
            ("mean", totals.totalSeconds / Double(totals.recordingCount)),
            ("all", totals.totalSeconds),
        ] {
            try write(
                Row(
                    kind: "seconds", name: name, value: .number(seconds),
                    words: "\(name) \(LatentCLI.format(seconds, digits: 3)) s"))
        }
    }

    /// Writes numbers of files by value, the most frequent first.
    private func write<Value: Hashable & Sendable>(
        _ kind: String, _ counts: DataCheck.Counts<Value>, _ value: (Value) -> Row.Value,
        words: (Value) -> String
    ) throws {
        let sorted = counts.counts.map { (value($0.key), words($0.key), $0.value) }
            .sorted { ($1.2, $0.1) < ($0.2, $1.1) }
        let shown = format == .table ? Array(sorted.prefix(Self.tableLimit)) : sorted
        for (value, words, count) in shown {
            try write(Row(kind: kind, files: count, value: value, words: words))
        }
        let rest = counts.otherCount + sorted.dropFirst(shown.count).reduce(0) { $0 + $1.2 }
        if rest > 0 { try write(Row(kind: kind, name: "other", files: rest, words: "others")) }
    }

    // MARK: The plan

    /// Writes what training would do.
    func write(_ forecast: TrainingForecast) throws {
        func plan(_ name: String, _ value: Row.Value, _ words: String? = nil) throws {
            try write(
                Row(
                    kind: "plan", name: name, value: value,
                    words: "\(name.flushLeft(12)) \(words ?? value.text)"))
        }
        try plan(
            "purpose", .text(forecast.purpose.rawValue),
            forecast.purpose.rawValue + (forecast.viewReason.map { ": \($0)" } ?? ""))
        for (name, count, words) in [
            ("fitted", forecast.trainingCount, "files to fit"),
            ("held-out", forecast.heldOutCount, "to decide when to stop"),
            ("thresholds", forecast.calibrationCount, "for thresholds"),
        ] { try plan(name, .count(count), "\(count) \(words)") }
        for view in forecast.views {
            let model = view.model
            try plan("view", .text(view.preprocessing.viewName))
            try plan(
                "windows", .count(view.windowCount),
                "\(view.windowCount) to fit, of \(model.channelCount)×\(model.height)×\(model.width), "
                    + view.preprocessing.windowing.mode.rawValue)
            if format != .table {
                try plan("window", .text("\(model.channelCount)x\(model.height)x\(model.width)"))
            }
            try plan(
                "network",
                .text(
                    "\(model.architecture.rawValue) \(model.widths), latent \(model.latentCount), "
                        + "\(model.objective.kind.rawValue), \(model.likelihood.rawValue)"))
            try plan("batch", .count(view.batchSize))
            try plan("epochs", .count(view.epochCount), "\(view.epochCount) at most")
            try plan(
                "step_s", .number(view.stepSeconds),
                "\(LatentCLI.format(1000 * view.stepSeconds, digits: 1)) ms, measured")
        }
        try plan(
            "time_s", .number(forecast.seconds),
            "about \(Console.duration(forecast.seconds)), less if it stops early")
        try plan(
            "memory_bytes", .count(forecast.byteCount), "about \(Self.bytes(forecast.byteCount))")
    }

    /// Writes why training would be refused.
    func write(refusal error: LatentError) throws {
        try write(Row(kind: "plan", name: "refused", message: error.description))
    }

    private static func bytes(_ count: Int) -> String {
        let units = ["bytes", "kB", "MB", "GB", "TB"]
        var value = Double(count)
        var unit = 0
        while value >= 1000, unit + 1 < units.count {
            value /= 1000
            unit += 1
        }
        return "\(LatentCLI.format(value, digits: unit == 0 ? 0 : 1)) \(units[unit])"
    }

    private func write(_ row: Row) throws {
        switch format {
        case .ndjson:
            var line = JSONLine()
            line.add("schema", Self.schema)
            line.add("row", row.kind)
            for (name, text) in [
                ("name", row.name), ("split", row.split), ("label", row.label), ("path", row.path),
            ] { if let text { line.add(name, text) } }
            if let files = row.files { line.add("files", files) }
            switch row.value {
            case .text(let text): line.add("value", text)
            case .count(let count): line.add("value", count)
            case .number(let number): line.add("value", number)
            case nil: break
            }
            if let message = row.message { line.add("message", message) }
            try output.line(line.text)
        case .csv, .tsv:
            try output.line(
                format.separated(
                    [
                        row.kind, row.name, row.split, row.label, row.path,
                        row.files.map { "\($0)" }, row.value?.text, row.message,
                    ].map { $0 ?? "" }))
        case .table:
            let text =
                row.message.map { (row.path.map { "\($0): " } ?? "") + $0 } ?? row.words
                ?? row.name ?? row.value?.text ?? ""
            let files = row.files.map { "\($0)".flushRight(9) + "  " } ?? ""
            try output.line("\(row.kind.flushLeft(11)) \(files)\(text.onOneLine)")
        }
    }
}
