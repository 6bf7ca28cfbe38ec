import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Laplace") struct LaplaceTests {
    private struct File: Decodable {
        let x, mean, log: OracleArray
        let logScale: Double
        enum CodingKeys: String, CodingKey { case x, mean, log, logScale = "log_scale" }
    }

    private let file: File = try! Fixtures.expected("laplace.json")

    @Test("log p(x) is that of torch.distributions")
    func logProbability() throws {
        let found = try Laplace(
            mean: file.mean.tensor, logScale: Tensor.full(file.logScale, shape: [])
        ).logProbability(of: file.x.tensor).floats()
        #expect(mismatch(found, file.log.values, relative: 1e-5) == nil)
    }

    @Test("at the best scale, the mean absolute error, log p is -N (log 2b + 1) on average")
    func optimum() throws {
        let (x, mean) = (try file.x.tensor, try file.mean.tensor)
        let errors = zip(file.x.values, file.mean.values).map { abs(Double($0) - Double($1)) }
        let b = errors.reduce(0, +) / Double(errors.count)
        #expect(
            abs(try LaplaceFamily().scaleError(of: mean, at: x).mean().item() - b) < 1e-6 * b)
        func logProbability(_ scale: Double) throws -> Double {
            try Laplace(mean: mean, logScale: Tensor.full(log(scale), shape: []))
                .logProbability(of: x).mean().item()
        }
        let expected = -30 * (log(2 * b) + 1)
        let best = try logProbability(b)
        #expect(abs(best - expected) < 1e-5 * abs(expected))
        for factor in [0.5, 0.9, 1.1, 2] {
            #expect(try best > logProbability(b * factor))
        }
    }

    @Test("a model finds the best scale of a batch, and keeps it above half a step of 8 bits")
    func scale() throws {
        let model = try VAE(.tiny(likelihood: .laplace), device: .cpu, seed: 1)
        let x = try Tensor.full(0.5, shape: [2, 1, 8, 8])
        for (error, expected) in [(0.125, 0.125), (0.0001, 1.0 / 510)] {
            let output = try x + error
            let found = try model.optimalLikelihood(of: output, for: x) { try $0.mean().item() }
            let laplace = try #require(found as? Laplace)
            #expect(abs(try laplace.logScale.item() - log(expected)) < 1e-4)
        }
    }

    @Test("extreme means give finite values and gradients", arguments: [-1e3, 0.5, 1e3])
    func extremes(value: Double) throws {
        let mean = try Tensor.full(value, shape: [3, 1, 1, 1])
        try mean.requireGradient()
        let logs = try Laplace(mean: mean, logScale: Tensor.full(-6, shape: []))
            .logProbability(of: Tensor([0, 0.5, 1], shape: [3, 1, 1, 1]))
        try logs.sum().backward()
        #expect(try logs.isFinite())
        #expect(try #require(try mean.gradient()).isFinite())
    }
}
