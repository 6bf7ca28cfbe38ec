import Latent

/// A threshold chosen on labelled files, while scores are read.
struct LabelledCalibration {
    private let goal: LabelledThreshold.Goal
    private let truth: TruthOptions
    private var lines: ScoredLines
    private var hashes: Set<ContentHash> = []

    init(_ goal: LabelledThreshold.Goal, truth: TruthOptions) throws {
        self.goal = goal
        self.truth = truth
        lines = ScoredLines(labels: try truth.table())
    }

    /// Takes the scores of a file.
    ///
    /// - Returns: whether it counts: copies count once
    /// - Throws: `LatentError` `.data` for a score that is no finite number, or a file without label
    mutating func add(_ item: Item, _ score: ItemScore, kind: ScoreKind) throws(LatentError) -> Bool
    {
        let value = score.values[kind] ?? .nan
        guard value.isFinite else {
            throw LatentError(
                .data, "its score \(kind.rawValue) is \(value), no finite number",
                hint: "leave the file out")
        }
        guard !hashes.contains(score.hash) else { return false }
        // A copy without a label does not stand for one that has it.
        try lines.add(item, score: value)
        hashes.insert(score.hash)
        return true
    }

    /// The threshold, and what it comes to on these files.
    func threshold(
        kind: ScoreKind, console: Console
    ) throws -> (LabelledThreshold, [DetectionEvaluation.Figure]) {
        let normalLabels = try truth.normalLabels(of: lines, console: console)
        let scores = lines.scores(normalLabels: normalLabels)
        let found = try LabelledThreshold(
            goal, kind: kind, normal: scores.normal, anomalous: scores.anomalous)
        let evaluation = try lines.evaluation(
            normalLabels: normalLabels, flaggedAbove: found.threshold)
        return (found, found.figures(evaluation))
    }
}

extension LabelledThreshold {
    /// What it was found on, as people say it.
    var sentence: String {
        func share(_ count: Int, _ total: Int) -> String {
            let ends = BinomialInterval(count: count, of: total)
            return "\(count) of \(total) (95 %: \(percent(ends.low)) to \(percent(ends.high)))"
        }
        return "flags \(share(detectionCount, anomalyCount)) anomalous and "
            + "\(share(falseAlarmCount, normalCount)) normal files that it was chosen on"
    }

    /// The goal in words, as `cost, miss=10, alarm=1`.
    var goalText: String {
        switch goal {
        case .bestF1: "best F1"
        case .cost(let miss, let alarm): "cost, miss=\(miss), alarm=\(alarm)"
        case .maxAlarms(let perDay, let filesPerDay):
            "at most \(perDay) false alarms a day of \(filesPerDay) files"
        }
    }

    /// The fewest files of either kind with which a threshold says much.
    private static let fewCount = 30

    /// Says what it does, and how far to trust it.
    func explain(_ console: Console) {
        console.note(
            "\(goalText): above \(format(threshold, digits: scoreKind.digits)) "
                + "(\(scoreKind.rawValue)); \(sentence)")
        if let outcome, case .maxAlarms = goal, let low = outcome.low, let high = outcome.high {
            console.note(
                "expected false alarms: \(format(outcome.value, digits: 2)) a day on average; given "
                    + "these \(normalCount) normal files \(format(low, digits: 2)) to "
                    + "\(format(high, digits: 2)) (95 %)")
        } else {
            console.note(
                "it was chosen on these very files, and for as many anomalous ones among them "
                    + "(\(percent(Double(anomalyCount) / Double(anomalyCount + normalCount)))): "
                    + "expect somewhat less of new ones")
        }
        if min(anomalyCount, normalCount) < Self.fewCount {
            console.advice(
                "\(anomalyCount) anomalous and \(normalCount) normal files are few to choose a "
                    + "threshold by: other files could have given quite another")
        }
        if detectionCount + falseAlarmCount == 0 {
            console.advice(
                "this threshold flags nothing: for these costs the score tells too little")
        } else if falseAlarmCount == normalCount {
            console.advice("this threshold flags every file: for this the score tells too little")
        }
    }
}
