import Foundation
import Torch

/// A variational autoencoder: posterior q(z|x), decoder p(x|z), prior p(z); flat or hierarchical,
/// conditioned on labels or not.
///
/// Source: Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014.
public final class VAE {
    /// The shape of the model.
    public let configuration: VAEConfiguration
    /// The weights by path.
    public let parameters: Parameters
    /// The one log-scale of all elements that training found, for likelihoods that have one: log σ²
    /// of a Gaussian, log b of a Laplace.
    public var sharedLogScale = 0.0
    /// Numbers that products of inference are made of where windows are scored, on the CPU; where the
    /// processor has no units for bfloat16 they are of float32 whatever stands here.
    public var scoringPrecision = TrainingConfiguration.Precision.float32

    private let latents: any LatentStructure
    private let variance: VarianceNetwork?
    private let family: any LikelihoodFamily

    /// The paths of what the objective trains, and of what is fitted after it.
    static let boundPaths = ["encoder.", "decoder.", "prior."]
    static let variancePaths = ["variance."]

    /// Makes a model with initial weights.
    ///
    /// - Parameters:
    ///   - configuration: validated here
    ///   - device: where the weights live and the work is done
    ///   - seed: equal seeds give equal weights
    /// - Throws: ``LatentError`` when the configuration is impossible
    public convenience init(
        _ configuration: VAEConfiguration, device: Device, seed: UInt64
    ) throws {
        try configuration.validate()
        try self.init(
            configuration,
            Parameters(
                device: device, generator: Generator(seed: seed, Stream.weights.rawValue)))
    }

    /// A model of the same weights in memory, with gradients of its own, for another thread.
    func sharing() throws -> VAE {
        let model = try VAE(configuration, Parameters(sharing: parameters))
        (model.sharedLogScale, model.scoringPrecision) = (sharedLogScale, scoringPrecision)
        return model
    }

    private init(_ configuration: VAEConfiguration, _ parameters: Parameters) throws {
        self.configuration = configuration
        self.parameters = parameters
        family = configuration.likelihood.family
        latents = try configuration.objective.kind.objective(configuration.objective).latents(
            BuildingSite(configuration: configuration, root: parameters.root))
        variance =
            configuration.likelihood == .gaussianPerElement
            ? try VarianceNetwork(parameters.root["variance"], configuration) : nil
    }

    /// Where inputs have to be.
    public var device: Device { parameters.device }

    /// Standard normal numbers that one draw of z takes: latent dimensions of all layers.
    public var noiseCount: Int { latents.dimensionCount }

    /// Windows that the prior is made of, where it is, [K, C, H, W]; a parameter.
    var pseudoInputs: Tensor? { latents.pseudoInputs }

    /// Windows that go through the networks at once where files are drawn: those of a long recording are
    /// thousands.
    private static let rowLimit = 256

