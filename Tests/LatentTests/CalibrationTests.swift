import Foundation
import Testing
import Torch

@testable import Latent

@Suite("Calibration") struct CalibrationTests {
    private static func calibration(_ scores: [Double], rate: Double = 0.05) -> Calibration {
        Calibration(scores: [.elbo: scores], falseAlarmRate: rate)
    }

    /// Scores from a few values, so that there are ties, or from many.
    private static func scores(
        _ count: Int, values: Int, using generator: inout Generator
    ) -> [Double] {
        (0..<count).map { _ in Double(generator.next() % UInt64(values)) - 3 }
    }

    @Test("the p-value is (1 + the number of scores as large) over (n + 1)", arguments: 0..<20)
    func pValue(seed: Int) throws {
        var generator = Generator(seed: UInt64(seed))
        let scores = Self.scores(1 + seed * 3, values: 12, using: &generator)
        let calibration = Self.calibration(scores)
        for score in stride(from: -5.0, through: 12, by: 0.5) {
            let larger = scores.filter { $0 >= score }.count
            let found = try #require(calibration.pValue(score, kind: .elbo))
            #expect(found == Double(1 + larger) / Double(scores.count + 1))
        }
    }

    @Test(
        "the threshold flags exactly the scores whose p-value is at most the rate",
        arguments: 0..<30, [4, 1_000_000])
    func threshold(seed: Int, values: Int) throws {
        var generator = Generator(seed: UInt64(seed), 1)
        let scores = Self.scores(1 + seed * 2, values: values, using: &generator)
        let calibration = Self.calibration(scores)
        let candidates = scores + scores.map { $0 + 0.5 } + scores.map { $0 - 0.5 } + [-1e9, 1e9]
        // Rates between those that n scores can tell apart, and exactly on them.
        let steps = (1...scores.count).map { Double($0) / Double(scores.count + 1) }
        for rate in steps + [0.01, 0.05, 0.3, 0.999] {
            let threshold = calibration.threshold(.elbo, rate: rate)
            for score in candidates {
                let pValue = try #require(calibration.pValue(score, kind: .elbo))
                let isFlagged = threshold.map { score > $0 } ?? false
                #expect(isFlagged == (pValue <= rate * (1 + 1e-12)), "\(score) at \(rate)")
            }
        }
    }

    @Test("there is no threshold with fewer scores than the rate needs")
    func tooFew() {
        #expect(Calibration.neededCount(rate: 0.05) == 19)
        #expect(Calibration.neededCount(rate: 0.01) == 99)
        #expect(Calibration.neededCount(rate: 0.5) == 1)
        #expect(Calibration.neededCount(rate: 0.3) == 3)
        #expect(Self.calibration(Array(repeating: 1, count: 18)).threshold(.elbo) == nil)
        #expect(Self.calibration(Array(repeating: 1, count: 19)).threshold(.elbo) == 1)
        #expect(Calibration.smallestRate(count: 19) == 0.05)
    }

    @Test("a kind without scores has neither p-value nor threshold")
    func noScores() {
        let calibration = Self.calibration([1, 2, 3])
        #expect(calibration.pValue(0, kind: .mse) == nil)
        #expect(calibration.threshold(.mse) == nil)
    }

    @Test("normal items are flagged at ⌊(n + 1) α⌋ / (n + 1) on average over calibration sets")
    func coverage() throws {
        var generator = Generator(seed: 2024)
        let (sets, count) = (2000, 40)
        var total = 0.0
        for _ in 0..<sets {
            let scores = (0..<count).map { _ in Double(generator.next() >> 11) * 0x1p-53 }
            // Of scores uniform in 0…1, the share above a threshold is 1 - threshold.
            total += 1 - (try #require(Self.calibration(scores).threshold(.elbo)))
        }
        // The flagged share is Beta(2, 39): ⌊41 · 0.05⌋ = 2.
        let deviation = (2.0 * 39 / (41 * 41 * 42)).squareRoot()
        #expect(abs(total / Double(sets) - 2.0 / 41) < 3 * deviation / Double(sets).squareRoot())
    }

    @Test("a calibration comes back from JSON as it was")
    func json() throws {
        let calibration = Calibration(
            scores: [.kl: [3, 1, 2], .mse: [0.1, 1.0 / 3]], falseAlarmRate: 0.1)
        #expect(calibration.scores(.kl) == [1, 2, 3])
        let data = try JSONEncoder().encode(calibration)
        #expect(try JSONDecoder().decode(Calibration.self, from: data) == calibration)
    }

    @Test("aggregates are the mean, the largest, and the mean of the largest tenth")
    func aggregates() {
        let values = (0..<25).map { Double(($0 * 7) % 25) }
        #expect(Aggregate.mean(values) == 12)
        #expect(Aggregate.max(values) == 24)
        #expect(Aggregate.topTenth(values) == 23.5)
        #expect(Aggregate.topTenth([3, -1]) == 3)
        #expect(Aggregate.max([-4]) == -4)
    }
}
