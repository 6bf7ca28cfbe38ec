import ArgumentParser
import Foundation
import Latent

struct ScoreCommand: ParsableCommand {
    enum Selection: String, CaseIterable, ExpressibleByArgument { case anomalies }

    static let configuration = CommandConfiguration(
        commandName: "score",
        abstract: "Print an anomaly score for each file.",
        discussion: """
            One line a file, in the order of the inputs: score (larger is more anomalous), \
            threshold, conformal p-value, verdict. A file that cannot be read gets a line with an \
            error, the run goes on, and the exit code is 65. Paths on standard input are scored as \
            they come, so that a folder can be watched.

            EXAMPLES
              latent score -m photos.safetensors inbox
              latent score -m m.safetensors inbox --false-alarms 0.01 \\
                  --format csv > scores.csv
              latent score -m m.safetensors parts/test --maps heat > scores.ndjson
              latent score -m m.safetensors inbox --fdr 0.1 --only anomalies
              latent score -m m.safetensors inbox --false-alarms 0.0001 --tail
              latent score -m m.safetensors inbox --score elbo+complexity
              latent score -m m.safetensors inbox --draws 64 --stop-early 0.001
              inotifywait -mq -e close_write --format %w%f inbox |
                  latent score -m m.safetensors -
              find . -name '*.png' -print0 | latent score -m m.safetensors -0 - | head
              latent score -m m.safetensors inbox --shard 3/8 > scores-3.ndjson
              if ! latent score -m m.safetensors --exit-code new.png; then echo look; fi
            """)

    @Option(name: .shortAndLong, help: ArgumentHelp("The model file.", valueName: "file"))
    var model: String

    @OptionGroup var input: InputOptions

    @Option(
        help: """
            Figure to rank by (what the model was trained for): reconstruction-probability, elbo, \
            kl, mse, iw-bound; residual, latent, neighbours, distances to training files in the \
            residual, the posterior mean and what the model reads; mixture, the smallest error of many \
            small networks, where normal files are of many kinds; masked, of a model that was trained \
            with it, the error of what a network says of parts that it does not see; ensemble, several as one. \
            Computed and calibrated only when asked for: likelihood-ratio, what the lowest layer of \
            a hierarchical model adds; regret, what a posterior fitted to the file adds (slow); \
            reconstruction-probability, elbo and iw-bound with +complexity, less what a compressor \
            needs for the file, or +bias, less the least that the likelihood allows.
            """)
    var score: ScoreKind?

    @OptionGroup(title: "Threshold") var rule: ThresholdOptions

    @Option(help: ArgumentHelp("Draws of z for each window (as calibrated).", valueName: "n"))
    var draws: Int?

    @Option(
        help: ArgumentHelp(
            """
            Take fewer draws of files whose verdict is certain: of at most this share (0.001, say) it is \
            other than by all draws. For scores that are means over draws: \
            reconstruction-probability, elbo, mse, ensemble. Lines have draws, and a p-value only \
            of all draws.
            """,
            valueName: "rate"))
    var stopEarly: Double?

    @Option(
        help: """
            Numbers that products are made of: float32, bfloat16 (as calibrated; float32 where the \
            processor has no units for bfloat16).
            """)
    var precision: TrainingConfiguration.Precision?

    @OptionGroup var scoring: ScoringOptions
    @OptionGroup var sharding: ShardOptions

    @Option(help: "Format: ndjson, csv, tsv, table (table on a terminal, else ndjson).")
    var format: RowFormat?

    @Option(help: "Write only these lines: anomalies (flagged files, and errors).")
    var only: Selection?

    @Flag(
        help: """
            Add a last line: numbers of files, errors and flagged, and how far the scores are from \
            those of calibration (Kolmogorov-Smirnov, stability index).
            """)
    var summary = false

    @Flag(help: "Exit with 1 when a file is flagged.")
    var exitCode = false

    @OptionGroup(title: "Maps") var mapping: MapOptions

    @OptionGroup(title: "Machine") var machine: MachineOptions

    func validate() throws {
        try input.requireData()
        if let format, summary, [.csv, .tsv].contains(format) {
            throw ValidationError(
                "--summary has no row in \(format.rawValue); use ndjson or table.")
        }
        try checkShare(stopEarly, "--stop-early")
        guard stopEarly == nil || rule.fdr == nil else {
            throw ValidationError(
                "--fdr needs the p-values of all draws; leave --stop-early out.")
        }
        try sharding.refuse(rule.fdr != nil, "--fdr", "is a verdict on all files at once")
        try sharding.refuse(summary, "--summary", "is of all files at once")
        if let draws, !ModelRecord.drawCounts.contains(draws) {
            throw ValidationError(
                "--draws is \(draws); it must be 1 to \(ModelRecord.drawCounts.upperBound).")
        }
    }

