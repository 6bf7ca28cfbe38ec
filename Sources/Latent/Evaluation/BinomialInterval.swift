import Foundation

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
        low = count > 0 ? Self.quantile(tail, k, n - k + 1) : 0
        high = count < total ? Self.quantile(1 - tail, k + 1, n - k) : 1
    }

    /// The quantile of Beta(a, b), by bisection until neighbouring doubles are left.
    private static func quantile(_ share: Double, _ a: Double, _ b: Double) -> Double {
        var (low, high) = (0.0, 1.0)
        while true {
            let middle = (low + high) / 2
            guard middle > low, middle < high else { return middle }
            if distribution(middle, a, b) < share { low = middle } else { high = middle }
        }
    }

    /// The regularised incomplete beta function Iₓ(a, b).
    static func distribution(_ x: Double, _ a: Double, _ b: Double) -> Double {
        guard x > 0 else { return 0 }
        guard x < 1 else { return 1 }
        // The fraction converges fast below the mean; above it, that of 1 - x does.
        if x > (a + 1) / (a + b + 2) { return 1 - distribution(1 - x, b, a) }
        let logFront = a * log(x) + b * log1p(-x) + lgamma(a + b) - lgamma(a) - lgamma(b)
        return exp(logFront) * fraction(x, a, b) / a
    }

    /// The continued fraction of Iₓ(a, b), by Lentz's method as Thompson and Barnett have it
    /// (NIST Digital Library of Mathematical Functions, 8.17.22).
    private static func fraction(_ x: Double, _ a: Double, _ b: Double) -> Double {
        let tiny = 1e-300
        var (c, d) = (1.0, 1 - (a + b) * x / (a + 1))
        if abs(d) < tiny { d = tiny }
        d = 1 / d
        var value = d
        for step in 1..<100_000 {
            let m = Double(step)
            let even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
            let odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
            for coefficient in [even, odd] {
                d = 1 + coefficient * d
                if abs(d) < tiny { d = tiny }
                c = 1 + coefficient / c
                if abs(c) < tiny { c = tiny }
                d = 1 / d
                value *= c * d
            }
            if abs(c * d - 1) < 1e-15 { break }
        }
        return value
    }
}
