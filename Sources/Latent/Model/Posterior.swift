import Foundation
import Torch

/// q(z|x): a Gaussian with diagonal covariance for each window of a batch, or a point.
public struct Posterior {
    /// [B, D].
    public let mean: Tensor
    /// log σ², [B, D]; of no meaning for a point.
    public let logVariance: Tensor
    /// Whether z is the mean and nothing else, as in a plain autoencoder.
    public var isPoint = false

    /// The range of the log-variance; wider ones only serve to overflow.
    static let logVarianceRange = -8.0...4.0

    /// z = mean + σ · noise for L draws of each window (Kingma & Welling 2014).
    ///
    /// - Parameters:
    ///   - noise: [B·L, D] standard normal numbers, the draws of a window together
    ///   - drawCount: L
    /// - Returns: [B·L, D]
    /// - Throws: `TorchError` when the shapes do not fit
    public func sample(noise: Tensor, drawCount: Int = 1) throws -> Tensor {
        let repeated = try self.repeated(drawCount)
        guard !isPoint else { return repeated.mean }
        return try repeated.mean + (repeated.logVariance * 0.5).exp() * noise
    }

    /// Each row `count` times in a row, [B·count, D].
    func repeated(_ count: Int) throws -> Posterior {
        guard count > 1 else { return self }
        return Posterior(
            mean: try mean.repeatedInterleaved(count),
            logVariance: try logVariance.repeatedInterleaved(count), isPoint: isPoint)
    }

    /// KL(q(z|x) ‖ N(0, I)) of each window in nats, [B]; 0 for a point.
    ///
    /// Source: Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B.
    public func klDivergence() throws -> Tensor {
        guard !isPoint else { return try zeros() }
        return try (mean.squared() + logVariance.exp() - logVariance - 1).sumPerItem() * 0.5
    }

    /// KL(q ‖ p) to other Gaussians of the same shape, in nats, [B].
    func klDivergence(to prior: Posterior) throws -> Tensor {
        let ratio = try logVariance - prior.logVariance
        let distance = try (mean - prior.mean).squared() * (-prior.logVariance).exp()
        return try (distance + ratio.exp() - ratio - 1).sumPerItem() * 0.5
    }

    /// log q(zⱼ|x) of each dimension in nats, with broadcasting.
    func elementLogProbability(of z: Tensor) throws -> Tensor {
        let squared = try (z - mean).squared() * (-logVariance).exp()
        return try (squared + logVariance + Foundation.log(2 * Double.pi)) * -0.5
    }

    /// log q(z|x) of each row in nats, [B]; 0 for a point.
    func logProbability(of z: Tensor) throws -> Tensor {
        isPoint ? try zeros() : try elementLogProbability(of: z).sumPerItem()
    }

    private func zeros() throws -> Tensor {
        try Tensor.zeros(shape: [mean.shape[0]], device: mean.device)
    }
}
