import Torch

/// A smooth random displacement: independent normal numbers on a grid of 4×4 points, the outer ones in
/// the corners, bicubic between.
///
/// Source: Simard, Steinkraus & Platt, "Best practices for convolutional neural networks", ICDAR 2003,
/// where the field is noise blurred by a Gaussian; a coarse grid is as smooth, and costs nothing to draw.
struct ElasticField {
    static let side = 4

    private let height: Int
    private let width: Int
    /// In pixels, row by row.
    private let right: [Double]
    private let down: [Double]

    /// Draws a field.
    ///
    /// - Parameters:
    ///   - deviation: standard deviation at the points of the grid, as a share of width and of height
    ///   - height: of the image
    ///   - width: of the image
    ///   - generator: the source of the field
    init(
        deviation: Double, height: Int, width: Int, using generator: inout Generator
    ) {
        let count = Self.side * Self.side
        let normals = generator.normals(2 * count)
        self.init(
            right: normals[..<count].map { Double($0) * deviation * Double(width) },
            down: normals[count...].map { Double($0) * deviation * Double(height) },
            height: height, width: width)
    }

    /// A field of the displacements, in pixels, at the points of the grid, row by row.
    init(right: [Double], down: [Double], height: Int, width: Int) {
        (self.height, self.width) = (height, width)
        (self.right, self.down) = (right, down)
    }

    /// Where a point comes from.
    func callAsFunction(_ x: Double, _ y: Double) -> (Double, Double) {
        let (column, weightsX) = Self.weights(x, count: width)
        let (row, weightsY) = Self.weights(y, count: height)
        var (dx, dy) = (0.0, 0.0)
        for i in 0..<4 {
            let line = min(max(row - 1 + i, 0), Self.side - 1) * Self.side
            for j in 0..<4 {
                let index = line + min(max(column - 1 + j, 0), Self.side - 1)
                let weight = weightsY[i] * weightsX[j]
                dx += weight * right[index]
                dy += weight * down[index]
            }
        }
        return (x + dx, y + dy)
    }

    /// The point of the grid before a place, and the weights of the four around it.
    ///
    /// Source: Keys, "Cubic convolution interpolation", IEEE TASSP 29, 1981, with a = -0.75 as
    /// PyTorch's bicubic `interpolate`.
    private static func weights(_ place: Double, count: Int) -> (Int, SIMD4<Double>) {
        let last = Double(side - 1)
        let scaled = count > 1 ? place / Double(count - 1) * last : 0
        let position = min(max(scaled, 0), last)
        let start = min(position.rounded(.down), last - 1)
        let t = position - start
        let a = -0.75
        func near(_ t: Double) -> Double { ((a + 2) * t - (a + 3)) * t * t + 1 }
        func far(_ t: Double) -> Double { ((a * t - 5 * a) * t + 8 * a) * t - 4 * a }
        return (Int(start), SIMD4(far(t + 1), near(t), near(1 - t), far(2 - t)))
    }
}
