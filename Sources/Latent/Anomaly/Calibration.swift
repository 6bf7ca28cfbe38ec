/// Scores of held-out normal items, and what they promise of new ones.
///
/// If the new normal items and the calibration items are exchangeable, then for each rate α the
/// share of normal items that is flagged is at most α on average over calibration sets; given one
/// calibration set of n items it is Beta(l, n + 1 - l) with l = ⌊(n + 1) α⌋.
///
/// Source: Vovk, Gammerman & Shafer 2005; Bates et al., "Testing for outliers with conformal
/// p-values", Annals of Statistics 2023.
public struct Calibration: Codable, Sendable, Equatable {
    /// Scores in ascending order, by kind.
    public private(set) var scoresByKind: [String: [Double]]
    /// The rate that thresholds are set for where none is asked for.
    public let falseAlarmRate: Double

    /// Makes a calibration.
    public init(scores: [ScoreKind: [Double]], falseAlarmRate: Double) {
        scoresByKind = Dictionary(
            uniqueKeysWithValues: scores.map { ($0.key.rawValue, $0.value.sorted()) })
        self.falseAlarmRate = falseAlarmRate
    }

    /// Whether they can be what was fitted: finite, and in order.
    var isAscending: Bool {
        scoresByKind.values.allSatisfy { scores in
            scores.allSatisfy(\.isFinite) && zip(scores, scores.dropFirst()).allSatisfy { $0 <= $1 }
        }
    }

    /// The calibration scores of a kind, ascending.
    public func scores(_ kind: ScoreKind) -> [Double] { scoresByKind[kind.rawValue] ?? [] }

    /// The smallest rate that n scores can promise: 1 / (n + 1).
    public static func smallestRate(count: Int) -> Double { 1 / Double(count + 1) }

    /// The number of scores that a rate needs: the smallest n with (n + 1) α ≥ 1.
    public static func neededCount(rate: Double) -> Int {
        // More than any data set has; and beyond it doubles no longer count one by one.
        guard rate > 1e-15 else { return Int(min(1 / rate, 9e18)) }
        var count = max(0, Int(1 / rate) - 2)
        while Self.rank(count: count, rate: rate) < 1 { count += 1 }
        return count
    }

    /// ⌊(n + 1) α⌋, forgiving the rounding of α itself.
    static func rank(count: Int, rate: Double) -> Int {
        Int((Double(count + 1) * rate * (1 + 1e-12)).rounded(.down))
    }

    /// The conformal p-value (1 + #{sᵢ ≥ s}) / (n + 1); nil without calibration scores.
    public func pValue(_ score: Double, kind: ScoreKind) -> Double? {
        Self.pValue(score, among: scores(kind))
    }

    /// The same among any scores in ascending order.
    static func pValue(_ score: Double, among scores: [Double]) -> Double? {
        guard !scores.isEmpty else { return nil }
        var (low, high) = (0, scores.count)
        while low < high {
            let middle = (low + high) / 2
            if scores[middle] < score { low = middle + 1 } else { high = middle }
        }
        return Double(1 + scores.count - low) / Double(scores.count + 1)
    }

    /// The score above which an item is flagged at a false-alarm rate.
    ///
    /// It is exceeded exactly where the conformal p-value is at most the rate; nil when there are
    /// too few scores for it.
    public func threshold(_ kind: ScoreKind, rate: Double? = nil) -> Double? {
        let scores = scores(kind)
        let rank = Self.rank(count: scores.count, rate: rate ?? falseAlarmRate)
        guard rank >= 1 else { return nil }
        return rank > scores.count ? -Double.infinity : scores[scores.count - rank]
    }
}
