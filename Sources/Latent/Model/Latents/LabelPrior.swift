import Foundation
import Torch

/// p(z|labels): for each combination of labels a mixture of Gaussians with diagonal covariance.
///
/// Weights, means and log-variances are sums over the attributes of what each value adds, so that a
/// combination that training did not see has a prior as well.
///
/// Source: Sohn, Lee & Yan 2015 (CVAE), whose prior depends on what is given. With one prior for all
/// labels, draws would be right only if the latents were free of what the labels say, which a sharp
/// likelihood does not teach: of digits drawn from N(0, I), 19 % were the one asked for.
struct LabelPrior {
    private let weights: Tensor
    private let components: Tensor
    private let count: Int

    /// Components for each combination: as many as are customary for densities fitted to codes.
    static let componentCount = 10

    /// nil without labels.
    init?(_ site: BuildingSite, count: Int) throws {
        let labels = site.configuration.conditionCount
        guard labels > 0 else { return nil }
        self.count = count
        let scope = site.root["prior"]
        weights = try scope.parameter("weights", shape: [labels, Self.componentCount]) { count, _ in
            [Float](repeating: 0, count: count)
        }
        components = try scope.parameter(
            "components", shape: [labels, Self.componentCount * 2 * count]
        ) { total, generator in
            // Means apart, so that components do not move as one; log-variances of 0.
            let numbers = generator.normals(total)
            return (0..<total).map { $0 % (2 * count) < count ? 0.5 * numbers[$0] : 0 }
        }
    }

    /// One-hot labels [N, Y] → a mixture for each row.
    func callAsFunction(_ condition: Tensor) throws -> LabelMixture {
        let logits = try condition.matmul(weights).widened()  // [N, K]
        let parameters = try condition.matmul(components).widened()
            .reshaped([-1, Self.componentCount, 2 * count])
        return LabelMixture(
            logWeights: try logits - logits.logSumExp(axis: 1).reshaped([-1, 1]),
            components: try Posterior(splitting: parameters, axis: 2, count: count))
    }
}

/// A mixture of K Gaussians for each row.
struct LabelMixture: LatentPrior {
    /// [N, K].
    let logWeights: Tensor
    /// Means and log-variances, [N, K, D].
    let components: Posterior

    func logProbability(of z: Tensor) throws -> Tensor {
        let shape = components.mean.shape
        let logs = try components.elementLogProbability(of: z.reshaped([shape[0], 1, shape[2]]))
        return try (logs.sum(axes: [2]) + logWeights).logSumExp(axis: 1)
    }

    /// -H(q) in closed form, less log p(z) at the z that was drawn, [N].
    func divergence(from posterior: Posterior, at z: Tensor) throws -> Tensor {
        let constant = 1 + Foundation.log(2 * Double.pi)
        return try (posterior.logVariance + constant).sumPerItem() * -0.5 - logProbability(of: z)
    }

    func sample(noise: Tensor, choices: [Float]) throws -> Tensor {
        let shape = components.mean.shape
        let (count, dimensions) = (shape[1], shape[2])
        let weights = try logWeights.exp().floats()
        let means = try components.mean.floats()
        let logVariances = try components.logVariance.floats()
        var chosenMeans: [Float] = []
        var chosenVariances: [Float] = []
        for (row, choice) in choices.enumerated() {
            var component = 0
            var passed = weights[row * count]
            while passed <= choice, component + 1 < count {
                component += 1
                passed += weights[row * count + component]
            }
            let start = (row * count + component) * dimensions
            chosenMeans += means[start..<start + dimensions]
            chosenVariances += logVariances[start..<start + dimensions]
        }
        let chosen = [choices.count, dimensions]
        return try Posterior(
            mean: Tensor(chosenMeans, shape: chosen).to(noise.device),
            logVariance: Tensor(chosenVariances, shape: chosen).to(noise.device)
        ).sample(noise: noise)
    }
}
