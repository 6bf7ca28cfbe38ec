import ArgumentParser
import Foundation
import Latent

struct LabelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "label",
        abstract: "Label files by what a few labelled ones look like.",
        discussion: """
            Where labels are few and files are many: a small classifier learns the labelled files, and from \
            the others what it becomes sure of while it learns. Those of the others that it is sure of in the \
            end are listed, a line each with path, label and probability. The list is a manifest, which \
            train, augment and evaluate read as DATA. How often such labels are right is said on standard \
            error, of labelled files that were left out in turn. What is of no class is given one too: take \
            such files out first, by score. Learning takes some minutes. Paths on standard input (-) are \
            labelled as they come, by what the labelled files alone teach. Copies of labelled files, and of each other, \
            are left out.

            EXAMPLES
              latent label --real labelled unlabelled > more.ndjson
              latent label --real labelled unlabelled --at-least 0.99 > surer.ndjson
              latent train labelled more.ndjson --for augmentation -o drawing.safetensors
              latent augment -m drawing.safetensors labelled more.ndjson -o set \\
                  --multiply 3 --method deform --include-originals
            """)

    @OptionGroup var input: InputOptions

    @Option(
        help: ArgumentHelp(
            "Labelled files: folders of classes or manifests; may be given several times.",
            valueName: "data"), completion: .file())
    var real: [String]

    @Option(
        help: ArgumentHelp("Label files whose class is that probable.", valueName: "probability"))
    var atLeast = 0.9

    @Option(
        help: ArgumentHelp(
            "Steps of each of six trainings of the classifier (1500; 600 for paths on standard input).",
            valueName: "n"))
    var steps: Int?

    @Option(help: "Format: ndjson, csv, tsv, table (table on a terminal, else ndjson).")
    var format: RowFormat?

    @OptionGroup(title: "Machine") var machine: MachineOptions

    func validate() throws {
        try input.requireData()
        guard !real.contains("-") else {
            throw ValidationError("--real takes files, folders and manifests, not -.")
        }
        guard (0...1).contains(atLeast) else {
            throw ValidationError("--at-least is \(atLeast); it must be 0 to 1.")
        }
        if let steps, !(1...100_000).contains(steps) {
            throw ValidationError("--steps is \(steps); it must be 1 to 100000.")
        }
    }

    func run() throws {
        let console = Console(quiet: machine.quiet)
        let reals = try Inputs(real, domain: nil)
        let items = Array(reals).toTrainOn
        guard !items.isEmpty else { throw LatentError.noFiles(to: "learn from", in: reals) }
        let domain = try Domain(of: items)
        let inputs = try input.inputs(domain: domain)
        // What comes on standard input is there once, and labelled as it comes.
        let learned = input.isStream ? nil : try input.inputs(domain: domain)
        if let learned {
            var iterator = learned.makeIterator()
            // Said before the labelled files are learned, which takes minutes.
            guard iterator.next() != nil else {
                throw LatentError.noFiles(to: "label", in: learned)
            }
        }
        let device = try machine.start()
        var configuration = FileLabeller.Configuration()
        configuration.seed = machine.seed
        configuration.stepCount = steps
        configuration.workerCount = machine.readerCount
        let startedAt = Date()
        let labeller = try FileLabeller(
            real: items, unlabelled: learned.map { AnySequence($0) } ?? AnySequence([]),
            domain: domain, configuration: configuration, device: device
        ) { share in
            guard share > 0 else { return }
            let left = Date().timeIntervalSince(startedAt) * (1 - share) / share
            console.progress {
                "learning: \(Int(share * 100)) % done, "
                    + "\(Console.duration(left)) left"
            }
        }
        console.clear()
        for failure in labeller.failures {
            console.warning("\(failure.item.path): \(failure.error.message)")
        }
        let found = labeller.agreement(atLeast: atLeast)
        console.note(
            "learned from \(counted(labeller.realCount, "labelled file"))"
                + (labeller.unlabelledCount > 0
                    ? " and \(labeller.unlabelledCount) without labels" : ""))
        console.note(
            "of \(found.count) labelled files, left out in turn, \(found.sure) would be labelled, "
                + "\(found.right) of them rightly")
        let output = StandardOutput()
        let writer = LabelWriter(output, format: format ?? (output.isTerminal ? .table : .ndjson))
        try writer.begin()
        var counts: [String: Int] = [:]
        var (fileCount, failedCount, copyCount) = (0, 0, 0)
        try labeller.label(inputs, pause: input.pause) { item, result in
            fileCount += 1
            switch result {
            case .success(let verdict):
                if verdict.isCopy {
                    copyCount += 1
                } else if verdict.probability >= atLeast {
                    counts[verdict.label, default: 0] += 1
                    try writer.write(item, verdict)
                }
            case .failure(let failed):
                failedCount += 1
                console.warning("\(item.path): \(failed.error.message)")
            }
            if input.isStream { try output.flush() }
            console.progress { "looked at \(fileCount) files" }
        }
        console.clear()
        try output.flush()
        if let note = inputs.omissions.note { console.note(note) }
        if copyCount > 0 {
            console.note(
                "left out \(counted(copyCount, "file")) with the content of labelled ones, or of others "
                    + "before")
        }
        guard fileCount > 0 else {
            throw LatentError.noFiles(to: "label", in: inputs)
        }
        console.note(
            "labelled \(counts.values.reduce(0, +)) of \(counted(fileCount, "file"))"
                + (counts.isEmpty ? "" : ": " + Self.text(counts)))
        guard failedCount + labeller.failures.count == 0 else {
            if failedCount > 0 {
                console.warning("\(failedCount) of \(counted(fileCount, "file")) cannot be read")
            }
            throw ExitStatus.badData
        }
    }

    private static func text(_ counts: [String: Int]) -> String {
        let sorted = counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }
        return sorted.prefix(20).joined(separator: ", ")
            + (sorted.count > 20 ? " and \(sorted.count - 20) classes more" : "")
    }
}

/// Writes a line for each file that has been labelled (schema 1): a manifest.
private struct LabelWriter {
    private let output: StandardOutput
    private let format: RowFormat

    init(_ output: StandardOutput, format: RowFormat) {
        self.output = output
        self.format = format
    }

    func begin() throws {
        switch format {
        case .ndjson: break
        case .csv, .tsv: try output.line(format.separated(["path", "label", "probability"]))
        case .table: try output.line("probability".flushRight(11) + "  label  path")
        }
    }

    /// Paths are absolute, as those of a manifest are taken to lie below its own folder; `..` stays, which of
    /// a link leads elsewhere.
    func write(_ item: Item, _ verdict: FileLabeller.Verdict) throws {
        let path =
            item.path.hasPrefix("/")
            ? item.path
            : FileManager.default.currentDirectoryPath + "/"
                + (item.path.hasPrefix("./") ? item.path.dropFirst(2) : item.path[...])
        switch format {
        case .ndjson:
            var line = JSONLine()
            line.add("schema", 1)
            line.add("path", path)
            line.add("label", verdict.label)
            line.add("probability", verdict.probability)
            try output.line(line.text)
        case .csv, .tsv:
            try output.line(format.separated([path, verdict.label, "\(verdict.probability)"]))
        case .table:
            try output.line(
                LatentCLI.format(verdict.probability, digits: 4).flushRight(11)
                    + "  \(verdict.label.onOneLine.flushLeft(5))  \(item.path.onOneLine)")
        }
    }
}
