import Torch

/// A stretch of a recording, and how unlike the rest of it that is.
struct ContrastingStretch: Sendable, Equatable {
    /// Frames, of which there are others too.
    let frames: Range<Int>
    /// Evidence against there being one mean for all frames, 0 or more.
    let nats: Double
}

/// How unlike the rest of its own recording a stretch of it is, by what the model reads.
///
/// A weak sound of another kind may be within what recordings differ by, so that no frame of it stands out
/// beside those of other recordings; but it begins and ends, and frames of one recording differ
/// little. Of frames x that are whitened by how frames differ within windows of training, a stretch of
/// n of T frames with the sum S of their differences to the recording's mean has |S|²·T / (2·n·(T - n))
/// nats: the log-likelihood ratio of two means against one, were frames independent. They are not, so
/// what is usual is taken from normal recordings, ``MapCalibration/contrasts``.
///
/// Source: the epidemic alternative, a mean that changes and changes back, of Levin & Kline, "The cusum
/// test of homogeneity with an application in spontaneous abortion epidemiology", Statistics in Medicine
/// 4(4), 1985, for vectors with a known covariance.
struct FrameContrast {
    /// Σ^(-½) of differences within windows, [E, E].
    private let whitening: Tensor
    private let preprocessing: Preprocessing
    private let channelCount: Int

    /// Frames that a stretch has at least, and what is left on either side of it, where there is anything.
    static let shortest = 3
    /// Edges that are tried together; of longer recordings the best is then looked for nearby.
    private static let edgeLimit = 256
    private static let shrinkage = 0.05

    /// Takes the frames of a view's windows; nil where it keeps none, or they are no frames.
    init?(of view: DetectorView) throws {
        guard view.preprocessing.windowing.mode == .frames, let windows = view.fitted.keptWindows
        else { return nil }
        let shape = view.model.configuration.window
        let rows = shape.elementCount / shape.width
        let frames = try windows.reshaped([-1, rows, shape.width])
        let centred = try (frames - frames.mean(axes: [2], keepingAxes: true)).transposed(1, 2)
            .reshaped([-1, rows])
        let covariance =
            try centred.transposed(0, 1).matmul(centred) * (1 / Double(centred.shape[0]))
        whitening = try covariance.shrunkWhitening(Self.shrinkage)
        preprocessing = view.preprocessing
        channelCount = shape.elementCount / shape.height / shape.width
    }

    /// The parts of stretches of a recording that are the most unlike the rest of the stretch; nil where that has
    /// too few frames.
    ///
    /// - Parameters:
    ///   - windows: of the recording
    ///   - stretches: in frames of the spectrogram
    /// - Returns: of each stretch, in frames from its start
    /// - Throws: `TorchError`
    /// - Complexity: for each stretch at most 33,000 sums of E numbers, and a few for each edge nearby
    func strongest(
        of windows: ItemWindows, in stretches: [Range<Int>]
    ) throws -> [ContrastingStretch?] {
        let map = try preprocessing.windowing.assemble(
            windows.values(0..<windows.count), channelCount: channelCount,
            height: windows.map.height, width: windows.map.width)
        let frames = try Tensor(map.values, shape: [map.channelCount * map.height, map.width])
            .to(whitening.device).transposed(0, 1)
        let whitened = try frames.matmul(whitening).floats()
        let (side, rows) = (preprocessing.cellSide, whitened.count / max(1, map.width))
        return stretches.map { stretch in
            // Cells at the ends may reach beyond the first and the last frame.
            let cells = stretch.lowerBound / side..<(stretch.upperBound + side - 1) / side
            let part = Array(whitened[cells.lowerBound * rows..<cells.upperBound * rows])
            return Self.strongest(in: part, count: cells.count).map { found in
                func frame(_ cell: Int) -> Int {
                    min(
                        max((cells.lowerBound + cell) * side, stretch.lowerBound),
                        stretch.upperBound)
                        - stretch.lowerBound
                }
                return ContrastingStretch(
                    frames: frame(found.frames.lowerBound)..<frame(found.frames.upperBound),
                    nats: found.nats)
            }
        }
    }

    /// The same of whitened frames, [T, E].
    static func strongest(in frames: [Float], count: Int) -> ContrastingStretch? {
        guard count >= 2 * shortest else { return nil }
        let sums = ContrastSums(frames, count: count)
        let step = max(1, (count + edgeLimit - 1) / edgeLimit)
        let edges = Array(stride(from: 0, to: count, by: step)) + [count]
        var best = ContrastingStretch(frames: 0..<count, nats: 0)
        func consider(_ start: Int, _ end: Int) {
            guard isAllowed(start, end, of: count) else { return }
            let nats = sums.nats(start, end)
            if nats > best.nats { best = ContrastingStretch(frames: start..<end, nats: nats) }
        }
        for (index, start) in edges.enumerated() {
            for end in edges[(index + 1)...] { consider(start, end) }
        }
        // Edges move by turns while that helps, each within a step of where it was.
        var last = 0.0
        while step > 1, best.nats > last {
            last = best.nats
            let (start, end) = (best.frames.lowerBound, best.frames.upperBound)
            for moved in max(0, start - step)...min(count, start + step) { consider(moved, end) }
            let found = best.frames.lowerBound
            for moved in max(0, end - step)...min(count, end + step) { consider(found, moved) }
        }
        return best.nats > 0 ? best : nil
    }

    private static func isAllowed(_ start: Int, _ end: Int, of count: Int) -> Bool {
        func isPart(_ length: Int) -> Bool { length == 0 || length >= shortest }
        return end - start >= shortest && end - start <= count - shortest && isPart(start)
            && isPart(count - end)
    }
}

/// Sums of frames less their mean, from the first to any.
private struct ContrastSums {
    private let count: Int
    private let elements: Int
    /// [T + 1, E].
    private var sums: [Double]

    init(_ frames: [Float], count: Int) {
        self.count = count
        elements = frames.count / count
        var mean = [Double](repeating: 0, count: elements)
        for index in frames.indices { mean[index % elements] += Double(frames[index]) }
        sums = [Double](repeating: 0, count: elements)
        sums.reserveCapacity((count + 1) * elements)
        for index in frames.indices {
            sums.append(
                sums[index] + Double(frames[index]) - mean[index % elements] / Double(count))
        }
    }

    func nats(_ start: Int, _ end: Int) -> Double {
        var square = 0.0
        for element in 0..<elements {
            let difference = sums[end * elements + element] - sums[start * elements + element]
            square += difference * difference
        }
        let inside = Double(end - start)
        return square * Double(count) / (2 * inside * (Double(count) - inside))
    }
}
