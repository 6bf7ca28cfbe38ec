/// The mean squared difference of windows in which each cell may lie up to one cell away from where
/// it lies in the other, with its neighbourhood of 3×3 cells.
///
/// D(x, y) = 1/E Σ_c min_δ 1/9 Σ_o |x(c + o) - y(c + o + δ)|², δ and o over 3×3 cells; beyond its
/// edges y is 0, and x is not looked at. It is not symmetric, and at most the mean squared difference.
///
/// Source: the image distortion model with local context of Keysers et al., IEEE PAMI 29(8), 2007.
struct DisplacedDistance {
    private let shape: WindowShape
    /// Kept windows with a border of zeros, [N, C, H + 2, W + 2].
    private let kept: [Float]

    /// Takes windows [N, C, H, W].
    init(to values: [Float], shape: WindowShape) {
        self.shape = shape
        let (height, width) = (shape.height, shape.width)
        let planes = values.count / max(1, height * width)
        var kept = [Float](repeating: 0, count: planes * (height + 2) * (width + 2))
        for plane in 0..<planes {
            for y in 0..<height {
                let source = (plane * height + y) * width
                let target = (plane * (height + 2) + y + 1) * (width + 2) + 1
                for x in 0..<width { kept[target + x] = values[source + x] }
            }
        }
        self.kept = kept
    }

    /// The distance of a window [C, H, W] to the kept one of an index.
    ///
    /// - Complexity: 9·E
    func callAsFunction(_ window: ArraySlice<Float>, toKept index: Int) -> Float {
        let area = shape.height * shape.width
        var differences = [Float](repeating: 0, count: area)
        var rows = [Float](repeating: 0, count: area)
        var smallest = [Float](repeating: .infinity, count: area)
        for down in 0..<3 {
            for right in 0..<3 {
                addDifferences(
                    window, keptPlane: index * shape.channelCount, down: down, right: right,
                    to: &differences)
                sumNeighbourhoods(&differences, rows: &rows)
                for cell in 0..<area { smallest[cell] = min(smallest[cell], differences[cell]) }
            }
        }
        return smallest.reduce(0, +) / Float(9 * shape.elementCount)
    }

    /// Squared differences summed over channels, [H, W].
    private func addDifferences(
        _ window: ArraySlice<Float>, keptPlane: Int, down: Int, right: Int,
        to differences: inout [Float]
    ) {
        let (height, width) = (shape.height, shape.width)
        window.withUnsafeBufferPointer { window in
            kept.withUnsafeBufferPointer { kept in
                differences.withUnsafeMutableBufferPointer { differences in
                    differences.update(repeating: 0)
                    for channel in 0..<shape.channelCount {
                        for y in 0..<height {
                            let own = (channel * height + y) * width
                            let other =
                                ((keptPlane + channel) * (height + 2) + y + down) * (width + 2)
                                + right
                            for x in 0..<width {
                                let difference = window[own + x] - kept[other + x]
                                differences[y * width + x] += difference * difference
                            }
                        }
                    }
                }
            }
        }
    }

    /// Each value becomes the sum of those of its 3×3 cells that there are.
    private func sumNeighbourhoods(_ values: inout [Float], rows: inout [Float]) {
        let (height, width) = (shape.height, shape.width)
        for y in 0..<height {
            let start = y * width
            for x in 0..<width {
                rows[start + x] =
                    values[start + x] + (x > 0 ? values[start + x - 1] : 0)
                    + (x + 1 < width ? values[start + x + 1] : 0)
            }
        }
        for y in 0..<height {
            let start = y * width
            for x in 0..<width {
                values[start + x] =
                    rows[start + x] + (y > 0 ? rows[start - width + x] : 0)
                    + (y + 1 < height ? rows[start + width + x] : 0)
            }
        }
    }
}
