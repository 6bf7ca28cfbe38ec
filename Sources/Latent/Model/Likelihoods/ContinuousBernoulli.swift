import Foundation
import Torch

/// p(x) = C(λ) λˣ (1 - λ)¹⁻ˣ on 0…1: Bernoulli's cross-entropy with the constant that makes it a
/// density.
///
/// Source: Loaiza-Ganem & Cunningham, "The continuous Bernoulli: fixing a pervasive error in
/// variational autoencoders", NeurIPS 2019. There C = 2 atanh(1 - 2λ) / (1 - 2λ); in logits
/// l = log(λ / (1 - λ)) it is l / tanh(l/2), which needs no series around λ = ½ but at l = 0 itself.
public struct ContinuousBernoulli: Likelihood {
    /// log(λ / (1 - λ)), [B, C, H, W].
    public let logits: Tensor

    /// E[x] = 1 / (1 - e⁻ˡ) - 1/l = ½ + (½ coth(l/2) - 1/l), which is not λ.
    public var mean: Tensor {
        get throws {
            // Below 0.05 the odd part is l/12 to within 4e-5 of itself, which is 2e-7.
            let u = try logits.magnitude().maximum(constant(0.05))
            let decay = try (-u).exp()
            let half = try (decay + 1) / (-u).expMinusOne() * -0.5  // ½ coth(u/2)
            let slope = try (half - constant(1) / u) / u
            return try logits * slope + 0.5
        }
    }

    /// The cross-entropy and log C, [B].
    public func logProbability(of x: Tensor) throws -> Tensor {
        // log(u / tanh(u/2)) with tanh(u/2) = (1 - e⁻ᵘ) / (1 + e⁻ᵘ); even in l, 2 at l = 0.
        let u = try logits.magnitude().maximum(constant(1e-3))
        let logConstant = try u.log() - (-(-u).expMinusOne()).log() + (-u).exp().logOnePlus()
        let crossEntropy = try binaryCrossEntropy(logits: logits, target: x)
        return try (logConstant - crossEntropy).sumPerItem()
    }

    private func constant(_ value: Double) throws -> Tensor {
        try Tensor.full(value, shape: [], device: logits.device)
    }
}

struct ContinuousBernoulliFamily: LikelihoodFamily {
    var summary: String { "for values from 0 to 1, many of them at the ends" }

    func distribution(of output: Tensor, logScale: Tensor) -> any Likelihood {
        ContinuousBernoulli(logits: output)
    }

    /// At the λ whose mean is x, as in any exponential family; infinite at the ends of 0…1.
    func bestLogProbability(of x: Double) -> Double? {
        guard x > 0, x < 1 else { return .infinity }
        // Even in ½ - x, and E[x] falls with u = -l ≥ 0, where it is 1/u - 1/(eᵘ - 1) < 1/u.
        let y = min(x, 1 - x)
        func mean(_ u: Double) -> Double { u < 1e-4 ? 0.5 - u / 12 : 1 / u - 1 / expm1(u) }
        var (low, high) = (0.0, 1 / y)
        for _ in 0..<60 {
            let middle = (low + high) / 2
            if mean(middle) > y { low = middle } else { high = middle }
        }
        let u = max((low + high) / 2, 1e-9)
        // log p = log(u / (1 - e⁻ᵘ)) - u y.
        return log(u / -expm1(-u)) - u * y
    }
}
