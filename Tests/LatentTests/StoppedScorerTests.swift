import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Scoring that stops early") struct StoppedScorerTests {
    init() { _ = Runtime.threadCount }

    private static let kind = ScoreKind.reconstructionProbability

    /// Scores by path.
    private static func score(
        _ items: [Item], preprocessing: Preprocessing = .whole(), members: Int = 1,
        aggregate: Aggregate = .mean, batchSize: Int = 5, drawCount: Int = 16,
        errorRate: Double? = nil, kind: ScoreKind = Self.kind,
        threshold: @escaping @Sendable (Item) -> Double? = { _ in 0 }
    ) throws -> [String: ItemScore] {
        var configuration = Scorer.Configuration(drawCount: drawCount)
        configuration.batchSize = batchSize
        configuration.requestedKinds = [kind]
        configuration.stopping = errorRate.map {
            SequentialStopping(kind: kind, errorRate: $0, threshold: threshold)
        }
        let models = try (0..<members).map { seed in
            let model = try VAE(
                .tiny(likelihood: .gaussianPerElement), device: .cpu, seed: UInt64(seed) + 2)
            model.sharedLogScale = -2
            return model
        }
        var view = DetectorView(
            model: models[0], preprocessing: preprocessing, aggregate: aggregate)
        view.furtherMembers = models.dropFirst().map { .init(model: $0, fitted: .init()) }
        var scores: [String: ItemScore] = [:]
        try Scorer([view], configuration: configuration).score(items) {
            scores[$0.path] = try $1.get()
        }
        return scores
    }

    private static func expectClose(_ a: ItemScore?, _ b: ItemScore?) {
        #expect(a != nil && a?.values.keys == b?.values.keys)
        for (kind, value) in a?.values ?? [:] {
            #expect(
                abs(value - (b?.values[kind] ?? .nan)) <= 1e-5 * max(1e-3, abs(value)), "\(kind)")
        }
    }

    @Test(
        "far from the threshold four draws are taken, and all figures are theirs",
        arguments: [-1e9, 1e9], [1, 2])
    func far(threshold: Double, members: Int) throws {
        let items = try fixtureItems("images/inbox", .image)
        let some = try Self.score(items, members: members, drawCount: 4)
        let found = try Self.score(
            items, members: members, errorRate: 0.001, threshold: { _ in threshold })
        for item in items {
            #expect(found[item.path]?.drawCount == 4)
            Self.expectClose(found[item.path], some[item.path])
        }
    }

    @Test(
        "where nothing is certain all draws are taken, and all figures are as without rounds",
        arguments: [
            (Preprocessing.whole(), Aggregate.mean), (.grid(), .mean), (.grid(), .topTenth),
        ], [1, 2])
    func near(shape: (preprocessing: Preprocessing, aggregate: Aggregate), members: Int) throws {
        let items = try fixtureItems("images/inbox", .image)
        for kind in [Self.kind, .elboLessComplexity] {
            let all = try Self.score(
                items, preprocessing: shape.preprocessing, members: members,
                aggregate: shape.aggregate, drawCount: 19, kind: kind)
            let thresholds = all.mapValues { $0.values[kind] ?? .nan }
            let found = try Self.score(
                items, preprocessing: shape.preprocessing, members: members,
                aggregate: shape.aggregate, drawCount: 19, errorRate: 1e-12, kind: kind,
                threshold: { thresholds[$0.path] })
            for item in items {
                #expect(found[item.path]?.drawCount == 19)
                Self.expectClose(found[item.path], all[item.path])
            }
        }
    }

    @Test("files need as many draws as they are near; each by itself, whatever is scored with it")
    func company() throws {
        let items = try fixtureItems("images/inbox", .image)
        let all = try Self.score(items, preprocessing: .grid())
        let sorted = all.values.compactMap { $0.values[Self.kind] }.sorted()
        // Between two files, so that the nearest need more draws.
        let threshold = (sorted[9] + sorted[10]) / 2
        let found = try Self.score(
            items, preprocessing: .grid(), errorRate: 0.01, threshold: { _ in threshold })
        #expect(Set(found.values.map(\.drawCount)).count > 1)
        for (path, score) in found {
            let isAnomaly = (score.values[Self.kind] ?? .nan) > threshold
            #expect(isAnomaly == ((all[path]?.values[Self.kind] ?? .nan) > threshold))
        }
        for batchSize in [1, 64] {
            for subset in [Array(items.reversed()), [items[3]], [items[11]]] {
                let other = try Self.score(
                    subset, preprocessing: .grid(), batchSize: batchSize, errorRate: 0.01,
                    threshold: { _ in threshold })
                for item in subset {
                    #expect(other[item.path]?.drawCount == found[item.path]?.drawCount)
                    Self.expectClose(other[item.path], found[item.path])
                }
            }
        }
    }

    @Test("files without a threshold take all draws at once")
    func withoutThreshold() throws {
        let items = try fixtureItems("images/inbox", .image)
        let all = try Self.score(items)
        let found = try Self.score(items, errorRate: 0.01, threshold: { _ in nil })
        for item in items {
            #expect(found[item.path]?.drawCount == 16)
            #expect(found[item.path]?.values == all[item.path]?.values)
        }
    }
}
