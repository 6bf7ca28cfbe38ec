import Torch

/// -E[log p(x|z)] + β KL(q(z|x) ‖ p(z)), or with a capacity C(t) that rises from 0 over the first half
/// of training, -E[log p(x|z)] + β |KL - C(t)|.
///
/// Source: Higgins et al., "β-VAE", ICLR 2017; Burgess et al., "Understanding disentangling in β-VAE",
/// 2018, equation 8, where β is called γ.
struct BetaObjective: Objective {
    static let summary = "with the KL term times --beta, or held at --capacity"
    static let numbers: Set<ObjectiveConfiguration.Number> = [.weight, .capacity]
    static let defaultWeight = 4.0

    let beta: Double
    let capacity: Double?

    var allowsHierarchy: Bool { true }

    func loss(of pass: TrainingPass) throws -> Tensor {
        let rate = try pass.rate()
        guard let capacity else {
            return try pass.distortion() + rate * (beta * pass.klWeight)
        }
        let target = capacity * min(1, 2 * pass.progress)
        // The sign is that of the whole batch, so that the parts of several processes agree; each
        // has its share of the capacity, so that they add up.
        let isAbove = try pass.reducer.sum(rate.item()) >= target
        let share = target * pass.batchShare
        let excess = isAbove ? try rate - share : try -rate + share
        return try pass.distortion() + excess * beta
    }
}

extension BetaObjective {
    init(_ configuration: ObjectiveConfiguration) {
        self.init(beta: configuration.weight, capacity: configuration.capacity)
    }
}
