import Torch

/// The squared maximum mean discrepancy of two sets of features under the kernel (x·y / d + 1)³: the
/// kernel inception distance (KID), on features of another kind.
///
/// The estimate is unbiased: 0 on average for two draws from one distribution, whatever their size, so
/// that it may be below 0. Its standard error comes from five to ten disjoint parts of both sets, the
/// deviation of their estimates over the root of their number; all items together scatter less than
/// their parts do, so that it is rather too large.
///
/// Source: Bińkowski, Sutherland, Arbel & Gretton, "Demystifying MMD GANs", ICLR 2018, section 4;
/// Gretton et al., "A kernel two-sample test", JMLR 2012, equation 3. Differs: all items instead of
/// the mean over random subsets that overlap.
struct KernelDistance: Sendable, Equatable {
    /// The estimate from all items.
    let value: Double
    /// Nil for fewer than fifty items in a set: of fewer than five parts it would say little.
    let standardError: Double?

    private static let partCount = 10

    /// Measures; each set has two items or more, in random order.
    ///
    /// - Complexity: (n + m)²·d
    init(_ x: Features, _ y: Features) throws {
        value = try Self.unbiased(x, y)
        let parts = min(Self.partCount, min(x.count, y.count) / 10)
        guard parts >= 5 else {
            standardError = nil
            return
        }
        func part(_ rows: Features, _ index: Int) -> Features {
            let range = index * rows.count / parts..<(index + 1) * rows.count / parts
            return Features(width: rows.width, values: rows.rows(range))
        }
        let values = try (0..<parts).map { try Self.unbiased(part(x, $0), part(y, $0)) }
        let mean = values.reduce(0, +) / Double(parts)
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        standardError = (squares / Double(parts - 1) / Double(parts)).squareRoot()
    }

    private static func unbiased(_ x: Features, _ y: Features) throws -> Double {
        let (n, m) = (Double(x.count), Double(y.count))
        return try kernelSum(x, x, isSame: true) / (n * (n - 1))
            + kernelSum(y, y, isSame: true) / (m * (m - 1))
            - 2 * kernelSum(x, y, isSame: false) / (n * m)
    }

    /// The sum of the kernel over all pairs; of a set with itself without pairs of an item with itself.
    private static func kernelSum(_ x: Features, _ y: Features, isSame: Bool) throws -> Double {
        var sum = 0.0
        let scale = 1 / Double(x.width)
        try NearestRows.products(x, y) { rows, columns, products in
            for (row, i) in rows.enumerated() {
                for (column, j) in columns.enumerated() where !isSame || i != j {
                    let base = Double(products[row * columns.count + column]) * scale + 1
                    sum += base * base * base
                }
            }
        }
        return sum
    }
}
