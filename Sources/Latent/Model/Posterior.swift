import Torch

/// q(z|x): a Gaussian with diagonal covariance for each window of a batch.
public struct Posterior {
    /// [B, D].
    public let mean: Tensor
    /// log σ², [B, D].
    public let logVariance: Tensor

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
        let deviation = try (logVariance * 0.5).exp()
        guard drawCount > 1 else { return try mean + deviation * noise }
        return try mean.repeatedInterleaved(drawCount)
            + deviation.repeatedInterleaved(drawCount) * noise
    }

    /// KL(q(z|x) ‖ N(0, I)) of each window in nats, [B].
    ///
    /// Source: Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014, appendix B.
    public func klDivergence() throws -> Tensor {
        try (mean.squared() + logVariance.exp() - logVariance - 1).sumPerItem() * 0.5
    }
}
