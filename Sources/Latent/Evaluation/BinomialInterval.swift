/// The exact interval of a share, from k of n independent trials.
///
/// Its ends are quantiles of Beta(k, n - k + 1) and Beta(k + 1, n - k): it covers the true share at
/// least as often as it says, whatever n is.
///
/// Source: Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of
/// the binomial", Biometrika 1934.
public struct BinomialInterval: Sendable, Equatable {
    /// The lower end.
    public let low: Double
    /// The upper end.
    public let high: Double

    /// Makes the interval; 0…1 for no trials.
    public init(count: Int, of total: Int, confidence: Double = 0.95) {
        let tail = (1 - confidence) / 2
        let (k, n) = (Double(count), Double(total))
        low = count > 0 ? BetaDistribution(k, n - k + 1).quantile(tail) : 0
        high = count < total ? BetaDistribution(k + 1, n - k).quantile(1 - tail) : 1
    }
}
