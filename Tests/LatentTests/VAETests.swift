import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

/// A case of `vae.json`.
private struct Twin: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let shape, widths: [Int]
    let latent: Int
    let architecture: VAEConfiguration.Architecture
    let likelihood: LikelihoodKind
    let weights: [String: OracleArray]
    let x, noise, mean, logVariance, z, decoded, reconstruction, kl: OracleArray
    let logRatio: OracleArray?
    let squaredError: Float

    enum CodingKeys: String, CodingKey {
        case name, shape, widths, latent, architecture, likelihood, weights, x, noise, mean
        case logVariance = "log_variance"
        case z, decoded, reconstruction, kl
        case logRatio = "log_ratio"
        case squaredError = "squared_error"
    }

    var testDescription: String { name }

    func model() throws -> VAE {
        let model = try VAE(
            VAEConfiguration(
                channelCount: shape[0], height: shape[1], width: shape[2],
                architecture: architecture, widths: widths, latentCount: latent,
                likelihood: likelihood), device: .cpu, seed: 1)
        try model.parameters.load(
            weights.mapValues { HostTensor(shape: $0.shape, values: $0.values) })
        return model
    }

    static let all: [Twin] = {
        struct File: Decodable { let cases: [Twin] }
        return try! Fixtures.expected("vae.json", as: File.self).cases
    }()
}

@Suite("VAE") struct VAETests {
    init() { _ = Runtime.threadCount }

    @Test("the paths of the weights are those that the oracle lists", arguments: Twin.all)
    fileprivate func paths(twin: Twin) throws {
        let model = try twin.model()
        #expect(Set(model.parameters.entries.map(\.path)) == Set(twin.weights.keys))
    }

