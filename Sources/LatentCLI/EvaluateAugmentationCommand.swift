import ArgumentParser
import Foundation
import Latent
import Media

struct AugmentationCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "augmentation",
        abstract: "Measure what a synthetic data set is worth beside the real one.",
        discussion: """
            Compares synthetic files with held-out real ones: density and coverage, kernel and \
            Fréchet distance, whether a classifier tells them apart (C2ST); says how many are copies \
            of training files, and whether they lie nearer to these than to held-out ones; and trains \
            one small fixed classifier on real files, with classic augmentation, with synthetic files \
            and on these alone, whose accuracy on the held-out files is what counts. 95 % intervals.

            Real files are those that the model was trained on. Without --holdout, held out are those \
            of the folder's test/ where it has train/ and test/, else a fifth of each class, or whole \
            groups of --group.

            EXAMPLES
              latent evaluate augmentation --real digits/train --synthetic more \\
                  --holdout digits/test
              latent evaluate augmentation --real clips.csv --synthetic s --group speaker
              latent evaluate augmentation --real a --synthetic b \\
                  --report quality > figures.ndjson
            """)

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Real files: folders, files or manifests (.csv, .ndjson).", valueName: "data"),
        completion: .file())
    var real: [String]

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Synthetic files, in the same class folders.", valueName: "data"),
        completion: .file())
    var synthetic: [String]

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp(
            "Real files that no synthetic file was made from; without it some of --real.",
            valueName: "data"), completion: .file())
    var holdout: [String] = []

    @Option(
        help: ArgumentHelp(
            """
            Column of the manifest of --real, such as speaker; files with one value stay together \
            when some are held out.
            """, valueName: "name"))
    var group: String?

    @Option(help: "Kind of files, where folders have both: image, audio.")
    var domain: Domain?

    @Option(
        help: ArgumentHelp(
            "Trainings of each kind; 0 leaves usefulness out.", valueName: "n"))
    var seeds = 5

    @Option(help: ArgumentHelp("Steps of each training, of 64 files.", valueName: "n"))
    var steps = 600

    @Option(
        help: ArgumentHelp(
            """
            Files of a set that are compared in pairs; of more, so many are drawn at random. Copies \
            are looked for among all real files.
            """, valueName: "n"))
    var items = 5_000

    @Option(
        help: ArgumentHelp(
            "Resamples for intervals of usefulness; 0 leaves them out.", valueName: "n"))
    var bootstrap = 1_000

    @Option(
        help: ArgumentHelp(
            """
            Folder for sheets to look at: classes.png, real files beside synthetic ones, and \
            nearest.png, synthetic files beside the training files nearest to them.
            """, valueName: "dir"))
    var report: String?

    @Flag(help: "Write into a folder of --report that is not empty.")
    var force = false

    @Option(help: "Format: ndjson, csv, tsv, table (table on a terminal, else ndjson).")
    var format: RowFormat?

    @OptionGroup(title: "Machine") var machine: MachineOptions

    func validate() throws {
        try checkName(report, "--report")
        for (name, value, range) in [
            ("--seeds", seeds, 0...100), ("--steps", steps, 1...1_000_000),
            ("--items", items, 10...100_000), ("--bootstrap", bootstrap, 0...100_000),
        ] where !range.contains(value) {
            throw ValidationError(
                "\(name) is \(value); it must be \(range.lowerBound) to \(range.upperBound).")
        }
        guard group == nil || holdout.isEmpty else {
            throw ValidationError("--group is for holding files out; leave --holdout out.")
        }
        guard !(real + synthetic + holdout).contains("-") else {
            throw ValidationError("files cannot come on standard input here; name folders.")
        }
    }

    func run() throws {
        let console = Console(quiet: machine.quiet)
        let data = try collect(console)
        if let report {
            let paths = (data.real + data.synthetic + data.holdout).lazy.map(\.path)
            if force {
                try OutputCheck.holdsNoInput(report, of: paths)
            } else {
                try OutputFolder.checkIsEmpty(report)
            }
            try OutputCheck.isOutside(real + synthetic + holdout, report)
        }
        var configuration = AugmentationEvaluation.Configuration()
        configuration.itemLimit = items
        configuration.seedCount = seeds
        configuration.stepCount = steps
        configuration.resampleCount = bootstrap
        configuration.hasGroups = group != nil
        configuration.seed = machine.seed
        configuration.device = try machine.start()

        var failedCount = 0
        let view = try view(of: data, console)
        func read(_ items: [Item], _ name: String) throws -> MappedItems {
            try MappedItems(reading: items, view: view, threadCount: machine.readerCount) {
                done, failure in
                if let failure {
                    failedCount += 1
                    console.warning("\(failure.item.path): \(failure.error.message)")
                }
                console.progress { "reading \(done) of \(items.count) \(name) files" }
            }
        }
        var training = try read(data.real, "real")
        let drawn = try read(data.synthetic, "synthetic")
        var heldOut = try read(data.holdout, "held-out")
        if data.holdout.isEmpty, training.count > 0 {
            (training, heldOut) = try training.divided(
                byGroup: group != nil, seed: machine.seed)
            console.note(
                "\(heldOut.count) of the real files are held out: if the synthetic ones come from a "
                    + "model that saw them, leakage and copies are not found")
        }
        let distinct = heldOut.without(filesOf: training)
        if distinct.count < heldOut.count {
            console.warning(
                "\(heldOut.count - distinct.count) of \(heldOut.count) held-out files are among the "
                    + "real ones too, byte for byte: left out")
        }
        guard heldOut.count == 0 || distinct.count > 0 else {
            throw LatentError(
                .data, path: data.holdout.first?.path,
                "all held-out files are among the real ones too",
                hint: "name files that are not")
        }
        var evaluation = try AugmentationEvaluation(
            training: training, heldOut: distinct, synthetic: drawn, view: view,
            configuration: configuration)
        console.note(
            "\(training.count) real, \(distinct.count) held-out and \(drawn.count) synthetic "
                + "\(view.domain.plural), \(view.description)")
        let largest = max(training.count, distinct.count, drawn.count)
        if largest > items {
            console.note(
                "of sets of more than \(items) files, so many are drawn by the seed to be compared")
        }

        let total = evaluation.totalStepCount
        let startedAt = Date()
        var pairs: [AugmentationEvaluation.Pair] = []
        let isLong = total > steps
        if isLong {
            console.note(
                "\(total / steps) trainings of a small classifier, of \(counted(steps, "step"))")
        }
        let writer = try AugmentationWriter(format: format)
        try evaluation.figures { done in
            // The first of them says what all will take.
            if isLong, done == steps {
                let seconds = Date().timeIntervalSince(startedAt) * Double(total) / Double(done)
                console.note("that takes about \(Console.duration(seconds))")
            }
            console.progress {
                let seconds = Date().timeIntervalSince(startedAt) / Double(done)
                return "training: step \(done) of \(total), "
                    + "\(Console.duration(seconds * Double(total - done))) left"
            }
        } onPairs: {
            pairs = $0
        } onPart: {
            console.clear()
            try writer.write($0)
        }
        for omission in evaluation.omissions { console.note(omission) }
        if let report {
            let names = try evaluation.writeSheets(to: report, pairs: pairs, overwrite: force)
            console.note("wrote \(names.joined(separator: " and ")) to \(report)")
        }
        if failedCount > 0 {
            let total = data.real.count + data.synthetic.count + data.holdout.count
            console.warning("\(failedCount) of \(counted(total, "file")) cannot be read: left out")
            throw ExitStatus.badData
        }
    }

    // MARK: Inputs

    private struct Files {
        var real: [Item]
        var synthetic: [Item]
        var holdout: [Item]
        let domain: Domain
    }

    /// Lists the files; of real ones with splits, those to train on apart from the others.
    private func collect(_ console: Console) throws -> Files {
        func list(_ paths: [String], _ domain: Domain?) throws -> [Item] {
            let inputs = try Inputs(
                paths, domain: domain, attributeNames: group.map { [$0] } ?? [])
            let items = Array(inputs)
            guard !items.isEmpty else { throw LatentError.noFiles(to: "evaluate", in: inputs) }
            if let note = inputs.omissions.note { console.note("\(paths[0]): \(note)") }
            return items
        }
        var real = try list(real, domain)
        let domain =
            try domain ?? Domain(of: real, hint: "say which with --domain image or --domain audio")
        var held = holdout.isEmpty ? [] : try list(holdout, domain)
        let test = real.filter { $0.split != "train" }
        if test.count < real.count {
            real.removeAll { $0.split != "train" }
            // With groups, some of those to train on are held out.
            if holdout.isEmpty, group == nil { held = test }
        }
        let isDivided = held.contains { $0.split != "train" }
        if isDivided { held.removeAll { $0.split == "train" } }
        return Files(
            real: real, synthetic: try list(synthetic, domain), holdout: held, domain: domain)
    }

    /// What files become, by the real ones.
    private func view(of data: Files, _ console: Console) throws -> SmallMapView {
        let survey = Survey(
            of: data.real, domain: data.domain, threadCount: machine.readerCount
        ) { done, _ in
            console.progress { "looking at \(done) of \(data.real.count) real files" }
        }
        return try SmallMapView(of: survey, domain: data.domain)
    }
}
