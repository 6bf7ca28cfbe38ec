import Foundation
import Torch

/// The bound with the KL term taken apart into index-code mutual information, total correlation and
/// dimension-wise KL, and the second of them times β: dimensions are pushed to be independent at
/// little cost in reconstruction.
///
/// log q(z) and log Π q(zⱼ) are estimated by minibatch-weighted sampling over the batch.
///
/// Source: Chen et al., "Isolating sources of disentanglement in variational autoencoders",
/// NeurIPS 2018, equations 2, 4 and S6.
struct TotalCorrelationObjective: Objective {
    static let summary = "with the total correlation times --beta"
    static let numbers: Set<ObjectiveConfiguration.Number> = [.weight]
    static let defaultWeight = 4.0

    let beta: Double

    var couplesWindows: Bool { true }

    /// The three parts, scalars in nats, which add up to an estimate of the KL term.
    struct Decomposition {
        let mutualInformation, totalCorrelation, dimensionWise: Tensor
    }

    func loss(of pass: TrainingPass) throws -> Tensor {
        guard let layer = pass.layers.first else { return try pass.distortion() }
        let parts = try Self.decomposition(of: layer, windowCount: pass.windowCount) {
            try pass.mean($0)
        }
        let rate = try parts.mutualInformation + parts.totalCorrelation * beta + parts.dimensionWise
        return try pass.distortion() + rate * pass.klWeight
    }

    /// - Parameters:
    ///   - layer: posterior and z of a batch, [B, D] each
    ///   - windowCount: N, of the whole training part
    ///   - mean: over the batch, [B] → scalar
    /// - Returns: the three parts
    /// - Throws: `TorchError` when the shapes do not fit
    static func decomposition(
        of layer: LatentLayer, windowCount: Int, mean: (Tensor) throws -> Tensor
    ) throws -> Decomposition {
        let batch = layer.z.shape[0]
        let dimensions = layer.z.shape[1]
        let posterior = layer.posterior
        // log q(zⱼ of window a | window b), [B, B, D].
        let z = try layer.z.reshaped([batch, 1, dimensions])
        let others = Posterior(
            mean: try posterior.mean.reshaped([1, batch, dimensions]),
            logVariance: try posterior.logVariance.reshaped([1, batch, dimensions]))
        let cross = try others.elementLogProbability(of: z)
        let logCount = Foundation.log(Double(batch)) + Foundation.log(Double(max(1, windowCount)))
        let logAggregate = try cross.sum(axes: [2]).logSumExp(axis: 1) - logCount  // log q(z), [B]
        let logMarginals = try (cross.logSumExp(axis: 1) - logCount).sum(axes: [1])  // Σ log q(zⱼ)
        let logPosterior = try posterior.logProbability(of: layer.z)
        let logPrior = try layer.prior.logProbability(of: layer.z)
        return Decomposition(
            mutualInformation: try mean(logPosterior - logAggregate),
            totalCorrelation: try mean(logAggregate - logMarginals),
            dimensionWise: try mean(logMarginals - logPrior))
    }
}

extension TotalCorrelationObjective {
    init(_ configuration: ObjectiveConfiguration) { self.init(beta: configuration.weight) }
}
