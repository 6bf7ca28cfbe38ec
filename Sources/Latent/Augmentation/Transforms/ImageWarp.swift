import Foundation
import Torch

/// What lies outside an image that is moved.
public enum ImagePadding: String, Sendable, CaseIterable {
    /// The pixels of its edge, again and again.
    case edge
    /// Its mirror image; the pixels of the edge come twice.
    case reflect

    /// The row or column that stands for one outside.
    func index(_ index: Int, count: Int) -> Int {
        switch self {
        case .edge: return min(max(index, 0), count - 1)
        case .reflect:
            let period = 2 * count
            let place = ((index % period) + period) % period
            return place < count ? place : period - 1 - place
        }
    }
}

/// Movements of an image, put together: for each pixel of the result, where it comes from.
///
/// Pixels are read once, bilinear, however many movements there are. Coordinates are those of pixel
/// centres, from 0; rows count downwards.
struct ImageWarp {
    /// x and y of the source as affine functions of x and y of the result.
    struct Affine {
        var (xx, xy, x0) = (1.0, 0.0, 0.0)
        var (yx, yy, y0) = (0.0, 1.0, 0.0)

        func callAsFunction(_ x: Double, _ y: Double) -> (Double, Double) {
            (xx * x + xy * y + x0, yx * x + yy * y + y0)
        }

        /// This after the other: the source of where the other says.
        func after(_ first: Affine) -> Affine {
            var both = Affine()
            (both.xx, both.xy) = (xx * first.xx + xy * first.yx, xx * first.xy + xy * first.yy)
            (both.yx, both.yy) = (yx * first.xx + yy * first.yx, yx * first.xy + yy * first.yy)
            (both.x0, both.y0) = self(first.x0, first.y0)
            return both
        }
    }

    private enum Step {
        case affine(Affine)
        case elastic(ElasticField)
    }

    private let height: Int
    private let width: Int
    private let padding: ImagePadding
    /// In the order in which they are applied to the image.
    private var steps: [Step] = []

    init(height: Int, width: Int, padding: ImagePadding) {
        (self.height, self.width, self.padding) = (height, width, padding)
    }

    /// Forgets all movements.
    mutating func reset() { steps = [] }

    /// Adds a movement.
    ///
    /// - Returns: what was drawn; nil, and nothing changes, for a transform that moves nothing
    mutating func append(
        _ transform: Transform, using generator: inout Generator
    ) -> AppliedTransform? {
        let kind = transform.kind
        switch kind {
        case .flipX, .flipY:
            let flipped = Double(generator.uniform()) < transform.range.lowerBound
            if flipped { append(flip(kind)) }
            return AppliedTransform(kind, ["flipped": .flag(flipped)])
        case .shift:
            let (x, y) = (transform.draw(using: &generator), transform.draw(using: &generator))
            append(shift(right: x, down: y))
            return AppliedTransform(kind, ["x": .number(x), "y": .number(y)])
        case .rotate:
            let degrees = transform.draw(using: &generator)
            append(rotation(degrees: degrees))
            return AppliedTransform(kind, ["degrees": .number(degrees)])
        case .scale:
            let factor = Transform.rounded(1 + transform.draw(using: &generator))
            append(enlargement(by: factor))
            return AppliedTransform(kind, ["factor": .number(factor)])
        case .crop:
            let size = Transform.rounded(1 - transform.draw(using: &generator))
            let place = Transform(kind: kind, range: 0...1)
            let (x, y) = (place.draw(using: &generator), place.draw(using: &generator))
            append(crop(size: size, x: x, y: y))
            return AppliedTransform(
                kind, ["size": .number(size), "x": .number(x), "y": .number(y)])
        case .elastic:
            let deviation = transform.draw(using: &generator)
            append(
                ElasticField(
                    deviation: deviation, height: height, width: width, using: &generator))
            return AppliedTransform(kind, ["deviation": .number(deviation)])
        default: return nil
        }
    }

    /// Adds a movement.
    mutating func append(_ next: Affine) {
        if case .affine(let last) = steps.last {
            steps[steps.count - 1] = .affine(last.after(next))
        } else {
            steps.append(.affine(next))
        }
    }

    /// Adds a displacement of each pixel.
    mutating func append(_ field: ElasticField) { steps.append(.elastic(field)) }

    /// The image, moved.
    ///
    /// - Complexity: the number of pixels times the number of elastic fields, and of runs of others
    func applied(to planes: ImagePlanes) -> ImagePlanes {
        guard !steps.isEmpty else { return planes }
        let source = planes.multipliedByAlpha()
        var result = source
        let order = Array(steps.reversed())
        source.values.withUnsafeBufferPointer { from in
            result.values.withUnsafeMutableBufferPointer { to in
                for row in 0..<height {
                    for column in 0..<width {
                        var (x, y) = (Double(column), Double(row))
                        for step in order {
                            switch step {
                            case .affine(let affine): (x, y) = affine(x, y)
                            case .elastic(let field): (x, y) = field(x, y)
                            }
                        }
                        let place = BilinearPlace(
                            x: x, y: y, height: height, width: width, padding: padding)
                        for channel in 0..<planes.channelCount {
                            let base = channel * height * width
                            to[base + row * width + column] = place.value(of: from, planeAt: base)
                        }
                    }
                }
            }
        }
        return result.multipliedByAlpha(inverse: true)
    }
}

/// The movements, each as where a pixel of the result comes from.
extension ImageWarp {
    /// About the middle of the image.
    private func centred(_ matrix: Affine) -> Affine {
        let (x, y) = (Double(width - 1) / 2, Double(height - 1) / 2)
        let (movedX, movedY) = matrix(x, y)
        var result = matrix
        (result.x0, result.y0) = (x - movedX, y - movedY)
        return result
    }

    /// Mirrored left to right, or top to bottom.
    func flip(_ kind: TransformKind) -> Affine {
        var matrix = Affine()
        if kind == .flipX { matrix.xx = -1 } else { matrix.yy = -1 }
        return centred(matrix)
    }

    /// Shares of width and height.
    func shift(right: Double, down: Double) -> Affine {
        var matrix = Affine()
        (matrix.x0, matrix.y0) = (-right * Double(width), -down * Double(height))
        return matrix
    }

    /// Counter-clockwise, as seen.
    func rotation(degrees: Double) -> Affine {
        let angle = degrees * .pi / 180
        var matrix = Affine()
        (matrix.xx, matrix.xy) = (cos(angle), -sin(angle))
        (matrix.yx, matrix.yy) = (sin(angle), cos(angle))
        return centred(matrix)
    }

    /// Larger or smaller.
    func enlargement(by factor: Double) -> Affine {
        var matrix = Affine()
        (matrix.xx, matrix.yy) = (1 / factor, 1 / factor)
        return centred(matrix)
    }

    /// A part of the image of the given share of its sides becomes all of it.
    ///
    /// It lies at a share x and y of the room that there is for it, from the top left corner. Centres
    /// of pixels lie half a pixel inside the edges.
    func crop(size: Double, x: Double, y: Double) -> Affine {
        var matrix = Affine()
        (matrix.xx, matrix.yy) = (size, size)
        matrix.x0 = 0.5 * size - 0.5 + (1 - size) * x * Double(width)
        matrix.y0 = 0.5 * size - 0.5 + (1 - size) * y * Double(height)
        return matrix
    }
}
