import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("β-VAE") struct BetaTests {
    private let means: [[Float]] = [[0.5, -1], [2, 0]]
    private let logVariances: [[Float]] = [[0, -1], [0.5, -2]]

    private func posterior() throws -> Posterior {
        try Posterior.of(mean: means, logVariance: logVariances)
    }

    /// KL to N(0, 1) summed over dimensions, mean over windows.
    private var rate: Double {
        var total = 0.0
        for (mean, logVariance) in zip(means.joined(), logVariances.joined()) {
            let (m, v) = (Double(mean), exp(Double(logVariance)))
            total += (m * m + v - log(v) - 1) / 2
        }
        return total / 2
    }

    private func loss(
        _ objective: some Objective, klWeight: Double = 1, progress: Double = 1,
        freeNats: Double = 0
    ) throws -> Double {
        try objective.loss(
            of: .of(
                [.at(posterior())], reconstruction: [-10, -20], klWeight: klWeight,
                freeNats: freeNats, progress: progress)
        ).item()
    }

    @Test(
        "the loss is distortion + β · rate, β under the warm-up's weight", arguments: [0, 1, 4.5])
    func factor(beta: Double) throws {
        let objective = BetaObjective(beta: beta, capacity: nil)
        #expect(abs(try loss(objective) - (15 + beta * rate)) < 1e-5)
        #expect(abs(try loss(objective, klWeight: 0.25) - (15 + 0.25 * beta * rate)) < 1e-5)
    }

    @Test("with β = 1 it is the evidence lower bound", arguments: [0.3, 1])
    func bound(klWeight: Double) throws {
        let beta = try loss(BetaObjective(beta: 1, capacity: nil), klWeight: klWeight)
        #expect(try beta == loss(EvidenceLowerBound(), klWeight: klWeight))
    }

    @Test(
        "the rate is drawn to the capacity from both sides; it rises over the first half",
        arguments: [
            (1.0, 1.0, 1.0), (20, 1, 20), (20, 0, 0), (20, 0.25, 10), (20, 0.5, 20), (8, 0.05, 0.8),
        ])
    func capacity(capacity: Double, progress: Double, target: Double) throws {
        let objective = BetaObjective(beta: 3, capacity: capacity)
        let found = try loss(objective, progress: progress)
        #expect(abs(found - (15 + 3 * abs(rate - target))) < 1e-4)
    }

    @Test("the gradient changes its sign at the capacity", arguments: [0.5, 50])
    func sign(capacity: Double) throws {
        let posterior = try posterior()
        try posterior.mean.requireGradient()
        try BetaObjective(beta: 2, capacity: capacity).loss(
            of: .of([.at(posterior)], reconstruction: [-10, -20])
        ).backward()
        // d rate / d mean = mean / B.
        let found = try #require(try posterior.mean.gradient()).floats()
        let factor: Float = capacity < rate ? 2 : -2
        #expect(
            mismatch(found, means.flatMap { $0.map { factor * $0 / 2 } }, absolute: 1e-6) == nil)
    }

    @Test("the losses of two processes add up to that of one", arguments: [0.5, 50])
    func processes(capacity: Double) throws {
        let objective = BetaObjective(beta: 3, capacity: capacity)
        let whole = rate
        var total = 0.0
        for row in 0..<2 {
            let part = try Posterior.of(mean: [means[row]], logVariance: [logVariances[row]])
            let one = TrainingPass(
                layers: [.at(part)], divergences: [try LatentLayer.at(part).divergence()],
                reconstruction: try Tensor([row == 0 ? -10 : -20], shape: [1]), drawCount: 1,
                klWeight: 1, freeNats: 0, progress: 1, windowCount: 100, weights: nil,
                reducer: BatchReducer(batchSize: 2) { _ in whole },
                normals: { try Tensor.zeros(shape: $0) })
            total += try objective.loss(of: one).item()
        }
        #expect(abs(total - (try loss(objective))) < 1e-4)
    }

    @Test("a layer under its free nats gives no gradient, and the others do")
    func freeNats() throws {
        let small = try Posterior.of(mean: [[0.1], [0.2]], logVariance: [[0], [0]])
        let large = try Posterior.of(mean: [[3], [4]], logVariance: [[0], [0]])
        for posterior in [small, large] {
            try posterior.mean.requireGradient()
            try posterior.logVariance.requireGradient()
        }
        let pass = try TrainingPass.of(
            [.at(small), .at(large)], reconstruction: [-1, -1], freeNats: 0.5)
        try EvidenceLowerBound().loss(of: pass).backward()
        for tensor in [small.mean, small.logVariance] {
            #expect(try tensor.gradient().map { try $0.floats().allSatisfy { $0 == 0 } } ?? true)
        }
        let found = try #require(try large.mean.gradient()).floats()
        #expect(mismatch(found, [1.5, 2], absolute: 1e-6) == nil)
    }

    @Test("free nats are of the batch's mean: one window under them does not make a layer free")
    func freeNatsOfTheMean() throws {
        let posterior = try Posterior.of(mean: [[0], [3]], logVariance: [[0], [0]])
        try posterior.mean.requireGradient()
        // The mean is 2.25 nats.
        try EvidenceLowerBound().loss(
            of: .of([.at(posterior)], reconstruction: [0, 0], freeNats: 2.2)
        ).backward()
        let found = try #require(try posterior.mean.gradient()).floats()
        #expect(mismatch(found, [0, 1.5], absolute: 1e-6) == nil)
    }
}
