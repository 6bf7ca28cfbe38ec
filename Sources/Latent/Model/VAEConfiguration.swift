/// Everything that fixes the shape of a ``VAE``: what it reads, its networks, its latents, its
/// likelihood and the objective that it is fitted by.
public struct VAEConfiguration: Codable, Sendable, Equatable {
    /// Channels of a window: 1 (grey, log-mel) or 3 (RGB).
    public var channelCount: Int
    /// Height of a window, in pixels or mel bins.
    public var height: Int
    /// Width of a window, in pixels or frames.
    public var width: Int
    /// The kind of network.
    public var architecture: Architecture
    /// Channels of the convolutions, or widths of the hidden layers, from the input inwards.
    public var widths: [Int]
    /// Number of latent dimensions, D; of a hierarchical model those of the top layer.
    public var latentCount: Int
    /// Stochastic layers: 1 for a flat model, 2 to 5 for a hierarchical one.
    public var layerCount = 1
    /// Channels of the latents below the top one, which are maps.
    public var mapChannelCount = 4
    /// The distribution p(x|z).
    public var likelihood: LikelihoodKind
    /// What training minimises.
    public var objective = ObjectiveConfiguration(.vae)
    /// The labels that encoder and decoder are told; nil for none.
    public var conditioning: Conditioning?

    /// Makes the configuration of a flat, unconditional VAE.
    public init(
        channelCount: Int, height: Int, width: Int, architecture: Architecture, widths: [Int],
        latentCount: Int, likelihood: LikelihoodKind
    ) {
        self.channelCount = channelCount
        self.height = height
        self.width = width
        self.architecture = architecture
        self.widths = widths
        self.latentCount = latentCount
        self.likelihood = likelihood
    }

    /// The shape of one window, [C, H, W].
    public var windowShape: [Int] { window.extents }

    /// Elements of one window.
    public var elementCount: Int { window.elementCount }

    var window: WindowShape {
        WindowShape(channelCount: channelCount, height: height, width: width)
    }

    /// What the decoder gives for a window.
    var outputShape: WindowShape {
        var shape = window
        shape.channelCount = likelihood.family.outputChannelCount(of: channelCount)
        return shape
    }

    /// Length of the labels as one-hot vectors, 0 without them.
    var conditionCount: Int { conditioning?.count ?? 0 }

    /// Values of a window, at most: 256 MB.
    private static let elementLimit = 1 << 26

    /// Checks what a file or a flag may have got wrong.
    ///
    /// - Throws: ``LatentError`` with code `.usage`, expected against found
    public func validate() throws(LatentError) {
        guard (1...64).contains(channelCount) else {
            throw LatentError(.usage, "\(channelCount) channels; expected 1 to 64")
        }
        guard likelihood != .logisticMixture || channelCount == 1 || channelCount == 3 else {
            throw LatentError(
                .usage, "a logistic mixture of \(channelCount) channels; expected 1 or 3",
                hint: "use --view pixels or another --likelihood")
        }
        guard (1...4096).contains(height), (1...4096).contains(width) else {
            throw LatentError(.usage, "window of \(height)×\(width); sides must be 1 to 4096")
        }
        guard elementCount <= Self.elementLimit else {
            throw LatentError(
                .usage,
                "a window of \(channelCount)×\(height)×\(width) has \(elementCount) values; at most "
                    + "\(Self.elementLimit) are read at once", hint: "use a smaller --size")
        }
        guard (1...4096).contains(latentCount) else {
            throw LatentError(.usage, "\(latentCount) latent dimensions; expected 1 to 4096")
        }
        guard (1...12).contains(widths.count), widths.allSatisfy({ (1...65536).contains($0) })
        else {
            throw LatentError(
                .usage, "layer widths \(widths); expected 1 to 12 numbers of 1 to 65536")
        }
        let multiple = architecture.network.sideMultiple(widths: widths)
        let heightMultiple = architecture.network.halvesHeight ? multiple : 1
        guard height % heightMultiple == 0, width % multiple == 0 else {
            throw LatentError(
                .usage,
                "a window of \(height)×\(width) cannot be halved \(widths.count) times",
                hint: "choose sides divisible by \(multiple), fewer --channels, or "
                    + "--architecture mlp")
        }
        try objective.validate()
        try conditioning?.validate()
        try validateLatents()
    }

    private func validateLatents() throws(LatentError) {
        guard (1...5).contains(layerCount) else {
            throw LatentError(.usage, "\(layerCount) stochastic layers; expected 1 to 5")
        }
        guard (1...1024).contains(mapChannelCount) else {
            throw LatentError(
                .usage, "\(mapChannelCount) channels of latent maps; expected 1 to 1024")
        }
        guard layerCount > 1 else { return }
        guard architecture == .resnet else {
            throw LatentError(
                .usage, "a hierarchical model with --architecture \(architecture.rawValue)",
                hint: "hierarchical models have residual networks: use --architecture resnet")
        }
        guard objective.kind.objective(objective).allowsHierarchy else {
            throw LatentError(
                .usage,
                "--objective \(objective.kind.rawValue) with \(layerCount) stochastic layers",
                hint: "it is defined for one; leave --layers out, or use --objective vae")
        }
        guard likelihood != .gaussianPerElement else {
            throw LatentError(
                .usage, "--likelihood gaussian-per-element with \(layerCount) stochastic layers",
                hint: "its variances are fitted to flat latents; use --likelihood gaussian")
        }
    }

    // MARK: Sizes, before anything is made

    private var layerSizes: [LayerSize] {
        var sizes = architecture.network.layers(
            window: window, latentCount: latentCount + conditionCount, widths: widths)
        if layerCount > 1 {
            for index in sizes.indices { sizes[index].activationCount *= 2 }
        }
        if likelihood == .gaussianPerElement {
            sizes.append(
                LayerSize(weightCount: 128 * elementCount, activationCount: elementCount))
        }
        if objective.kind == .vamp {
            sizes.append(
                LayerSize(
                    weightCount: objective.componentCount * elementCount, activationCount: 0))
        }
        return sizes
    }

    /// About the bytes that a training step takes: activations with their gradients, and the weights
    /// with gradients, moments and copies.
    func stepByteCount(batchSize: Int) -> Double {
        let sizes = layerSizes
        let activations = sizes.reduce(Double(8 * outputShape.elementCount)) {
            $0 + Double($1.activationCount)
        }
        let weights = sizes.reduce(0.0) { $0 + Double($1.weightCount) }
        let draws = Double(objective.kind.objective(objective).drawCount)
        return 4 * (Double(batchSize) * draws * activations + 12 * weights)
    }

    /// Weights of the largest layer, at least: a file with fewer is refused before a network is
    /// allocated for it.
    var largestLayerCount: Int { layerSizes.map(\.weightCount).max() ?? 0 }

    /// About the number of weights.
    var weightCount: Int { 2 * layerSizes.reduce(0) { $0 + $1.weightCount } }
}
