import Torch

/// Groups of vectors that are alike: k-means, each cluster widened by those that lie nearest to it, so
/// that what lies between two clusters belongs to both.
///
/// Source: Lloyd 1982, with the first centres of Arthur & Vassilvitskii, "k-means++", SODA 2007.
struct OverlappingClusters {
    /// The rows of each cluster, nearest first.
    let members: [[Int]]

    private static let countLimit = 60
    /// Vectors for each cluster, on average.
    private static let usualSize = 50
    private static let smallestSize = 60
    private static let widening = 1.3
    private static let roundCount = 25

    /// Clusters vectors [N, Q].
    ///
    /// - Complexity: 25·N·K·Q
    init(of x: Tensor, seed: UInt64 = 0) throws {
        let (rows, width) = (x.shape[0], x.shape[1])
        let count = max(1, min(Self.countLimit, rows / Self.usualSize))
        let values = try x.floats()
        let squares = try x.squared().sum(axes: [1]).floats()
        func vector(_ row: Int) -> ArraySlice<Float> { values[row * width..<(row + 1) * width] }

        /// Squared distances of all vectors to centres, [K][N].
        func distances(to centres: [[Float]]) throws -> [[Float]] {
            let matrix = try Tensor(centres.flatMap(\.self), shape: [centres.count, width])
                .to(x.device)
            let products = try matrix.matmul(x.transposed(0, 1)).floats()
            return centres.indices.map { index in
                let own = centres[index].reduce(0) { $0 + $1 * $1 }
                return (0..<rows).map {
                    max(0, squares[$0] + own - 2 * products[index * rows + $0])
                }
            }
        }

        var generator = Generator(seed: seed, Stream.fittedScores.rawValue, UInt64(rows), 2)
        var centres = [Array(vector(Int.random(in: 0..<rows, using: &generator)))]
        var nearest = try distances(to: centres)[0]
        while centres.count < count {
            var left = generator.uniform() * nearest.reduce(0, +)
            let row = nearest.firstIndex { distance in
                left -= distance
                return left < 0
            }
            centres.append(Array(vector(row ?? rows - 1)))
            let added = try distances(to: [centres[centres.count - 1]])[0]
            for row in 0..<rows { nearest[row] = min(nearest[row], added[row]) }
        }

        var sizes = [Int](repeating: 0, count: count)
        for _ in 0..<Self.roundCount {
            let found = try distances(to: centres)
            var sums = [[Float]](repeating: [Float](repeating: 0, count: width), count: count)
            sizes = [Int](repeating: 0, count: count)
            for row in 0..<rows {
                var best = 0
                for index in 1..<max(1, count) where found[index][row] < found[best][row] {
                    best = index
                }
                sizes[best] += 1
                for (column, value) in vector(row).enumerated() { sums[best][column] += value }
            }
            for index in 0..<count where sizes[index] > 0 {
                centres[index] = sums[index].map { $0 / Float(sizes[index]) }
            }
        }
        members = zip(try distances(to: centres), sizes).map { distances, size in
            let wanted = max(Self.smallestSize, Int(Self.widening * Double(size)))
            return Array((0..<rows).sorted { distances[$0] < distances[$1] }.prefix(wanted))
        }
    }
}
