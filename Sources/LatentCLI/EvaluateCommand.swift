import ArgumentParser
import Foundation
import Latent

struct EvaluateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Measure how good a model is, or what it made.",
        subcommands: [
            DetectionCommand.self, LikelihoodCommand.self, AugmentationCommand.self,
        ])
}

struct LikelihoodCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "likelihood",
        abstract: "Estimate log p(x) of files by the importance-weighted bound.",
        discussion: """
            Draws z from q(z|x) many times for each file and takes log (1/L) Σ p(x, z) / q(z|x), a \
            lower bound of log p(x) that rises to it with L. A line for each file, and one for \
            their mean with its standard error; nats, and bits for each value (of the 256 steps of \
            8-bit images). Images become black and white first for a Bernoulli model.

            EXAMPLES
              latent evaluate likelihood -m digits.safetensors digits/test
              latent evaluate likelihood -m m.safetensors test --draws 100 | tail -n 1
            """)

    @Option(name: .shortAndLong, help: ArgumentHelp("The model file.", valueName: "file"))
    var model: String

    @OptionGroup var input: InputOptions

    @Option(help: ArgumentHelp("L, draws of z for each window.", valueName: "n"))
    var draws = 5_000

    @Option(
        help: ArgumentHelp(
            "For a conditional model: labels that all files are taken to have.",
            valueName: "name=value,…"), transform: LabelList.read)
    var condition: LabelList?

    @Option(help: "Format: ndjson, csv, tsv, table (table on a terminal, else ndjson).")
    var format: RowFormat?

    @OptionGroup(title: "Machine") var machine: MachineOptions

    func validate() throws {
        try input.requireData()
        guard (1...10_000_000).contains(draws) else {
            throw ValidationError("--draws is \(draws); it must be 1 to 10000000.")
        }
    }

    func run() throws {
        let console = Console(quiet: machine.quiet)
        let loaded = try ModelFile.read(model)
        let record = loaded.file.record
        let inputs = try input.inputs(of: record)
        var configuration = LikelihoodEvaluation.Configuration()
        configuration.drawCount = draws
        configuration.seed = machine.seed
        configuration.assignments = try record.assignments(condition)
        configuration.readerCount = machine.readerCount
        let device = try machine.start()
        let evaluation = try LikelihoodEvaluation(
            file: loaded.file, model: try loaded.file.model(on: device),
            configuration: configuration)
        if evaluation.binarises {
            console.note("the model is of black and white: images become so at one half")
        }
        let output = StandardOutput()
        let writer = LikelihoodWriter(
            output, format: format ?? (output.isTerminal ? .table : .ndjson),
            bits: evaluation.bitsPerDimension)
        try writer.begin()
        var counts = (files: 0, failed: 0)
        let startedAt = Date()
        let summary = try evaluation(inputs) { item, result in
            counts.files += 1
            switch result {
            case .success(let likelihood):
                try writer.write(item, likelihood)
            case .failure(let failed):
                counts.failed += 1
                try writer.write(item, failed.error)
            }
            console.progress {
                let rate = Double(counts.files) / max(1e-9, Date().timeIntervalSince(startedAt))
                return "evaluated \(counted(counts.files, "file")), \(format(rate)) a second"
            }
        }
        if let note = inputs.omissions.note { console.note(note) }
        guard counts.files > 0 else {
            throw LatentError.noFiles(to: "evaluate", in: inputs)
        }
        if summary.itemCount > 0 { try writer.write(summary) }
        try output.flush()
        console.clear()
        if counts.failed > 0 {
            console.warning("\(counts.failed) of \(counted(counts.files, "file")) cannot be read")
            throw ExitStatus.badData
        }
    }

    private func format(_ value: Double) -> String { LatentCLI.format(value) }
}
