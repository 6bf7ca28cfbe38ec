import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Logistic mixture") struct LogisticMixtureTests {
    struct Case: Decodable, Sendable, CustomTestStringConvertible {
        let name: String
        let output, x, log: OracleArray
        var testDescription: String { name }
    }

    private struct File: Decodable {
        struct Mean: Decodable { let output, mean: OracleArray }
        let cases: [Case]
        let means: [Mean]
    }

    private static let file: File = try! Fixtures.expected("logistic_mixture.json")

    @Test("log p(x) is that of the CDF's differences, channel by channel", arguments: file.cases)
    func logProbability(oracle: Case) throws {
        let found = try LogisticMixture(oracle.output.tensor)
            .logProbability(of: oracle.x.tensor).floats()
        #expect(mismatch(found, oracle.log.values, absolute: 1e-4, relative: 1e-5) == nil)
    }

    @Test("E[x] is the mean over the 256 steps of each channel")
    func mean() throws {
        for oracle in Self.file.means {
            let found = try LogisticMixture(oracle.output.tensor).mean.floats()
            #expect(mismatch(found, oracle.mean.values, absolute: 2e-5) == nil)
        }
    }

    /// All steps of a grey pixel for one output of 15 numbers, [256].
    private func logSteps(_ output: [Float]) throws -> Tensor {
        let x = try Tensor((0..<256).map { Float($0) / 255 }, shape: [256, 1, 1, 1])
        let repeated = try Tensor(output, shape: [1, 15, 1, 1]).repeatedInterleaved(256)
        return try LogisticMixture(repeated).logProbability(of: x)
    }

    @Test("the probabilities of the 256 steps sum to 1", arguments: [0.0, 0.5, 2, 5, 1000])
    func normalisation(scale: Double) throws {
        for seed in 0..<4 {
            var generator = Generator(seed: UInt64(seed), 21)
            let output = generator.normals(15).map { Float(scale) * $0 }
            let logs = try logSteps(output)
            #expect(abs(try logs.exp().sum().item() - 1) < 1e-4)
            #expect(try logs.floats().allSatisfy { $0 <= 1e-5 })
        }
    }

    @Test("green is told red, and blue both: a sum over green and blue gives red's share")
    func conditioning() throws {
        var generator = Generator(seed: 5)
        let output = generator.normals(50)
        let red = Float(100) / 255
        let steps = (0..<256).map { Float($0) / 255 }
        let repeated = try Tensor(output, shape: [1, 50, 1, 1]).repeatedInterleaved(256)
        var total = 0.0
        for green in steps {
            let x = try Tensor(steps.flatMap { [red, green, $0] }, shape: [256, 3, 1, 1])
            total += try LogisticMixture(repeated).logProbability(of: x).exp().sum().item()
        }
        // A grey mixture of red's own numbers.
        let grey = Array(output[0..<15])
        let expected = exp(Double(try logSteps(grey).floats()[100]))
        #expect(abs(total - expected) < 1e-4 * expected)
    }

    @Test("values between steps count as the nearest, and those outside as the outermost")
    func rounding() throws {
        var generator = Generator(seed: 6)
        let output = try Tensor(generator.normals(15), shape: [1, 15, 1, 1])
        func log(_ x: Float) throws -> [Float] {
            try LogisticMixture(output).logProbability(of: Tensor([x], shape: [1, 1, 1, 1]))
                .floats()
        }
        #expect(try log(100.4 / 255) == log(100.0 / 255))
        #expect(try log(99.6 / 255) == log(100.0 / 255))
        #expect(try log(100.6 / 255) != log(100.0 / 255))
        #expect(try log(-0.5) == log(0))
        #expect(try log(1.5) == log(1))
    }

    @Test(
        "extreme outputs give finite values and gradients, at both ends too",
        arguments: [Float(-1e3), 0, 1e3], [1, 3])
    func extremes(size: Float, channelCount: Int) throws {
        let rows = LogisticMixtureFamily().outputChannelCount(of: channelCount)
        #expect(rows == (channelCount == 1 ? 15 : 50))
        var generator = Generator(seed: 7)
        // Signs at random.
        let count = rows * 3
        let values = (0..<count * rows).map { _ in
            generator.uniform() < 0.5 ? -size : size
        }
        let output = try Tensor(values, shape: [count, rows, 1, 1])
        try output.requireGradient()
        let x = try Tensor(
            (0..<count).flatMap { [Float](repeating: Float($0 % 3) / 2, count: channelCount) },
            shape: [count, channelCount, 1, 1])
        let mixture = try LogisticMixture(output)
        let logs = try mixture.logProbability(of: x)
        try logs.sum().backward()
        #expect(try logs.isFinite())
        #expect(try mixture.mean.floats().allSatisfy { (0.0...1).contains($0) })
        #expect(try #require(try output.gradient()).isFinite())
    }
}
