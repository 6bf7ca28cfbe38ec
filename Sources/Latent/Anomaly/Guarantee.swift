/// What a calibration promises of new normal items at one false-alarm rate.
///
/// With n calibration scores and l = ⌊(n + 1) · rate⌋, the share of new normal items that is
/// flagged is l / (n + 1) on average over calibration sets, and Beta(l, n + 1 - l) given one.
/// Scores with ties flag at most that share.
///
/// Source: Vovk, "Conditional validity of inductive conformal predictors", ACML 2012, proposition 2;
/// Bates et al. 2023, section 3.
public struct Guarantee: Sendable, Equatable {
    /// The false-alarm rate that was asked for.
    public let rate: Double
    /// The score above which an item is flagged; nil when there are too few scores.
    public let threshold: Double?
    /// Number of calibration scores.
    public let count: Int
    /// The smallest number of calibration scores that the rate needs.
    public let neededCount: Int
    /// l / (n + 1); nil when there are too few scores.
    public let expectedShare: Double?
    /// The share that is flagged, between its 0.025 and 0.975 quantiles; nil when there are too few.
    public let interval: ClosedRange<Double>?
}

extension Calibration {
    /// What the scores of a kind promise at a false-alarm rate.
    public func guarantee(_ kind: ScoreKind, rate: Double) -> Guarantee {
        Guarantee(
            count: scores(kind).count, rate: rate, threshold: threshold(kind, rate: rate))
    }
}

extension Guarantee {
    /// What so many scores promise.
    init(count: Int, rate: Double, threshold: Double?) {
        let rank = Calibration.rank(count: count, rate: rate)
        var interval: ClosedRange<Double>?
        if rank > count {
            interval = 1...1
        } else if rank >= 1 {
            let share = BetaDistribution(Double(rank), Double(count + 1 - rank))
            interval = share.quantile(0.025)...share.quantile(0.975)
        }
        self.init(
            rate: rate, threshold: threshold, count: count,
            neededCount: Calibration.neededCount(rate: rate),
            expectedShare: rank >= 1 ? Double(rank) / Double(count + 1) : nil, interval: interval)
    }
}
