import Torch

/// The mean squared distance to the three nearest training windows, in what the model reads, for
/// each element.
///
/// Source: Ramaswamy, Rastogi & Shim, "Efficient algorithms for mining outliers from large data
/// sets", SIGMOD 2000; the mean over k as Angiulli & Pizzuti, PKDD 2002. Differs: of large data a
/// spread sample is kept, so that a model stays small.
struct NeighbourDistance: FittedScore {
    /// The windows that are kept, [N, E].
    private let kept: Tensor
    /// |kept|², [N].
    private let squares: Tensor

    static let neighbourCount = 3
    /// Values of all windows that are kept together: 8 MB.
    static let valueLimit = 1 << 21

    private init(kept: Tensor) throws {
        self.kept = kept
        squares = try kept.squared().sum(axes: [1])
    }

    init(fittedTo windows: ScoredWindows) throws { try self.init(kept: windows.x) }

    init?(tensors: [String: HostTensor], elementCount: Int, latentCount: Int, on device: Device)
        throws
    {
        guard let kept = tensors["kept"], kept.shape.count == 2, kept.shape[0] > 0,
            kept.shape[1] == elementCount
        else { return nil }
        try self.init(kept: Tensor(kept.values, shape: kept.shape).to(device))
    }

    func tensors() throws -> [String: HostTensor] { ["kept": try kept.host()] }

    /// - Complexity: B·N·E
    func values(of windows: ScoredWindows) throws -> [Double] {
        let own = try windows.x.squared().sum(axes: [1], keepingAxes: true)  // [B, 1]
        let products = try windows.x.matmul(kept.transposed(0, 1))
        let distances = try (own + squares.reshaped([1, -1]) - products * 2).floats()
        let (count, elements) = (kept.shape[0], Double(kept.shape[1]))
        return distances.withUnsafeBufferPointer { distances in
            (0..<windows.x.shape[0]).map { row in
                Self.meanOfSmallest(distances[row * count..<(row + 1) * count]) / elements
            }
        }
    }

    /// The mean of the k smallest; rounding may leave a distance a little below 0.
    private static func meanOfSmallest(_ distances: Slice<UnsafeBufferPointer<Float>>) -> Double {
        var smallest: [Float] = []
        for distance in distances {
            if smallest.count == neighbourCount, distance >= smallest[neighbourCount - 1] {
                continue
            }
            let place = smallest.firstIndex { $0 > distance } ?? smallest.count
            smallest.insert(distance, at: place)
            if smallest.count > neighbourCount { smallest.removeLast() }
        }
        let sum = smallest.reduce(0) { $0 + Double(max(0, $1)) }
        return sum / Double(max(1, smallest.count))
    }
}
