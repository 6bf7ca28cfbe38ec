import Torch

/// The squared error of what a network says of parts of a window that it does not see, in units of
/// what it is in training.
///
/// The network sees a window of which a block, about a third of the rows by a third of the columns in
/// all channels, is hidden, and is fitted to say what is there. A score hides nine blocks in turn,
/// which together cover each element once: nothing is drawn, and every element is judged by what is
/// around it alone. An element that is always hard to tell counts for less, as in
/// ``ResidualDistance``.
///
/// Source: Suefusa et al., "Anomalous sound detection based on interpolation deep neural network",
/// ICASSP 2020, who hide the middle one of five frames. Differs: blocks of frames and bands, or of
/// cells of images, are hidden, at random places in training; errors are in units of each element.
struct MaskedError: FittedScore {
    /// The mean of training windows, [E].
    private let mean: Tensor
    /// The deviation of training windows from it, of all elements together.
    private let scale: Double
    private let network: Inpainter
    private let distance: ResidualDistance

    static let stepCount = 600
    private static let batchSize = 64
    private static let smallestScale = 1e-6
    /// Windows that are filled in together, at most.
    private static let chunkSize = 256

    init(fittedTo windows: ScoredWindows) throws {
        try self.init(fittedTo: windows, stepCount: Self.stepCount)
    }

    /// - Complexity: so many steps of 64 windows, and nine passes over all
    init(fittedTo windows: ScoredWindows, stepCount: Int) throws {
        let (count, shape) = (windows.x.shape[0], windows.shape)
        let mean = try windows.x.mean(axes: [0])
        let centred = try windows.x - mean
        let scale = max(
            try centred.squared().mean().item().squareRoot(), Self.smallestScale)
        let network = try Inpainter(shape: shape, device: windows.x.device, seed: windows.seed)
        let values = try (centred * (1 / scale)).floats()
        let length = shape.elementCount
        var schedule = TrainingConfiguration(
            windowCount: Self.batchSize, stepCount: stepCount, batchSize: Self.batchSize,
            epochCount: stepCount, patience: 0)
        schedule.learningRate = 2e-3
        var generator = Generator(
            seed: windows.seed, Stream.fittedScores.rawValue, UInt64(count), 2)
        let optimizer = try AdamW(network.parameters.tensors())
        for step in 0..<stepCount {
            var batch: [Float] = []
            var hidden: [HiddenBlock] = []
            batch.reserveCapacity(Self.batchSize * length)
            for _ in 0..<Self.batchSize {
                let row = Int.random(in: 0..<count, using: &generator)
                batch += values[row * length..<(row + 1) * length]
                hidden.append(HiddenBlock(anywhereIn: shape, using: &generator))
            }
            let x = try Tensor(batch, shape: [Self.batchSize, length]).to(windows.x.device)
            let masks = try HiddenBlock.masks(hidden, shape: shape, on: windows.x.device)
            let errors = try (network(x, hiding: masks) - x).squared() * masks.elements
            // The logarithm of the mean: the Gaussian of the variance that fits best.
            let loss = try (errors.sum() / masks.elements.sum() + 1e-12).log()
            try loss.backward()
            try optimizer.step(
                learningRate: schedule.learningRate(
                    at: Double(step) / Double(stepCount)))
        }
        self.mean = mean
        self.scale = scale
        self.network = network
        distance = try withoutGradients {
            try ResidualDistance(
                fittedTo: Self.filled(windows, mean: mean, scale: scale, network: network))
        }
    }

    init?(tensors: [String: HostTensor], shape: WindowShape, latentCount: Int, on device: Device)
        throws
    {
        guard let mean = tensors["mean"], mean.shape == [shape.elementCount],
            let scale = tensors["scale"], scale.shape == [1], scale.values[0].isFinite,
            scale.values[0] > 0,
            let distance = try ResidualDistance(
                tensors: tensors, shape: shape, latentCount: latentCount, on: device),
            let network = try Inpainter(tensors: tensors, shape: shape, on: device)
        else { return nil }
        self.mean = try Tensor(mean.values, shape: mean.shape).to(device)
        self.scale = Double(scale.values[0])
        self.network = network
        self.distance = distance
    }

    func tensors() throws -> [String: HostTensor] {
        try network.parameters.values().merging(distance.tensors()) { $1 }
            .merging([
                "mean": try mean.host(),
                "scale": HostTensor(shape: [1], values: [Float(scale)]),
            ]) { $1 }
    }

    /// - Complexity: nine passes of the network
    func values(of windows: ScoredWindows) throws -> [Double] {
        try withoutGradients {
            try distance.values(
                of: Self.filled(windows, mean: mean, scale: scale, network: network))
        }
    }

