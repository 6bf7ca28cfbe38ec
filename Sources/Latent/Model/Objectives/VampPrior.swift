import Foundation
import Torch

/// The bound with a mixture of posteriors of K learned pseudo-inputs as the prior, which follows the
/// aggregate posterior where N(0, I) would force it into a ball.
///
/// Source: Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018, equation 9. Differs: the
/// pseudo-inputs begin at windows of the data; of a conditional model they have no label.
struct VampPriorObjective: Objective {
    static let summary = "with a learned mixture as the prior"
    static let numbers: Set<ObjectiveConfiguration.Number> = [.componentCount]

    let componentCount: Int

    func latents(_ site: BuildingSite) throws -> any LatentStructure {
        try FlatLatents(site) { encode in
            let inputs = try site.root["prior"].parameter(
                "pseudo_inputs", shape: [componentCount] + site.configuration.windowShape
            ) { count, generator in
                generator.normals(count).map { min(max(0.5 + 0.1 * $0, 0), 1) }
            }
            return VampPrior(pseudoInputs: inputs, encode: encode)
        }
    }

    func loss(of pass: TrainingPass) throws -> Tensor {
        try pass.distortion() + pass.rate() * pass.klWeight
    }
}

extension VampPriorObjective {
    init(_ configuration: ObjectiveConfiguration) {
        self.init(componentCount: configuration.componentCount)
    }
}

/// p(z) = (1/K) Σ q(z|uₖ).
struct VampPrior: LatentPrior {
    /// [K, C, H, W], in 0…1.
    let pseudoInputs: Tensor
    let encode: (Tensor) throws -> Posterior

    /// The components, for some time without a change of the weights.
    func settled() throws -> any LatentPrior {
        MixturePrior(components: try encode(pseudoInputs.clamped(to: 0...1)))
    }

    func logProbability(of z: Tensor) throws -> Tensor { try settled().logProbability(of: z) }

    func divergence(from posterior: Posterior, at z: Tensor) throws -> Tensor {
        try settled().divergence(from: posterior, at: z)
    }

    func sample(noise: Tensor, choices: [Float]) throws -> Tensor {
        try settled().sample(noise: noise, choices: choices)
    }
}

/// An even mixture of K Gaussians with diagonal covariance.
struct MixturePrior: LatentPrior {
    /// Means and log-variances, [K, D].
    let components: Posterior

    /// log (1/K) Σ N(z; μₖ, σₖ²), [N].
    ///
    /// The squares are taken apart, so that the work is three matrix products and memory N·K, not
    /// N·K·D.
    func logProbability(of z: Tensor) throws -> Tensor {
        let precision = try (-components.logVariance).exp()  // [K, D]
        let scaled = try components.mean * precision
        let constant = try
            (components.mean * scaled + components.logVariance
            + Foundation.log(2 * Double.pi)).sum(axes: [1]).reshaped([1, -1])
        let squares =
            try z.squared().matmul(precision.transposed(0, 1))
            - z.matmul(scaled.transposed(0, 1)) * 2
        let logs = try (squares + constant) * -0.5  // [N, K]
        return try logs.logSumExp(axis: 1) - Foundation.log(Double(components.mean.shape[0]))
    }

    /// log q(z|x) - log p(z) at the z that was drawn, [N]: the KL has no closed form.
    func divergence(from posterior: Posterior, at z: Tensor) throws -> Tensor {
        try posterior.logProbability(of: z) - logProbability(of: z)
    }

    func sample(noise: Tensor, choices: [Float]) throws -> Tensor {
        let means = try components.mean.floats()
        let variances = try components.logVariance.floats()
        let count = components.mean.shape[0]
        let dimensions = components.mean.shape[1]
        var chosenMeans: [Float] = []
        var chosenVariances: [Float] = []
        for choice in choices {
            let component = min(count - 1, Int(choice * Float(count)))
            let range = component * dimensions..<(component + 1) * dimensions
            chosenMeans += means[range]
            chosenVariances += variances[range]
        }
        let shape = [choices.count, dimensions]
        return try Posterior(
            mean: Tensor(chosenMeans, shape: shape).to(noise.device),
            logVariance: Tensor(chosenVariances, shape: shape).to(noise.device)
        ).sample(noise: noise)
    }
}
