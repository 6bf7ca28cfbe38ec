import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

/// The numbers of a forward pass are in VAETests, the cases `spectral` of `vae.json`.
@Suite("Spectral network") struct SpectralNetworkTests {
    @Test("any number of bands comes back; frames must be halved", arguments: [1, 5, 16])
    func sizes(bandCount: Int) throws {
        let configuration = VAEConfiguration.tiny(
            height: bandCount, width: 12, architecture: .spectral, widths: [4, 3], latentCount: 2)
        let model = try VAE(configuration, device: .cpu, seed: 1)
        let output = try model.infer(
            Tensor.full(0.5, shape: [2, 1, bandCount, 12]), noise: Tensor.zeros(shape: [2, 2])
        ).output
        #expect(output.shape == [2, 1, bandCount, 12])
        let shapes = try model.parameters.values().mapValues(\.shape)
        #expect(shapes["encoder.0.weight"] == [4, bandCount, 4])
        #expect(shapes["decoder.2.weight"] == [4, bandCount, 4])
        #expect(shapes["encoder.posterior.weight"] == [4, 3 * 3])
        #expect(throws: LatentError.self) {
            try VAEConfiguration.tiny(
                height: bandCount, width: 10, architecture: .spectral, widths: [4, 3]
            ).validate()
        }
    }

    @Test("a pattern a few frames later gives the same features a few places later")
    func shift() throws {
        let window = WindowShape(channelCount: 1, height: 3, width: 32)
        let parameters = Parameters(device: .cpu, generator: Generator(seed: 7))
        let encoder = try SpectralNetwork().encoder(
            parameters.root["encoder"], window: window, widths: [5, 4])
        #expect(encoder.featureCount == 4 * 8)
        var generator = Generator(seed: 8)
        let pattern = (0..<3 * 4).map { _ in generator.uniform() }
        func features(at start: Int) throws -> [Float] {
            var x = [Float](repeating: 0, count: 96)
            for band in 0..<3 {
                for column in 0..<4 {
                    x[band * 32 + start + column] = pattern[band * 4 + column]
                }
            }
            return try encoder(Tensor(x, shape: [1, 1, 3, 32])).floats()
        }
        // Two halvings: 4 frames are one place; features 2…5 lie away from both ends.
        let (early, late) = (try features(at: 12), try features(at: 16))
        for channel in 0..<4 {
            let range = channel * 8 + 2..<channel * 8 + 5
            let moved = range.lowerBound + 1..<range.upperBound + 1
            #expect(mismatch(Array(late[moved]), Array(early[range]), absolute: 1e-6) == nil)
            #expect(Array(late[range]) != Array(early[range]))
        }
    }

    @Test("bands are not exchangeable")
    func bands() throws {
        let model = try VAE(
            .tiny(height: 2, width: 8, architecture: .spectral, widths: [4], latentCount: 2),
            device: .cpu, seed: 9)
        let low = [Float](repeating: 1, count: 8) + [Float](repeating: 0, count: 8)
        let z = try model.latents(of: model.batch(low + low.reversed())).floats()
        #expect(Array(z[0..<2]) != Array(z[2..<4]))
    }

    @Test("gradients reach every parameter")
    func gradients() throws {
        try expectGradientsEverywhere(
            .tiny(height: 5, width: 8, architecture: .spectral, widths: [4, 3]))
    }
}
