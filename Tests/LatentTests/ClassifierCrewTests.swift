import Testing
import Torch

@testable import Latent

@Suite("Small classifiers trained side by side")
struct ClassifierCrewTests {
    private struct Stopped: Error, Equatable {}

    private static func knobs(seed: UInt64) -> SmallClassifier.Configuration {
        var knobs = SmallClassifier.Configuration()
        knobs.stepCount = 6
        knobs.batchSize = 16
        knobs.seed = seed
        return knobs
    }

    @Test("each is what it is when trained alone, and every step is counted")
    func isTheSame() throws {
        let (maps, codes) = SmallClassifierTests.halves(20)
        @Sendable func trained(
            _ seed: UInt64, onStep: () throws -> Void
        ) throws -> SmallClassifier {
            let classifier = try SmallClassifier(
                shape: maps.shape, classCount: 2, configuration: Self.knobs(seed: seed))
            try classifier.train(on: [.init(maps: maps, codes: codes)], onStep: onStep)
            return classifier
        }
        var counts: [Int] = []
        let found = try ClassifierCrew(jobCount: 3).train(
            [0, 1, 2], onSteps: { counts.append($0) }
        ) { seed, onStep in
            try trained(seed, onStep: onStep).weights
        }
        #expect(counts.last == 18 && counts == counts.sorted())
        // Serial operations too.
        let alone = try Crew(size: 1).map([UInt64(0), 1, 2]) { _, seed in
            try trained(seed) {}.probabilities(of: maps)
        }
        for (weights, expected) in zip(found, alone) {
            let rebuilt = try SmallClassifier(shape: maps.shape, classCount: 2, weights: weights)
            #expect(
                zip(try rebuilt.probabilities(of: maps), expected).allSatisfy {
                    abs($0 - $1) < 1e-6
                })
        }
        #expect(Set(alone.map(\.description)).count == 3)
    }

    @Test("who hears of steps can end all")
    func ends() throws {
        let (maps, codes) = SmallClassifierTests.halves(20)
        var knobs = Self.knobs(seed: 0)
        // For minutes, should nobody end it.
        knobs.stepCount = 100_000
        #expect(throws: Stopped()) {
            _ = try ClassifierCrew(jobCount: 2).train(
                [knobs, knobs], onSteps: { _ in throw Stopped() }
            ) { knobs, onStep in
                let classifier = try SmallClassifier(
                    shape: maps.shape, classCount: 2, configuration: knobs)
                try classifier.train(on: [.init(maps: maps, codes: codes)], onStep: onStep)
            }
        }
    }
}
