import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("β-TC-VAE") struct TotalCorrelationTests {
    private struct File: Decodable {
        struct Parts: Decodable {
            let mean, logVariance, z, parts: OracleArray
            let windowCount: Int
            enum CodingKeys: String, CodingKey {
                case mean, z, parts, logVariance = "log_variance", windowCount = "window_count"
            }
        }
        let totalCorrelation: Parts
        enum CodingKeys: String, CodingKey { case totalCorrelation = "total_correlation" }
    }

    private let oracle: File.Parts

    init() throws {
        oracle = try Fixtures.expected("objectives.json", as: File.self).totalCorrelation
    }

    private func layer() throws -> LatentLayer {
        LatentLayer(
            posterior: Posterior(
                mean: try oracle.mean.tensor, logVariance: try oracle.logVariance.tensor),
            z: try oracle.z.tensor, prior: StandardNormal())
    }

    /// The mean over windows of the oracle's parts.
    private var expected: [Double] {
        (0..<3).map { part in
            (0..<6).reduce(0) { $0 + Double(oracle.parts.values[$1 * 3 + part]) } / 6
        }
    }

    @Test("the three parts are those of sums over all pairs of windows")
    func parts() throws {
        // Window by window, weighted apart, so that no two errors cancel.
        for window in 0..<6 {
            let parts = try TotalCorrelationObjective.decomposition(
                of: layer(), windowCount: oracle.windowCount
            ) { try $0.narrowed(axis: 0, start: window, length: 1).sum() }
            let found = [parts.mutualInformation, parts.totalCorrelation, parts.dimensionWise]
            #expect(
                mismatch(
                    try found.map { Float(try $0.item()) },
                    Array(oracle.parts.values[window * 3..<window * 3 + 3]), absolute: 2e-5) == nil)
        }
    }

    @Test("the parts add up to log q(z|x) - log p(z)")
    func sum() throws {
        let layer = try layer()
        let parts = try TotalCorrelationObjective.decomposition(
            of: layer, windowCount: oracle.windowCount
        ) { try $0.mean() }
        let found =
            try parts.mutualInformation.item() + parts.totalCorrelation.item()
            + parts.dimensionWise.item()
        // Both densities of each number, by hand.
        var ratio = 0.0
        for index in oracle.z.values.indices {
            let (z, mean) = (Double(oracle.z.values[index]), Double(oracle.mean.values[index]))
            let logVariance = Double(oracle.logVariance.values[index])
            ratio += (z * z - (z - mean) * (z - mean) / exp(logVariance) - logVariance) / 2
        }
        #expect(abs(found - ratio / 6) < 2e-5)
    }

    @Test("β multiplies the total correlation alone", arguments: [1.0, 6], [1.0, 0.25])
    func loss(beta: Double, klWeight: Double) throws {
        let pass = try TrainingPass.of(
            [layer()], reconstruction: [-1, -2, -3, -4, -5, -6], klWeight: klWeight,
            windowCount: oracle.windowCount)
        let found = try TotalCorrelationObjective(beta: beta).loss(of: pass).item()
        let rate = expected[0] + beta * expected[1] + expected[2]
        #expect(abs(found - (3.5 + klWeight * rate)) < 1e-4)
    }

    @Test("it couples the windows of a batch, and is for one layer")
    func limits() {
        #expect(TotalCorrelationObjective(beta: 1).couplesWindows)
        #expect(!TotalCorrelationObjective(beta: 1).allowsHierarchy)
    }
}
