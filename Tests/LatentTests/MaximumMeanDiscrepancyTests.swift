import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Maximum mean discrepancy") struct MaximumMeanDiscrepancyTests {
    private struct File: Decodable {
        struct Discrepancy: Decodable {
            let a, b: OracleArray
            let value: Float
        }
        let discrepancy: Discrepancy
    }

    private let oracle: File.Discrepancy

    init() throws { oracle = try Fixtures.expected("objectives.json", as: File.self).discrepancy }

    @Test("MMD² is the unbiased sum over all pairs")
    func value() throws {
        let found = try MaximumMeanDiscrepancyObjective.discrepancy(
            oracle.a.tensor, oracle.b.tensor
        ).item()
        #expect(abs(found - Double(oracle.value)) < 2e-5)
    }

    /// Mean and standard error of MMD² over pairs of samples.
    private func estimate(
        deviation: Float, shift: Float, repeats: Int = 300
    ) throws -> (mean: Double, error: Double) {
        var generator = Generator(seed: 31)
        var values: [Double] = []
        for _ in 0..<repeats {
            let a = try Tensor(
                generator.normals(12 * 2).map { deviation * $0 + shift }, shape: [12, 2])
            let b = try Tensor(generator.normals(12 * 2), shape: [12, 2])
            values.append(try MaximumMeanDiscrepancyObjective.discrepancy(a, b).item())
        }
        let mean = values.reduce(0, +) / Double(repeats)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(repeats - 1)
        return (mean, (variance / Double(repeats)).squareRoot())
    }

    @Test("of two samples of one distribution it is 0 on average, and may be below")
    func zero() throws {
        let (mean, error) = try estimate(deviation: 1, shift: 0)
        #expect(abs(mean) < 4 * error)
        // An estimate with the diagonals would be near 2 · 7 / 12.
        #expect(error < 0.03)
    }

    @Test(
        "of samples of two distributions it is above 0",
        arguments: [(Float(0.3), Float(0)), (3, 0), (1, 1)])
    func difference(deviation: Float, shift: Float) throws {
        let (mean, error) = try estimate(deviation: deviation, shift: shift)
        #expect(mean > 8 * error)
    }

    @Test("the loss has it times the weight, the dimensions and the warm-up, and no KL term")
    func loss() throws {
        let posterior = Posterior(
            mean: try Tensor.full(50, shape: [7, 4]), logVariance: try Tensor.zeros(shape: [7, 4]))
        let layer = LatentLayer(
            posterior: posterior, z: try oracle.a.tensor, prior: StandardNormal())
        let normals = try oracle.b.tensor
        let pass = try TrainingPass.of(
            [layer], reconstruction: [-1, -2, -3, -4, -5, -6, -7], klWeight: 0.5
        ) { shape in
            #expect(shape == [7, 4])
            return normals
        }
        let found = try MaximumMeanDiscrepancyObjective(weight: 10).loss(of: pass).item()
        #expect(abs(found - (4 + 0.5 * 10 * 4 * Double(oracle.value))) < 1e-3)
    }

    @Test("one window has no discrepancy")
    func single() throws {
        let posterior = try Posterior.of(mean: [[3]], logVariance: [[0]])
        let pass = try TrainingPass.of([.at(posterior)], reconstruction: [-2])
        #expect(try MaximumMeanDiscrepancyObjective(weight: 10).loss(of: pass).item() == 2)
    }

    @Test("z is pulled towards the prior")
    func gradient() throws {
        var generator = Generator(seed: 32)
        let z = try Tensor(generator.normals(64).map { $0 + 2 }, shape: [32, 2])
        try z.requireGradient()
        let normals = try Tensor(generator.normals(64), shape: [32, 2])
        let layer = LatentLayer(
            posterior: Posterior(mean: z, logVariance: z), z: z, prior: StandardNormal())
        try MaximumMeanDiscrepancyObjective(weight: 1).loss(
            of: .of([layer], reconstruction: [Float](repeating: 0, count: 32)) { _ in normals }
        ).backward()
        let gradient = try #require(try z.gradient())
        #expect(try gradient.isFinite())
        #expect(try gradient.mean().item() > 0)
    }
}
