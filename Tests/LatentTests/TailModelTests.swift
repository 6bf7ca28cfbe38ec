import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Tail model") struct TailModelTests {
    @Test("fit and thresholds are those of numpy and scipy")
    func reference() throws {
        for expected in try ThresholdOracle.read().tails {
            let tail = try TailModel(scores: expected.scores.sorted())
            #expect(isClose(tail.start, expected.start))
            #expect(isClose(tail.shape, expected.shape, 1e-8))
            #expect(isClose(tail.scale, expected.scale, 1e-8))
            for (rate, threshold) in zip(expected.rates, expected.thresholds) {
                let found = try #require(tail.threshold(rate: rate))
                #expect(isClose(found, threshold, 1e-8))
            }
        }
    }

    @Test("too few scores, too many ties, and no spread are refused")
    func refused() {
        #expect(TailModel.neededCount == 192)
        let scores = (0..<191).map { Double($0) }
        let error = #expect(throws: LatentError.self) { try TailModel(scores: scores) }
        #expect(error?.message.contains("needs 192") == true)
        #expect(throws: Never.self) { try TailModel(scores: scores + [191]) }
        #expect(throws: LatentError.self) { try TailModel(scores: Array(repeating: 1, count: 300)) }
        let two = Array(repeating: 0.0, count: 300) + Array(repeating: 1.0, count: 30)
        #expect(throws: LatentError.self) { try TailModel(scores: two) }
    }

    @Test("thresholds rise as the rate falls, and stop at the tail's start")
    func order() throws {
        var generator = Generator(seed: 8)
        for _ in 0..<20 {
            let scores = generator.normals(250).map { Double($0) }.sorted()
            let tail = try TailModel(scores: scores)
            let rates = [0.1, 0.05, 0.01, 0.004, 0.003, 1e-4, 1e-8, 1e-300]
            let values = rates.compactMap { tail.threshold(rate: $0) }
            #expect(values.count == rates.count)
            #expect(values == values.sorted())
            #expect(values.allSatisfy { $0.isFinite })
            #expect(tail.threshold(rate: 0.2) == nil)
            let far = try #require(tail.threshold(rate: 1e-3))
            #expect(far >= scores[249])
        }
    }

    @Test("of an exponential tail, a rate below 1 / (n + 1) is about kept")
    func extrapolation() throws {
        var generator = Generator(seed: 12)
        var logs = 0.0
        let rounds = 200
        for _ in 0..<rounds {
            let scores = (0..<1000).map { _ in
                -log(1 - Double(generator.next() >> 11) * 0x1p-53)
            }.sorted()
            // P(score > z) = exp(-z), so that z should be ln(10000).
            let tail = try TailModel(scores: scores)
            logs += try #require(tail.threshold(rate: 1e-4))
        }
        #expect(abs(logs / Double(rounds) - log(10_000)) < 0.5)
    }
}
