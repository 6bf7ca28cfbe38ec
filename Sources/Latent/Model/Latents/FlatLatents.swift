import Torch

/// One stochastic layer: encoder → q(z|x), z → decoder.
///
/// With labels, the encoder's features and z are joined by one-hot vectors; a hidden layer lets the
/// posterior take out of the features what the label says already.
struct FlatLatents: LatentStructure {
    private let encoder: any EncoderNetwork
    private let head: PosteriorHead
    private let decoder: any DecoderNetwork
    private var prior: any LatentPrior
    private let labelPrior: LabelPrior?
    let dimensionCount: Int

    /// Makes latents whose prior is N(0, I), or a mixture for each label where there are labels and
    /// the objective has a use for it.
    init(
        _ site: BuildingSite, isDeterministic: Bool = false, hasLabelPrior: Bool = true
    ) throws {
        try self.init(site, isDeterministic: isDeterministic, hasLabelPrior: hasLabelPrior) { _ in
            StandardNormal()
        }
    }

    /// Makes encoder and decoder, and the prior from the encoder of windows without labels.
    init(
        _ site: BuildingSite, isDeterministic: Bool = false, hasLabelPrior: Bool = false,
        prior: (_ encode: @escaping (Tensor) throws -> Posterior) throws -> any LatentPrior
    ) throws {
        let configuration = site.configuration
        let network = configuration.architecture.network
        let encoder = try network.encoder(
            site.root["encoder"], window: configuration.window, widths: configuration.widths)
        let head = try PosteriorHead(
            site.root["encoder"], featureCount: encoder.featureCount,
            conditionCount: configuration.conditionCount,
            latentCount: configuration.latentCount, isPoint: isDeterministic)
        decoder = try network.decoder(
            site.root["decoder"],
            inputCount: configuration.latentCount + configuration.conditionCount,
            window: configuration.outputShape, widths: configuration.widths)
        labelPrior = hasLabelPrior ? try LabelPrior(site, count: configuration.latentCount) : nil
        self.prior = try prior { try head(encoder($0 * 2 - 1), condition: nil) }
        self.encoder = encoder
        self.head = head
        dimensionCount = configuration.latentCount
    }

    func features(of x: Tensor) throws -> [Tensor] {
        // Centred input: values are 0…1.
        [try encoder(x * 2 - 1)]
    }

    func infer(
        _ features: [Tensor], condition: Tensor?, noise: Tensor, drawCount: Int,
        change: InferenceChange
    ) throws -> (layers: [LatentLayer], output: Tensor) {
        let posterior = try change.applied(
            to: topPosterior(features, condition: condition), at: 0..<dimensionCount)
        let z = try posterior.sample(noise: noise, drawCount: drawCount)
        let repeated = try condition.map {
            drawCount > 1 ? try $0.repeatedInterleaved(drawCount) : $0
        }
        let layer = LatentLayer(
            posterior: try posterior.repeated(drawCount), z: z, prior: try prior(repeated))
        return ([layer], try output(of: z, condition: repeated))
    }

    func topPosterior(_ features: [Tensor], condition: Tensor?) throws -> Posterior {
        try head(features[0], condition: condition)
    }

    func latents(_ features: [Tensor], condition: Tensor?, noise: Tensor) throws -> Tensor {
        try topPosterior(features, condition: condition).sample(noise: noise)
    }

    private func prior(_ condition: Tensor?) throws -> any LatentPrior {
        guard let labelPrior, let condition else { return prior }
        return try labelPrior(condition)
    }

    func output(of z: Tensor, condition: Tensor?) throws -> Tensor {
        try decoder(condition.map { try Tensor.concatenated([z, $0], axis: 1) } ?? z)
    }

    func prior(noise: Tensor, choices: [Float], condition: Tensor?) throws -> Tensor {
        try prior(condition).sample(noise: noise, choices: choices)
    }

    func settled() throws -> any LatentStructure {
        var settled = self
        if let prior = prior as? VampPrior { settled.prior = try prior.settled() }
        return settled
    }

    var pseudoInputs: Tensor? { (prior as? VampPrior)?.pseudoInputs }
}

/// Features → the parameters of a Gaussian over z.
struct PosteriorHead {
    private let hidden: Linear?
    private let output: Linear
    private let latentCount: Int
    private let conditionCount: Int
    private let isPoint: Bool

    private static let hiddenWidth = 256

    init(
        _ scope: Parameters.Scope, featureCount: Int, conditionCount: Int, latentCount: Int,
        isPoint: Bool
    ) throws {
        hidden =
            conditionCount > 0
            ? try Linear(
                scope["condition"], inputs: featureCount + conditionCount,
                outputs: Self.hiddenWidth) : nil
        output = try Linear(
            scope["posterior"], inputs: hidden == nil ? featureCount : Self.hiddenWidth,
            outputs: isPoint ? latentCount : 2 * latentCount)
        self.latentCount = latentCount
        self.conditionCount = conditionCount
        self.isPoint = isPoint
    }

    /// [B, F] and labels [B, Y] → q over [B, D]; without labels, those of none.
    func callAsFunction(_ features: Tensor, condition: Tensor?) throws -> Posterior {
        var h = features
        if let hidden {
            let labels =
                try condition
                ?? Tensor.zeros(
                    shape: [features.shape[0], conditionCount], device: features.device)
            h = try hidden(Tensor.concatenated([h, labels], axis: 1)).silu()
        }
        let parameters = try output(h).widened()  // [B, 2D]
        if isPoint { return Posterior(mean: parameters, logVariance: parameters, isPoint: true) }
        return try Posterior(splitting: parameters, axis: 1, count: latentCount)
    }
}

extension Posterior {
    /// Means and log-variances that stand one after the other on an axis.
    init(splitting parameters: Tensor, axis: Int, count: Int) throws {
        self.init(
            mean: try parameters.narrowed(axis: axis, start: 0, length: count),
            logVariance: try parameters.narrowed(axis: axis, start: count, length: count)
                .clamped(to: Self.logVarianceRange))
    }
}
