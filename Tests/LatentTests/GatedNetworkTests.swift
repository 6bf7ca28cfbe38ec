import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Gated network") struct GatedNetworkTests {
    private struct File: Decodable {
        let weights: [String: OracleArray]
        let x, noise, mean, decoded: OracleArray
    }

    @Test("posterior and decoded windows are those of the same network in PyTorch")
    func oracle() throws {
        let file: File = try Fixtures.expected("gated.json")
        let model = try VAE(
            .tiny(
                channelCount: 3, height: 4, width: 12, architecture: .gated, widths: [3, 5],
                latentCount: 2), device: .cpu, seed: 1)
        #expect(Set(model.parameters.entries.map(\.path)) == Set(file.weights.keys))
        try model.parameters.load(
            file.weights.mapValues { HostTensor(shape: $0.shape, values: $0.values) })
        let found = try model.infer(file.x.tensor, noise: file.noise.tensor)
        let mean = try found.layers[0].posterior.mean.floats()
        #expect(mismatch(mean, file.mean.values, absolute: 1e-5, relative: 1e-5) == nil)
        let decoded = try found.output.floats()
        #expect(mismatch(decoded, file.decoded.values, absolute: 1e-5, relative: 1e-5) == nil)
    }

    @Test(
        "gradients reach every parameter",
        arguments: [
            VAEConfiguration.tiny(architecture: .gated, widths: [3, 4]),
            .tiny(channelCount: 3, architecture: .gated, widths: [2], likelihood: .logisticMixture),
        ])
    func gradients(configuration: VAEConfiguration) throws {
        try expectGradientsEverywhere(configuration)
    }
}
