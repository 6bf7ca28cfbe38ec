import Foundation

/// A generalised Pareto distribution of the largest calibration scores, to extrapolate by.
///
/// Excesses y = s - t over t, the 0.9 quantile of n scores, are taken to have
/// P(Y > y) = (1 + γy/σ)^(-1/γ); the score that normal items exceed at a rate q is then
/// z = t + σ/γ · ((q n / N)^(-γ) - 1), N the number of excesses.
///
/// Source: Siffer et al., "Anomaly detection in streams with extreme value theory", KDD 2017,
/// equation 1. They fit by maximum likelihood (Grimshaw 1993); we fit by probability-weighted moments
/// (Hosking & Wallis, "Parameter and quantile estimation for the generalized Pareto distribution",
/// Technometrics 1987), which for some tens of excesses err less and always exist.
public struct TailModel: Sendable, Equatable {
    /// t, over which scores are excesses.
    public let start: Double
    /// γ, the shape: 0 is an exponential tail, larger a heavier one.
    public let shape: Double
    /// σ, in units of the score.
    public let scale: Double
    /// N, the number of excesses.
    public let excessCount: Int
    /// n, the number of scores.
    public let count: Int
    private let largest: Double

    /// The fewest excesses that are fitted.
    public static let leastExcessCount = 20
    /// The quantile that the tail starts at.
    static let startShare = 0.9
    /// The number of different scores that gives the fewest excesses.
    public static let neededCount: Int = {
        var count = leastExcessCount
        while Double(count - 1) - (startShare * Double(count - 1)).rounded(.down)
            < Double(leastExcessCount)
        { count += 1 }
        return count
    }()

    /// Fits the tail of scores in ascending order.
    ///
    /// - Throws: ``LatentError`` `.usage` when there are too few scores, or too few different ones
    public init(scores: [Double]) throws(LatentError) {
        guard scores.count >= Self.neededCount else {
            throw LatentError(
                .usage,
                "a tail needs \(Self.neededCount) calibration scores, \(Self.leastExcessCount) of "
                    + "them above the 0.9 quantile; the model has \(scores.count)",
                hint: "add normal files with latent calibrate --add")
        }
        let start = scores.quantile(ofSorted: Self.startShare)
        let excesses = scores.drop { $0 <= start }.map { $0 - start }
        guard excesses.count >= Self.leastExcessCount else {
            throw LatentError(
                .usage,
                "a tail needs \(Self.leastExcessCount) calibration scores above the 0.9 quantile; "
                    + "ties leave \(excesses.count)",
                hint: "rank by another --score, or leave --tail out")
        }
        let total = Double(excesses.count)
        // E[Y] and E[Y (1 - F(Y))], without bias.
        let first = excesses.reduce(0, +) / total
        let second =
            excesses.enumerated().reduce(0) {
                $0 + $1.element * (total - 1 - Double($1.offset)) / (total - 1)
            } / total
        // Of positive excesses in ascending order, twice the second is at most the first; it is
        // the same only where all are equal, of which the shape would be -∞.
        let spread = first - 2 * second
        guard spread > 1e-9 * first else {
            throw LatentError(
                .usage, "the calibration scores above the 0.9 quantile are all the same",
                hint: "rank by another --score, or leave --tail out")
        }
        shape = 2 - first / spread
        scale = 2 * first * second / spread
        self.start = start
        excessCount = excesses.count
        count = scores.count
        largest = scores[scores.count - 1]
    }

    /// The largest rate that belongs to the tail: N / n.
    public var largestRate: Double { Double(excessCount) / Double(count) }

    /// The score that normal items exceed at a rate, as far as the tail goes on as it was fitted.
    ///
    /// For rates below 1 / (n + 1) it is never below the largest calibration score, which a fit with
    /// an end could contradict; nil for rates above ``largestRate``.
    public func threshold(rate: Double) -> Double? {
        guard rate > 0, rate <= largestRate else { return nil }
        let ratio = log(rate * Double(count) / Double(excessCount))
        // expm1 keeps its digits where γ is near 0, of which the limit is -σ ln(q n / N).
        let excess =
            abs(shape) < 1e-12 ? -scale * ratio : scale * expm1(-shape * ratio) / shape
        let value = start + excess
        return rate < Calibration.smallestRate(count: count) ? max(value, largest) : value
    }
}
