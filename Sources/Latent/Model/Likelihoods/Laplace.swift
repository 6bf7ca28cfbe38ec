import Foundation
import Torch

/// Independent Laplace variables with one scale b for all elements, at its optimum, the mean
/// absolute error: as ``Gaussian`` with one variance, but edges and outliers weigh less.
public struct Laplace: Likelihood {
    /// The median, which is the mean, [B, C, H, W].
    public let mean: Tensor
    /// log b, a single number.
    public let logScale: Tensor

    /// -Σ (|x - μ|/b + log 2b), [B].
    public func logProbability(of x: Tensor) throws -> Tensor {
        let elements = Double(x.shape.dropFirst().reduce(1, *))
        let constant = try (logScale + Foundation.log(2)) * -elements
        return try constant - (x - mean).magnitude().sumPerItem() * (-logScale).exp()
    }
}

struct LaplaceFamily: LikelihoodFamily {
    var summary: String { "with one scale at its optimum" }

    func distribution(of output: Tensor, logScale: Tensor) -> any Likelihood {
        Laplace(mean: output, logScale: logScale)
    }

    var hasSharedScale: Bool { true }

    func scaleError(of output: Tensor, at x: Tensor) throws -> Tensor {
        try (x - output).magnitude()
    }

    var scaleFloor: Double { 1.0 / 510 }
}
