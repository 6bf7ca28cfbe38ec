import Foundation
import Torch

/// The classic ways to vary small maps a little at each training step: what synthetic files have to
/// be better than.
///
/// Images: rotation within ±14°, shift within ±7.5 % of a side, size within ±15 %; bilinear, edges
/// repeated. Spectrograms: shift within ±6 of 48 frames, gain within ±10 % of the range, noise of a
/// deviation up to 5 % of it, and a run of up to 5 bands and one of up to 6 frames hidden (Park et al.,
/// "SpecAugment", Interspeech 2019). `elastic` adds a smooth displacement: at the points of a 4×4 grid
/// it is uniform within ±0.1 of a side, and bilinear in between (after Simard, Steinkraus & Platt, ICDAR
/// 2003, who blur noise instead).
struct MapAugmentation: Sendable {
    let domain: Domain
    /// Whether maps are warped smoothly as well.
    var isElastic = false

    private static let rotation = 14 * Double.pi / 180
    private static let shift = 0.075
    private static let scale = 0.15
    private static let timeShift = 6.0 / 48
    private static let gain: Float = 0.1
    private static let noise: Float = 0.05
    private static let mask = SpectrogramMask(bandShare: 5.0 / 40, frameShare: 6.0 / 48)
    private static let gridSide = 4
    private static let amplitude = 0.1

    /// The same as a function.
    var varied: SmallClassifier.Augmentation { { self(&$0, shape: $1, using: &$2) } }

    /// Varies each map of a batch, [n, C, H, W] in 0…1.
    func callAsFunction(
        _ batch: inout [Float], shape: WindowShape, using generator: inout Generator
    ) {
        let length = shape.elementCount
        for start in stride(from: 0, to: batch.count, by: length) {
            var map = Array(batch[start..<start + length])
            vary(&map, shape, &generator)
            batch.replaceSubrange(start..<start + length, with: map)
        }
    }

    private func vary(_ map: inout [Float], _ shape: WindowShape, _ generator: inout Generator) {
        func signed(_ limit: Double) -> Double { limit * (2 * Double(generator.uniform()) - 1) }
        let field = isElastic ? Field(shape, &generator) : nil
        switch domain {
        case .image:
            let angle = signed(Self.rotation)
            let (down, right) = (signed(Self.shift), signed(Self.shift))
            let size = 1 / (1 + signed(Self.scale))
            let (height, width) = (Double(shape.height), Double(shape.width))
            map = Self.warped(
                map, shape,
                .init(
                    sine: sin(angle) * size, cosine: cos(angle) * size, down: down * height,
                    right: right * width), field)
        case .audio:
            // The ends of a recording are silence, and not its last frame drawn out.
            let delay = signed(Self.timeShift * Double(shape.width)).rounded()
            map = Self.warped(map, shape, .init(right: delay), field, fillsWithSilence: true)
            let gain = Self.gain * (2 * generator.uniform() - 1)
            let noise = Self.noise * generator.uniform()
            let normals = generator.normals(map.count)
            for index in map.indices {
                // Silence stays silence when the rest is louder.
                let level = map[index] > 0 ? map[index] + gain : 0
                map[index] = min(max(level + noise * normals[index], 0), 1)
            }
            Self.mask.hide(in: &map, shape, using: &generator)
        }
    }

    // MARK: Warps

    /// Where a pixel of the result is looked up.
    private struct Affine {
        var sine = 0.0
        var cosine = 1.0
        /// Pixels.
        var down = 0.0
        /// Pixels.
        var right = 0.0
    }

    /// A smooth displacement, in pixels: random at the points of a grid, bilinear between them.
    private struct Field {
        private let down: [Double]
        private let right: [Double]
        private let rowStep: Double
        private let columnStep: Double

        init(_ shape: WindowShape, _ generator: inout Generator) {
            let side = MapAugmentation.gridSide
            func grid(_ length: Int) -> [Double] {
                let most = MapAugmentation.amplitude * Double(length)
                return (0..<side * side).map { _ in most * (2 * Double(generator.uniform()) - 1) }
            }
            down = grid(shape.height)
            right = grid(shape.width)
            rowStep = Double(side - 1) / Double(max(1, shape.height - 1))
            columnStep = Double(side - 1) / Double(max(1, shape.width - 1))
        }

        func displacement(row: Int, column: Int) -> (down: Double, right: Double) {
            let last = MapAugmentation.gridSide - 2
            let (y, x) = (Double(row) * rowStep, Double(column) * columnStep)
            let (top, left) = (min(Int(y), last), min(Int(x), last))
            let (v, u) = (y - Double(top), x - Double(left))
            let first = top * (last + 2) + left
            let second = first + last + 2
            func mixed(_ grid: [Double]) -> Double {
                (grid[first] * (1 - u) + grid[first + 1] * u) * (1 - v)
                    + (grid[second] * (1 - u) + grid[second + 1] * u) * v
            }
            return (mixed(down), mixed(right))
        }
    }

    /// Looks each pixel up elsewhere, bilinear; outside is the nearest edge, or silence before the
    /// first and after the last column.
    private static func warped(
        _ map: [Float], _ shape: WindowShape, _ affine: Affine, _ field: Field?,
        fillsWithSilence: Bool = false
    ) -> [Float] {
        let (height, width) = (shape.height, shape.width)
        let (middleY, middleX) = (Double(height - 1) / 2, Double(width - 1) / 2)
        var result = [Float](repeating: 0, count: map.count)
        map.withUnsafeBufferPointer { map in
            for row in 0..<height {
                for column in 0..<width {
                    let (dy, dx) = (
                        Double(row) - middleY - affine.down,
                        Double(column) - middleX - affine.right
                    )
                    var y = affine.cosine * dy - affine.sine * dx + middleY
                    var x = affine.sine * dy + affine.cosine * dx + middleX
                    if let field {
                        let moved = field.displacement(row: row, column: column)
                        (y, x) = (y + moved.down, x + moved.right)
                    }
                    if fillsWithSilence, x <= -1 || x >= Double(width) { continue }
                    let place = BilinearPlace(x: x, y: y, height: height, width: width)
                    for channel in 0..<shape.channelCount {
                        let base = channel * height * width
                        result[base + row * width + column] = place.value(of: map, planeAt: base)
                    }
                }
            }
        }
        return result
    }
}
