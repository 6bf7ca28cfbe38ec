import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("VampPrior") struct VampPriorTests {
    private struct File: Decodable {
        struct Mixture: Decodable {
            let mean, logVariance, z, log: OracleArray
            enum CodingKeys: String, CodingKey { case mean, z, log, logVariance = "log_variance" }
        }
        let mixture: Mixture
    }

    private let oracle: File.Mixture

    init() throws { oracle = try Fixtures.expected("objectives.json", as: File.self).mixture }

    private func prior() throws -> MixturePrior {
        MixturePrior(
            components: Posterior(
                mean: try oracle.mean.tensor, logVariance: try oracle.logVariance.tensor))
    }

    private static func model(componentCount: Int = 3) throws -> VAE {
        var configuration = VAEConfiguration.tiny(latentCount: 2)
        configuration.objective = ObjectiveConfiguration(.vamp)
        configuration.objective.componentCount = componentCount
        return try VAE(configuration, device: .cpu, seed: 6)
    }

    @Test("log p(z) is that of a loop over the components")
    func logProbability() throws {
        let found = try prior().logProbability(of: oracle.z.tensor).floats()
        #expect(mismatch(found, oracle.log.values, absolute: 2e-5, relative: 1e-5) == nil)
    }

    @Test("narrow components far out keep their digits")
    func narrow() throws {
        let prior = MixturePrior(
            components: try .of(mean: [[5, -4], [-3, 2]], logVariance: [[-8, -8], [-8, -8]]))
        let deviation = exp(-4.0)
        let z = try Tensor([5 + Float(deviation), -4, -3, 2], shape: [2, 2])
        let constant = -log(2.0) - log(2 * .pi) + 8
        let found = try prior.logProbability(of: z).floats()
        #expect(mismatch(found, [Float(constant - 0.5), Float(constant)], absolute: 0.02) == nil)
    }

    @Test("the divergence is log q(z|x) - log p(z) at the z drawn")
    func divergence() throws {
        let z = try oracle.z.tensor
        let posterior = Posterior(
            mean: try z + 0.5, logVariance: try Tensor.full(log(0.25), shape: [8, 3]))
        let found = try prior().divergence(from: posterior, at: z).floats()
        // Three dimensions, each one deviation from the mean.
        let own = Float(3 * (-0.5 * log(2 * .pi) - 0.5 * log(0.25) - 0.5))
        #expect(
            mismatch(found, oracle.log.values.map { own - $0 }, absolute: 2e-5, relative: 1e-5)
                == nil)
        let layer = LatentLayer(posterior: posterior, z: z, prior: try prior())
        #expect(try layer.logRatio().floats() == layer.divergence().floats())
    }

    @Test("samples have the moments of the mixture")
    func samples() throws {
        var generator = Generator(seed: 14)
        let count = 20_000
        let z = try prior().sample(
            noise: Tensor(generator.normals(count * 3), shape: [count, 3]),
            choices: (0..<count).map { _ in generator.uniform() }
        ).floats()
        for dimension in 0..<3 {
            let means = (0..<5).map { Double(oracle.mean.values[$0 * 3 + dimension]) }
            let variances = (0..<5).map {
                exp(Double(oracle.logVariance.values[$0 * 3 + dimension]))
            }
            let mean = means.reduce(0, +) / 5
            let variance =
                zip(means, variances).reduce(0) { $0 + $1.0 * $1.0 + $1.1 } / 5 - mean * mean
            let values = stride(from: dimension, to: z.count, by: 3).map { Double(z[$0]) }
            let found = values.reduce(0, +) / Double(count)
            let spread = values.reduce(0) { $0 + ($1 - found) * ($1 - found) } / Double(count)
            #expect(abs(found - mean) < 5 * (variance / Double(count)).squareRoot())
            #expect(abs(spread / variance - 1) < 0.06)
        }
    }

    @Test("a choice picks its component, also at the end of the range")
    func choices() throws {
        let still = try Tensor.zeros(shape: [4, 3])
        let found = try prior().sample(noise: still, choices: [0, 0.39, 0.41, 1]).floats()
        let expected = [0, 1, 2, 4].flatMap { oracle.mean.values[$0 * 3..<$0 * 3 + 3] }
        #expect(found == expected)
    }

    @Test("the components are the posteriors of the pseudo-inputs, whose gradients reach them")
    func pseudoInputs() throws {
        let model = try Self.model()
        let inputs = try #require(model.pseudoInputs)
        #expect(inputs.shape == [3, 1, 8, 8])
        let z = try Tensor([0.3, -0.8], shape: [1, 2])
        let layer = try model.infer(
            Tensor.full(0.5, shape: [1, 1, 8, 8]), noise: Tensor.zeros(shape: [1, 2])
        ).layers[0]
        let found = try layer.prior.logProbability(of: z).item()
        let components = try model.posterior(of: inputs)
        let expected = try MixturePrior(components: components).logProbability(of: z).item()
        #expect(abs(found - expected) < 1e-5)
        try layer.prior.logProbability(of: z).sum().backward()
        let gradient = try #require(try inputs.gradient())
        #expect(try gradient.floats().contains { $0 != 0 })
    }

    @Test("the loss is distortion + log q - log p at z under the warm-up's weight")
    func loss() throws {
        let z = try oracle.z.tensor
        let posterior = Posterior(
            mean: z, logVariance: try Tensor.zeros(shape: [8, 3]))
        let layer = LatentLayer(posterior: posterior, z: z, prior: try prior())
        let pass = try TrainingPass.of(
            [layer], reconstruction: [Float](repeating: -7, count: 8), klWeight: 0.5)
        let found = try VampPriorObjective(componentCount: 5).loss(of: pass).item()
        let mean = oracle.log.values.reduce(0) { $0 + Double($1) } / 8
        #expect(abs(found - (7 + 0.5 * (-1.5 * log(2 * .pi) - mean))) < 1e-4)
    }
}
