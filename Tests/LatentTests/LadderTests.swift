import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

/// A case of `ladder.json`.
struct Ladder: Decodable, Sendable, CustomTestStringConvertible {
    struct Layer: Decodable {
        let mean, logVariance, z, kl: OracleArray
        enum CodingKeys: String, CodingKey { case mean, z, kl, logVariance = "log_variance" }
    }
    struct Prior: Decodable { let still, drawn: OracleArray }

    let name: String
    let shape, widths: [Int]
    let layers, latent, mapChannels: Int
    let weights: [String: OracleArray]
    let x, noise, decoded: OracleArray
    let posteriors: [Layer]
    let prior: Prior

    enum CodingKeys: String, CodingKey {
        case name, shape, widths, layers, latent, weights, x, noise, decoded, posteriors, prior
        case mapChannels = "map_channels"
    }

    var testDescription: String { name }

    func model() throws -> VAE {
        let configuration = VAEConfiguration.ladder(
            shape: shape, widths: widths, latentCount: latent, layerCount: layers,
            mapChannelCount: mapChannels)
        let model = try VAE(configuration, device: .cpu, seed: 1)
        try model.parameters.load(
            weights.mapValues { HostTensor(shape: $0.shape, values: $0.values) })
        return model
    }

    static let all: [Ladder] = {
        struct File: Decodable { let cases: [Ladder] }
        return try! Fixtures.expected("ladder.json", as: File.self).cases
    }()
}

extension VAEConfiguration {
    fileprivate static func ladder(
        shape: [Int] = [1, 8, 8], widths: [Int] = [3, 4], latentCount: Int = 2,
        layerCount: Int, mapChannelCount: Int = 2
    ) -> VAEConfiguration {
        var configuration = VAEConfiguration.tiny(
            channelCount: shape[0], height: shape[1], width: shape[2], architecture: .resnet,
            widths: widths, latentCount: latentCount)
        configuration.layerCount = layerCount
        configuration.mapChannelCount = mapChannelCount
        return configuration
    }
}

extension [Float] {
    /// A row of a matrix.
    fileprivate func row(_ index: Int, _ width: Int) -> ArraySlice<Float> {
        self[index * width..<(index + 1) * width]
    }
}

@Suite("Hierarchical latents") struct LadderTests {
    @Test("the paths of the weights are those that the oracle lists", arguments: Ladder.all)
    func paths(ladder: Ladder) throws {
        let model = try ladder.model()
        #expect(Set(model.parameters.entries.map(\.path)) == Set(ladder.weights.keys))
    }

