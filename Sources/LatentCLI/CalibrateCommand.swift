import ArgumentParser
import Foundation
import Latent

struct CalibrateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calibrate",
        abstract: "Set a model's thresholds from fresh normal files, without training it again.",
        discussion: """
            Scores normal files that the model was not trained on, and writes the model with their \
            scores in place of the old ones, or added to them. A line for each false-alarm rate: \
            threshold, number of calibration files, and between which shares the false alarms of \
            new normal files are (95 %). How far the scores have moved from the old ones is said, \
            and kept in the model. Without -o and --in-place nothing is written. A file that cannot \
            be read is left out with a warning, and the exit code is 65.

            With --group-by each group of files, such as those of one camera, has a threshold of \
            its own, so that each keeps the rate; a group too small for the rate, or not known, has \
            that of all files.

            With --best-f1, --cost or --max-alarms the files are labelled ones, some of them \
            anomalous (by folder, manifest or --labels, as for evaluate detection). They give the \
            threshold that score flags by from then on, unless it is told another; calibration \
            scores and p-values stay. A line for each figure that it comes to on these files. \
            --false-alarms makes the rate the rule again.

            EXAMPLES
              latent calibrate -m photos.safetensors new-normal -o photos-2.safetensors
              latent calibrate -m m.safetensors new-normal --in-place --add \\
                  --false-alarms 0.01
              latent calibrate -m m.safetensors last-week --format table
              latent calibrate -m m.safetensors new-normal --in-place \\
                  --score elbo+complexity
              latent calibrate -m m.safetensors normal.csv --in-place --group-by camera
              latent calibrate -m m.safetensors parts/test --in-place \\
                  --cost miss=10,alarm=1
              latent calibrate -m m.safetensors checked.csv -o m2.safetensors \\
                  --max-alarms 5/day --rate 200/hour
            """)

    @Option(name: .shortAndLong, help: ArgumentHelp("The model file.", valueName: "file"))
    var model: String

    @OptionGroup var input: InputOptions

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Where to write the calibrated model.", valueName: "file"))
    var output: String?

    @Flag(help: "Write the calibrated model in place of the old one.")
    var inPlace = false

    @Flag(help: "Replace the file of -o.")
    var force = false

    @Flag(help: "Keep the old calibration scores, and add the new ones.")
    var add = false

    @Option(
        help: ArgumentHelp(
            "Share of normal files that may be flagged from now on (the model's).",
            valueName: "rate"))
    var falseAlarms: Double?

    @Option(
        help: """
            Calibrate this score too, which score computes only when asked for: regret, \
            elbo+complexity, … (those that the model is calibrated for). May be repeated; lines are \
            of these.
            """)
    var score: [ScoreKind] = []

    @Option(help: ArgumentHelp("Steps of the score regret (the model's).", valueName: "n"))
    var regretSteps: Int?

    @Option(
        help: ArgumentHelp(
            """
            Keep the scores of each group too, for a threshold of its own: class, the class folder \
            or label; or a column of the manifest, such as camera. (As the model has it; none ends \
            it.)
            """, valueName: "name"))
    var groupBy: String?

    @OptionGroup(title: "Labelled files") var labelled: GoalOptions

    @OptionGroup var scoring: ScoringOptions

    @Option(help: "Format: ndjson, csv, tsv, table (table on a terminal, else ndjson).")
    var format: RowFormat?

    @OptionGroup(title: "Machine") var machine: MachineOptions

    func validate() throws {
        try input.requireData()
        try checkName(output, "-o")
        guard output == nil || !inPlace else {
            throw ValidationError("-o and --in-place exclude each other.")
        }
        guard !force || output != nil else {
            throw ValidationError("--force is of the file that -o names.")
        }
        try checkShare(falseAlarms, "--false-alarms")
        if let regretSteps, !ModelRecord.regretStepCounts.contains(regretSteps) {
            throw ValidationError("--regret-steps is \(regretSteps); it must be 1 to 10000.")
        }
        guard groupBy != "" else { throw ValidationError("--group-by names no column.") }
        guard Set(score).count == score.count else {
            throw ValidationError("--score names a score twice.")
        }
        let isOfNormals =
            add || falseAlarms != nil || groupBy != nil || !score.isEmpty || regretSteps != nil
        guard try labelled.goal() == nil || !isOfNormals else {
            throw ValidationError(
                "--add, --false-alarms, --group-by, --score and --regret-steps are of normal files, "
                    + "not of labelled ones.")
        }
    }

    func run() throws {
        let console = Console(quiet: machine.quiet)
        let loaded = try ModelFile.read(model)
        let old = loaded.file.record
        for kind in score { try loaded.file.check(kind, path: model) }
        let target = inPlace ? model : output
        if let output, !force { try OutputCheck.isFree(output) }
        if let target { try OutputCheck.writableFolder(of: target) }
        let attribute = groupBy == "none" ? nil : groupBy ?? old.calibrationGroups?.attribute
        let inputs = try input.inputs(of: old, groupedBy: attribute)
        let items = Array(inputs)
        guard !items.isEmpty else { throw LatentError.noFiles(to: "calibrate on", in: inputs) }
        if let output { try OutputCheck.isNoInput(output, of: items.lazy.map(\.path)) }

        var file = loaded.file
        let failedCount: Int
        if let goal = try labelled.goal() {
            var found = try LabelledCalibration(goal, truth: labelled.truth)
            failedCount = try score(items[...], by: file, console: console) {
                try found.add($0, $1, kind: old.scoreKind)
            }
            if let note = inputs.omissions.note { console.note(note) }
            let (threshold, figures) = try found.threshold(kind: old.scoreKind, console: console)
            file.record.labelledThreshold = threshold
            try DetectionWriter.print(figures, format: format)
            if let target { try file.write(to: target, overwrite: inPlace || force) }
            threshold.explain(console)
        } else {
            var recalibration = Recalibration()
            var accepted: [Item] = []
            let groups = attribute.map {
                GroupReader(
                    attribute: $0, attributeNames: old.attributeNames(groupedBy: $0))
            }
            failedCount = try score(
                kept(items, record: old, console: console), by: file, console: console
            ) { item, score in
                guard try recalibration.add(score, group: groups?.group(of: item)) else {
                    return false
                }
                if accepted.count < MapCalibration.fileLimit { accepted.append(item) }
                return true
            }
            if let note = inputs.omissions.note { console.note(note) }
            if recalibration.isOfTrainingFiles(of: old) {
                console.warning(
                    "the model was trained on these very files, which score lower than fresh ones: "
                        + "thresholds come out too low; give files that it has not seen")
            }
            file.record = try recalibration.record(
                from: old, falseAlarmRate: falseAlarms, isPooled: add, regretStepCount: regretSteps,
                groupedBy: attribute)
            if target != nil {
                file.record.maps = try maps(of: loaded.file, items: accepted, console: console)
            }
            try report(file.record, console: console)
            if let target { try file.write(to: target, overwrite: inPlace || force) }
            if let drift = recalibration.drift(from: old) { console.note(drift.sentence) }
            if let labelled = file.record.labelledThreshold {
                console.note(
                    "score goes on flagging by \(labelled.goalText), chosen before; "
                        + "--false-alarms would end that")
            }
        }
        console.note(target.map { "wrote \($0)" } ?? "nothing written: give -o or --in-place")
        if failedCount > 0 {
            console.warning("\(failedCount) of \(counted(items.count, "file")) cannot be used")
            throw ExitStatus.badData
        }
    }

    /// What maps of the files are like.
    private func maps(
        of file: ModelFile, items: [Item], console: Console
    ) throws -> MapCalibration? {
        defer { console.clear() }
        return try MapCalibration(
            of: file, items: items, device: try machine.start(),
            assignments: try file.record.assignments(scoring.condition), isPooled: add
        ) { count in
            console.progress { "mapped \(count) of \(items.count) files" }
        }
    }

    /// The files that a model has room for.
    private func kept(_ items: [Item], record: ModelRecord, console: Console) -> ArraySlice<Item> {
        let room =
            Recalibration.scoreLimit
            - (add ? record.calibration.scores(record.scoreKind).count : 0)
        if items.count > room {
            console.warning(
                "a model keeps \(Recalibration.scoreLimit) calibration scores: only the first "
                    + "\(max(0, room)) of \(items.count) files are used")
        }
        return items.prefix(max(0, room))
    }

    /// Scores the files; those that cannot be used are named.
    ///
    /// - Parameters:
    ///   - items: the files
    ///   - file: the model
    ///   - console: where they are named
    ///   - take: takes the scores of a file, and says whether it counts
    /// - Returns: how many cannot be used
    /// - Throws: what ends the run, such as a device that is not there
    private func score(
        _ items: ArraySlice<Item>, by file: ModelFile, console: Console,
        take: (Item, ItemScore) throws -> Bool
    ) throws -> Int {
        var file = file
        if let regretSteps { file.record.regretStepCount = regretSteps }
        let scorer = try scoring.scorer(
            of: file,
            requested: file.record.calibratedRequestedKinds.union(score + [file.record.scoreKind]),
            on: machine)
        var (doneCount, failedCount, copyCount) = (0, 0, 0)
        try scorer.score(items) { item, result in
            doneCount += 1
            do {
                if try !take(item, result.get()) { copyCount += 1 }
            } catch let failed as ItemFailed {
                failedCount += 1
                console.warning("\(item.path): \(failed.error.message)")
            } catch let error as LatentError {
                failedCount += 1
                console.warning("\(item.path): \(ItemError(error).message)")
            }
            console.progress { "scored \(doneCount) of \(items.count) files" }
        }
        console.clear()
        if copyCount > 0 {
            console.note("\(copyCount) files have the content of others, which counts once")
        }
        return failedCount
    }

    private func report(_ record: ModelRecord, console: Console) throws {
        let calibration = record.calibration
        let output = StandardOutput()
        let kinds = score.isEmpty ? [record.scoreKind] : score
        let writer = GuaranteeWriter(
            output, format: format ?? (output.isTerminal ? .table : .ndjson),
            storedRate: calibration.falseAlarmRate, namesKinds: !score.isEmpty,
            hasGroups: record.calibrationGroups != nil)
        try writer.begin()
        for kind in kinds {
            for rate in Set([0.1, 0.05, 0.01, calibration.falseAlarmRate]).sorted(by: >) {
                try writer.write(calibration.guarantee(kind, rate: rate), of: kind)
                for name in record.calibrationGroups?.names ?? [] {
                    guard let own = record.calibrationGroups?.groups[name] else { continue }
                    try writer.write(own.guarantee(kind, rate: rate), of: kind, group: name)
                }
            }
        }
        try output.flush()
        for kind in kinds {
            let stored = calibration.guarantee(kind, rate: calibration.falseAlarmRate)
            console.note(
                (score.isEmpty ? "" : "\(kind.rawValue) ")
                    + "at \(percent(stored.rate)): \(stored.sentence)")
            if let groups = record.calibrationGroups {
                report(groups, kind, rate: stored.rate, console: console)
            }
        }
    }

    /// Groups whose promise is said on standard error; of more, the lines have it.
    private static let namedGroupCount = 12

    private func report(
        _ groups: GroupedCalibration, _ kind: ScoreKind, rate: Double, console: Console
    ) {
        for name in groups.names.prefix(Self.namedGroupCount) {
            guard let own = groups.groups[name] else { continue }
            let promise = own.guarantee(kind, rate: rate)
            console.note(
                "\(groups.attribute) \(name): "
                    + (promise.threshold == nil
                        ? "the threshold of all files holds, since its own needs "
                            + "\(promise.neededCount) files and there are \(promise.count)"
                        : promise.sentence))
        }
        let more = groups.names.count - Self.namedGroupCount
        if more > 0 { console.note("… and \(more) more groups") }
    }
}
