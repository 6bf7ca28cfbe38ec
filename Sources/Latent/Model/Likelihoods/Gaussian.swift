import Foundation
import Torch

/// Independent Gaussians, with one variance for all elements or one for each.
///
/// The one variance is at its optimum, the mean squared error. Since the bound is stationary there,
/// no gradient need flow through it.
///
/// Source: Rybkin, Daniilidis & Levine, "Simple and effective VAE training with calibrated
/// decoders" (σ-VAE), ICML 2021, section 4. Differs: the variance is floored at (1/255)²/2.
public struct Gaussian: Likelihood {
    /// [B, C, H, W].
    public let mean: Tensor
    /// log σ², of the same shape or a single number for all.
    public let logVariance: Tensor

    /// -½ Σ ((x - μ)²/σ² + log σ² + log 2π), [B].
    public func logProbability(of x: Tensor) throws -> Tensor {
        let squared = try (x - mean).squared()
        let log2Pi = Foundation.log(2 * Double.pi)
        if logVariance.shape.isEmpty {
            // One variance: sum the squares first, then scale [B] numbers only.
            let elements = Double(x.shape.dropFirst().reduce(1, *))
            let constant = try (logVariance + log2Pi) * (-0.5 * elements)
            return try constant - squared.sumPerItem() * ((-logVariance).exp() * 0.5)
        }
        return try (squared * (-logVariance).exp() + logVariance + log2Pi).sumPerItem() * -0.5
    }
}

struct GaussianFamily: LikelihoodFamily {
    var summary: String { "with one variance at its optimum" }

    func distribution(of output: Tensor, logScale: Tensor) -> any Likelihood {
        Gaussian(mean: output, logVariance: logScale)
    }

    var hasSharedScale: Bool { true }
}
