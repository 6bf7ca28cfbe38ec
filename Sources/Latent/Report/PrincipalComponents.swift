import Torch

/// The directions in which points vary most, and where each point lies along them.
///
/// Source: Pearson 1901; by the eigenvectors of the covariance matrix, or, with fewer points than
/// dimensions, of the smaller matrix of inner products.
struct PrincipalComponents {
    /// For each point its coordinates along the components; NaN for a point that is not finite, which
    /// has no part in the fit.
    let coordinates: [[Double]]
    /// The share of the total variance along each component; 0 where nothing varies.
    let shares: [Double]
    /// The components, unit vectors; zero where there is no further direction.
    let components: [[Double]]

    /// Fits points.
    ///
    /// The largest entry of a component is positive, the first of equals, so that the same points
    /// give the same picture.
    ///
    /// - Parameters:
    ///   - points: [N, D]
    ///   - count: how many components to find
    /// - Throws: ``LatentError`` `.usage` for anything but rows of numbers
    init(of points: HostTensor, count: Int) throws {
        guard points.shape.count == 2 else {
            throw LatentError(.usage, "points of shape \(points.shape), expected [N, D]")
        }
        let (pointCount, dimensionCount) = (points.shape[0], points.shape[1])
        let rows = (0..<pointCount).map { row in
            points.values[row * dimensionCount..<(row + 1) * dimensionCount]
        }
        let finite = rows.map { $0.allSatisfy(\.isFinite) }
        // Of the size of one, so that squares neither overflow nor vanish.
        let largest = zip(rows, finite).lazy.filter(\.1)
            .map { row, _ in row.reduce(0) { max($0, abs($1)) } }.max()
        let scale = largest.map { $0 > 0 ? Double($0) : 1 } ?? 1
        let scaled = zip(rows, finite).filter(\.1).map { row, _ in row.map { Double($0) / scale } }
        var mean = [Double](repeating: 0, count: dimensionCount)
        for row in scaled {
            for (index, value) in row.enumerated() { mean[index] += value / Double(scaled.count) }
        }
        let centered = scaled.map { row in zip(row, mean).map { $0 - $1 } }

        let (components, shares) = try Self.directions(centered, dimensionCount, count)
        var places = centered.makeIterator()
        coordinates = finite.map { isFinite in
            guard isFinite, let row = places.next() else {
                return [Double](repeating: .nan, count: count)
            }
            return components.map { component in
                scale * zip(row, component).reduce(0) { $0 + $1.0 * $1.1 }
            }
        }
        self.components = components
        self.shares = shares
    }

    private static func directions(
        _ centered: [[Double]], _ dimensionCount: Int, _ count: Int
    ) throws -> (components: [[Double]], shares: [Double]) {
        let nothing = [Double](repeating: 0, count: dimensionCount)
        var components = [[Double]](repeating: nothing, count: count)
        var shares = [Double](repeating: 0, count: count)
        let total = centered.reduce(0) { $1.reduce($0) { $0 + $1 * $1 } }
        // Rounding of the mean leaves something of this size where all points are one.
        guard total > 1e-24 * Double(centered.count * dimensionCount) else {
            return (components, shares)
        }
        let points = try Tensor(
            centered.flatMap { $0.map(Float.init) }, shape: [centered.count, dimensionCount])
        let isWide = centered.count < dimensionCount
        let transposed = try points.transposed(0, 1)
        let products = try isWide ? points.matmul(transposed) : transposed.matmul(points)
        let side = min(centered.count, dimensionCount)
        let (values, vectors) = try products.symmetricEigen()
        let variances = try values.floats()
        let columns = try vectors.floats()
        for index in 0..<min(count, side) {
            let column = side - 1 - index
            let variance = Double(variances[column])
            // What is left of directions that do not exist is rounding.
            guard variance > 1e-6 * total else { break }
            var vector = (0..<side).map { Double(columns[$0 * side + column]) }
            if isWide {
                var direction = nothing
                for (row, weight) in zip(centered, vector) {
                    for (entry, value) in row.enumerated() { direction[entry] += weight * value }
                }
                vector = direction
            }
            components[index] = oriented(vector)
            shares[index] = min(1, variance / total)
        }
        return (components, shares)
    }

    /// The vector with length 1 and its largest entry positive.
    private static func oriented(_ vector: [Double]) -> [Double] {
        let length = vector.reduce(0) { $0 + $1 * $1 }.squareRoot()
        guard length > 0 else { return vector }
        let largest = vector.map(abs).max() ?? 0
        // Entries that differ by rounding alone count as equal, or rounding would choose the sign.
        let first = vector.first { abs($0) >= largest * (1 - 1e-5) } ?? 1
        return vector.map { $0 / (first < 0 ? -length : length) }
    }
}
