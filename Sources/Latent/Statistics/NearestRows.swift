import Torch

/// Distances between the rows of two sets, in blocks: memory is that of a block, whatever their size.
///
/// Products come from libtorch in float32; where their rounding could decide (which is nearest, what
/// lies within a radius) distances are computed again in double precision, so that the distance of
/// equal rows is 0.
enum NearestRows {
    /// A row of the other set.
    struct Neighbour: Sendable, Equatable {
        let index: Int
        /// The squared Euclidean distance.
        let squaredDistance: Double
    }

    private static let queryBlock = 512
    private static let referenceBlock = 4096

    /// Calls with the inner products [queries, references] of each pair of blocks.
    ///
    /// - Complexity: n·m·d multiplications
    static func products(
        _ queries: some FeatureRows, _ references: some FeatureRows,
        _ body: (_ queries: Range<Int>, _ references: Range<Int>, _ products: [Float]) throws ->
            Void
    ) throws {
        precondition(queries.width == references.width, "rows of another width")
        let width = queries.width
        for start in stride(from: 0, to: references.count, by: referenceBlock) {
            let block = start..<min(start + referenceBlock, references.count)
            let columns = try Tensor(references.rows(block), shape: [block.count, width])
                .transposed(0, 1)
            for start in stride(from: 0, to: queries.count, by: queryBlock) {
                let range = start..<min(start + queryBlock, queries.count)
                let rows = try Tensor(queries.rows(range), shape: [range.count, width])
                try body(range, block, try rows.matmul(columns).floats())
            }
        }
    }

    /// The nearest rows of another set to each row, nearest first, the first of equals.
    ///
    /// - Parameters:
    ///   - count: how many; fewer where the set is smaller
    ///   - queries: the rows
    ///   - references: the other set
    ///   - excludesSelf: whether both are the same set, in which a row is no neighbour of its own
    /// - Returns: for each query its neighbours
    /// - Throws: `TorchError` when memory runs out
    static func nearest(
        _ count: Int, to queries: some FeatureRows, in references: some FeatureRows,
        excludesSelf: Bool = false
    ) throws -> [[Neighbour]] {
        let lengths = (squaredLengths(queries), squaredLengths(references))
        // Some more than wanted, as rounding may put those out of order that are nearly as near.
        let kept = count + 3
        var candidates = [[(distance: Float, index: Int)]](repeating: [], count: queries.count)
        try products(queries, references) { range, block, products in
            for (row, query) in range.enumerated() {
                var list = candidates[query]
                var limit = list.count < kept ? Float.infinity : list[kept - 1].distance
                for (column, reference) in block.enumerated() {
                    let distance =
                        lengths.1[reference] - 2 * products[row * block.count + column]
                    guard distance < limit || list.count < kept else { continue }
                    guard !excludesSelf || query != reference else { continue }
                    let place = list.firstIndex { $0.distance > distance } ?? list.count
                    list.insert((distance, reference), at: place)
                    if list.count > kept { list.removeLast() }
                    if list.count == kept { limit = list[kept - 1].distance }
                }
                candidates[query] = list
            }
        }
        return candidates.enumerated().map { query, list in
            let row = queries.rows(query..<query + 1)
            let found = list.map { candidate in
                Neighbour(
                    index: candidate.index,
                    squaredDistance: squaredDistance(
                        row, references.rows(candidate.index..<candidate.index + 1)))
            }
            return Array(
                found.sorted { ($0.squaredDistance, $0.index) < ($1.squaredDistance, $1.index) }
                    .prefix(count))
        }
    }

    /// For each row, how many rows of another set lie nearer to it than its radius.
    ///
    /// - Parameters:
    ///   - squaredRadii: the radius of each row, squared
    ///   - centres: the rows
    ///   - points: the other set
    /// - Returns: for each row a number
    /// - Throws: `TorchError` when memory runs out
    static func countsWithin(
        _ squaredRadii: [Double], of centres: some FeatureRows, points: some FeatureRows
    ) throws -> [Int] {
        let lengths = (squaredLengths(centres), squaredLengths(points))
        var counts = [Int](repeating: 0, count: centres.count)
        try products(centres, points) { range, block, products in
            for (row, centre) in range.enumerated() {
                let radius = squaredRadii[centre]
                for (column, point) in block.enumerated() {
                    let sum = lengths.0[centre] + lengths.1[point]
                    let distance = Double(sum - 2 * products[row * block.count + column])
                    if abs(distance - radius) > 1e-4 * Double(sum) {
                        if distance < radius { counts[centre] += 1 }
                        continue
                    }
                    let exact = squaredDistance(
                        centres.rows(centre..<centre + 1), points.rows(point..<point + 1))
                    if exact < radius { counts[centre] += 1 }
                }
            }
        }
        return counts
    }

    /// Σ (aᵢ - bᵢ)², the same for (a, b) and (b, a).
    static func squaredDistance(_ a: [Float], _ b: [Float]) -> Double {
        var sum = 0.0
        for index in a.indices {
            let change = Double(a[index]) - Double(b[index])
            sum += change * change
        }
        return sum
    }

    private static func squaredLengths(_ rows: some FeatureRows) -> [Float] {
        (0..<rows.count).map { index in
            Float(rows.rows(index..<index + 1).reduce(0.0) { $0 + Double($1) * Double($1) })
        }
    }
}
