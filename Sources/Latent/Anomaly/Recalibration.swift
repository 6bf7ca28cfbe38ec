/// Scores of fresh normal files, and the model record that they make.
///
/// Weights, and what is fitted for scoring, stay as they are.
public struct Recalibration: Sendable {
    /// The most scores that a model keeps of one kind.
    public static let scoreLimit = 100_000
    /// The most entries that a model's history keeps; the oldest go first.
    public static let historyLimit = 100

    private var scores: [ScoreKind: [Double]] = [:]
    private var scoresOfGroups: [String: [ScoreKind: [Double]]] = [:]
    private var hashes: Set<ContentHash> = []

    /// Makes a recalibration without files.
    public init() {}

    /// Number of files.
    public var count: Int { hashes.count }

    private var fingerprint: String { ContentHash.fingerprint(ofWords: hashes.map(\.word)) }

    /// Whether the files are those that a model was trained on, whose scores are lower than others'.
    public func isOfTrainingFiles(of record: ModelRecord) -> Bool {
        record.training.dataFingerprint == fingerprint
    }

    /// Takes the scores of a file, and of its group where it has one.
    ///
    /// - Returns: whether they count: those of the same content count once, since copies are not
    ///   independent of each other
    /// - Throws: ``LatentError`` `.data` for a score that is no finite number
    public mutating func add(
        _ item: ItemScore, group: String? = nil
    ) throws(LatentError) -> Bool {
        for (kind, value) in item.values where !value.isFinite {
            throw LatentError(
                .data, "its score \(kind.rawValue) is no finite number",
                hint: "leave the file out")
        }
        guard hashes.insert(item.hash).inserted else { return false }
        for (kind, value) in item.values {
            scores[kind, default: []].append(value)
            if let group { scoresOfGroups[group, default: [:]][kind, default: []].append(value) }
        }
        return true
    }

    /// The record with the new scores, instead of the old ones or pooled with them.
    ///
    /// - Parameters:
    ///   - record: what the model had
    ///   - falseAlarmRate: the rate for thresholds from now on; nil keeps the model's
    ///   - isPooled: whether the old scores stay
    ///   - regretStepCount: steps that the new scores of regret took; nil for the record's
    ///   - attribute: what told the groups; nil for none
    /// - Returns: the record with its new calibration, and one entry more in its history
    /// - Throws: ``LatentError`` `.data` without files, and `.usage` where there are too few for the
    ///   rate, though it was asked for, or the model could keep it before
    public func record(
        from record: ModelRecord, falseAlarmRate: Double? = nil, isPooled: Bool = false,
        regretStepCount: Int? = nil, groupedBy attribute: String? = nil
    ) throws(LatentError) -> ModelRecord {
        let old = record.calibration
        guard count > 0 else {
            throw LatentError(
                .data, "no normal file could be scored",
                hint: "name files, or a folder that has some")
        }
        if isPooled, let count = regretStepCount, count != record.regretSteps,
            !old.scores(.regret).isEmpty
        {
            throw LatentError(
                .usage,
                "the old scores of regret took \(record.regretSteps) steps, the new ones \(count)",
                hint: "leave --regret-steps or --add out")
        }
        if isPooled, let attribute, let before = record.calibrationGroups?.attribute,
            before != attribute
        {
            throw LatentError(
                .usage, "the model keeps groups by \(before), not by \(attribute)",
                hint: "group by that, or leave --add out")
        }
        let drift = drift(from: record)
        if isPooled, let fingerprint = drift?.dataFingerprint,
            record.calibrationHistory?.contains(where: { $0.dataFingerprint == fingerprint })
                == true
        {
            throw LatentError(
                .usage,
                "the model was calibrated on these very files before: they would count twice",
                hint: "give other files, or leave --add out")
        }
        func calibration(_ scores: [ScoreKind: [Double]], added: Calibration?) -> Calibration {
            var all = scores
            for kind in ScoreKind.allCases {
                guard let more = added?.scores(kind), !more.isEmpty else { continue }
                all[kind, default: []] += more
            }
            return Calibration(scores: all, falseAlarmRate: falseAlarmRate ?? old.falseAlarmRate)
        }
        let kind = record.scoreKind
        let new = calibration(scores, added: isPooled ? old : nil)
        if new.threshold(kind) == nil, falseAlarmRate != nil || old.threshold(kind) != nil {
            let count = new.scores(kind).count
            let needed = Calibration.neededCount(rate: new.falseAlarmRate)
            throw LatentError(
                .usage,
                "a false-alarm rate of \(new.falseAlarmRate) needs \(needed) normal files, there "
                    + "are \(count)",
                hint: "give \(needed - count) more, or a rate of at least "
                    + "\(Calibration.smallestRate(count: count))"
                    + (isPooled ? "" : ", or add to the old ones with --add"))
        }
        var result = record
        result.calibration = new
        result.regretStepCount = regretStepCount ?? record.regretStepCount
        result.calibrationGroups = nil
        if let attribute {
            let before = isPooled ? record.calibrationGroups : nil
            guard !scoresOfGroups.isEmpty else {
                throw LatentError(
                    .data, "no file has a value for \(attribute), which groups are told by",
                    hint: "give a manifest with a column \(attribute), or class folders for class; "
                        + "--group-by none does without groups")
            }
            var groups: [String: Calibration] = [:]
            for name in Set(scoresOfGroups.keys).union(before?.groups.keys.map(\.self) ?? []) {
                groups[name] = calibration(
                    scoresOfGroups[name] ?? [:], added: before?.groups[name])
            }
            result.calibrationGroups = GroupedCalibration(attribute: attribute, groups: groups)
        }
        // Who asks for a rate wants files to be flagged by it.
        if falseAlarmRate != nil { result.labelledThreshold = nil }
        if let drift {
            let history = (record.calibrationHistory ?? []) + [drift]
            result.calibrationHistory = Array(history.suffix(Self.historyLimit))
        }
        return result
    }

    /// How far the scores have moved from those of a record; nil where either has none.
    public func drift(from record: ModelRecord) -> Drift? {
        let kind = record.scoreKind
        var drift = Drift(of: scores[kind] ?? [], against: record.calibration, kind: kind)
        drift?.dataFingerprint = fingerprint
        return drift
    }
}
