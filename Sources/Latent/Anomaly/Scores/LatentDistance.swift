import Torch

/// The squared Mahalanobis distance of the posterior mean to those of training, for each dimension.
///
/// Source: Lee et al., "A simple unified framework for detecting out-of-distribution samples",
/// NeurIPS 2018, with one class. The covariance is shrunk to its mean variance (Ledoit & Wolf 2004,
/// with a fixed weight): of a collapsed dimension it says nothing.
struct LatentDistance: FittedScore {
    /// [D].
    private let mean: Tensor
    /// Σ^(-½), so that distances are lengths, [D, D].
    private let whitening: Tensor

    private static let shrinkage = 0.05

    init(fittedTo windows: ScoredWindows) throws {
        let count = Double(windows.posteriorMean.shape[0])
        mean = try windows.posteriorMean.mean(axes: [0])
        let centred = try windows.posteriorMean - mean
        let covariance = try centred.transposed(0, 1).matmul(centred) * (1 / max(1, count - 1))
        whitening = try covariance.shrunkWhitening(Self.shrinkage)
    }

    init?(tensors: [String: HostTensor], shape: WindowShape, latentCount: Int, on device: Device)
        throws
    {
        guard let mean = tensors["mean"], let whitening = tensors["whitening"],
            mean.shape == [latentCount], whitening.shape == [latentCount, latentCount]
        else { return nil }
        self.mean = try Tensor(mean.values, shape: mean.shape).to(device)
        self.whitening = try Tensor(whitening.values, shape: whitening.shape).to(device)
    }

    func tensors() throws -> [String: HostTensor] {
        ["mean": try mean.host(), "whitening": try whitening.host()]
    }

    func values(of windows: ScoredWindows) throws -> [Double] {
        try (windows.posteriorMean - mean).matmul(whitening).squared().mean(axes: [1]).floats()
            .map(Double.init)
    }
}
