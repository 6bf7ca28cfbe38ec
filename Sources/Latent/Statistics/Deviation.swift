extension [Double] {
    /// The mean of at least one value.
    var mean: Double { reduce(0, +) / Double(count) }

    /// The mean and the standard deviation, of n - 1; of fewer than two values it is no number.
    var meanAndDeviation: (mean: Double, deviation: Double) {
        let mean = mean
        let squares = reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (mean, (squares / Double(count - 1)).squareRoot())
    }
}

extension [[Double]] {
    /// The mean of each column over rows of one length; empty without rows.
    var columnMeans: [Double] {
        (first ?? []).indices.map { column in
            reduce(0) { $0 + $1[column] } / Double(count)
        }
    }
}
