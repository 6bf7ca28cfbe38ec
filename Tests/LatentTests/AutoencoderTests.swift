import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Autoencoder") struct AutoencoderTests {
    private static func model() throws -> VAE {
        var configuration = VAEConfiguration.tiny()
        configuration.objective = ObjectiveConfiguration(.ae)
        return try VAE(configuration, device: .cpu, seed: 2)
    }

    private func windows(_ count: Int) throws -> Tensor {
        var generator = Generator(seed: 3)
        return try Tensor(
            (0..<count * 64).map { _ in generator.uniform() }, shape: [count, 1, 8, 8])
    }

    @Test("z is the encoder's mean whatever the noise, and has no divergence")
    func deterministic() throws {
        let model = try Self.model()
        let x = try windows(3)
        var generator = Generator(seed: 4)
        let drawn = try model.infer(
            x, noise: Tensor(generator.normals(6 * 3), shape: [6, 3]), drawCount: 2)
        let still = try model.infer(x, noise: Tensor.zeros(shape: [3, 3]))
        #expect(try drawn.z.floats() == still.z.repeatedInterleaved(2).floats())
        #expect(drawn.layers[0].posterior.isPoint)
        #expect(try drawn.divergence().floats() == [Float](repeating: 0, count: 6))
        #expect(try drawn.logRatio().floats() == [Float](repeating: 0, count: 6))
        // The encoder still tells windows apart.
        let z = try still.z.floats()
        #expect(Array(z[0..<3]) != Array(z[3..<6]))
    }

    @Test("the encoder has no outputs for variances")
    func head() throws {
        let shapes = try Self.model().parameters.values().mapValues(\.shape)
        #expect(shapes["encoder.posterior.weight"] == [3, 12])
    }

    @Test("the loss is the mean of -log p(x|z), and nothing of the posterior")
    func loss() throws {
        let far = try Posterior.of(mean: [[9], [-9]], logVariance: [[3], [-3]])
        let pass = try TrainingPass.of([.at(far)], reconstruction: [-3, -8], freeNats: 2)
        #expect(try AutoencoderObjective().loss(of: pass).item() == 5.5)
        #expect(!AutoencoderObjective().boundsLikelihood)
    }

    @Test("weights of windows enter the mean")
    func weights() throws {
        let point = try Posterior.of(mean: [[0], [0]], logVariance: [[0], [0]])
        let pass = try TrainingPass.of(
            [.at(point)], reconstruction: [-3, -8], weights: [0.5, 1.5])
        #expect(try AutoencoderObjective().loss(of: pass).item() == 6.75)
    }
}
