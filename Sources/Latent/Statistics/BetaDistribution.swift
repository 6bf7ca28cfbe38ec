import Foundation

/// The distribution Beta(a, b) of a share.
struct BetaDistribution {
    private let a: Double
    private let b: Double

    /// Makes the distribution; both parameters are above 0.
    init(_ a: Double, _ b: Double) { (self.a, self.b) = (a, b) }

    /// The quantile, by bisection until neighbouring doubles are left.
    func quantile(_ share: Double) -> Double {
        var (low, high) = (0.0, 1.0)
        while true {
            let middle = (low + high) / 2
            guard middle > low, middle < high else { return middle }
            if Self.cumulative(middle, a, b) < share { low = middle } else { high = middle }
        }
    }

    /// The regularised incomplete beta function Iₓ(a, b).
    private static func cumulative(_ x: Double, _ a: Double, _ b: Double) -> Double {
        guard x > 0 else { return 0 }
        guard x < 1 else { return 1 }
        // The fraction converges fast below the mean; above it, that of 1 - x does.
        if x > (a + 1) / (a + b + 2) { return 1 - cumulative(1 - x, b, a) }
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
