import Foundation
import Torch

/// The families of p(x|z).
public enum LikelihoodKind: String, Codable, Sendable, CaseIterable {
    /// Independent Bernoulli per element; the values 0…1 are taken as probabilities.
    case bernoulli
    /// Gaussian with one variance for all elements, at its optimum: the σ-VAE.
    case gaussian
    /// Gaussian with a variance for each element, fitted after encoder and mean are done.
    case gaussianPerElement = "gaussian-per-element"
}

/// p(x|z) for a batch of latents: what the decoder gives.
public enum Likelihood {
    /// Logits, [B, C, H, W].
    case bernoulli(logits: Tensor)
    /// Mean [B, C, H, W], and log σ² of the same shape or a single number for all.
    case gaussian(mean: Tensor, logVariance: Tensor)

    /// Below this a variance says more of quantisation than of the data: (1/255)²/2.
    static let varianceFloor = 7.7e-6

    /// E[x|z], [B, C, H, W]: probabilities of a Bernoulli, the mean of a Gaussian.
    public var mean: Tensor {
        get throws {
            switch self {
            case .bernoulli(let logits): try logits.sigmoid()
            case .gaussian(let mean, _): mean
            }
        }
    }

    /// log p(x|z) of each window in nats, with all constants, [B].
    ///
    /// A Bernoulli is a distribution of 0 and 1; for values between them this is the customary
    /// cross-entropy, not a normalised density.
    ///
    /// - Parameter x: [B, C, H, W] in 0…1
    /// - Returns: [B]
    /// - Throws: `TorchError` when the shapes do not fit
    public func logProbability(of x: Tensor) throws -> Tensor {
        switch self {
        case .bernoulli(let logits):
            return try -(binaryCrossEntropy(logits: logits, target: x).sumPerItem())
        case .gaussian(let mean, let logVariance):
            let squared = try (x - mean).squared()
            let log2Pi = Foundation.log(2 * Double.pi)
            if logVariance.shape.isEmpty {
                // One variance: sum the squares first, then scale [B] numbers only.
                let elements = Double(x.shape.dropFirst().reduce(1, *))
                let constant = try (logVariance + log2Pi) * (-0.5 * elements)
                return try constant
                    - squared.sumPerItem() * ((-logVariance).exp() * 0.5)
            }
            return try (squared * (-logVariance).exp() + logVariance + log2Pi).sumPerItem() * -0.5
        }
    }

    /// The Gaussian whose one variance is the best for this batch: the mean squared error.
    ///
    /// The gradient flows through the variance as well, so that -log p becomes
    /// N/2 · log MSE + constant.
    ///
    /// Source: Rybkin, Daniilidis & Levine, "Simple and effective VAE training with calibrated
    /// decoders" (σ-VAE), ICML 2021, section 4. Differs: the variance is floored.
    static func optimalGaussian(mean: Tensor, for x: Tensor) throws -> Likelihood {
        let error = try (x - mean).squared().mean()
        let floor = try Tensor.full(varianceFloor, shape: [], device: error.device)
        return .gaussian(mean: mean, logVariance: try error.maximum(floor).log())
    }
}
