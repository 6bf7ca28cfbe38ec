import Torch

/// The mean over elements of the squared residual in units of what it is in training: an element
/// that is always hard to rebuild counts for less.
///
/// Source: the Mahalanobis distance of the residual with a covariance that is shrunk to its
/// diagonal; Harada et al., "First-shot anomaly detection for machine condition monitoring",
/// EUSIPCO 2023 (the selective Mahalanobis autoencoder of DCASE), without its sources and targets.
/// Differs: variances are shrunk by a tenth to their mean, as a bin that never changed in training
/// would outweigh all others.
struct ResidualDistance: FittedScore {
    /// 1 / σ² of each element, [E].
    let precision: Tensor

    private static let shrinkage = 0.1
    private static let smallestVariance = 1e-8

    init(fittedTo windows: ScoredWindows) throws {
        let variance = try windows.residual().squared().mean(axes: [0])  // [E]
        let mean = max(try variance.mean().item(), Self.smallestVariance)
        let shrunk = try variance * (1 - Self.shrinkage) + mean * Self.shrinkage
        precision = try Tensor.full(1, shape: [], device: variance.device) / shrunk
    }

    init?(tensors: [String: HostTensor], shape: WindowShape, latentCount: Int, on device: Device)
        throws
    {
        guard let precision = tensors["precision"], precision.shape == [shape.elementCount],
            precision.values.allSatisfy({ $0 > 0 })
        else { return nil }
        self.precision = try Tensor(precision.values, shape: precision.shape).to(device)
    }

    func tensors() throws -> [String: HostTensor] { ["precision": try precision.host()] }

    func values(of windows: ScoredWindows) throws -> [Double] {
        try (windows.residual().squared() * precision).mean(axes: [1]).floats().map(Double.init)
    }
}
