import Torch

/// A variational autoencoder of deformations: its latent says how one item becomes another of its class,
/// and not what either shows.
///
/// The encoder reads both, the decoder gives the ``Deformation`` that makes the first the second. No label
/// enters, so that what was seen in one class can be done to another. What it has learned is kept as a
/// ``DeformationDistribution``.
final class DeformationNetwork {
    let configuration: DeformationConfiguration
    let latentCount: Int
    let parameters: Parameters
    private let first, second: (weight: Tensor, bias: Tensor)
    private let dense, statistics, hidden: Linear
    private let numbers: (weight: Tensor, bias: Tensor)

    private static let widths = (first: 24, second: 32, dense: 128)

    /// Makes a network whose every deformation is none; on the processor, where all its operations can be
    /// repeated to the last bit.
    init(
        _ configuration: DeformationConfiguration, latentCount: Int = 16, seed: UInt64
    ) throws(TorchError) {
        self.configuration = configuration
        self.latentCount = latentCount
        parameters = Parameters(
            device: .cpu, generator: Generator(seed: seed, Stream.deformation.rawValue))
        let encoder = parameters.root["encoder"]
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
            encoder["posterior"], inputs: Self.widths.dense, outputs: 2 * latentCount)
        let decoder = parameters.root["decoder"]
        hidden = try Linear(decoder["0"], inputs: latentCount, outputs: Self.widths.dense)
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
        let half = latentCount
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