    /// So many rows in parts that go through the networks at once.
    static func parts(ofRows count: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: rowLimit).map { $0..<min($0 + rowLimit, count) }
    }

    /// Makes a batch tensor on the model's device from windows in row-major order.
    public func batch(_ values: [Float]) throws -> Tensor {
        try Tensor(
            values,
            shape: [values.count / configuration.elementCount]
                + configuration.windowShape
        ).to(device)
    }

    /// One-hot labels of a batch, [B, Y]; nil for a model without.
    public func condition(_ codes: [[Int]]) throws -> Tensor? {
        guard let conditioning = configuration.conditioning else { return nil }
        return try Tensor(
            conditioning.oneHot(codes), shape: [codes.count, conditioning.count]
        ).to(device)
    }

    /// One draw or several of z ~ q(z|x), decoded.
    struct Inference {
        /// The stochastic layers from the top.
        let layers: [LatentLayer]
        /// What the decoder gave, [B·L, K, H, W].
        let output: Tensor

        /// z of all layers, [B·L, D].
        var z: Tensor { get throws { try Tensor.concatenated(layers.map(\.z), axis: 1) } }

        /// KL(q ‖ p) of all layers in nats, [B·L].
        func divergence() throws -> Tensor { try total { try $0.divergence() } }

        /// log q(z|x) - log p(z) at the z drawn, [B·L].
        func logRatio() throws -> Tensor { try total { try $0.logRatio() } }

        private func total(_ figure: (LatentLayer) throws -> Tensor) throws -> Tensor {
            var sum = try figure(layers[0])
            for layer in layers.dropFirst() { sum = try sum + figure(layer) }
            return sum
        }
    }

    /// Draws z ~ q(z|x), L times for each window.
    ///
    /// - Parameters:
    ///   - x: [B, C, H, W] in 0…1
    ///   - condition: [B, Y], of a conditional model
    ///   - noise: [B·L, D], the draws of a window together
    ///   - drawCount: L
    ///   - change: how z departs from what the encoder says
    /// - Returns: the layers and the decoder's output, rows B·L
    /// - Throws: `TorchError` when the shapes do not fit
    func infer(
        _ x: Tensor, condition: Tensor? = nil, noise: Tensor, drawCount: Int = 1,
        change: InferenceChange = .init()
    ) throws -> Inference {
        try infer(
            latents.features(of: x), condition: condition, noise: noise, drawCount: drawCount,
            change: change, through: latents)
    }

    private func infer(
        _ features: [Tensor], condition: Tensor?, noise: Tensor, drawCount: Int,
        change: InferenceChange, through latents: any LatentStructure
    ) throws -> Inference {
        let (layers, output) = try latents.infer(
            features, condition: condition, noise: noise, drawCount: drawCount, change: change)
        return Inference(layers: layers, output: try output.widened())
    }

    /// z of windows: means of q(z|x), or draws where noise is given, [B, D].
    ///
    /// Of a hierarchical model each layer's mean is that given the means above it.
    public func latents(
        of x: Tensor, condition: Tensor? = nil, noise: Tensor? = nil
    ) throws -> Tensor {
        let drawn =
            try noise ?? Tensor.zeros(shape: [x.shape[0], noiseCount], device: device)
        return try latents.latents(
            latents.features(of: x), condition: condition, noise: drawn)
    }

    /// q(z|x) of windows, of a hierarchical model that of the top layer, [B, D].
    func topPosterior(of x: Tensor, condition: Tensor?) throws -> Posterior {
        try latents.topPosterior(latents.features(of: x), condition: condition)
    }

    /// z ~ p(z): from standard normal noise [N, D] and uniform numbers in 0…1, [N].
    public func priorLatents(
        noise: Tensor, choices: [Float], condition: Tensor? = nil
    ) throws -> Tensor {
        try latents.prior(noise: noise, choices: choices, condition: condition)
    }

    /// z with its top layer as given and the layers below drawn from their priors by noise [N, D], or
    /// at their means without, [N, D].
    func latents(
        below z: Tensor, noise: Tensor? = nil, condition: Tensor? = nil
    ) throws -> Tensor {
        try latents.completed(z, noise: noise, condition: condition)
    }

    /// p(x|z): [N, D] → distribution over [N, C, H, W].
    public func decode(_ z: Tensor, condition: Tensor? = nil) throws -> any Likelihood {
        try likelihood(of: latents.output(of: z, condition: condition), z: z)
    }

    /// The distribution of what the decoder gave, at the scale that training found.
    func likelihood(of output: Tensor, z: Tensor) throws -> any Likelihood {
        if let variance {
            return Gaussian(mean: output, logVariance: try variance(z) + sharedLogScale)
        }
        return try family.distribution(
            of: output, logScale: Tensor.full(sharedLogScale, shape: [], device: device))
    }

    /// The distribution of what the decoder gave, at the scale that is best for this batch.
    ///
    /// - Parameters:
    ///   - output: of the decoder, [N, K, H, W]
    ///   - x: [N, C, H, W]
    ///   - mean: over all elements of the batch, which may be divided among processes
    /// - Returns: p(x|z) of each row
    /// - Throws: what `mean` throws; `TorchError` when the shapes do not fit
    func optimalLikelihood(
        of output: Tensor, for x: Tensor, mean: (Tensor) throws -> Double
    ) throws -> any Likelihood {
        guard family.hasSharedScale else {
            return try family.distribution(of: output, logScale: Tensor.zeros(shape: []))
        }
        let error = try withoutGradients { try mean(family.scaleError(of: output, at: x)) }
        return try family.distribution(
            of: output,
            logScale: Tensor.full(
                log(max(error, family.scaleFloor)), shape: [], device: device))
    }

    /// Estimates the reconstruction probability E[log p(x|z)] under q(z|x) of each window, and the
    /// bounds of log p(x).
    ///
    /// - Parameters:
    ///   - x: [B, C, H, W]
    ///   - condition: [B, Y], of a conditional model
    ///   - drawCount: L; the standard error falls as 1/√L
    ///   - noise: gives standard normal numbers [draws, D] for a window of the batch and some of its
    ///     draws; called for a chunk of draws at a time
    /// - Returns: figures of each window, on the host
    /// - Throws: `TorchError` when the shapes do not fit
    /// - Complexity: L decoder passes, one encoder pass; memory grows with a chunk of draws, not with L
    ///
    /// Source: An & Cho, "Variational autoencoder based anomaly detection using reconstruction
    /// probability", SNUDM-TR-2015-03, algorithm 4. The mean of logarithms, as on page 8 there;
    /// all constants of the density are kept, so that the value is in nats.
    public func statistics(
        of x: Tensor, condition: Tensor? = nil, drawCount: Int,
        noise: (_ window: Int, _ draws: Range<Int>) -> [Float]
    ) throws -> Statistics {
        try statistics(
            of: x, condition: condition, drawCount: drawCount, change: .init(), noise: noise)
    }

    /// The same where z departs from what the encoder says.
    func statistics(
        of x: Tensor, condition: Tensor?, drawCount: Int, change: InferenceChange,
        noise: (_ window: Int, _ draws: Range<Int>) -> [Float]
    ) throws -> Statistics {
        try withoutGradients {
            let batch = x.shape[0]
            var draws = [Statistics.Draws](repeating: .init(), count: batch)
            let settled = try latents.settled()
            let features = try withScoringPrecision { try settled.features(of: x) }
            var posteriorMean = x
            var reconstructed: Tensor?
            // Draws are decoded in chunks, so that L may be thousands.
            let chunk = max(1, min(drawCount, Self.decodedElementLimit / max(1, x.count)))
            for start in stride(from: 0, to: drawCount, by: chunk) {
                let count = min(chunk, drawCount - start)
                var part: [Float] = []
                part.reserveCapacity(batch * count * noiseCount)
                for window in 0..<batch { part += noise(window, start..<start + count) }
                let drawn = try Tensor(part, shape: [batch * count, noiseCount]).to(device)
                let inference = try withScoringPrecision {
                    try infer(
                        features, condition: condition, noise: drawn, drawCount: count,
                        change: change, through: settled)
                }
                let repeated = try x.repeatedInterleaved(count)
                let likelihood = try likelihood(of: inference.output, z: inference.z)
                let logs = try likelihood.logProbability(of: repeated).floats()
                let means = try likelihood.mean
                let errors = try (repeated - means).squared()
                    .reshaped([batch * count, -1]).mean(axes: [1]).floats()
                if start == 0 {
                    posteriorMean = try inference.layers[0].posterior.mean
                        .reshaped([batch, count, -1]).narrowed(axis: 1, start: 0, length: 1)
                        .reshaped([batch, -1])
                }
                let sum = try means.reshaped([batch, count, -1]).sum(axes: [1])
                reconstructed = try reconstructed.map { try $0 + sum } ?? sum
                let divergences = try inference.divergence().floats()
                let ratios = try inference.logRatio().floats()
                for index in 0..<batch * count {
                    draws[index / count].append(
                        logProbability: logs[index], divergence: divergences[index],
                        squaredError: errors[index], logRatio: ratios[index])
                }
            }
            return Statistics(
                draws: draws, posteriorMean: posteriorMean,
                reconstructed: try (reconstructed ?? x.reshaped([batch, -1]))
                    * (1 / Double(drawCount)))
        }
    }

    /// The evidence lower bound of each window in nats, [B], a mean over L draws; gradients flow to
    /// what `change` shifts the posterior by.
    func lowerBound(
        of x: Tensor, condition: Tensor?, noise: Tensor, drawCount: Int, change: InferenceChange
    ) throws -> Tensor {
        let inference = try withScoringPrecision {
            try infer(
                x, condition: condition, noise: noise, drawCount: drawCount, change: change)
        }
        let logs = try likelihood(of: inference.output, z: inference.z)
            .logProbability(of: x.repeatedInterleaved(drawCount))
        return try (logs - inference.divergence()).reshaped([-1, drawCount]).mean(axes: [1])
    }

    private func withScoringPrecision<Result>(_ body: () throws -> Result) rethrows -> Result {
        try withBFloat16(
            scoringPrecision == .bfloat16 && device == .cpu && Runtime.multipliesBFloat16, body)
    }

    /// Runs a closure in which no gradients of the weights are recorded.
    func withFixedWeights<Result>(_ body: () throws -> Result) throws -> Result {
        for entry in parameters.entries { try entry.tensor.requireGradient(false) }
        defer { for entry in parameters.entries { try? entry.tensor.requireGradient() } }
        return try body()
    }

    /// Elements that are decoded at once: 262,144 floats are 1 MB per activation, which stays in a cache.
    private static let decodedElementLimit = 1 << 18
}

/// log Σ exp, without overflow.
func logSumExp(_ values: [Double]) -> Double {
    guard let largest = values.max(), largest.isFinite else { return values.max() ?? -.infinity }
    return largest + log(values.reduce(0) { $0 + exp($1 - largest) })
}