    func run() throws {
        let console = Console(quiet: machine.quiet)
        var loaded = try ModelFile.read(model)
        if let precision { loaded.file.record.scoringPrecision = precision }
        let record = loaded.file.record
        var inputs = try input.inputs(
            of: record, groupedBy: record.calibrationGroups?.attribute)
        inputs.shard = sharding.shard(groupSize: scoring.batch)
        let kind = score ?? record.scoreKind
        try loaded.file.check(kind, path: model)
        let rules = try rule.rules(
            of: record, kind: kind, model: model,
            isNeeded: exitCode || only != nil || stopEarly != nil, console: console)
        let scorer = try scoring.scorer(
            of: loaded.file, drawCount: draws, requested: [kind],
            pause: inputs.shard == nil ? input.pause : nil,
            stopping: stopEarly.map { rate in
                SequentialStopping(kind: kind, errorRate: rate) {
                    rules.rule(of: $0).verdicts?.threshold
                }
            }, on: machine)
        let maps = try mapping.folder(
            for: loaded.file, model: model, inputs: input.data, scoring: scoring, on: machine)
        if let note = maps?.note { console.note(note) }

        let output = StandardOutput()
        let writer = ScoreWriter(
            output, format: format ?? (output.isTerminal ? .table : .ndjson), kind: kind,
            furtherViews: record.furtherViews.map(\.preprocessing.viewName),
            hasGroups: rules.hasGroups, hasDraws: stopEarly != nil)
        try writer.begin()
        var report = ScoreReport(
            rules: rules, kind: kind, writer: writer,
            onlyAnomalies: only == .anomalies, summarises: summary,
            allDraws: stopEarly == nil ? nil : draws ?? record.drawCount)
        var fileCount = 0
        var conversions: Set<String> = []
        var unmappedCount = 0
        try scorer.score(inputs) { item, scored in
            let result = report.checked(scored)
            fileCount += 1
            for conversion in (try? result.get())?.conversions ?? []
            where conversions.insert(conversion).inserted {
                console.note("\(item.path): read with \(conversion) (said once)")
            }
            for loss in (try? result.get())?.losses ?? [] where conversions.insert(loss).inserted {
                console.warning("\(item.path): \(loss) (said once)")
            }
            let segments = try (try? result.get()).flatMap { _ in
                try map(item, in: maps, console: console, unmapped: &unmappedCount)
            }
            if let note = maps?.lengthNote, conversions.insert(note).inserted { console.note(note) }
            if let note = report.rules.noteOfUnknown(item) { console.note(note) }
            if rule.fdr == nil {
                try report.add((item, result, segments))
            } else {
                report.hold((item, result, segments))
            }
            if input.isStream { try output.flush() }
            console.progress { "scored \(counted(fileCount, "file"))" }
        }
        console.clear()
        if let rate = rule.fdr {
            try report.decide(discoveryRate: rate, storey: rule.storey, console: console)
        }
        if summary { try report.summarise() }
        try output.flush()
        try conclude(report, unmapped: unmappedCount, inputs: inputs, console: console)
    }

    /// Writes the map of a file that has a score; what was moved or changed since then has none.
    private func map(
        _ item: Item, in maps: MapFolder?, console: Console, unmapped: inout Int
    ) throws -> [Segment]? {
        do {
            return try maps?.write(item)
        } catch let failed as ItemFailed {
            unmapped += 1
            console.warning(
                "\(item.path): scored, but no map can be made: \(failed.error.message)")
            return nil
        }
    }

    private func conclude(
        _ report: ScoreReport, unmapped: Int, inputs: Inputs, console: Console
    ) throws {
        if let note = inputs.omissions.note { console.note(note) }
        guard report.fileCount > 0 || inputs.omissions.otherShardCount > 0 else {
            throw LatentError.noFiles(to: "score", in: inputs)
        }
        if report.failedCount > 0 {
            console.warning(
                "\(report.failedCount) of \(counted(report.fileCount, "file")) cannot be scored")
            throw ExitStatus.badData
        }
        guard unmapped == 0 else { throw ExitStatus.badData }
        if exitCode, report.flaggedCount > 0 { throw ExitStatus.flagged }
    }
}

extension ModelRecord {
    /// Labels given on the command line; refused for a model that has no use for them.
    func assignments(_ list: LabelList?) throws(LatentError) -> [String: String] {
        guard let list else { return [:] }
        guard configuration.conditioning != nil else {
            throw LatentError(
                .usage, "the model is not conditioned on labels",
                hint: "leave --condition out, or train with --condition class")
        }
        return list.values
    }
}
