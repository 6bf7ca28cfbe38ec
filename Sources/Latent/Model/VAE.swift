import Foundation
import Torch

/// A variational autoencoder: encoder q(z|x), decoder p(x|z), prior N(0, I).
///
/// Source: Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014.
public final class VAE {
    /// The shape of the model.
    public let configuration: VAEConfiguration
    /// The weights by path.
    public let parameters: Parameters
    /// log σ² of the Gaussian with one variance: what training found; in nats.
    public var sharedLogVariance = 0.0

    private let encoder: EncoderNetwork
    private let decoder: DecoderNetwork
    private let variance: VarianceNetwork?

    /// The paths of what the evidence lower bound trains, and of what is fitted after it.
    static let boundPaths = ["encoder.", "decoder."]
    static let variancePaths = ["variance."]

    /// Makes a model with initial weights.
    ///
    /// - Parameters:
    ///   - configuration: validated here
    ///   - device: where the weights live and the work is done
    ///   - seed: equal seeds give equal weights
    /// - Throws: ``LatentError`` when the configuration is impossible
    public init(_ configuration: VAEConfiguration, device: Device, seed: UInt64) throws {
        try configuration.validate()
        self.configuration = configuration
        parameters = Parameters(
            device: device, generator: Generator(seed: seed, Stream.weights.rawValue))
        encoder = try EncoderNetwork(parameters.root["encoder"], configuration)
        decoder = try DecoderNetwork(parameters.root["decoder"], configuration)
        variance =
            configuration.likelihood == .gaussianPerElement
            ? try VarianceNetwork(parameters.root["variance"], configuration) : nil
    }

    /// Where inputs have to be.
    public var device: Device { parameters.device }

    /// Makes a batch tensor on the model's device from windows in row-major order.
    public func batch(_ values: [Float]) throws -> Tensor {
        try Tensor(
            values,
            shape: [values.count / configuration.elementCount]
                + configuration.windowShape
        ).to(device)
    }

    /// q(z|x): [B, C, H, W] in 0…1 → Gaussian over [B, D].
    public func encode(_ x: Tensor) throws -> Posterior { try encoder(x) }

    /// p(x|z): [B, D] → distribution over [B, C, H, W].
    public func decode(_ z: Tensor) throws -> Likelihood {
        let output = try decoder(z)
        switch configuration.likelihood {
        case .bernoulli:
            return .bernoulli(logits: output)
        case .gaussian, .gaussianPerElement:
            if let variance {
                return .gaussian(mean: output, logVariance: try variance(z) + sharedLogVariance)
            }
            return .gaussian(
                mean: output,
                logVariance: try Tensor.full(sharedLogVariance, shape: [], device: device))
        }
    }

    /// The two halves of the evidence lower bound of each window, one draw of z.
    ///
    /// A Gaussian takes the variance that is best for this batch, not the stored one.
    ///
    /// - Parameters:
    ///   - x: [B, C, H, W]
    ///   - noise: [B, D]
    /// - Returns: E[log p(x|z)] and KL of each window, [B] in nats, and the mean squared error
    /// - Throws: `TorchError` when the shapes do not fit
    func bound(of x: Tensor, noise: Tensor) throws -> (
        reconstruction: Tensor, klDivergence: Tensor, squaredError: Tensor
    ) {
        let posterior = try encode(x)
        let output = try decoder(posterior.sample(noise: noise))
        let likelihood: Likelihood =
            configuration.likelihood == .bernoulli
            ? .bernoulli(logits: output)
            : try .optimalGaussian(mean: output, for: x)
        let squaredError = try withoutGradients { try (x - likelihood.mean).squared().mean() }
        return (
            try likelihood.logProbability(of: x), try posterior.klDivergence(), squaredError
        )
    }

    /// What L draws say of each window of a batch.
    public struct Statistics {
        /// Mean over the draws of log p(x|z), in nats, [B]: the reconstruction probability.
        public let reconstruction: [Double]
        /// KL(q(z|x) ‖ p(z)) in nats, [B].
        public let klDivergence: [Double]
        /// Mean over draws and elements of (x - E[x|z])², [B].
        public let meanSquaredError: [Double]
    }

    /// Estimates the reconstruction probability E[log p(x|z)] under q(z|x) of each window.
    ///
    /// - Parameters:
    ///   - x: [B, C, H, W]
    ///   - drawCount: L; the standard error falls as 1/√L
    ///   - noise: gives standard normal numbers [draws, D] for a window of the batch and some of its
    ///     draws; called for a chunk of draws at a time
    /// - Returns: figures of each window, on the host
    /// - Throws: `TorchError` when the shapes do not fit
    /// - Complexity: one encoder pass, L decoder passes; memory grows with a chunk of draws, not L
    ///
    /// Source: An & Cho, "Variational autoencoder based anomaly detection using reconstruction
    /// probability", SNUDM-TR-2015-03, algorithm 4. The mean of logarithms, as on page 8 there;
    /// all constants of the density are kept, so that the value is in nats.
    public func statistics(
        of x: Tensor, drawCount: Int, noise: (_ window: Int, _ draws: Range<Int>) -> [Float]
    ) throws -> Statistics {
        try withoutGradients {
            let batch = x.shape[0]
            let latent = configuration.latentCount
            let posterior = try encode(x)
            var reconstruction = [Double](repeating: 0, count: batch)
            var squaredError = [Double](repeating: 0, count: batch)
            // Draws are decoded in chunks, so that L may be thousands.
            let chunk = max(1, min(drawCount, Self.decodedElementLimit / max(1, x.count)))
            for start in stride(from: 0, to: drawCount, by: chunk) {
                let count = min(chunk, drawCount - start)
                var part: [Float] = []
                part.reserveCapacity(batch * count * latent)
                for window in 0..<batch { part += noise(window, start..<start + count) }
                let z = try posterior.sample(
                    noise: Tensor(part, shape: [batch * count, latent]).to(device),
                    drawCount: count)
                let repeated = try x.repeatedInterleaved(count)
                let likelihood = try decode(z)
                let logs = try likelihood.logProbability(of: repeated).floats()
                let errors = try (repeated - likelihood.mean).squared()
                    .reshaped([batch * count, -1]).mean(axes: [1]).floats()
                for index in 0..<batch * count {
                    reconstruction[index / count] += Double(logs[index])
                    squaredError[index / count] += Double(errors[index])
                }
            }
            let draws = Double(drawCount)
            return Statistics(
                reconstruction: reconstruction.map { $0 / draws },
                klDivergence: try posterior.klDivergence().floats().map(Double.init),
                meanSquaredError: squaredError.map { $0 / draws })
        }
    }

    /// Elements that are decoded at once: 4 million floats are 16 MB per activation.
    private static let decodedElementLimit = 1 << 20
}

/// What random numbers are for; keeps the streams of one seed apart.
enum Stream: UInt64 {
    case weights = 1
    case split, order, trainingNoise, heldOutNoise, scoring, augmentation, parents, phases
}