    @Test("the posterior is that of the same network in PyTorch", arguments: Twin.all)
    fileprivate func posterior(twin: Twin) throws {
        let posterior = try twin.model().posterior(of: twin.x.tensor)
        #expect(
            mismatch(
                try posterior.mean.floats(), twin.mean.values, absolute: 1e-5, relative: 1e-5)
                == nil)
        #expect(
            mismatch(
                try posterior.logVariance.floats(), twin.logVariance.values, absolute: 1e-5,
                relative: 1e-5) == nil)
        #expect(
            mismatch(
                try posterior.klDivergence().floats(), twin.kl.values, absolute: 1e-5,
                relative: 1e-5) == nil)
    }

    @Test("the decoded mean is that of the same network in PyTorch", arguments: Twin.all)
    fileprivate func decoded(twin: Twin) throws {
        let found = try twin.model().decode(twin.z.tensor).mean
        #expect(found.shape == [4] + twin.shape)
        #expect(
            mismatch(try found.floats(), twin.decoded.values, absolute: 1e-5, relative: 1e-5)
                == nil)
    }

    @Test("the bound is that of the same network in PyTorch", arguments: Twin.all)
    fileprivate func bound(twin: Twin) throws {
        let bound = try twin.model().bound(of: twin.x.tensor, noise: twin.noise.tensor)
        #expect(
            mismatch(
                try bound.reconstruction.floats(), twin.reconstruction.values, absolute: 1e-4,
                relative: 1e-5) == nil)
        #expect(
            mismatch(
                try bound.klDivergence.floats(), twin.kl.values, absolute: 1e-5, relative: 1e-5)
                == nil)
        #expect(
            mismatch(
                [Float(try bound.squaredError.item())], [twin.squaredError], relative: 1e-5) == nil)
    }

    @Test("an element's log-variance is the shared one plus what PyTorch's network gives")
    func elementVariance() throws {
        let twin = try #require(Twin.all.first { $0.logRatio != nil })
        let model = try twin.model()
        model.sharedLogScale = -2.5
        guard let gaussian = try model.decode(twin.z.tensor) as? Gaussian else {
            Issue.record("not a Gaussian")
            return
        }
        let expected = try #require(twin.logRatio).values.map { $0 - 2.5 }
        #expect(mismatch(try gaussian.logVariance.floats(), expected, absolute: 1e-5) == nil)
    }

    @Test("an element's log-variance stays within 3 of the shared one, however wild the latent")
    func boundedVariance() throws {
        let twin = try #require(Twin.all.first { $0.logRatio != nil })
        let model = try twin.model()
        model.sharedLogScale = -4
        let z = try Tensor([1e4, -1e4, -1e6, 1e6], shape: [2, 2])
        guard let gaussian = try model.decode(z) as? Gaussian else {
            Issue.record("not a Gaussian")
            return
        }
        let values = try gaussian.logVariance.floats()
        #expect(values.allSatisfy { (-7.0...(-1)).contains($0) })
        // Both ends are reached, so that the bound was put to the test.
        #expect(values.contains { $0 < -6.9 } && values.contains { $0 > -1.1 })
    }

    @Test("the posterior's log-variance stays within -8…4")
    func clampedPosterior() throws {
        let model = try VAE(.tiny(), device: .cpu, seed: 3)
        let wild = try Tensor(
            (0..<128).map { Float($0 % 2 == 0 ? 1e5 : -1e5) * Float($0 + 1) }, shape: [2, 1, 8, 8])
        let values = try model.posterior(of: wild).logVariance.floats()
        #expect(values.allSatisfy { (-8.0...4).contains($0) })
        #expect(values.contains { $0 == -8 || $0 == 4 })
    }

    @Test(
        "the statistics are the plain means over the draws",
        arguments: [LikelihoodKind.bernoulli, .gaussian, .gaussianPerElement], [1, 5])
    func statistics(likelihood: LikelihoodKind, drawCount: Int) throws {
        let configuration = VAEConfiguration.tiny(latentCount: 2, likelihood: likelihood)
        let model = try VAE(configuration, device: .cpu, seed: 5)
        model.sharedLogScale = -1.5
        var generator = Generator(seed: 9)
        let values = (0..<3 * 64).map { _ in generator.uniform() }
        let noise = generator.normals(3 * drawCount * 2)
        let found = try model.statistics(of: model.batch(values), drawCount: drawCount) {
            Array(
                noise[($0 * drawCount + $1.lowerBound) * 2..<($0 * drawCount + $1.upperBound) * 2])
        }

        for window in 0..<3 {
            let x = try Tensor(Array(values[window * 64..<(window + 1) * 64]), shape: [1, 1, 8, 8])
            let posterior = try model.posterior(of: x)
            var (log, error) = (0.0, 0.0)
            for draw in 0..<drawCount {
                let start = (window * drawCount + draw) * 2
                let z = try posterior.sample(
                    noise: Tensor(Array(noise[start..<start + 2]), shape: [1, 2]))
                let decoded = try model.decode(z)
                log += try decoded.logProbability(of: x).item() / Double(drawCount)
                error += try (x - decoded.mean).squared().mean().item() / Double(drawCount)
            }
            #expect(abs(found.reconstruction[window] - log) < 1e-5 * max(1, abs(log)))
            #expect(abs(found.meanSquaredError[window] - error) < 1e-5 * error)
            let divergence = try posterior.klDivergence().item()
            #expect(abs(found.klDivergence[window] - divergence) < 1e-5 * max(1, divergence))
        }
    }

    @Test("draws that are decoded in several chunks give the same means as draw by draw")
    func chunkedStatistics() throws {
        // 262,144 elements are decoded at once: 3 windows of 4096 make chunks of 21 draws.
        let configuration = VAEConfiguration.tiny(
            height: 64, width: 64, widths: [3], latentCount: 2)
        let model = try VAE(configuration, device: .cpu, seed: 5)
        var generator = Generator(seed: 10)
        let x = try model.batch((0..<3 * 4096).map { _ in generator.uniform() })
        let drawCount = 50
        let noise = generator.normals(3 * drawCount * 2)
        var chunks: [Range<Int>] = []
        let found = try model.statistics(of: x, drawCount: drawCount) { window, draws in
            if window == 0 { chunks.append(draws) }
            let first = window * drawCount
            return Array(noise[(first + draws.lowerBound) * 2..<(first + draws.upperBound) * 2])
        }
        #expect(chunks == [0..<21, 21..<42, 42..<50])
        var (logs, errors) = ([0.0, 0, 0], [0.0, 0, 0])
        for draw in 0..<drawCount {
            let one = try model.statistics(of: x, drawCount: 1) { window, _ in
                Array(noise[(window * drawCount + draw) * 2..<(window * drawCount + draw + 1) * 2])
            }
            for window in 0..<3 {
                logs[window] += one.reconstruction[window] / Double(drawCount)
                errors[window] += one.meanSquaredError[window] / Double(drawCount)
            }
        }
        for window in 0..<3 {
            #expect(abs(found.reconstruction[window] - logs[window]) < 1e-5 * abs(logs[window]))
            #expect(abs(found.meanSquaredError[window] - errors[window]) < 1e-5 * errors[window])
        }
    }

    @Test("equal seeds give equal weights and others do not")
    func seeds() throws {
        func values(_ seed: UInt64) throws -> [String: HostTensor] {
            try VAE(.tiny(), device: .cpu, seed: seed).parameters.values()
        }
        let first = try values(4)
        #expect(try first == values(4))
        #expect(try first != values(5))
    }

    @Test(
        "an impossible configuration is refused with what was found and expected",
        arguments: [
            (VAEConfiguration.tiny(channelCount: 65), ["65 channels", "1 to 64"]),
            (
                VAEConfiguration.tiny(channelCount: 2, likelihood: .logisticMixture),
                ["2 channels", "1 or 3"]
            ),
            (.tiny(height: 4097), ["4097", "4096"]),
            (.tiny(width: 0), ["8×0", "1 to 4096"]),
            (.tiny(latentCount: 0), ["0 latent", "1 to 4096"]),
            (.tiny(widths: []), ["[]", "1 to 12"]),
            (.tiny(widths: [8, 70_000]), ["70000", "65536"]),
            (
                .tiny(height: 20, architecture: .conv, widths: [2, 2, 2]),
                ["20×8", "3 times", "divisible by 8"]
            ),
        ])
    func validation(configuration: VAEConfiguration, texts: [String]) throws {
        let error = try #require(throws: LatentError.self) { try configuration.validate() }
        #expect(error.code == .usage)
        for text in texts { #expect(error.description.contains(text)) }
        #expect(throws: LatentError.self) { try VAE(configuration, device: .cpu, seed: 0) }
    }

    @Test("a window whose sides can be halved as often as there are layers is accepted")
    func halving() throws {
        #expect(throws: Never.self) {
            try VAEConfiguration.tiny(
                height: 24, width: 16, architecture: .conv, widths: [2, 2, 2]
            ).validate()
        }
        #expect(ConvolutionalNetwork().sideMultiple(widths: [2, 2, 2]) == 8)
        #expect(FullyConnectedNetwork().sideMultiple(widths: [2, 2, 2]) == 1)
    }
}

