/// Which items of a batch to flag so that few of the flagged are normal.
///
/// Benjamini and Hochberg's procedure on conformal p-values: with m items, all whose p-value is at
/// most p(k) are flagged, k the largest rank with p(k) ≤ k · rate / m. Conformal p-values depend on
/// each other through the calibration scores, but positively on subsets, so that the expected share
/// of normal items among the flagged is at most rate · (share of normal items).
///
/// Source: Benjamini & Hochberg, JRSS B 1995; Bates et al. 2023, theorem 2; Storey, "A direct
/// approach to false discovery rates", JRSS B 2002.
public struct FalseDiscovery: Sendable, Equatable {
    /// π₀, the share of normal items that the procedure assumed: 1, or Storey's estimate.
    public let normalShare: Double
    /// The largest p-value that is flagged; nil when none is.
    public let largestPValue: Double?

    /// Runs the procedure on conformal p-values.
    ///
    /// - Parameters:
    ///   - pValues: of all items of the batch, in any order
    ///   - rate: the expected share of normal items among the flagged
    ///   - calibrationCount: n, of which p-values are multiples of 1 / (n + 1), but those of groups
    ///   - estimatesNormalShare: whether rate / π₀ is taken instead of rate
    public init(
        pValues: [Double], rate: Double, calibrationCount: Int, estimatesNormalShare: Bool
    ) {
        let sorted = pValues.sorted()
        let share =
            estimatesNormalShare && !sorted.isEmpty
            ? Self.normalShare(pValues: sorted, calibrationCount: calibrationCount) : 1
        let step = rate / share / Double(max(sorted.count, 1))
        // Forgiving the rounding of the products, as thresholds do.
        largestPValue =
            sorted.enumerated().last {
                $1 <= Double($0 + 1) * step * (1 + 1e-12)
            }?.element
        normalShare = share
    }

    /// (1 + #{p > λ}) / (m (1 - λ)), λ the first of the possible p-values from 0.5 on.
    ///
    /// Storey 2002, equation 6, with the 1 that finite samples need (Storey, Taylor & Siegmund 2004).
    /// λ is one of the steps of 1 / (n + 1), where conformal p-values are exactly uniform. It is not
    /// held to 1: the promise is of the estimate as it is.
    static func normalShare(pValues: [Double], calibrationCount: Int) -> Double {
        let steps = Double(calibrationCount + 1)
        let step = (steps / 2).rounded(.up)
        // One calibration score or none leaves nothing above λ to count.
        guard step < steps else { return 1 }
        // Those of a group with fewer scores lie between the steps.
        let above = pValues.count { $0 * steps > step + 1e-6 }
        return Double(1 + above) / (Double(pValues.count) * (1 - step / steps))
    }

    /// The number of calibration scores with which one item of m can be flagged alone.
    public static func neededCount(itemCount: Int, rate: Double) -> Int {
        Calibration.neededCount(rate: rate / Double(max(itemCount, 1)))
    }

    /// The fewest of m items that can be flagged together: the smallest k with
    /// 1 / (n + 1) ≤ k · rate / m.
    ///
    /// It is 1 where the calibration is large enough, and can be more than m.
    public static func leastFlaggedCount(
        itemCount: Int, rate: Double, calibrationCount: Int
    ) -> Int {
        let least = Double(itemCount) / (rate * Double(calibrationCount + 1))
        return max(1, Int(min(9e18, (least * (1 - 1e-12)).rounded(.up))))
    }
}
