import ArgumentParser
import Latent

/// How files are flagged.
struct ThresholdOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Share of normal files that may be flagged (what the model was trained for, or the \
            threshold that calibrate found on labelled files).
            """,
            valueName: "rate"))
    var falseAlarms: Double?

    @Flag(
        help: """
            Extrapolate the largest calibration scores (generalised Pareto), so that --false-alarms \
            can go below what their number promises. An estimate, not a promise.
            """)
    var tail = false

    @Option(
        help: ArgumentHelp(
            "Flag above this quantile of the calibration scores; promises nothing.",
            valueName: "share"))
    var quantile: Double?

    @Option(
        help: ArgumentHelp(
            """
            Share of normal files among the flagged, on average (Benjamini and Hochberg over all \
            files of the call). All output comes at the end.
            """, valueName: "rate"))
    var fdr: Double?

    @Flag(help: "With --fdr: estimate how many files are normal (Storey), and flag more.")
    var storey = false

    func validate() throws {
        try checkShare(falseAlarms, "--false-alarms")
        try checkShare(fdr, "--fdr")
        if let quantile, !(0...1).contains(quantile) {
            throw ValidationError("--quantile is \(quantile); it must be 0 to 1.")
        }
        let rules = [
            (falseAlarms != nil || tail, tail ? "--tail" : "--false-alarms"),
            (quantile != nil, "--quantile"), (fdr != nil, "--fdr"),
        ].filter(\.0).map(\.1)
        guard rules.count < 2 else {
            throw ValidationError("\(rules.joined(separator: " and ")) exclude each other.")
        }
        guard !storey || fdr != nil else { throw ValidationError("--storey goes with --fdr.") }
    }

    /// By what all files, and those of each group, are judged.
    func rules(
        of record: ModelRecord, kind: ScoreKind, model: String, isNeeded: Bool, console: Console
    ) throws -> GroupRules {
        let verdicts = try verdicts(
            of: record, kind: kind, model: model, isNeeded: isNeeded, console: console)
        let pooled = GroupRules.Rule(
            group: nil, calibration: record.calibration, verdicts: verdicts)
        // A threshold by labelled files is one for all groups.
        let isOne = [.bestF1, .cost, .maxAlarms].contains(verdicts?.kind)
        guard let groups = record.calibrationGroups, !isOne else {
            return GroupRules(pooled: pooled)
        }
        let rate = falseAlarms ?? record.calibration.falseAlarmRate
        let rules = GroupRules(
            pooled: pooled, groups: groups,
            attributeNames: record.attributeNames(groupedBy: groups.attribute)
        ) { calibration in
            // What a group is large enough for, by the rule that is asked for.
            let needed = Calibration.neededCount(rate: quantile.map { 1 - $0 } ?? rate)
            let isLarge = calibration.scores(kind).count >= needed
            if tail { return (try? calibration.verdicts(kind, tailRate: rate)).map { .known($0) } }
            guard isLarge else { return nil }
            if fdr != nil { return .later }
            let own =
                quantile.map { calibration.verdicts(kind, quantile: $0) }
                ?? calibration.verdicts(kind, rate: rate)
            return own.map { .known($0) }
        }
        if let note = rules.noteOfSmall { console.note(note) }
        return rules
    }

    /// The verdicts that need no other file; nil for those of --fdr, and without enough scores.
    ///
    /// Where no rule is given, a threshold that calibrate found on labelled files comes first.
    /// Too few scores for the model's own rate are refused only where verdicts are needed.
    private func verdicts(
        of record: ModelRecord, kind: ScoreKind, model: String, isNeeded: Bool, console: Console
    ) throws -> Verdicts? {
        let calibration = record.calibration
        if falseAlarms == nil, !tail, quantile == nil, fdr == nil,
            let stored = record.labelledThreshold
        {
            if stored.scoreKind == kind { return Verdicts(stored) }
            console.note(
                "the model's threshold (\(stored.goalText)) is of \(stored.scoreKind.rawValue): "
                    + "by \(kind.rawValue) the false-alarm rate decides")
        }
        let count = calibration.scores(kind).count
        let calibrate = "latent calibrate" + (kind.isRequested ? " --score \(kind.rawValue)" : "")
        let rate = falseAlarms ?? calibration.falseAlarmRate
        if tail, count > 0 {
            let verdicts = try calibration.verdicts(kind, tailRate: rate)
            console.note(
                "the threshold at \(percent(rate)) false alarms is extrapolated from \(count) "
                    + "calibration scores: an estimate, not a promise")
            return verdicts
        }
        if quantile != nil || fdr != nil || tail, count == 0 {
            throw LatentError(
                .usage, path: model, "the model has no calibration scores of \(kind.rawValue)",
                hint: "add normal files with \(calibrate)")
        }
        if fdr != nil { return nil }
        if let quantile { return calibration.verdicts(kind, quantile: quantile) }
        if let verdicts = calibration.verdicts(kind, rate: rate) { return verdicts }
        let message =
            "a false-alarm rate of \(rate) needs \(Calibration.neededCount(rate: rate)) "
            + "calibration scores, the model has \(count)"
            + (kind.isRequested ? " of \(kind.rawValue)" : "")
        if falseAlarms != nil || isNeeded {
            throw LatentError(
                .usage, path: model, message,
                hint: count == 0 && kind.isRequested
                    ? "calibrate it on normal files with \(calibrate)"
                    : "use a larger rate, add normal files with latent calibrate --add, or train "
                        + "with more files or a larger --calibration")
        }
        console.note(
            "no verdicts: \(message)"
                + (count == 0 && kind.isRequested ? "; use \(calibrate)" : ""))
        return nil
    }
}
