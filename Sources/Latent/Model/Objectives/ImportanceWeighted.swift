import Foundation
import Torch

/// -log (1/k) Σ p(x, z) / q(z|x) over k draws of z: a tighter bound, from a posterior that need not be
/// right everywhere.
///
/// Source: Burda, Grosse & Salakhutdinov, "Importance weighted autoencoders", ICLR 2016, equation 8.
struct ImportanceWeightedBound: Objective {
    static let summary = "the importance-weighted bound"
    static let numbers: Set<ObjectiveConfiguration.Number> = [.drawCount]

    let drawCount: Int

    var allowsHierarchy: Bool { true }

    func loss(of pass: TrainingPass) throws -> Tensor {
        var logWeights = pass.reconstruction
        for layer in pass.layers {
            logWeights = try logWeights - layer.logRatio() * pass.klWeight
        }
        let bound = try Self.bound(logWeights.reshaped([-1, pass.drawCount]))
        return try -(pass.mean(bound))
    }

    /// log (1/k) Σ exp of k log-weights, [B, k] → [B].
    static func bound(_ logWeights: Tensor) throws -> Tensor {
        try logWeights.logSumExp(axis: 1) - Foundation.log(Double(logWeights.shape[1]))
    }
}

extension ImportanceWeightedBound {
    init(_ configuration: ObjectiveConfiguration) { self.init(drawCount: configuration.drawCount) }
}