@Suite("Latents without decoding") struct UndecodedLatentsTests {
    @Test(
        "posteriors and latents are those of an inference, to the last bit",
        arguments: [1, 3], [false, true])
    func same(layerCount: Int, isConditional: Bool) throws {
        _ = Runtime.threadCount
        var configuration = VAEConfiguration.tiny(
            height: 16, width: 16, architecture: layerCount > 1 ? .resnet : .conv, widths: [8, 12])
        configuration.layerCount = layerCount
        if isConditional { configuration.conditioning = Conditioning(classes: ["a", "b"]) }
        let model = try VAE(configuration, device: .cpu, seed: 4)
        var generator = Generator(seed: 6)
        let x = try Tensor(generator.normals(5 * 256), shape: [5, 1, 16, 16]).sigmoid()
        let noise = try Tensor(
            generator.normals(5 * model.noiseCount), shape: [5, model.noiseCount])
        let condition = try model.condition([[0], [1], [1], [0], [1]])
        let inference = try model.infer(x, condition: condition, noise: noise)
        #expect(
            try model.latents(of: x, condition: condition, noise: noise).floats()
                == inference.z.floats())
        let posterior = try model.topPosterior(of: x, condition: condition)
        let expected = inference.layers[0].posterior
        #expect(try posterior.mean.floats() == expected.mean.floats())
        #expect(try posterior.logVariance.floats() == expected.logVariance.floats())
        #expect(posterior.mean.shape == [5, 3])
    }
}
