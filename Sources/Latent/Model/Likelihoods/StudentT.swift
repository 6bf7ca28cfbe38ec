import Foundation
import Torch

/// Independent Student's t variables with ν = 4, and for each element a location and a scale that
/// the decoder gives: one stray pixel costs its logarithm and not its square, and an element that
/// varies is not taken for one that is wrong.
///
/// Source: Takahashi et al., "Student-t variational autoencoder for robust density estimation",
/// IJCAI 2018. Differs: ν is fixed at the value that Lange, Little & Taylor, "Robust statistical
/// modeling using the t distribution", JASA 1989, recommend where it cannot be estimated.
public struct StudentT: Likelihood {
    /// The location, which is the mean, [B, C, H, W].
    public let mean: Tensor
    /// The scale, above 0, of the same shape.
    public let scale: Tensor

    /// ν.
    public static let degreesOfFreedom = 4.0

    /// Σ log Γ((ν+1)/2) - log Γ(ν/2) - ½ log νπ - log s - (ν+1)/2 log(1 + ((x - μ)/s)²/ν), [B].
    public func logProbability(of x: Tensor) throws -> Tensor {
        let freedom = Self.degreesOfFreedom
        let constant =
            lgamma((freedom + 1) / 2) - lgamma(freedom / 2) - Foundation.log(freedom * .pi) / 2
        let elements = Double(x.shape.dropFirst().reduce(1, *))
        let squares = try ((x - mean) / scale).squared() * (1 / freedom)
        let terms = try squares.logOnePlus() * ((freedom + 1) / 2) + scale.log()
        return try -terms.sumPerItem() + constant * elements
    }
}

struct StudentTFamily: LikelihoodFamily {
    var summary: String { "with a scale for each element and heavy tails" }

    /// Half a step of 8 bits; below, a scale says more of quantisation than of the data.
    private static let smallestScale = 1.0 / 510

    func outputChannelCount(of channelCount: Int) -> Int { 2 * channelCount }

    func distribution(of output: Tensor, logScale: Tensor) throws -> any Likelihood {
        let channels = output.shape[1] / 2
        let scale = try output.narrowed(axis: 1, start: channels, length: channels).softplus()
        return StudentT(
            mean: try output.narrowed(axis: 1, start: 0, length: channels),
            scale: try scale + Self.smallestScale)
    }
}
