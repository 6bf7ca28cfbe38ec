import ArgumentParser
import Foundation
import Latent

struct ScoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "score",
        abstract: "Print an anomaly score for each file.",
        discussion: """
            One line a file, in the order of the inputs: score (larger is more anomalous), \
            threshold, conformal p-value, verdict. A file that cannot be read gets a line with an \
            error, the run goes on, and the exit code is 65.

            EXAMPLES
              latent score -m photos.safetensors inbox
              latent score -m m.safetensors inbox --false-alarms 0.01 --format csv > scores.csv
              find . -name '*.png' -print0 | latent score -m m.safetensors -0 - | head
              if ! latent score -m m.safetensors --exit-code new.png; then echo look; fi
            """)

    @Option(name: .shortAndLong, help: ArgumentHelp("The model file.", valueName: "file"))
    var model: String

    @OptionGroup var input: InputOptions

    @Option(
        help: """
            Figure to rank by (what the model was trained for): reconstruction-probability, elbo, \
            kl, mse, iw-bound; residual, latent, neighbours, distances to training files in the \
            residual, the posterior mean and what the model reads; ensemble, several as one.
            """)
    var score: ScoreKind?

    @Option(
        help: ArgumentHelp(
            "Share of normal files that may be flagged (what the model was trained for).",
            valueName: "rate"))
    var falseAlarms: Double?

    @Option(help: ArgumentHelp("Draws of z for each window (as calibrated).", valueName: "n"))
    var draws: Int?

    @Option(
        help: ArgumentHelp(
            """
            For a conditional model: labels that all files are taken to have, instead of those of \
            their folders or manifest.
            """, valueName: "name=value,…"))
    var condition: LabelList?

    @Option(help: ArgumentHelp("Windows that are scored at once.", valueName: "n"))
    var batch = 32

    @Option(help: "Format: ndjson, csv, tsv, table (table on a terminal, else ndjson).")
    var format: RowFormat?

    @Flag(help: "Exit with 1 when a file is flagged.")
    var exitCode = false

    @OptionGroup(title: "Machine") var machine: MachineOptions

    func validate() throws {
        guard !input.data.isEmpty else {
            throw ValidationError("no data: name a folder, files, a manifest, or -.")
        }
        try checkShare(falseAlarms, "--false-alarms")
        if let draws, !(1...1_000_000).contains(draws) {
            throw ValidationError("--draws is \(draws); it must be 1 to 1000000.")
        }
        guard (1...65_536).contains(batch) else {
            throw ValidationError("--batch is \(batch); it must be 1 to 65536.")
        }
    }

    func run() throws {
        let console = Console(quiet: machine.quiet)
        let loaded = try ModelFile.read(model)
        let record = loaded.file.record
        let inputs = try input.inputs(
            domain: record.preprocessing.domain,
            attributeNames: record.configuration.conditioning?.names ?? [])
        let kind = score ?? record.scoreKind
        guard loaded.file.scoreKinds.contains(kind) else {
            throw LatentError(
                .usage, path: model, "the model has no score \(kind.rawValue)",
                hint: "train with --for detection, or use another --score")
        }
        let threshold = try threshold(record.calibration, kind: kind, console: console)
        let device = try machine.start()
        var configuration = Scorer.Configuration(drawCount: draws ?? record.drawCount)
        configuration.seed = machine.seed
        configuration.batchSize = batch
        configuration.readerCount = machine.readerCount
        configuration.assignments = try record.assignments(condition)
        let scorer = try Scorer(file: loaded.file, device: device, configuration: configuration)

        let output = StandardOutput()
        var writer = ScoreWriter(
            output, format: format ?? (output.isTerminal ? .table : .ndjson), kind: kind,
            threshold: threshold, furtherViews: record.furtherViews.map(\.preprocessing.viewName))
        try writer.begin()
        var counts = (files: 0, flagged: 0, failed: 0)
        var conversions: Set<String> = []
        try scorer.score(inputs) { item, result in
            counts.files += 1
            switch result {
            case .success(let itemScore):
                let value = itemScore.values[kind] ?? .nan
                let isAnomaly = threshold.map { value > $0 }
                if isAnomaly == true { counts.flagged += 1 }
                for conversion in itemScore.conversions
                where conversions.insert(conversion).inserted {
                    console.note("\(item.path): read with \(conversion) (said once)")
                }
                try writer.write(
                    item, itemScore, pValue: record.calibration.pValue(value, kind: kind),
                    isAnomaly: isAnomaly)
            case .failure(let failed):
                counts.failed += 1
                try writer.write(item, failed.error)
            }
            console.progress { "scored \(counts.files) files" }
        }
        try output.flush()
        console.clear()
        try conclude(counts, inputs: inputs, console: console)
    }

    private func conclude(
        _ counts: (files: Int, flagged: Int, failed: Int), inputs: Inputs, console: Console
    ) throws {
        if let note = inputs.omissions.note { console.note(note) }
        guard counts.files > 0 else {
            throw LatentError(
                .data, "no files to score were found", hint: "name files, or a folder that has some"
            )
        }
        if counts.failed > 0 {
            console.warning("\(counts.failed) of \(counts.files) files cannot be read")
            throw ExitStatus.badData
        }
        if exitCode, counts.flagged > 0 { throw ExitStatus.flagged }
    }

    /// The threshold for the rate asked for, or for the one that the model was trained for.
    private func threshold(
        _ calibration: Calibration, kind: ScoreKind, console: Console
    ) throws -> Double? {
        let rate = falseAlarms ?? calibration.falseAlarmRate
        if let threshold = calibration.threshold(kind, rate: rate) { return threshold }
        let message =
            "a false-alarm rate of \(rate) needs \(Calibration.neededCount(rate: rate)) "
            + "calibration scores, the model has \(calibration.scores(kind).count)"
        if falseAlarms != nil || exitCode {
            throw LatentError(
                .usage, path: model, message,
                hint: "use a larger rate, or train with more files or a larger --calibration")
        }
        console.note("no verdicts: \(message)")
        return nil
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