    /// Windows, and in place of their reconstruction what the network says of each element when it is
    /// hidden.
    private static func filled(
        _ windows: ScoredWindows, mean: Tensor, scale: Double, network: Inpainter
    ) throws -> ScoredWindows {
        let x = try (windows.x - mean) * (1 / scale)
        let count = x.shape[0]
        let blocks = HiddenBlock.cover(of: windows.shape)
        var parts: [Tensor] = []
        for start in stride(from: 0, to: count, by: chunkSize) {
            let length = min(chunkSize, count - start)
            let some = try x.narrowed(axis: 0, start: start, length: length)
            var sum = try Tensor.zeros(
                shape: [length, windows.shape.elementCount], device: x.device)
            for block in blocks {
                let masks = try HiddenBlock.masks(
                    [HiddenBlock](repeating: block, count: length), shape: windows.shape,
                    on: x.device)
                sum = try sum + network(some, hiding: masks) * masks.elements
            }
            parts.append(sum)
        }
        return ScoredWindows(
            x: windows.x, posteriorMean: windows.posteriorMean,
            reconstructed: try Tensor.concatenated(parts) * scale + mean, shape: windows.shape)
    }
}

/// A block of a window that is hidden, in all of its channels.
struct HiddenBlock: Equatable {
    let rows: Range<Int>
    let columns: Range<Int>

    /// Blocks along a side.
    private static let count = 3

    /// Blocks that together cover a window once: three by three, or fewer in a very small one.
    static func cover(of shape: WindowShape) -> [HiddenBlock] {
        func parts(_ length: Int) -> [Range<Int>] {
            let parts = min(count, length)
            return (0..<parts).map { length * $0 / parts..<length * ($0 + 1) / parts }
        }
        return parts(shape.height).flatMap { rows in
            parts(shape.width).map { HiddenBlock(rows: rows, columns: $0) }
        }
    }

    private init(rows: Range<Int>, columns: Range<Int>) {
        self.rows = rows
        self.columns = columns
    }

    /// A block as large as the largest of ``cover(of:)``, at any place in a window.
    init(anywhereIn shape: WindowShape, using generator: inout Generator) {
        func part(_ length: Int) -> Range<Int> {
            let side = (length + Self.count - 1) / Self.count
            let start = Int.random(in: 0...length - side, using: &generator)
            return start..<start + side
        }
        rows = part(shape.height)
        columns = part(shape.width)
    }

    /// 1 where a block hides, of each window its own: over places [B, H·W] and elements [B, E].
    static func masks(
        _ blocks: [HiddenBlock], shape: WindowShape, on device: Device
    ) throws -> (places: Tensor, elements: Tensor) {
        let area = shape.height * shape.width
        var values = [Float](repeating: 0, count: blocks.count * area)
        for (index, block) in blocks.enumerated() {
            for row in block.rows {
                for column in block.columns {
                    values[index * area + row * shape.width + column] = 1
                }
            }
        }
        let places = try Tensor(values, shape: [blocks.count, area]).to(device)
        return (
            places,
            try Tensor.concatenated(
                (0..<shape.channelCount).map { _ in places }, axis: 1)
        )
    }
}

/// A small network that fills in what is hidden of a window: two hidden layers of 128 with SiLU.
private struct Inpainter {
    let parameters: Parameters
    private let layers: [Linear]

    private static let hiddenCount = 128

    init(shape: WindowShape, device: Device, seed: UInt64 = 0) throws {
        parameters = Parameters(
            device: device,
            generator: Generator(seed: seed, Stream.fittedScores.rawValue, 3))
        let scope = parameters.root
        let elements = shape.elementCount
        let widths = [
            elements + shape.height * shape.width, Self.hiddenCount, Self.hiddenCount, elements,
        ]
        layers = try zip(widths, widths.dropFirst()).enumerated().map { index, widths in
            try Linear(scope["network.\(index)"], inputs: widths.0, outputs: widths.1)
        }
    }

    /// Nil where the numbers do not fit windows of that shape.
    init?(tensors: [String: HostTensor], shape: WindowShape, on device: Device) throws {
        // Looked at first: the network is made as large as the shape says.
        guard let last = tensors["network.2.weight"],
            last.shape == [shape.elementCount, Self.hiddenCount]
        else { return nil }
        try self.init(shape: shape, device: device)
        do { try parameters.load(tensors) } catch { return nil }
    }

    /// What is there, in units of training: windows [B, E] → [B, E].
    ///
    /// What is hidden is 0, as the mean is, and said to be hidden.
    func callAsFunction(
        _ x: Tensor, hiding masks: (places: Tensor, elements: Tensor)
    ) throws -> Tensor {
        var h = try Tensor.concatenated([x - x * masks.elements, masks.places], axis: 1)
        for (index, layer) in layers.enumerated() {
            h = try layer(h)
            if index + 1 < layers.count { h = try h.silu() }
        }
        return h
    }
}
