/// The Fréchet distance of two normal distributions fitted to features, squared as is customary:
/// ‖μ₁ - μ₂‖² + tr(Σ₁ + Σ₂ - 2(Σ₁Σ₂)^½).
///
/// 0 for equal means and covariances. Biased upwards by few items: compare only figures of equally
/// many.
///
/// Source: Dowson & Landau, "The Fréchet distance between multivariate normal distributions", Journal
/// of Multivariate Analysis 1982; Heusel et al., "GANs trained by a two time-scale update rule",
/// NeurIPS 2017, on features of Inception, which these are not. The trace of the root is the sum of
/// the singular values of L₁ᵀL₂ with LᵢLᵢᵀ = Σᵢ, which needs no root of small eigenvalues.
enum FrechetDistance {
    /// Measures; each set has two items or more.
    ///
    /// - Complexity: (n + m)·d² + d³
    static func squared(_ x: Features, _ y: Features) -> Double {
        let (first, second) = (Moments(x), Moments(y))
        var distance = 0.0
        for (a, b) in zip(first.mean, second.mean) { distance += (a - b) * (a - b) }
        let width = x.width
        for index in 0..<width {
            distance += first.covariance[index][index] + second.covariance[index][index]
        }
        let (left, right) = (root(first.covariance), root(second.covariance))
        // Columns of L₁ᵀL₂.
        let product = (0..<width).map { column in
            (0..<width).map { row in
                (0..<width).reduce(0.0) { $0 + left[$1][row] * right[$1][column] }
            }
        }
        return max(0, distance - 2 * sumOfSingularValues(product))
    }

    private struct Moments {
        let mean: [Double]
        /// Divided by n - 1.
        let covariance: [[Double]]

        init(_ features: Features) {
            let (count, width) = (features.count, features.width)
            let mean = features.mean
            self.mean = mean
            var sums = [Double](repeating: 0, count: width * width)
            for row in 0..<count {
                let values = (0..<width).map {
                    Double(features.values[row * width + $0]) - mean[$0]
                }
                for a in 0..<width {
                    for b in 0...a { sums[a * width + b] += values[a] * values[b] }
                }
            }
            let scale = 1 / Double(max(1, count - 1))
            covariance = (0..<width).map { a in
                (0..<width).map { b in sums[max(a, b) * width + min(a, b)] * scale }
            }
        }
    }

    /// A lower triangular L with L·Lᵀ = A, by rows, for A that may have no inverse.
    private static func root(_ matrix: [[Double]]) -> [[Double]] {
        let side = matrix.count
        var factor = [[Double]](repeating: [Double](repeating: 0, count: side), count: side)
        let largest = (0..<side).map { matrix[$0][$0] }.max() ?? 0
        for column in 0..<side {
            let done = factor[column][..<column].reduce(0) { $0 + $1 * $1 }
            let pivot = matrix[column][column] - done
            // What is left of a direction that others span is rounding.
            guard pivot > 1e-13 * largest else { continue }
            factor[column][column] = pivot.squareRoot()
            for row in column + 1..<max(side, column + 1) {
                var sum = matrix[row][column]
                for k in 0..<column { sum -= factor[row][k] * factor[column][k] }
                factor[row][column] = sum / factor[column][column]
            }
        }
        return factor
    }

    /// The sum of the singular values of a matrix given by columns: these are rotated in pairs until all
    /// are orthogonal (Hestenes 1958), and their lengths are summed.
    private static func sumOfSingularValues(_ matrix: [[Double]]) -> Double {
        var columns = matrix
        for _ in 0..<60 {
            var isDone = true
            for p in 0..<columns.count {
                for q in p + 1..<max(columns.count, p + 1) {
                    var (a, b, c) = (0.0, 0.0, 0.0)
                    for (x, y) in zip(columns[p], columns[q]) {
                        a += x * x
                        b += y * y
                        c += x * y
                    }
                    guard abs(c) > 1e-14 * (a * b).squareRoot(), c != 0 else { continue }
                    isDone = false
                    let ratio = (b - a) / (2 * c)
                    let tangent =
                        (ratio < 0 ? -1 : 1) / (abs(ratio) + (1 + ratio * ratio).squareRoot())
                    let cosine = 1 / (1 + tangent * tangent).squareRoot()
                    let sine = cosine * tangent
                    for index in columns[p].indices {
                        let (x, y) = (columns[p][index], columns[q][index])
                        columns[p][index] = cosine * x - sine * y
                        columns[q][index] = sine * x + cosine * y
                    }
                }
            }
            if isDone { break }
        }
        return columns.reduce(0) { sum, column in
            sum + column.reduce(0) { $0 + $1 * $1 }.squareRoot()
        }
    }
}