    @Test(
        "each layer's posterior, z and KL are those of the same pass in PyTorch",
        arguments: Ladder.all)
    func layers(ladder: Ladder) throws {
        let inference = try ladder.model().infer(ladder.x.tensor, noise: ladder.noise.tensor)
        #expect(inference.layers.count == ladder.layers)
        for (layer, expected) in zip(inference.layers, ladder.posteriors) {
            for (found, oracle) in [
                (layer.posterior.mean, expected.mean),
                (layer.posterior.logVariance, expected.logVariance),
                (layer.z, expected.z), (try layer.divergence(), expected.kl),
            ] {
                #expect(found.shape == oracle.shape)
                #expect(
                    mismatch(try found.floats(), oracle.values, absolute: 2e-5, relative: 2e-5)
                        == nil)
            }
        }
        let total = (0..<2).map { row in
            ladder.posteriors.reduce(0) { $0 + $1.kl.values[row] }
        }
        #expect(
            mismatch(try inference.divergence().floats(), total, absolute: 1e-4, relative: 2e-5)
                == nil)
    }

    @Test("the output is that of the same pass in PyTorch", arguments: Ladder.all)
    func output(ladder: Ladder) throws {
        let found = try ladder.model().infer(ladder.x.tensor, noise: ladder.noise.tensor).output
        #expect(found.shape == [2] + ladder.shape)
        #expect(
            mismatch(try found.floats(), ladder.decoded.values, absolute: 2e-5, relative: 2e-5)
                == nil)
    }

    @Test(
        "latents from the prior are PyTorch's, its means where the noise is 0",
        arguments: Ladder.all)
    func prior(ladder: Ladder) throws {
        let model = try ladder.model()
        let noise = try ladder.noise.tensor
        for (noise, expected) in [(try noise * 0, ladder.prior.still), (noise, ladder.prior.drawn)]
        {
            let found = try model.priorLatents(noise: noise, choices: [0, 0])
            #expect(found.shape == expected.shape)
            #expect(
                mismatch(try found.floats(), expected.values, absolute: 2e-5, relative: 2e-5)
                    == nil)
        }
    }

    @Test("latents of windows decode to what the inference gave", arguments: Ladder.all)
    func decoding(ladder: Ladder) throws {
        let model = try ladder.model()
        let (x, noise) = (try ladder.x.tensor, try ladder.noise.tensor)
        let z = try model.latents(of: x, noise: noise)
        #expect(z.shape == [2, model.noiseCount])
        let expected = ladder.posteriors.map(\.z)
        // The top layer first, in each row.
        let rows = (0..<2).flatMap { row in expected.flatMap { $0.values.row(row, $0.shape[1]) } }
        #expect(mismatch(try z.floats(), rows, absolute: 2e-5, relative: 2e-5) == nil)
        #expect(
            mismatch(
                try model.decode(z).mean.floats(), ladder.decoded.values, absolute: 2e-5,
                relative: 2e-5) == nil)
    }

    @Test("three draws of a window together are three single ones", arguments: Ladder.all)
    func draws(ladder: Ladder) throws {
        let model = try ladder.model()
        var generator = Generator(seed: 3)
        let count = model.noiseCount
        let noise = generator.normals(6 * count)
        let x = try ladder.x.tensor
        let together = try model.infer(
            x, noise: Tensor(noise, shape: [6, count]), drawCount: 3)
        #expect(together.output.shape == [6] + ladder.shape)
        let elements = ladder.shape.reduce(1, *)
        let (outputs, z) = (try together.output.floats(), try together.z.floats())
        let divergences = try together.divergence().floats()
        for draw in 0..<3 {
            let rows = [draw, 3 + draw].flatMap { noise.row($0, count) }
            let single = try model.infer(x, noise: Tensor(rows, shape: [2, count]))
            func share(_ values: [Float], _ width: Int) -> [Float] {
                [draw, 3 + draw].flatMap { values.row($0, width) }
            }
            for (found, expected) in [
                (share(outputs, elements), try single.output.floats()),
                (share(z, count), try single.z.floats()),
                (share(divergences, 1), try single.divergence().floats()),
            ] {
                #expect(mismatch(found, expected, absolute: 1e-5, relative: 1e-5) == nil)
            }
        }
    }

    @Test(
        "the levels of the maps: the deepest first, and those beyond the levels there too",
        arguments: [
            ([3], 2, [0]), ([3], 5, [0, 0, 0, 0]), ([3, 4], 2, [1]), ([3, 4], 3, [1, 0]),
            ([3, 4], 5, [1, 1, 1, 0]), ([2, 3, 4], 3, [2, 1]), ([2, 3, 4], 4, [2, 1, 0]),
            ([2, 3, 4], 5, [2, 2, 1, 0]), ([2, 3, 4], 1, []),
        ])
    func levels(widths: [Int], layerCount: Int, expected: [Int]) {
        let configuration = VAEConfiguration.ladder(widths: widths, layerCount: layerCount)
        #expect(configuration.mapLevels == expected)
    }

    @Test(
        "latent dimensions: the top vector, and a map's channels times its area",
        arguments: [
            // 8×16: levels of 4×8, 2×4 and 1×2; two channels; five at the top.
            // 5 + 2·32; 5 + 4·32; 5 + 2·8 + 2·32; 5 + 6·8 + 2·32; 5 + 4·2 + 2·8 + 2·32; 5.
            ([3], 2, 69), ([3], 3, 133), ([3, 4], 3, 85), ([3, 4], 5, 117), ([2, 3, 4], 5, 93),
            ([2, 3, 4], 1, 5),
        ])
    func dimensions(widths: [Int], layerCount: Int, expected: Int) throws {
        let configuration = VAEConfiguration.ladder(
            shape: [1, 8, 16], widths: widths, latentCount: 5, layerCount: layerCount)
        #expect(configuration.latentDimensionCount == expected)
        #expect(try VAE(configuration, device: .cpu, seed: 1).noiseCount == expected)
    }

    @Test("gradients reach every parameter", arguments: [2, 3, 5])
    func gradients(layerCount: Int) throws {
        try expectGradientsEverywhere(.ladder(layerCount: layerCount))
    }

    @Test("KL of q to itself is 0, and to another Gaussian that of the closed form")
    func divergence() throws {
        let q = try Posterior.of(mean: [[1, -2]], logVariance: [[0, 1]])
        let p = try Posterior.of(mean: [[0.5, 1]], logVariance: [[1, -1]])
        #expect(try q.klDivergence(to: q).floats() == [0])
        func divergence(_ m: Double, _ s: Double, _ n: Double, _ t: Double) -> Double {
            log(t / s) + (s * s + (m - n) * (m - n)) / (2 * t * t) - 0.5
        }
        let expected =
            divergence(1, 1, 0.5, exp(0.5)) + divergence(-2, exp(0.5), 1, exp(-0.5))
        #expect(abs(try q.klDivergence(to: p).item() - expected) < 1e-5)
    }

    @Test(
        "log q - log p at the z drawn has the closed form's KL as its mean", arguments: [3])
    func ratio(layerCount: Int) throws {
        let model = try Ladder.all[0].model()
        let x = try Tensor(Array(Ladder.all[0].x.values[0..<64]), shape: [1, 1, 8, 8])
        let count = 4000
        var generator = Generator(seed: 9)
        let inference = try withoutGradients {
            try model.infer(
                x,
                noise: Tensor(
                    generator.normals(count * model.noiseCount), shape: [count, model.noiseCount]),
                drawCount: count)
        }
        for layer in inference.layers {
            let differences = try (layer.logRatio() - layer.divergence()).floats().map(Double.init)
            let mean = differences.reduce(0, +) / Double(count)
            let variance = differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count)
            #expect(abs(mean) < 5 * (variance / Double(count)).squareRoot() + 1e-4)
        }
    }
}
