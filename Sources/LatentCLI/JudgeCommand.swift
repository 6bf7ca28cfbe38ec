import ArgumentParser
import Foundation
import Latent

struct JudgeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "judge",
        abstract: "Judge new files as augment does, wherever they come from.",
        discussion: """
            One line a file, in the order of the inputs: why it would be refused, and the figures: \
            score under the model with its p-value among real files, the class that a classifier of \
            the real files takes it for with the p-value of its own, the distance to the nearest real \
            file with its p-value, and that to the nearest new file before it. Nothing is written or \
            removed.

            EXAMPLES
              latent judge -m drawing.safetensors --real photos generated
              latent judge -m m.safetensors --real photos generated |
                  jq -r 'select(.rejected != []).path'
              latent judge -m m.safetensors --real photos generated \\
                  --reject copies=0.001,mislabelled
              latent judge -m m.safetensors --real photos generated \\
                  --exit-code -q > judged.ndjson
            """)

    @Option(name: .shortAndLong, help: ArgumentHelp("The model file.", valueName: "file"))
    var model: String

    @OptionGroup var input: InputOptions

    @Option(
        help: ArgumentHelp(
            "Real files, folders or manifests, which the new are compared with; may be given several times.",
            valueName: "data"), completion: .file())
    var real: [String] = []

    @Option(help: RejectList.help(usual: "all"), transform: RejectList.read)
    var reject: RejectList?

    @Option(help: "Format: ndjson, csv, tsv, table (table on a terminal, else ndjson).")
    var format: RowFormat?

    @Flag(help: "Exit with 1 when a file would be refused.")
    var exitCode = false

    @OptionGroup(title: "Machine") var machine: MachineOptions

    private var filters: Filters { reject?.filters ?? .all }

    func validate() throws {
        try input.requireData()
        guard !filters.isEmpty else {
            throw ValidationError("--reject none leaves nothing to judge.")
        }
        guard !real.contains("-") else {
            throw ValidationError("--real takes files, folders and manifests, not -.")
        }
        guard !real.isEmpty || !filters.needsRealItems else {
            throw ValidationError(
                "name real files with --real, or leave copies and mislabelled out of --reject.")
        }
    }

    func run() throws {
        let console = Console(quiet: machine.quiet)
        let loaded = try ModelFile.read(model)
        let record = loaded.file.record
        let inputs = try input.inputs(of: record)
        let domain = record.preprocessing.domain
        let reals = try Inputs(
            real, domain: domain, attributeNames: record.attributeNames(groupedBy: nil))
        let items = Array(reals)
        guard real.isEmpty || !items.isEmpty else {
            throw LatentError.noFiles(to: "judge by", in: reals)
        }
        let output = StandardOutput()
        let writer = JudgementWriter(
            output, format: format ?? (output.isTerminal ? .table : .ndjson))
        try writer.begin()
        let device = try machine.start()
        let judging = try FileJudging(
            file: loaded.file, model: try loaded.file.model(on: device), filters: filters,
            real: items, seed: machine.seed, workerCount: machine.readerCount)
        for failure in judging.failures {
            console.warning("\(failure.item.path): \(failure.error.message)")
        }
        guard items.isEmpty || judging.failures.count < items.count else {
            throw LatentError(
                .data, path: real.first,
                items.count == 1
                    ? "the real file cannot be read"
                    : "none of the \(items.count) real files can be read", hint: "name others")
        }
        for remark in judging.remarks { console.advice(remark) }
        var (fileCount, failedCount) = (0, 0)
        var rejected: [Filters.Reason: Int] = [:]
        var rejectedCount = 0
        try judging.judge(inputs, pause: input.pause) { item, result in
            fileCount += 1
            if case .success(let judgement) = result {
                for reason in judgement.reasons { rejected[reason, default: 0] += 1 }
                if !judgement.reasons.isEmpty { rejectedCount += 1 }
            } else {
                failedCount += 1
            }
            try writer.write(item, result)
            if input.isStream { try output.flush() }
            console.progress { "judged \(counted(fileCount, "file"))" }
        }
        console.clear()
        try output.flush()
        if let note = inputs.omissions.note { console.note(note) }
        guard fileCount > 0 else {
            throw LatentError.noFiles(to: "judge", in: inputs)
        }
        console.note(
            "\(rejectedCount) of \(fileCount - failedCount) would be refused"
                + (rejected.isEmpty ? "" : ": " + RejectList.text(rejected)))
        if failedCount > 0 {
            console.warning("\(failedCount) of \(counted(fileCount, "file")) cannot be read")
        }
        if !judging.failures.isEmpty {
            console.warning(
                "\(judging.failures.count) of \(items.count) real files cannot be read: not "
                    + "compared with")
        }
        if failedCount + judging.failures.count > 0 { throw ExitStatus.badData }
        if exitCode, rejectedCount > 0 { throw ExitStatus.flagged }
    }
}

