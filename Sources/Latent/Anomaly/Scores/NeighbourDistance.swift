import Foundation
import Torch

/// The mean squared distance to the three nearest training windows, in what the model reads, for
/// each element; where that is of use, each element may lie a cell away from where it lies there.
///
/// Source: Ramaswamy, Rastogi & Shim, "Efficient algorithms for mining outliers from large data
/// sets", SIGMOD 2000; the mean over k as Angiulli & Pizzuti, PKDD 2002. With displacements it is
/// the image distortion model of Keysers et al., "Deformation models for image recognition", IEEE
/// PAMI 29(8), 2007, of neighbourhoods of 3×3 cells. Differs: of large data a spread sample is kept,
/// so that a model stays small; the windows nearest without displacement are the candidates.
struct NeighbourDistance: FittedScore {
    /// The windows that are kept, [N, E].
    let kept: Tensor
    /// |kept|², [N].
    private let squares: Tensor
    /// Of the distances with displacements; nil without.
    private let displaced: DisplacedDistance?

    static let neighbourCount = 3
    /// Of these the distance with displacements is taken.
    static let candidateCount = 30
    /// Values of all windows that are kept together: 32 MB.
    static let valueLimit = 1 << 23

    private init(kept: Tensor, shape: WindowShape, isDisplaced: Bool) throws {
        self.kept = kept
        squares = try kept.squared().sum(axes: [1])
        displaced = isDisplaced ? DisplacedDistance(to: try kept.floats(), shape: shape) : nil
    }

    init(fittedTo windows: ScoredWindows) throws {
        let still = try NeighbourDistance(
            kept: windows.x, shape: windows.shape, isDisplaced: false)
        let moved = try NeighbourDistance(kept: windows.x, shape: windows.shape, isDisplaced: true)
        self = try moved.spread() < Self.narrowing * still.spread() ? moved : still
    }

    init?(tensors: [String: HostTensor], shape: WindowShape, latentCount: Int, on device: Device)
        throws
    {
        guard let kept = tensors["kept"], kept.shape.count == 2, kept.shape[0] > 0,
            kept.shape[1] == shape.elementCount,
            tensors["displacement"].map({ [[0], [1]].contains($0.values) }) ?? true
        else { return nil }
        try self.init(
            kept: Tensor(kept.values, shape: kept.shape).to(device), shape: shape,
            isDisplaced: tensors["displacement"]?.values == [1])
    }

    func tensors() throws -> [String: HostTensor] {
        [
            "kept": try kept.host(),
            "displacement": HostTensor(shape: [1], values: [displaced == nil ? 0 : 1]),
        ]
    }

    /// Displacements are allowed where the distances of normal windows to each other, by their
    /// logarithms, then differ by less than this share of what they do without: what normal windows
    /// vary by is then mostly where things are.
    ///
    /// Allowed everywhere, they cost more than they bring in windows whose normal variety is of
    /// another kind, as clothes.
    private static let narrowing = 0.77
    /// Windows whose distances tell.
    private static let spreadCount = 256

    /// The standard deviation of the logarithms of kept windows' distances to the others.
    private func spread() throws -> Double {
        let count = kept.shape[0]
        let step = max(1, count / Self.spreadCount)
        let rows = Array(stride(from: 0, to: count, by: step).prefix(Self.spreadCount))
        let x = try kept.rows(rows)
        return try distances(of: x, leavingOut: rows).map { log(max($0, 1e-30)) }
            .meanAndDeviation.deviation
    }

    func values(of windows: ScoredWindows) throws -> [Double] {
        try distances(of: windows.x, leavingOut: [])
    }

    /// The distances of windows [B, E]; where indices are given, of each without that kept window.
    ///
    /// - Complexity: B·N·E, and with displacements 270·B·E more
    private func distances(of x: Tensor, leavingOut left: [Int]) throws -> [Double] {
        let own = try x.squared().sum(axes: [1], keepingAxes: true)  // [B, 1]
        var distances = try (own + squares.reshaped([1, -1]) - x.matmul(kept.transposed(0, 1)) * 2)
            .floats()
        let (count, elements) = (kept.shape[0], kept.shape[1])
        for (row, place) in left.enumerated() { distances[row * count + place] = .infinity }
        let values = displaced == nil ? [] : try x.floats()
        return (0..<x.shape[0]).map { row in
            let ofRow = distances[row * count..<(row + 1) * count]
            guard let displaced else {
                return Self.nearest(Self.neighbourCount, of: ofRow).mean / Double(elements)
            }
            let window = values[row * elements..<(row + 1) * elements]
            let moved = Self.nearest(Self.candidateCount, of: ofRow).places.map {
                displaced(window, toKept: $0)
            }
            return Self.nearest(Self.neighbourCount, of: moved[...]).mean
        }
    }

    /// The mean of the k smallest finite distances, and their places from the first on; rounding may
    /// leave a distance a little below 0.
    static func nearest(
        _ count: Int, of distances: ArraySlice<Float>
    ) -> (mean: Double, places: [Int]) {
        var smallest: [(distance: Float, place: Int)] = []
        var furthest = Float.infinity
        for (place, distance) in distances.enumerated() where distance < furthest {
            let rank = smallest.firstIndex { $0.distance > distance } ?? smallest.count
            smallest.insert((distance, place), at: rank)
            if smallest.count > count { smallest.removeLast() }
            if smallest.count == count { furthest = smallest[count - 1].distance }
        }
        let sum = smallest.reduce(0) { $0 + Double(max(0, $1.distance)) }
        return (sum / Double(max(1, smallest.count)), smallest.map(\.place))
    }
}
