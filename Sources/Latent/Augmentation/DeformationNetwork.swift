import Torch

/// What a model's deformations are of; in the record of its file.
public struct DeformationConfiguration: Codable, Sendable, Equatable {
    /// Channels of a map.
    public var channelCount: Int
    /// Rows of the map that the network reads; deformed is the file itself.
    public var height: Int
    /// Columns of that map.
    public var width: Int
    /// Latent dimensions.
    public var latentCount = 16
    /// Steps of training.
    public var stepCount: Int
    /// Files that it was fitted to pairs of.
    public var itemCount: Int

    /// Places of the map that the network reads, at most: 64×64.
    private static let areaLimit = 4096.0

    /// What fits windows of a kind: a map of the same form.
    init(windowing: Windowing, channelCount: Int, stepCount: Int, itemCount: Int) {
        let area = Double(windowing.height * windowing.width)
        let scale = min(1, (Self.areaLimit / area).squareRoot())
        self.channelCount = channelCount
        height = max(1, Int(Double(windowing.height) * scale))
        width = max(1, Int(Double(windowing.width) * scale))
        self.stepCount = stepCount
        self.itemCount = itemCount
    }

    /// Values of a map.
    var elementCount: Int { channelCount * height * width }

    func validate() throws(LatentError) {
        guard (1...3).contains(channelCount), height >= 1, width >= 1,
            height.multipliedReportingOverflow(by: width).partialValue <= Int(Self.areaLimit),
            max(height, width) <= Int(Self.areaLimit), (1...256).contains(latentCount)
        else {
            throw LatentError(
                .model,
                "deformations of \(channelCount)×\(height)×\(width) in \(latentCount) dimensions")
        }
    }
}

/// A variational autoencoder of deformations: its latent says how one item becomes another of its class,
/// and not what either shows.
///
/// The encoder reads both, the decoder gives the ``Deformation`` that makes the first the second. No label
/// enters, so that what was seen in one class can be done to another. New items are real ones, deformed,
/// and as sharp as these.
///
/// Source: the idea of Hauberg et al., "Dreaming more data: class-dependent distributions over
/// diffeomorphisms for learned data augmentation", AISTATS 2016. Differs: one distribution for all
/// classes, a latent instead of a Gaussian of the deformations, and gains and strokes beside them.
final class DeformationNetwork {
    let configuration: DeformationConfiguration
    let parameters: Parameters
    private let first, second: (weight: Tensor, bias: Tensor)
    private let dense, statistics, hidden: Linear
    private let numbers: (weight: Tensor, bias: Tensor)

    private static let name = "deform"
    private static let widths = (first: 24, second: 32, dense: 128)

    /// Makes a network whose every deformation is none; on the processor, where all its operations can be
    /// repeated to the last bit.
    init(_ configuration: DeformationConfiguration, seed: UInt64) throws(TorchError) {
        self.configuration = configuration
        parameters = Parameters(
            device: .cpu, generator: Generator(seed: seed, Stream.deformation.rawValue))
        let root = parameters.root[Self.name]
        let encoder = root["encoder"]
        func convolution(
            _ name: String, inputs: Int, outputs: Int, side: Int
        ) throws(TorchError) -> (weight: Tensor, bias: Tensor) {
            let bound = 1 / Float(inputs * side * side).squareRoot()
            return (
                try encoder[name].uniform(
                    "weight", shape: [outputs, inputs, side, side], bound: bound),
                try encoder[name].uniform("bias", shape: [outputs], bound: bound)
            )
        }
        first = try convolution(
            "0", inputs: 2 * configuration.channelCount, outputs: Self.widths.first, side: 5)
        second = try convolution(
            "1", inputs: Self.widths.first, outputs: Self.widths.second, side: 3)
        // Each of the two halves a side, and rounds up.
        func quarter(_ side: Int) -> Int { (side + 3) / 4 }
        dense = try Linear(
            encoder["2"],
            inputs: Self.widths.second * quarter(configuration.height)
                * quarter(configuration.width), outputs: Self.widths.dense)
        statistics = try Linear(
            encoder["posterior"], inputs: Self.widths.dense, outputs: 2 * configuration.latentCount)
        let decoder = root["decoder"]
        hidden = try Linear(
            decoder["0"], inputs: configuration.latentCount, outputs: Self.widths.dense)
        let zeros = { (count: Int, _: inout Generator) in [Float](repeating: 0, count: count) }
        numbers = (
            try decoder["numbers"].parameter(
                "weight", shape: [Deformation.numberCount, Self.widths.dense], initial: zeros),
            try decoder["numbers"].parameter(
                "bias", shape: [Deformation.numberCount], initial: zeros)
        )
    }

    /// q(z|x, y) of maps [B, 2C, H, W], in which y follows x: what makes y of x.
    func posterior(of pairs: Tensor) throws(TorchError) -> (mean: Tensor, logVariance: Tensor) {
        let count = pairs.shape[0]
        let wide = try conv2d(
            pairs, weight: first.weight, bias: first.bias, stride: 2, padding: 2
        ).silu()
        let deep = try conv2d(
            wide, weight: second.weight, bias: second.bias, stride: 2, padding: 1
        ).silu()
        let both = try statistics(dense(deep.reshaped([count, -1])).silu())
        let half = configuration.latentCount
        return (
            try both.narrowed(axis: 1, start: 0, length: half),
            try both.narrowed(axis: 1, start: half, length: half).clamped(to: -8...4)
        )
    }

    /// The numbers [B, 96] of latents [B, D].
    func numbers(of z: Tensor) throws(TorchError) -> Tensor {
        try linear(hidden(z).silu(), weight: numbers.weight, bias: numbers.bias)
    }
}

// MARK: - The model file

extension DeformationNetwork {
    /// Whether a path of a model file is of deformations, not of the network that scores.
    static func owns(_ path: String) -> Bool { path.hasPrefix(name + ".") }

    /// All weights under their paths in a model file.
    func tensors() throws(TorchError) -> [String: HostTensor] { try parameters.values() }

    /// Takes the weights of a model file; nil where it has none.
    ///
    /// - Throws: ``LatentError`` with code `.model` when they do not fit together
    convenience init?(_ file: ModelFile) throws {
        guard let configuration = file.record.deformation else { return nil }
        guard configuration.channelCount == file.record.configuration.channelCount else {
            throw LatentError(
                .model, "the deformations are of other channels than the model",
                hint: "train the model again")
        }
        try self.init(configuration, seed: 0)
        do {
            try parameters.load(file.weights.filter { Self.owns($0.key) })
        } catch {
            throw LatentError(.model, error.message, hint: "train the model again")
        }
    }
}
