/// Where between four values of a plane [H, W] a place lies, and how near to each.
///
/// Coordinates are those of the values, from 0: x to the right and y downwards.
struct BilinearPlace {
    /// Places of the four in the plane.
    private let upperLeft, upperRight, lowerLeft, lowerRight: Int
    /// Shares of what is right and of what is below.
    private let right, below: Float

    /// A place; outside the plane what the padding says.
    init(x: Double, y: Double, height: Int, width: Int, padding: ImagePadding = .edge) {
        var (x, y) = (x, y)
        if padding == .edge {
            (x, y) = (min(max(x, 0), Double(width - 1)), min(max(y, 0), Double(height - 1)))
        }
        let (left, top) = (x.rounded(.down), y.rounded(.down))
        (right, below) = (Float(x - left), Float(y - top))
        let columns = (
            padding.index(Int(left), count: width), padding.index(Int(left) + 1, count: width)
        )
        let upper = padding.index(Int(top), count: height) * width
        let lower = padding.index(Int(top) + 1, count: height) * width
        (upperLeft, upperRight) = (upper + columns.0, upper + columns.1)
        (lowerLeft, lowerRight) = (lower + columns.0, lower + columns.1)
    }

    /// The value there, of the plane that begins at a place of some values.
    @inline(__always)
    func value(of values: UnsafeBufferPointer<Float>, planeAt base: Int) -> Float {
        let upper = values[base + upperLeft] * (1 - right) + values[base + upperRight] * right
        let lower = values[base + lowerLeft] * (1 - right) + values[base + lowerRight] * right
        return upper * (1 - below) + lower * below
    }
}
