import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Disentangled inferred prior") struct DisentangledInferredPriorTests {
    private struct File: Decodable {
        let mean, logVariance: OracleArray
        let value: Float
        enum CodingKeys: String, CodingKey { case mean, logVariance = "log_variance", value }
    }

    private let file: File = try! Fixtures.expected("disentangled.json")

    private func posterior() throws -> Posterior {
        Posterior(mean: try file.mean.tensor, logVariance: try file.logVariance.tensor)
    }

    @Test("the distance is that of numpy's covariance to the unit matrix")
    func value() throws {
        let found = try DisentangledInferredPriorObjective.distance(posterior()).item()
        #expect(abs(found - Double(file.value)) < 1e-4 * Double(file.value))
    }

    @Test("it is 0 where means and variances add up to uncorrelated units of variance 1")
    func zero() throws {
        // Four corners of a square with sides √(3/4)·√(1/2)·2 have the variance 1/2.
        let side = Float((3.0 / 8).squareRoot())
        let posterior = try Posterior.of(
            mean: [[side, side], [side, -side], [-side, side], [-side, -side]],
            logVariance: [[Float]](repeating: [log(0.5), log(0.5)], count: 4))
        #expect(try DisentangledInferredPriorObjective.distance(posterior).item() < 1e-10)
    }

    @Test(
        "the loss is the bound and the distance times weight and warm-up; of one window the bound")
    func loss() throws {
        let reconstruction: [Float] = [-1, -2, -3, -4, -5, -6, -7]
        let pass = try TrainingPass.of(
            [.at(posterior())], reconstruction: reconstruction, klWeight: 0.5)
        let bound = try EvidenceLowerBound().loss(of: pass).item()
        let found = try DisentangledInferredPriorObjective(weight: 3).loss(of: pass).item()
        let expected = bound + 0.5 * 3 * Double(file.value)
        #expect(abs(found - expected) < 1e-4 * expected)

        let single = try TrainingPass.of(
            [.at(.of(mean: [[3]], logVariance: [[0]]))], reconstruction: [-2])
        #expect(
            try DisentangledInferredPriorObjective(weight: 3).loss(of: single).item()
                == EvidenceLowerBound().loss(of: single).item())
    }

    @Test("two dimensions that say the same are driven apart")
    func gradient() throws {
        let values: [Float] = [1, 1, -1, -1, 0.5, 0.4, -0.5, -0.4]
        let mean = try Tensor(values, shape: [4, 2])
        try mean.requireGradient()
        let posterior = Posterior(
            mean: mean, logVariance: try Tensor.full(-2, shape: [4, 2]))
        let before = try DisentangledInferredPriorObjective.distance(posterior)
        try before.backward()
        let gradient = try #require(try mean.gradient()).floats()
        #expect(gradient.allSatisfy { $0.isFinite })
        let moved = zip(values, gradient).map { $0 - 0.01 * $1 }
        let after = try DisentangledInferredPriorObjective.distance(
            Posterior(
                mean: Tensor(moved, shape: [4, 2]), logVariance: Tensor.full(-2, shape: [4, 2])))
        #expect(try after.item() < before.item())
    }
}
