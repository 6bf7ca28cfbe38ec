/// Where a file's figure lies when all L draws are taken, by the first l of them.
///
/// See ``SequentialStopping``. Of a file's mean over windows, a draw of all its windows is one
/// observation; of the largest windows, all windows are bounded at once (Bonferroni).
struct DrawInterval: Equatable {
    /// The least and the most, no numbers where a figure is none.
    let low, high: Double

    /// Makes the interval of a file.
    ///
    /// - Parameters:
    ///   - values: the figure of each window, by the draws so far
    ///   - draws: of each window those of its l draws, at least two, which may differ from the figure by
    ///     a constant; independent of each other
    ///   - aggregate: how windows become one figure, which rises with that of each window
    ///   - factor: half the interval of one mean, in standard deviations of its draws
    init(of values: [Double], draws: [[Double]], by aggregate: Aggregate, factor: Double) {
        guard aggregate == .mean else {
            let halves = draws.map { factor * $0.meanAndDeviation.deviation }
            low = aggregate(zip(values, halves).map { $0 - $1 })
            high = aggregate(zip(values, halves).map { $0 + $1 })
            return
        }
        let half = factor * draws.columnMeans.meanAndDeviation.deviation
        let value = aggregate(values)
        (low, high) = (value - half, value + half)
    }

    /// Of how many means the error is divided among, so that the interval holds.
    static func meanCount(of aggregate: Aggregate, windowCount: Int) -> Int {
        aggregate == .mean ? 1 : windowCount
    }

    /// Half the interval of the mean of L draws by l of them, at least two, in their standard deviations.
    ///
    /// - Parameters:
    ///   - count: l
    ///   - drawCount: L
    ///   - errorRate: with what probability the mean may lie outside
    /// - Returns: t · √((L - l) / (L · l))
    static func factor(_ count: Int, of drawCount: Int, errorRate: Double) -> Double {
        let (some, all) = (Double(count), Double(drawCount))
        return studentQuantile(errorRate, freedom: some - 1)
            * ((all - some) / (all * some)).squareRoot()
    }

    /// What |t| of Student's distribution exceeds with a probability.
    private static func studentQuantile(_ share: Double, freedom: Double) -> Double {
        // P(|t| > c) is Iₓ(ν/2, ½) at x = ν / (ν + c²).
        let x = BetaDistribution(freedom / 2, 0.5).quantile(share)
        return (freedom * (1 - x) / x).squareRoot()
    }
}
