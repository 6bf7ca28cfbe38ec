import Torch

/// x → features → (mean, log-variance) of the posterior.
struct EncoderNetwork {
    private let configuration: VAEConfiguration
    private var convolutions: [HalvingConvolution] = []
    private var hidden: [Linear] = []
    private let output: Linear

    init(_ scope: Parameters.Scope, _ configuration: VAEConfiguration) throws {
        self.configuration = configuration
        var inputs: Int
        switch configuration.architecture {
        case .conv:
            inputs = configuration.channelCount
            for (index, width) in configuration.widths.enumerated() {
                convolutions.append(
                    try HalvingConvolution(scope["\(index)"], inputs: inputs, outputs: width))
                inputs = width
            }
            inputs *= configuration.innerHeight * configuration.innerWidth
        case .mlp:
            inputs = configuration.elementCount
            for (index, width) in configuration.widths.enumerated() {
                hidden.append(try Linear(scope["\(index)"], inputs: inputs, outputs: width))
                inputs = width
            }
        }
        output = try Linear(
            scope["posterior"], inputs: inputs, outputs: 2 * configuration.latentCount)
    }

    /// [B, C, H, W] → q(z|x) over [B, D].
    func callAsFunction(_ x: Tensor) throws -> Posterior {
        // Centred input: values are 0…1.
        var h = try x * 2 - 1
        for layer in convolutions { h = try layer(h).relu() }  // [B, width, H/2, W/2] …
        h = try h.reshaped([x.shape[0], -1])
        for layer in hidden { h = try layer(h).silu() }  // [B, width]
        let parameters = try output(h)  // [B, 2D]
        let count = configuration.latentCount
        return Posterior(
            mean: try parameters.narrowed(axis: 1, start: 0, length: count),
            logVariance: try parameters.narrowed(axis: 1, start: count, length: count)
                .clamped(to: Posterior.logVarianceRange))
    }
}

/// z → one number per element: logits of a Bernoulli or the mean of a Gaussian.
struct DecoderNetwork {
    private let configuration: VAEConfiguration
    private var hidden: [Linear] = []
    private var deconvolutions: [DoublingConvolution] = []

    init(_ scope: Parameters.Scope, _ configuration: VAEConfiguration) throws {
        self.configuration = configuration
        let widths = Array(configuration.widths.reversed())
        switch configuration.architecture {
        case .conv:
            let area = configuration.innerHeight * configuration.innerWidth
            hidden = [
                try Linear(
                    scope["0"], inputs: configuration.latentCount, outputs: widths[0] * area)
            ]
            for (index, width) in widths.enumerated() {
                let outputs =
                    index + 1 < widths.count ? widths[index + 1] : configuration.channelCount
                deconvolutions.append(
                    try DoublingConvolution(scope["\(index + 1)"], inputs: width, outputs: outputs))
            }
        case .mlp:
            var inputs = configuration.latentCount
            for (index, width) in (widths + [configuration.elementCount]).enumerated() {
                hidden.append(try Linear(scope["\(index)"], inputs: inputs, outputs: width))
                inputs = width
            }
        }
    }

    /// [B, D] → [B, C, H, W].
    func callAsFunction(_ z: Tensor) throws -> Tensor {
        let batch = z.shape[0]
        switch configuration.architecture {
        case .conv:
            var h = try hidden[0](z).relu()
            h = try h.reshaped([
                batch, -1, configuration.innerHeight, configuration.innerWidth,
            ])
            for (index, layer) in deconvolutions.enumerated() {
                h = try layer(h)  // [B, width, 2H, 2W] …
                if index + 1 < deconvolutions.count { h = try h.relu() }
            }
            return h
        case .mlp:
            var h = z
            for (index, layer) in hidden.enumerated() {
                h = try layer(h)
                if index + 1 < hidden.count { h = try h.silu() }
            }
            return try h.reshaped([batch] + configuration.windowShape)
        }
    }
}

/// z → log of the ratio between each element's variance and the shared one, in -3…3.
///
/// The bound is what keeps a Gaussian with free variances from collapsing onto constant pixels.
/// Source: Skafte Detlefsen, Jørgensen & Hauberg, "Reliable training and estimation of variance
/// networks", NeurIPS 2019 (mean first, variance after); Rybkin et al. 2021 (bounded variance).
struct VarianceNetwork {
    private let configuration: VAEConfiguration
    private let hidden: Linear
    private let output: Linear

    static let bound = 3.0

    init(_ scope: Parameters.Scope, _ configuration: VAEConfiguration) throws {
        self.configuration = configuration
        hidden = try Linear(scope["0"], inputs: configuration.latentCount, outputs: 128)
        output = try Linear(scope["1"], inputs: 128, outputs: configuration.elementCount)
    }

    /// [B, D] → [B, C, H, W].
    func callAsFunction(_ z: Tensor) throws -> Tensor {
        let logits = try output(hidden(z).silu())
        let ratio = try logits.sigmoid() * (2 * Self.bound) - Self.bound
        return try ratio.reshaped([z.shape[0]] + configuration.windowShape)
    }
}

extension VAEConfiguration {
    /// Height after all convolutions.
    var innerHeight: Int { height >> widths.count }
    /// Width after all convolutions.
    var innerWidth: Int { width >> widths.count }

    /// About the bytes that a training step takes: activations with their gradients, and the weights
    /// with gradients, moments and copies.
    func stepByteCount(batchSize: Int) -> Double {
        var activations = Double(8 * elementCount)
        for (index, width) in widths.enumerated() {
            let area =
                architecture == .conv ? (height >> (index + 1)) * (self.width >> (index + 1)) : 1
            activations += Double(6 * width * area)
        }
        return 4 * (Double(batchSize) * activations + 6 * Double(largestLayerCount))
    }

    /// Weights of the largest layer, at least: a file with fewer is refused before a network is
    /// allocated for it.
    var largestLayerCount: Int {
        let isConv = architecture == .conv
        let outer = (isConv ? channelCount : elementCount) * (widths.first ?? 0)
        let inner = (widths.last ?? 0) * (isConv ? innerHeight * innerWidth : 1) * latentCount
        let variance = likelihood == .gaussianPerElement ? 128 * elementCount : 0
        return (zip(widths, widths.dropFirst()).map { $0 * $1 } + [outer, inner, variance]).max()
            ?? 0
    }
}
