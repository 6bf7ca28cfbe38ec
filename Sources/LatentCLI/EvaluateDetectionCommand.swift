import ArgumentParser
import Foundation
import Glibc
import Latent
import Media

struct DetectionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "detection",
        abstract: "Measure how well scores tell anomalous files from normal ones.",
        discussion: """
            Reads lines that latent score wrote, with the label of each file or, where it has none, \
            the name of its folder; files whose label means normal are compared with all others, \
            and with each other class alone. A line for each figure: AUROC, average precision, \
            partial AUROC up to a false-positive rate of 0.1, the true-positive rate at 0.01 and \
            0.05, the best F1, and F1 and shares flagged of the verdicts in the lines. 95 % \
            intervals by the bootstrap, exact ones (Clopper and Pearson) for shares flagged. Lines \
            with errors are left out, and counted.

            EXAMPLES
              latent score -m m.safetensors parts/test | latent evaluate detection
              latent evaluate detection scores.ndjson --score mse --plot roc.png
              latent evaluate detection scores.ndjson --labels truth.csv --format csv
              latent evaluate detection scores.ndjson --maps heat --masks ground_truth
            """)

    @Argument(
        help: ArgumentHelp(
            "Files of score lines (NDJSON), or - for standard input, which is read in a pipe.",
            valueName: "scores"), completion: .file())
    var scores: [String] = []

    @OptionGroup var truth: TruthOptions

    @Option(
        help: ArgumentHelp(
            "Component to rank by instead of the score: mse, kl_nats, ….", valueName: "name"))
    var score: String?

    @Option(
        help: ArgumentHelp("Resamples for intervals; 0 leaves them out.", valueName: "n"))
    var bootstrap = 1_000

    @Option(help: ArgumentHelp("Seed of the resamples.", valueName: "n"))
    var seed: UInt64 = 0

    @Option(
        help: ArgumentHelp(
            """
            Folder of heat maps, grey PNG in the tree of the scored files; with --masks adds the \
            AUROC of pixels and the area under the per-region overlap.
            """, valueName: "dir"))
    var maps: String?

    @Option(
        help: ArgumentHelp(
            "Folder of masks, PNG in the same tree; anomalous where not 0.", valueName: "dir"))
    var masks: String?

    @Option(
        help: ArgumentHelp(
            "Draw ROC, precision over recall, and scores into a PNG file.", valueName: "file"))
    var plot: String?

    @Flag(help: "Replace the file of --plot.")
    var force = false

    @Option(help: "Format: ndjson, csv, tsv, table (table on a terminal, else ndjson).")
    var format: RowFormat?

    @Flag(
        name: .shortAndLong,
        help: "Print nothing on standard error but errors, and warnings of files.")
    var quiet = false

    func validate() throws {
        try checkName(plot, "--plot")
        guard !scores.isEmpty || isatty(STDIN_FILENO) == 0 else {
            throw ValidationError("no scores: name files that latent score wrote, or -.")
        }
        guard (0...1_000_000).contains(bootstrap) else {
            throw ValidationError("--bootstrap is \(bootstrap); it must be 0 to 1000000.")
        }
        guard (maps == nil) == (masks == nil) else {
            throw ValidationError("--maps and --masks go together.")
        }
    }

    func run() throws {
        let console = Console(quiet: quiet)
        if let plot {
            if !force { try OutputCheck.isFree(plot) }
            try OutputCheck.isNoInput(plot, of: scores + (truth.labels.map { [$0] } ?? []))
        }
        let folders = try heatMaps()
        var lines = ScoredLines(
            component: score == "score" ? nil : score,
            labels: try truth.table(), keepsPaths: folders != nil)
        for path in scores.isEmpty ? ["-"] : scores { try lines.read(path) }
        let normalLabels = try truth.normalLabels(of: lines, console: console)
        if lines.errorCount > 0 {
            console.warning(
                "\(lines.errorCount) of \(lines.lineCount) files have no score, since they could "
                    + "not be read: left out")
        }
        if lines.repeatedCount > 0 {
            console.warning(
                "\(lines.repeatedCount) of \(lines.lineCount) lines are of files that an earlier line "
                    + "is of too: each counts")
        }
        let evaluation = try lines.evaluation(normalLabels: normalLabels)
        var configuration = DetectionEvaluation.Configuration()
        configuration.resampleCount = bootstrap
        configuration.seed = seed
        var figures = evaluation.figures(configuration)
        if let folders {
            let overlap = try folders.overlap(lines, normalLabels: normalLabels) { count in
                console.progress { "read \(count) heat maps" }
            }
            console.clear()
            figures += overlap.figures
        }
        if let plot {
            try FileBytes.write(
                try DetectionPlot(evaluation, figures: figures).png, to: plot, overwrite: force)
        }
        try DetectionWriter.print(figures, format: format)
        if let plot { console.note("wrote \(plot)") }
    }

    private func heatMaps() throws(LatentError) -> HeatMaps? {
        guard let maps, let masks else { return nil }
        return try HeatMaps(maps: maps, masks: masks)
    }
}
