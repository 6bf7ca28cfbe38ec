import Torch

/// The bound and, times λ, the squared distance of the covariance of z over the data to the unit
/// matrix: dimensions are decorrelated, and keep in use, without a stronger KL term.
///
/// Cov[z] = Cov[μ(x)] + E[diag σ²(x)] is estimated over the batch.
///
/// Source: Kumar, Sattigeri & Balakrishnan, "Variational inference of disentangled latent concepts
/// from unlabeled observations", ICLR 2018, equation 7 (DIP-VAE-II), with one λ for the diagonal and
/// the rest.
struct DisentangledInferredPriorObjective: Objective {
    static let summary = "with the distance of Cov[z] to the unit matrix times --beta"
    static let numbers: Set<ObjectiveConfiguration.Number> = [.weight]
    static let defaultWeight = 10.0

    let weight: Double

    var couplesWindows: Bool { true }

    func loss(of pass: TrainingPass) throws -> Tensor {
        let bound = try pass.distortion() + pass.rate() * pass.klWeight
        guard let posterior = pass.layers.first?.posterior, posterior.mean.shape[0] > 1 else {
            return bound
        }
        return try bound + Self.distance(posterior) * (weight * pass.klWeight)
    }

    /// Σ (Cov[z] - I)², of posteriors [B, D] with B > 1, a scalar.
    static func distance(_ posterior: Posterior) throws -> Tensor {
        let share = 1 / Double(posterior.mean.shape[0] - 1)
        let centred = try posterior.mean - posterior.mean.mean(axes: [0], keepingAxes: true)
        let ofMeans = try centred.transposed(0, 1).matmul(centred) * share
        // On the diagonal v + s - 1 instead of v: (v + a)² = v² + a (2v + a).
        let variance = try centred.squared().sum(axes: [0]) * share
        let added = try posterior.logVariance.exp().mean(axes: [0]) - 1
        return try ofMeans.squared().sum() + (added * (variance * 2 + added)).sum()
    }
}

extension DisentangledInferredPriorObjective {
    init(_ configuration: ObjectiveConfiguration) { self.init(weight: configuration.weight) }
}
