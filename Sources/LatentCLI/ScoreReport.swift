import Latent

/// What a call of score has found so far, and the lines that it writes.
struct ScoreReport {
    /// The segments are of a recording with maps, and nil otherwise.
    typealias Scored = (
        item: Item, result: Result<ItemScore, ItemFailed>, segments: [Segment]?
    )

    var rules: GroupRules
    let kind: ScoreKind
    var writer: ScoreWriter
    /// Whether only lines of flagged files and of errors are written.
    let onlyAnomalies: Bool
    /// Whether scores are kept for a summary.
    let summarises: Bool
    /// L, where files may have fewer draws; nil where all have the same.
    let allDraws: Int?
    private(set) var flaggedCount = 0
    private(set) var failedCount = 0
    private(set) var fileCount = 0
    private var scores: [Double] = []
    /// Files whose lines wait for the verdicts on all.
    private var waiting: [Scored] = []

    init(
        rules: GroupRules, kind: ScoreKind, writer: ScoreWriter, onlyAnomalies: Bool,
        summarises: Bool, allDraws: Int? = nil
    ) {
        self.rules = rules
        self.kind = kind
        self.writer = writer
        self.onlyAnomalies = onlyAnomalies
        self.summarises = summarises
        self.allDraws = allDraws
    }

    /// The score of a file, or what is wrong where it is no finite number: no verdict can be given on that.
    func checked(
        _ result: Result<ItemScore, ItemFailed>
    ) -> Result<ItemScore, ItemFailed> {
        guard case .success(let score) = result, score.values[kind]?.isFinite != true else {
            return result
        }
        return .failure(
            ItemFailed(
                ItemError(
                    LatentError(
                        .data, "the score \(kind.rawValue) is no finite number",
                        hint:
                            "numbers of the model or the file overflow: look at the file, or train "
                            + "the model again"))))
    }

    /// Writes the line of a file.
    mutating func add(_ scored: Scored) throws {
        fileCount += 1
        switch scored.result {
        case .success(let score):
            let value = score.values[kind] ?? .nan
            if summarises { scores.append(value) }
            let rule = rules.rule(of: scored.item)
            let isAnomaly = rule.verdicts?.isAnomaly(value)
            if isAnomaly == true { flaggedCount += 1 }
            guard !onlyAnomalies || isAnomaly == true else { return }
            // Means over fewer draws scatter more than those that they would be compared with.
            let isComparable = allDraws.map { score.drawCount == $0 } ?? true
            try writer.write(
                scored.item, score,
                pValue: isComparable ? rule.calibration.pValue(value, kind: kind) : nil,
                verdicts: rule.verdicts, group: rule.group, segments: scored.segments)
        case .failure(let failed):
            failedCount += 1
            try writer.write(scored.item, failed.error)
        }
    }

    /// Keeps a file until the verdicts are known.
    mutating func hold(_ scored: Scored) { waiting.append(scored) }

    /// Decides on all files that wait, and writes their lines in the order that they came in.
    mutating func decide(discoveryRate rate: Double, storey: Bool, console: Console) throws {
        let pValues = waiting.compactMap { scored in
            (try? scored.result.get())?.values[kind].flatMap {
                rules.rule(of: scored.item).calibration.pValue($0, kind: kind)
            }
        }
        let found = FalseDiscovery(
            pValues: pValues, rate: rate,
            calibrationCount: rules.pooled.calibration.scores(kind).count,
            estimatesNormalShare: storey)
        rules.decide { $0.verdicts(kind, by: found) }
        if storey {
            console.note("estimated share of normal files: \(percent(found.normalShare))")
        }
        // Of groups, the smallest has the largest steps.
        let count = rules.smallestCount(kind)
        let least = FalseDiscovery.leastFlaggedCount(
            itemCount: pValues.count, rate: rate / found.normalShare, calibrationCount: count)
        if least > 1, !pValues.isEmpty {
            let needed = FalseDiscovery.neededCount(
                itemCount: pValues.count, rate: rate / found.normalShare)
            console.note(
                "\(count) calibration scores give no p-value below "
                    + "\(format(Calibration.smallestRate(count: count), digits: 4)): of "
                    + "\(pValues.count) files none is flagged unless \(least) or more are as "
                    + "extreme; \(needed) scores would do for one alone")
        }
        for scored in waiting { try add(scored) }
        waiting = []
    }

    /// Writes the summary line.
    func summarise() throws {
        try writer.write(
            ScoreWriter.Summary(
                fileCount: fileCount, errorCount: failedCount,
                flaggedCount: rules.pooled.verdicts == nil ? nil : flaggedCount,
                drift: allDraws == nil
                    ? Drift(
                        of: scores.filter(\.isFinite), against: rules.pooled.calibration,
                        kind: kind) : nil))
    }
}
