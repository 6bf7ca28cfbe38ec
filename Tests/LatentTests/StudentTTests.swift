import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Student's t") struct StudentTTests {
    private struct File: Decodable {
        let x, output, mean, log: OracleArray
    }

    private let file: File = try! Fixtures.expected("student_t.json")

    @Test("mean and log p(x) of a decoder's output are those of torch.distributions")
    func logProbability() throws {
        let found = try StudentTFamily().distribution(
            of: file.output.tensor, logScale: Tensor.zeros(shape: []))
        #expect(mismatch(try found.mean.floats(), file.mean.values, absolute: 1e-6) == nil)
        let logs = try found.logProbability(of: file.x.tensor).floats()
        #expect(mismatch(logs, file.log.values, relative: 1e-5) == nil)
    }

    @Test("the density integrates to 1")
    func mass() throws {
        let count = 20_001
        let step = 0.01
        let x = (0..<count).map { Float(Double($0 - count / 2) * step) }
        let shape = [count, 1, 1, 1]
        let t = StudentT(
            mean: try Tensor.full(0.25, shape: shape), scale: try Tensor.full(0.5, shape: shape))
        let logs = try t.logProbability(of: Tensor(x, shape: shape)).floats()
        let mass = logs.reduce(0) { $0 + exp(Double($1)) * step }
        #expect(abs(mass - 1) < 1e-4)
    }

    @Test("extreme outputs give finite values and gradients", arguments: [-1e3, 0, 1e3])
    func extremes(value: Double) throws {
        let output = try Tensor.full(value, shape: [3, 2, 1, 1])
        try output.requireGradient()
        let logs = try StudentTFamily()
            .distribution(of: output, logScale: Tensor.zeros(shape: []))
            .logProbability(of: Tensor([0, 0.5, 1], shape: [3, 1, 1, 1]))
        try logs.sum().backward()
        #expect(try logs.isFinite())
        #expect(try #require(try output.gradient()).isFinite())
    }
}
