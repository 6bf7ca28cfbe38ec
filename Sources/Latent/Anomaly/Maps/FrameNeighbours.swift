import Torch

/// How far frames are from those of training: the mean squared distance to the three nearest, in what
/// the model reads, for each element.
///
/// A network makes something of any window, and errs no more where a steady sound of another kind is
/// as smooth as the normal one; what a frame is compared with here are frames that there were. They
/// are those of the windows that ``NeighbourDistance`` keeps.
struct FrameNeighbours {
    /// Less their mean, [N, E].
    private let kept: Tensor
    /// |kept|², [N].
    private let squares: Tensor
    /// The mean, [E]: distances are differences of squares, which are small beside it.
    private let centre: Tensor

    /// Frames that are compared with, at most; of more every so many.
    private static let frameLimit = 8_192
    /// Frames whose distances to all that are kept are in memory at once: 16 MB.
    private static let blockSize = 512

    /// Takes the frames of a view's windows; nil where it keeps none, or they are no frames.
    init?(of view: DetectorView) throws {
        guard view.preprocessing.windowing.mode == .frames, let windows = view.fitted.keptWindows
        else { return nil }
        let shape = view.model.configuration.window
        let frames = try Self.frames(of: windows, shape: shape)
        let count = frames.shape[0]
        let step = (count + Self.frameLimit - 1) / Self.frameLimit
        let chosen = try frames.rows(Array(stride(from: 0, to: count, by: step)))
        centre = try chosen.mean(axes: [0])
        kept = try chosen - centre
        squares = try kept.squared().sum(axes: [1])
    }

    /// Frames [B·W, C·H] of windows [B, C·H·W].
    private static func frames(of windows: Tensor, shape: WindowShape) throws -> Tensor {
        let rows = shape.elementCount / shape.width
        return try windows.reshaped([-1, rows, shape.width]).transposed(1, 2)
            .reshaped([-1, rows])
    }

    /// The distances of the frames of windows [B, C, H, W], [B·W].
    ///
    /// - Complexity: B·W·N·C·H, in blocks of 512 frames
    func distances(of x: Tensor, shape: WindowShape) throws -> [Float] {
        let frames = try Self.frames(of: x, shape: shape) - centre
        let (count, elements, total) = (squares.shape[0], centre.shape[0], frames.shape[0])
        var distances: [Float] = []
        for start in stride(from: 0, to: total, by: Self.blockSize) {
            let block = try frames.narrowed(
                axis: 0, start: start, length: min(Self.blockSize, total - start))
            let own = try block.squared().sum(axes: [1], keepingAxes: true)
            let all = try
                (own + squares.reshaped([1, -1]) - block.matmul(kept.transposed(0, 1)) * 2).floats()
            for row in 0..<block.shape[0] {
                let ofRow = all[row * count..<(row + 1) * count]
                let nearest = NeighbourDistance.nearest(NeighbourDistance.neighbourCount, of: ofRow)
                distances.append(Float(nearest.mean / Double(elements)))
            }
        }
        return distances
    }
}
