import Torch

/// p(x|z) for a batch of latents: what the decoder gives.
public protocol Likelihood {
    /// E[x|z], [B, C, H, W].
    var mean: Tensor { get throws }

    /// log p(x|z) of each window in nats, with all constants, [B].
    ///
    /// - Parameter x: [B, C, H, W] in 0…1
    /// - Returns: [B]
    /// - Throws: `TorchError` when the shapes do not fit
    func logProbability(of x: Tensor) throws -> Tensor
}

/// A family of p(x|z): how the numbers that a decoder gives become a distribution.
///
/// One more family is one more file in `Likelihoods/`, its case in ``LikelihoodKind`` and a test.
protocol LikelihoodFamily: Sendable {
    /// What it is, in a few words.
    var summary: String { get }

    /// Numbers that the decoder gives for each pixel of C channels.
    func outputChannelCount(of channelCount: Int) -> Int

    /// The distribution of a decoder's output.
    ///
    /// - Parameters:
    ///   - output: [B, K, H, W], K = ``outputChannelCount(of:)``
    ///   - logScale: the one log-scale of all elements, a single number, for families that have one
    /// - Returns: p(x|z) of each row
    /// - Throws: `TorchError` when the shapes do not fit
    func distribution(of output: Tensor, logScale: Tensor) throws -> any Likelihood

    /// Whether all elements share one scale, which is not learned by gradients but set to its
    /// optimum: the logarithm of the mean of ``scaleError(of:at:)``.
    var hasSharedScale: Bool { get }

    /// For families with a shared scale: what it is the mean of, element by element.
    func scaleError(of output: Tensor, at x: Tensor) throws -> Tensor

    /// The smallest scale that is taken for real: below it, it says more of quantisation than of
    /// the data.
    var scaleFloor: Double { get }

    /// The largest log p(x) of one element that any output reaches, in nats; nil where it is the same
    /// for every x in 0…1, or nearly so.
    func bestLogProbability(of x: Double) -> Double?

    /// Whether values are steps of 8 bits, so that log p is of probabilities and not of densities.
    var isDiscrete: Bool { get }
}

extension LikelihoodFamily {
    func outputChannelCount(of channelCount: Int) -> Int { channelCount }
    var hasSharedScale: Bool { false }
    func scaleError(of output: Tensor, at x: Tensor) throws -> Tensor { try (x - output).squared() }
    var scaleFloor: Double { 7.7e-6 }
    func bestLogProbability(of x: Double) -> Double? { nil }
    var isDiscrete: Bool { false }
}

/// The families of p(x|z).
public enum LikelihoodKind: String, Codable, Sendable, CaseIterable {
    /// Independent Bernoulli per element; the values 0…1 are taken as probabilities.
    case bernoulli
    /// Bernoulli's shape, made a density on 0…1.
    case continuousBernoulli = "continuous-bernoulli"
    /// Gaussian with one variance for all elements, at its optimum: the σ-VAE.
    case gaussian
    /// Gaussian with a variance for each element, fitted after encoder and mean are done.
    case gaussianPerElement = "gaussian-per-element"
    /// Laplace with one scale for all elements, at its optimum.
    case laplace
    /// Mixture of logistics over the 256 steps of 8 bits, channels conditioned on each other.
    case logisticMixture = "logistic-mixture"
    /// Student's t with a location and a scale for each element.
    case studentT = "student-t"

    /// What it is, in a few words.
    public var summary: String {
        self == .gaussianPerElement
            ? "with a variance for each element, fitted after the mean" : family.summary
    }

    var family: any LikelihoodFamily {
        switch self {
        case .bernoulli: BernoulliFamily()
        case .continuousBernoulli: ContinuousBernoulliFamily()
        case .gaussian, .gaussianPerElement: GaussianFamily()
        case .laplace: LaplaceFamily()
        case .logisticMixture: LogisticMixtureFamily()
        case .studentT: StudentTFamily()
        }
    }
}
