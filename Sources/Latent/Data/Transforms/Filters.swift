import Foundation

extension FeatureMap {
    /// Gaussian weights of -r…r, r = ⌈3σ⌉, which add up to 1.
    private static func gaussian(sigma: Double) -> [Float] {
        let radius = Int((3 * sigma).rounded(.up))
        let weights = (-radius...radius).map { exp(-Double($0 * $0) / (2 * sigma * sigma)) }
        let total = weights.reduce(0, +)
        return weights.map { Float($0 / total) }
    }

    /// Blurred by a Gaussian, the edges repeated; σ in pixels, 0 for none.
    ///
    /// - Complexity: C·H·W·12σ
    func blurred(sigma: Double) -> FeatureMap {
        guard sigma > 0 else { return self }
        let weights = Self.gaussian(sigma: sigma)
        let radius = weights.count / 2
        var rows = [Float](repeating: 0, count: values.count)
        // A line with its ends repeated, so that the inner loop has no condition.
        var line = [Float](repeating: 0, count: max(height, width) + 2 * radius)
        for start in stride(from: 0, to: values.count, by: width) {
            for x in 0..<width + 2 * radius {
                line[x] = values[start + min(max(x - radius, 0), width - 1)]
            }
            for x in 0..<width {
                var sum: Float = 0
                for (tap, weight) in weights.enumerated() { sum += weight * line[x + tap] }
                rows[start + x] = sum
            }
        }
        var result = [Float](repeating: 0, count: values.count)
        for channel in 0..<channelCount {
            let base = channel * height * width
            for y in 0..<height {
                let target = base + y * width
                for (tap, weight) in weights.enumerated() {
                    let source = base + min(max(y + tap - radius, 0), height - 1) * width
                    for x in 0..<width { result[target + x] += weight * rows[source + x] }
                }
            }
        }
        return FeatureMap(
            channelCount: channelCount, height: height, width: width, values: result)
    }

    /// Means of squares of `side`; the last of a row or column may be of fewer pixels.
    func pooled(side: Int) -> FeatureMap {
        guard side > 1 else { return self }
        let (rows, columns) = ((height + side - 1) / side, (width + side - 1) / side)
        var result = [Float](repeating: 0, count: channelCount * rows * columns)
        for channel in 0..<channelCount {
            for y in 0..<height {
                let source = (channel * height + y) * width
                let target = (channel * rows + y / side) * columns
                for x in 0..<width { result[target + x / side] += values[source + x] }
            }
            for row in 0..<rows {
                let tall = min(side, height - row * side)
                for column in 0..<columns {
                    let wide = min(side, width - column * side)
                    result[(channel * rows + row) * columns + column] /= Float(tall * wide)
                }
            }
        }
        return FeatureMap(
            channelCount: channelCount, height: rows, width: columns, values: result)
    }

    /// Each value changed.
    func mapValues(_ change: (Float) -> Float) -> FeatureMap {
        FeatureMap(
            channelCount: channelCount, height: height, width: width, values: values.map(change))
    }
}
