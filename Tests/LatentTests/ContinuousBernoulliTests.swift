import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Continuous Bernoulli") struct ContinuousBernoulliTests {
    private struct File: Decodable { let logits, x, log, mean: OracleArray }

    private let file: File = try! Fixtures.expected("continuous_bernoulli.json")

    /// Each logit with each x, one element a window.
    private func pairs() throws -> (logits: Tensor, x: Tensor) {
        let (logits, x) = (file.logits.values, file.x.values)
        let shape = [logits.count * x.count, 1, 1, 1]
        return (
            try Tensor(logits.flatMap { [Float](repeating: $0, count: x.count) }, shape: shape),
            try Tensor(logits.flatMap { _ in x }, shape: shape)
        )
    }

    @Test("log p(x) is that of the definition, from logits of -40 to 40 and around 0")
    func logProbability() throws {
        let (logits, x) = try pairs()
        let found = try ContinuousBernoulli(logits: logits).logProbability(of: x).floats()
        #expect(mismatch(found, file.log.values, absolute: 4e-6, relative: 1e-6) == nil)
    }

    @Test("log p(x) of a window is the sum over its elements")
    func sum() throws {
        let (logits, x) = try pairs()
        let shape = [file.logits.values.count, 1, 2, file.x.values.count / 2]
        let found = try ContinuousBernoulli(logits: logits.reshaped(shape))
            .logProbability(of: x.reshaped(shape)).floats()
        let width = file.x.values.count
        let expected = file.logits.values.indices.map {
            file.log.values[$0 * width..<($0 + 1) * width].reduce(0, +)
        }
        #expect(mismatch(found, expected, absolute: 2e-5, relative: 1e-6) == nil)
    }

    @Test("E[x] is that of the definition, also around a logit of 0")
    func mean() throws {
        let found = try ContinuousBernoulli(logits: file.logits.tensor).mean.floats()
        #expect(mismatch(found, file.mean.values, absolute: 5e-6) == nil)
    }

    @Test("the gradient of log p(x) is x - E[x], as of every exponential family")
    func gradient() throws {
        let (logits, x) = try pairs()
        try logits.requireGradient()
        try ContinuousBernoulli(logits: logits).logProbability(of: x).sum().backward()
        let found = try #require(try logits.gradient()).floats()
        let expected = zip(file.logits.values, file.mean.values).flatMap { _, mean in
            file.x.values.map { $0 - mean }
        }
        // Up to a logit of 1e-3 the constant is taken for flat, which is 1.7e-4 off at most.
        #expect(mismatch(found, expected, absolute: 2e-4) == nil)
    }

    @Test("densities integrate to 1", arguments: [-30.0, -3, -0.02, 0, 0.5, 8])
    func normalisation(logit: Double) throws {
        let count = 4000
        let x = try Tensor(
            (0..<count).map { (Float($0) + 0.5) / Float(count) }, shape: [count, 1, 1, 1])
        let found = try ContinuousBernoulli(logits: Tensor.full(logit, shape: [count, 1, 1, 1]))
            .logProbability(of: x).exp().mean().item()
        #expect(abs(found - 1) < 2e-5)
    }

    @Test("extreme logits give finite values and gradients", arguments: [-1e3, 0, 1e3])
    func extremes(logit: Double) throws {
        let logits = try Tensor.full(logit, shape: [3, 1, 1, 1])
        try logits.requireGradient()
        let likelihood = ContinuousBernoulli(logits: logits)
        let logs = try likelihood.logProbability(of: Tensor([0, 0.5, 1], shape: [3, 1, 1, 1]))
        try logs.sum().backward()
        #expect(try logs.isFinite())
        #expect(try likelihood.mean.isFinite())
        #expect(try #require(try logits.gradient()).isFinite())
    }
}
