import Foundation

/// How far new scores have moved from the calibration scores of a model.
public struct Drift: Codable, Sendable, Equatable {
    /// Number of new scores.
    public var fileCount: Int
    /// Number of calibration scores that they are compared with.
    public var calibrationCount: Int
    /// The kind of score.
    public var kind: ScoreKind
    /// D, the largest distance of the two empirical distributions.
    public var kolmogorovSmirnov: Double
    /// The chance of such a distance without any change.
    ///
    /// It is the limit for many scores, Q(√(nm / (n + m)) · D); of few it is too large, so that a
    /// small one can be relied on.
    public var pValue: Double
    /// The population stability index over the tenths of the calibration scores.
    ///
    /// Where nothing has changed it is about 9 · (1/n + 1/m), which for few files is large.
    public var stabilityIndex: Double
    /// SHA-256 over the sorted content words of the new files; empty where it is not known.
    public var dataFingerprint = ""

    /// Compares scores; nil when either has none.
    public init?(
        of new: some Collection<Double>, against calibration: Calibration, kind: ScoreKind
    ) {
        let (new, old) = (new.sorted(), calibration.scores(kind))
        guard !new.isEmpty, !old.isEmpty else { return nil }
        fileCount = new.count
        calibrationCount = old.count
        self.kind = kind
        kolmogorovSmirnov = Self.largestDistance(new, old)
        let (n, m) = (Double(new.count), Double(old.count))
        pValue = Self.kolmogorovTail((n * m / (n + m)).squareRoot() * kolmogorovSmirnov)
        stabilityIndex = Self.stabilityIndex(of: new, against: old)
    }

    /// The two-sample statistic of Kolmogorov and Smirnov, of scores in ascending order.
    static func largestDistance(_ a: [Double], _ b: [Double]) -> Double {
        var (i, j, largest) = (0, 0, 0.0)
        while i < a.count, j < b.count {
            // Both distributions step at a tie before they are compared.
            let value = min(a[i], b[j])
            while i < a.count, a[i] <= value { i += 1 }
            while j < b.count, b[j] <= value { j += 1 }
            let distance = Double(i) / Double(a.count) - Double(j) / Double(b.count)
            largest = max(largest, abs(distance))
        }
        return largest
    }

    /// The upper tail Q(x) of Kolmogorov's distribution.
    ///
    /// Source: NIST/SEMATECH and Smirnov, "Table for estimating the goodness of fit of empirical
    /// distributions", Annals of Mathematical Statistics 1948, equations 1 and 2.
    static func kolmogorovTail(_ x: Double) -> Double {
        guard x > 0 else { return 1 }
        if x < 1 {
            // The theta function's other series converges fast here.
            let unit = -Double.pi * Double.pi / (8 * x * x)
            let sum = [1.0, 3, 5, 7].reduce(0) { $0 + exp(unit * $1 * $1) }
            return max(0, 1 - (2 * Double.pi).squareRoot() / x * sum)
        }
        var sum = 0.0
        for step in 1...8 {
            let k = Double(step)
            sum += (step % 2 == 1 ? 2 : -2) * exp(-2 * k * k * x * x)
        }
        return min(1, max(0, sum))
    }

    /// Σ (q - p) ln(q / p) over the tenths of the old scores, p and q their shares of old and new.
    ///
    /// Source: Yurdakul and Naranjo, "Statistical properties of the population stability index",
    /// Journal of Risk Model Validation 2020, equation 1. We add half an item to each bin, so that
    /// an empty one is finite, and make one bin of those that ties leave without width.
    static func stabilityIndex(of new: [Double], against old: [Double]) -> Double {
        var edges: [Double] = []
        for step in 1...9 {
            let edge = old.quantile(ofSorted: Double(step) / 10)
            if edge != edges.last { edges.append(edge) }
        }
        func shares(_ values: [Double]) -> [Double] {
            var counts = [Double](repeating: 0.5, count: edges.count + 1)
            var bin = 0
            for value in values {
                while bin < edges.count, value > edges[bin] { bin += 1 }
                counts[bin] += 1
            }
            let total = counts.reduce(0, +)
            return counts.map { $0 / total }
        }
        return zip(shares(old), shares(new)).reduce(0) { $0 + ($1.1 - $1.0) * log($1.1 / $1.0) }
    }
}

extension [Double] {
    /// The quantile of values in ascending order, of which there is at least one.
    ///
    /// Between two of them it is linear: definition 7 of Hyndman and Fan 1996, as NumPy has it.
    func quantile(ofSorted share: Double) -> Double {
        let place = Swift.min(Swift.max(share, 0), 1) * Double(count - 1)
        let index = Swift.min(Int(place), count - 1)
        let next = Swift.min(index + 1, count - 1)
        let rest = place - Double(index)
        // From the nearer end, as NumPy does, so that rounding keeps quantiles in order.
        let width = self[next] - self[index]
        return rest < 0.5 ? self[index] + width * rest : self[next] - width * (1 - rest)
    }
}
