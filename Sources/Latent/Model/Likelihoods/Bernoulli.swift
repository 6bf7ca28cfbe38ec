import Foundation
import Torch

/// Independent Bernoulli variables.
///
/// A Bernoulli is a distribution of 0 and 1; for values between them log p is the customary
/// cross-entropy, not a normalised density (see ``ContinuousBernoulli``).
public struct Bernoulli: Likelihood {
    /// log(p / (1 - p)), [B, C, H, W].
    public let logits: Tensor

    /// The probabilities.
    public var mean: Tensor { get throws { try logits.sigmoid() } }

    /// Σ x log p + (1 - x) log(1 - p), [B].
    public func logProbability(of x: Tensor) throws -> Tensor {
        try -(binaryCrossEntropy(logits: logits, target: x).sumPerItem())
    }
}

struct BernoulliFamily: LikelihoodFamily {
    var summary: String { "for black and white" }

    func distribution(of output: Tensor, logScale: Tensor) -> any Likelihood {
        Bernoulli(logits: output)
    }

    /// At p = x.
    func bestLogProbability(of x: Double) -> Double? {
        (x > 0 ? x * log(x) : 0) + (x < 1 ? (1 - x) * log(1 - x) : 0)
    }

    var isDiscrete: Bool { true }
}