/// Reasons to refuse a file, as `off-manifold=0.01,copies`.
struct RejectList: WordedArgument, Sendable {
    static let form =
        "all, none, or some of broken, off-manifold, mislabelled, copies, duplicates, each but broken with "
        + "a rate above 0 and at most 0.5, as copies=0.01"
    let filters: Filters

    init?(argument: String) {
        guard let filters = Filters(argument) else { return nil }
        self.filters = filters
    }

    static func help(usual: String) -> ArgumentHelp {
        ArgumentHelp(
            """
            What new files are refused for: all, none, or some of broken (one colour, silence, clipped), \
            off-manifold (strange to the model), mislabelled (not of its class, to a classifier of the \
            real files), copies (nearer to a real file than real files are to each other), duplicates (as \
            near to another new file). Each but broken takes the share of real files that it would refuse, \
            as copies=0.01: usually 0.01, of mislabelled 0.02. (\(usual))
            """, valueName: "list")
    }

    /// `20 copies, 3 broken`, the most frequent first.
    static func text(_ counts: [Filters.Reason: Int]) -> String {
        counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
            .map { "\($0.value) \($0.key.rawValue)" }.joined(separator: ", ")
    }
}

/// Writes a line for each judged file (schema 1).
struct JudgementWriter {
    private let output: StandardOutput
    private let format: RowFormat

    private static let schema = 1
    private static let columns = [
        "path", "label", "rejected", "flaw", "score", "p_value", "predicted", "label_p_value",
        "nearest", "nearest_p_value", "twin", "error_code", "error_message",
    ]

    init(_ output: StandardOutput, format: RowFormat) {
        self.output = output
        self.format = format
    }

    /// Writes the header, where the format has one.
    func begin() throws {
        switch format {
        case .ndjson: break
        case .csv, .tsv: try output.line(format.separated(Self.columns))
        case .table:
            try output.line(Self.row("p", "label p", "nearest", "near p", "rejected for", "path"))
        }
    }

    private static func row(
        _ score: String, _ label: String, _ nearest: String, _ near: String, _ reasons: String,
        _ path: String
    ) -> String {
        let figures = [score, label, nearest, near].map { $0.flushRight(8) }
        return figures.joined(separator: " ") + "  \(reasons.flushLeft(24)) \(path.onOneLine)"
    }

    /// Writes the line of a file.
    func write(_ item: Item, _ result: Result<Judgement, ItemFailed>) throws {
        switch (result, format) {
        case (.success(let judgement), .ndjson):
            var line = JSONLine()
            line.add("schema", Self.schema)
            line.add("path", item.path)
            line.add("label", item.label)
            line.add("rejected", judgement.reasons.map(\.rawValue))
            line.add("flaw", judgement.flaw)
            line.add("score", judgement.score)
            line.add("p_value", judgement.scorePValue)
            line.add("predicted", judgement.predicted)
            line.add("label_p_value", judgement.labelPValue)
            line.add("nearest", judgement.nearest)
            line.add("nearest_p_value", judgement.nearestPValue)
            line.add("twin", judgement.twin)
            try output.line(line.text)
        case (.failure(let failed), .ndjson):
            try output.line(JSONLine(schema: Self.schema, item, failed.error).text)
        case (.success(let judgement), .csv), (.success(let judgement), .tsv):
            func text(_ value: Double?) -> String { value.map { "\($0)" } ?? "" }
            try output.line(
                format.separated([
                    item.path, item.label ?? "",
                    judgement.reasons.map(\.rawValue).joined(separator: " "),
                    judgement.flaw ?? "", text(judgement.score), text(judgement.scorePValue),
                    judgement.predicted ?? "", text(judgement.labelPValue),
                    text(judgement.nearest), text(judgement.nearestPValue), text(judgement.twin),
                    "", "",
                ]))
        case (.failure(let failed), .csv), (.failure(let failed), .tsv):
            try output.line(
                format.separated(
                    [item.path, item.label ?? ""] + [String](repeating: "", count: 9)
                        + [failed.error.code, failed.error.message]))
        case (.success(let judgement), .table):
            func text(_ value: Double?) -> String {
                value.map { LatentCLI.format($0, digits: 4) } ?? "-"
            }
            let reasons = judgement.reasons.map(\.rawValue).joined(separator: ",")
            try output.line(
                Self.row(
                    text(judgement.scorePValue), text(judgement.labelPValue),
                    text(judgement.nearest), text(judgement.nearestPValue),
                    reasons.isEmpty ? "-" : reasons, item.path))
        case (.failure(let failed), .table):
            try output.line(
                Self.row("-", "-", "-", "-", "unreadable", "\(item.path): \(failed.error.message)"))
        }
    }
}
