/// Where a threshold comes from, and so what it promises.
public enum ThresholdKind: String, Sendable, CaseIterable {
    /// The conformal threshold at a false-alarm rate; see ``Guarantee``.
    case conformal
    /// A quantile of the calibration scores; it promises nothing of new items.
    case quantile
    /// Extrapolated beyond the calibration scores; see ``TailModel``.
    case tail
    /// For a rate of false discoveries among the flagged of a batch; see ``FalseDiscovery``.
    case fdr
    /// Of the best F1 on labelled files; see ``LabelledThreshold``.
    case bestF1 = "best-f1"
    /// Of the least cost on labelled files.
    case cost
    /// For so many false alarms in a time, by labelled files.
    case maxAlarms = "max-alarms"
}

/// How items are flagged by their scores.
public struct Verdicts: Sendable, Equatable {
    /// The score above which items are flagged; nil where none is.
    public let threshold: Double?
    /// Where the threshold comes from.
    public let kind: ThresholdKind

    /// Whether a score is flagged.
    public func isAnomaly(_ score: Double) -> Bool { threshold.map { score > $0 } ?? false }
}

extension Calibration {
    /// Verdicts at a false-alarm rate that the scores can keep; nil where there are too few.
    public func verdicts(_ kind: ScoreKind, rate: Double) -> Verdicts? {
        threshold(kind, rate: rate).map { Verdicts(threshold: $0, kind: .conformal) }
    }

    /// Verdicts above the empirical quantile of the scores; nil without scores.
    public func verdicts(_ kind: ScoreKind, quantile share: Double) -> Verdicts? {
        let scores = scores(kind)
        guard !scores.isEmpty else { return nil }
        return Verdicts(threshold: scores.quantile(ofSorted: share), kind: .quantile)
    }

    /// Verdicts at a false-alarm rate that may be too small for the scores, by extrapolation.
    ///
    /// - Throws: ``LatentError`` `.usage` with too few scores for a tail, or a rate outside it
    public func verdicts(_ kind: ScoreKind, tailRate rate: Double) throws(LatentError) -> Verdicts {
        let tail = try TailModel(scores: scores(kind))
        guard let threshold = tail.threshold(rate: rate), threshold.isFinite else {
            throw LatentError(
                .usage,
                "a false-alarm rate of \(rate) is outside of the tail, which begins at "
                    + "\(tail.largestRate)",
                hint: "use a smaller rate, or leave --tail out")
        }
        return Verdicts(threshold: threshold, kind: .tail)
    }

    /// Verdicts on a batch; nil without calibration scores.
    ///
    /// The threshold flags exactly the items that the procedure does.
    public func verdicts(
        _ kind: ScoreKind, on batch: [Double], discoveryRate: Double, estimatesNormalShare: Bool
    ) -> (verdicts: Verdicts, found: FalseDiscovery)? {
        guard !scores(kind).isEmpty else { return nil }
        let found = FalseDiscovery(
            pValues: batch.compactMap { pValue($0, kind: kind) }, rate: discoveryRate,
            calibrationCount: scores(kind).count, estimatesNormalShare: estimatesNormalShare)
        return (verdicts(kind, by: found), found)
    }

    /// Verdicts that flag exactly the items that a procedure does, which were of several calibrations.
    public func verdicts(_ kind: ScoreKind, by found: FalseDiscovery) -> Verdicts {
        Verdicts(
            threshold: found.largestPValue.flatMap { threshold(kind, rate: $0) }, kind: .fdr)
    }
}
