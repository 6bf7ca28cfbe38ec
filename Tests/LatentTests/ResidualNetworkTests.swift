import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

/// The numbers of a forward pass are in VAETests, the cases `resnet` of `vae.json`.
@Suite("Residual network") struct ResidualNetworkTests {
    @Test(
        "windows of odd multiples come back in their size", arguments: [(4, 12), (20, 4), (28, 28)])
    func sizes(height: Int, width: Int) throws {
        let model = try VAE(
            .tiny(
                channelCount: 3, height: height, width: width, architecture: .resnet,
                widths: [3, 2], latentCount: 2), device: .cpu, seed: 1)
        let output = try model.infer(
            Tensor.full(0.5, shape: [2, 3, height, width]), noise: Tensor.zeros(shape: [2, 2])
        ).output
        #expect(output.shape == [2, 3, height, width])
        #expect(throws: LatentError.self) {
            try VAEConfiguration.tiny(
                height: height + 2, width: width, architecture: .resnet, widths: [3, 2]
            ).validate()
        }
    }

    @Test("a new one is the network without blocks")
    func initialBlocks() throws {
        let model = try VAE(
            .tiny(height: 8, width: 4, architecture: .resnet, widths: [3, 5], latentCount: 2),
            device: .cpu, seed: 2)
        let weights = Dictionary(
            uniqueKeysWithValues: model.parameters.entries.map { ($0.path, $0.tensor) })
        func weight(_ path: String) throws -> Tensor { try #require(weights[path]) }
        func convolved(_ path: String, _ h: Tensor) throws -> Tensor {
            try conv2d(
                h, weight: weight("\(path).weight"), bias: weight("\(path).bias"), stride: 2,
                padding: 1)
        }
        func expanded(_ path: String, _ h: Tensor) throws -> Tensor {
            try convTranspose2d(
                h, weight: weight("\(path).weight"), bias: weight("\(path).bias"), stride: 2,
                padding: 1)
        }
        func mapped(_ path: String, _ h: Tensor) throws -> Tensor {
            try linear(h, weight: weight("\(path).weight"), bias: weight("\(path).bias"))
        }
        var generator = Generator(seed: 3)
        let x = try Tensor((0..<64).map { _ in generator.uniform() }, shape: [2, 1, 8, 4])
        var h = try convolved("encoder.0.down", x * 2 - 1)
        h = try convolved("encoder.1.down", h.silu())
        let parameters = try mapped("encoder.posterior", h.silu().reshaped([2, -1]))
        let mean = try parameters.narrowed(axis: 1, start: 0, length: 2)
        let found = try model.infer(x, noise: Tensor.zeros(shape: [2, 2]))
        #expect(
            mismatch(
                try found.layers[0].posterior.mean.floats(), try mean.floats(), absolute: 1e-6)
                == nil)
        h = try mapped("decoder.first", mean).reshaped([2, 5, 2, 1])
        h = try expanded("decoder.0.up", h.silu())
        h = try expanded("decoder.1.up", h.silu())
        #expect(mismatch(try found.output.floats(), try h.floats(), absolute: 1e-6) == nil)
        // The first convolution of a block is drawn, so that it can learn.
        #expect(try weight("encoder.0.block.0.weight").floats().contains { $0 != 0 })
    }

    @Test(
        "gradients reach every parameter",
        arguments: [
            VAEConfiguration.tiny(architecture: .resnet, widths: [3, 4]),
            .tiny(
                channelCount: 3, architecture: .resnet, widths: [2], likelihood: .logisticMixture),
        ])
    func gradients(configuration: VAEConfiguration) throws {
        try expectGradientsEverywhere(configuration)
    }
}

/// Expects a gradient that is not zero at each parameter of a model with drawn weights.
func expectGradientsEverywhere(_ configuration: VAEConfiguration) throws {
    let model = try VAE(configuration, device: .cpu, seed: 4)
    var generator = Generator(seed: 5)
    for entry in model.parameters.entries {
        let values = generator.normals(entry.tensor.count).map { $0 * 0.3 }
        try entry.tensor.assign(Tensor(values, shape: entry.tensor.shape))
    }
    let x = try model.batch((0..<3 * configuration.elementCount).map { _ in generator.uniform() })
    let codes = (0..<3).map { row in
        (configuration.conditioning?.attributes ?? []).map { row % $0.values.count }
    }
    let inference = try model.infer(
        x, condition: model.condition(codes),
        noise: Tensor(generator.normals(3 * model.noiseCount), shape: [3, model.noiseCount]))
    let likelihood = try model.likelihood(of: inference.output, z: inference.z)
    try (likelihood.logProbability(of: x) - inference.divergence()).sum().backward()
    for entry in model.parameters.entries {
        let gradient = try entry.tensor.gradient()?.floats() ?? []
        #expect(gradient.allSatisfy { $0.isFinite }, "\(entry.path)")
        #expect(gradient.contains { $0 != 0 }, "no gradient at \(entry.path)")
    }
}
