import TestSupport
import Testing

@testable import Latent

/// What `Tools/detection_reference.py` wrote.
private struct Reference: Decodable {
    struct Case: Decodable {
        struct Cost: Decodable {
            let miss: Double, alarm: Double, least: Double, flagged: Int
        }
        let seed: UInt32, count: Int, levels: Int, costs: [Cost]
        let bestF1: Double
        enum CodingKeys: String, CodingKey {
            case seed, count, levels, costs
            case bestF1 = "best_f1"
        }
    }
    let labelled: [Case]
}

@Suite("Thresholds by labelled files") struct LabelledThresholdTests {
    /// Normal and anomalous scores as `drawn` in the reference draws them.
    private func drawn(
        _ seed: UInt32, _ count: Int, _ levels: Int
    ) -> (normal: [Double], anomalous: [Double]) {
        var state = seed
        func next() -> Int {
            state = 1_664_525 &* state &+ 1_013_904_223
            return Int(state >> 16)
        }
        var scores: (normal: [Double], anomalous: [Double]) = ([], [])
        for _ in 0..<count {
            let (a, b, c) = (next(), next(), next())
            if a % 5 == 0 {
                scores.anomalous.append(Double(b % levels + c % levels))
            } else {
                scores.normal.append(Double(b % levels))
            }
        }
        return scores
    }

    private func chosen(
        _ goal: LabelledThreshold.Goal, _ normal: [Double], _ anomalous: [Double]
    ) throws -> LabelledThreshold {
        try LabelledThreshold(goal, kind: .mse, normal: normal, anomalous: anomalous)
    }

    @Test("the best F1 is that of scikit-learn, the least cost that of trying every threshold")
    func reference() throws {
        for expected in try Fixtures.expected("detection.json", as: Reference.self).labelled {
            let scores = drawn(expected.seed, expected.count, expected.levels)
            let best = try chosen(.bestF1, scores.normal, scores.anomalous)
            let f1 =
                2 * Double(best.detectionCount)
                / Double(best.detectionCount + best.falseAlarmCount + best.anomalyCount)
            #expect(abs(f1 - expected.bestF1) < 1e-12)
            for cost in expected.costs {
                let found = try chosen(
                    .cost(miss: cost.miss, alarm: cost.alarm), scores.normal, scores.anomalous)
                let value = try #require(found.outcome?.value) * Double(expected.count)
                #expect(abs(value - cost.least) < 1e-9 * max(1, cost.least))
                #expect(found.detectionCount + found.falseAlarmCount == cost.flagged)
                #expect(found.isValid)
            }
        }
    }

    @Test("it is halfway between what is flagged and what is not")
    func halfway() throws {
        #expect(try chosen(.bestF1, [0, 1, 2], [4, 5]).threshold == 3)
        #expect(try chosen(.cost(miss: 1, alarm: 1), [0, 1, 2], [4, 5]).threshold == 3)
        // Neighbouring doubles have nothing between them.
        let one = 1.0
        let close = try chosen(.bestF1, [one], [one.nextUp])
        #expect(close.threshold == one && close.detectionCount == 1 && close.falseAlarmCount == 0)
    }

    @Test("to flag nothing, and to flag all, are choices")
    func extremes() throws {
        let nothing = try chosen(.cost(miss: 1, alarm: 100), [1, 2, 3, 9], [2])
        #expect(nothing.threshold == 9)
        #expect(nothing.detectionCount == 0 && nothing.falseAlarmCount == 0)
        #expect(nothing.precision == nil && nothing.outcome?.value == 0.2)
        let all = try chosen(.cost(miss: 100, alarm: 1), [1, 2, 3, 9], [1])
        #expect(all.detectionCount == 1 && all.falseAlarmCount == 4 && all.isValid)
        #expect(all.precision?.value == 0.2)
    }

    @Test("alarms are those of the conformal threshold, on average and given these files")
    func alarms() throws {
        let normal = (0..<999).map(Double.init)
        // 5 a day of 500 files: 1 in 100; ⌊1000 · 0.01⌋ = 10, so that the tenth largest is not flagged.
        let found = try chosen(.maxAlarms(perDay: 5, filesPerDay: 500), normal, [980, 995, 2000])
        #expect(found.threshold == 989 && found.falseAlarmCount == 9 && found.detectionCount == 2)
        let outcome = try #require(found.outcome)
        #expect(abs(outcome.value - 5) < 1e-12)
        let share = BetaDistribution(10, 990)
        #expect(abs(try #require(outcome.low) - 500 * share.quantile(0.025)) < 1e-9)
        #expect(abs(try #require(outcome.high) - 500 * share.quantile(0.975)) < 1e-9)
        let few = #expect(throws: LatentError.self) {
            try chosen(.maxAlarms(perDay: 5, filesPerDay: 50_000), normal, [2000])
        }
        #expect(few?.code == .usage && few?.message.contains("needs 9999 normal files") == true)
        let many = #expect(throws: LatentError.self) {
            try chosen(.maxAlarms(perDay: 500, filesPerDay: 500), normal, [2000])
        }
        #expect(many?.message.contains("as there are files") == true)
    }
}
