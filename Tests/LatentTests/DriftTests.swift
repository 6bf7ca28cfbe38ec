import TestSupport
import Testing
import Torch

@testable import Latent

/// What `Tools/reference.py thresholds` wrote.
struct ThresholdOracle: Decodable {
    struct Beta: Decodable { let rank, count: Int, low, high: Double }
    struct Moved: Decodable { let new, old: [Double], ks, p, psi: Double }
    struct Discovery: Decodable {
        let count: Int, rate: Double, p: [Double], normalShare: Double, flagged, storey: [Bool]
        enum CodingKeys: String, CodingKey {
            case count, rate, p, flagged, storey
            case normalShare = "normal_share"
        }
    }
    struct Tail: Decodable {
        let scores: [Double], start, shape, scale: Double, rates, thresholds: [Double]
    }
    let beta: [Beta], drift: [Moved], discoveries: [Discovery], tails: [Tail]

    static func read() throws -> Self { try Fixtures.expected("thresholds.json") }
}

/// Whether two numbers are the same up to a relative error.
func isClose(_ a: Double, _ b: Double, _ error: Double = 1e-9) -> Bool {
    abs(a - b) <= error * max(abs(a), abs(b), 1e-9)
}

@Suite("Drift") struct DriftTests {
    private func calibration(_ scores: [Double]) -> Calibration {
        Calibration(scores: [.elbo: scores], falseAlarmRate: 0.05)
    }

    @Test("statistic, p-value and stability index are those of scipy and numpy")
    func reference() throws {
        for expected in try ThresholdOracle.read().drift {
            let drift = try #require(
                Drift(of: expected.new, against: calibration(expected.old), kind: .elbo))
            #expect(drift.fileCount == expected.new.count)
            #expect(drift.calibrationCount == expected.old.count)
            #expect(isClose(drift.kolmogorovSmirnov, expected.ks))
            #expect(abs(drift.pValue - expected.p) < 1e-12)
            #expect(isClose(drift.stabilityIndex, expected.psi))
        }
    }

    @Test("the same scores have not moved, others wholly have")
    func extremes() throws {
        let scores = (0..<50).map { Double($0 % 13) }
        let none = try #require(
            Drift(of: scores.reversed(), against: calibration(scores), kind: .elbo))
        #expect(none.kolmogorovSmirnov == 0 && none.pValue == 1 && none.stabilityIndex == 0)
        let all = try #require(
            Drift(of: scores.map { $0 + 100 }, against: calibration(scores), kind: .elbo))
        #expect(all.kolmogorovSmirnov == 1 && all.pValue < 1e-20 && all.stabilityIndex > 2)
        #expect(Drift(of: [], against: calibration(scores), kind: .elbo) == nil)
        #expect(Drift(of: scores, against: calibration([]), kind: .elbo) == nil)
    }

    @Test("both series of Kolmogorov's distribution meet")
    func series() {
        let (below, above) = (Drift.kolmogorovTail(1.0.nextDown), Drift.kolmogorovTail(1))
        #expect(abs(below - above) < 1e-14)
        #expect(Drift.kolmogorovTail(0.01) == 1)
    }

    @Test("p-values of the same distribution are small as often as they say, or less often")
    func level() throws {
        var generator = Generator(seed: 5)
        var small = 0
        for _ in 0..<400 {
            let values = generator.normals(160).map { Double($0) }
            let drift = try #require(
                Drift(of: values[0..<60], against: calibration(Array(values[60...])), kind: .elbo))
            if drift.pValue <= 0.05 { small += 1 }
        }
        #expect(small <= 33)
        #expect(small >= 4)
    }
}
