import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Scorer") struct ScorerTests {
    /// An outcome that can be compared: scores, or the code of an error.
    private struct Line {
        let path: String
        let score: ItemScore?
        let code: String?
    }

    init() { _ = Runtime.threadCount }

    private static func model(_ likelihood: LikelihoodKind = .gaussianPerElement) throws -> VAE {
        let model = try VAE(.tiny(likelihood: likelihood), device: .cpu, seed: 2)
        model.sharedLogScale = -2
        return model
    }

    private static func score(
        _ items: [Item], preprocessing: Preprocessing = .whole(), aggregate: Aggregate = .mean,
        batchSize: Int = 32, seed: UInt64 = 0, drawCount: Int = 3, readers: Int = 2
    ) throws -> [Line] {
        var configuration = Scorer.Configuration(drawCount: drawCount)
        configuration.batchSize = batchSize
        configuration.seed = seed
        configuration.readerCount = readers
        let scorer = try Scorer(
            [
                DetectorView(
                    model: try model(), preprocessing: preprocessing, aggregate: aggregate)
            ], configuration: configuration)
        var lines: [Line] = []
        try scorer.score(items) { item, result in
            switch result {
            case .success(let score): lines.append(Line(path: item.path, score: score, code: nil))
            case .failure(let failed):
                lines.append(Line(path: item.path, score: nil, code: failed.error.code))
            }
        }
        return lines
    }

    /// The largest relative difference between two runs over the same files.
    private static func difference(_ first: [Line], _ second: [Line]) -> Double {
        let others = Dictionary(second.map { ($0.path, $0) }) { line, _ in line }
        var worst = 0.0
        for line in first {
            guard let values = line.score?.values, let other = others[line.path]?.score?.values
            else { continue }
            for (kind, value) in values {
                guard let found = other[kind] else { return .infinity }
                worst = max(worst, abs(value - found) / max(1e-3, abs(value)))
            }
        }
        return worst
    }

    /// The inbox, with broken files at the start, in the middle and at the end.
    private static func mixedItems() throws -> [Item] {
        var items = try fixtureItems("images/inbox", .image)
        items.insert(.at(Fixtures.path("broken/truncated.png")), at: items.count / 2)
        items.insert(.at("/no/such/file.png"), at: 0)
        items.append(.at(Fixtures.path("broken/not-a-png.png")))
        return items
    }

    @Test("results come in the order of the items, those of unreadable files with them")
    func order() throws {
        let items = try Self.mixedItems()
        for batchSize in [1, 4, 100] {
            let lines = try Self.score(items, batchSize: batchSize, readers: 4)
            #expect(lines.map(\.path) == items.map(\.path))
            #expect(lines[0].code == "not-found")
            #expect(lines.filter { $0.score == nil }.count == 3)
            #expect(lines.allSatisfy { ($0.score == nil) != ($0.code == nil) })
        }
    }

    @Test("no items and only unreadable ones are scored without trouble")
    func nothing() throws {
        #expect(try Self.score([]).isEmpty)
        let broken = (0..<300).map { Item.at("/no/such/\($0).png") }
        #expect(try Self.score(broken, batchSize: 2).map(\.code).allSatisfy { $0 == "not-found" })
    }

    @Test("scores depend neither on batch size nor on order", arguments: [1, 3, 32])
    func batches(batchSize: Int) throws {
        let items = try Self.mixedItems()
        let expected = try Self.score(items, preprocessing: .grid(), batchSize: 7)
        let found = try Self.score(items, preprocessing: .grid(), batchSize: batchSize)
        #expect(Self.difference(found, expected) < 1e-5)
        let reversed = try Self.score(
            items.reversed(), preprocessing: .grid(), batchSize: batchSize)
        #expect(reversed.map(\.path) == items.reversed().map(\.path))
        #expect(Self.difference(reversed, expected) < 1e-5)
        let alone = try Self.score([items[3]], preprocessing: .grid(), batchSize: batchSize)
        #expect(Self.difference(alone, expected) < 1e-5)
    }

    @Test("a copy under another name has the same score, to the last bit")
    func names() throws {
        let folder = try TemporaryFolder()
        let items = try fixtureItems("images/inbox", .image)
        try folder.copy(items[2].path, as: "other name.png")
        let first = try Self.score([items[2]])[0].score
        let second = try Self.score([.at(folder / "other name.png", label: "x")])[0].score
        #expect(first?.values == second?.values && first != nil)
        #expect(first?.hash == second?.hash)
    }

    @Test("another seed draws otherwise; the KL term, which is not drawn, stays")
    func seeds() throws {
        let items = try fixtureItems("images/inbox", .image)
        let (first, same) = (try Self.score(items), try Self.score(items))
        let other = try Self.score(items, seed: 1)
        for (index, line) in first.enumerated() {
            let values = try #require(line.score?.values)
            #expect(values == same[index].score?.values)
            let changed = try #require(other[index].score?.values)
            #expect(values[.reconstructionProbability] != changed[.reconstructionProbability])
            #expect(values[.kl] == changed[.kl])
        }
    }

    @Test("the scores are related as their definitions say")
    func definitions() throws {
        for line in try Self.score(fixtureItems("images/inbox", .image)) {
            let values = try #require(line.score?.values)
            let (reconstruction, kl) = (values[.reconstructionProbability]!, values[.kl]!)
            let elbo = try #require(values[.elbo])
            #expect(abs(elbo - (reconstruction + kl)) < 1e-9 * abs(elbo))
            #expect(kl > 0 && values[.mse]! > 0)
        }
    }

    @Test("the windows of an item are aggregated, window by window")
    func aggregates() throws {
        let folder = try TemporaryFolder()
        let path = try folder.writeImage("wide.png", height: 16, width: 40)
        let windows = try Preprocessing.grid().windows(path)
        #expect(windows.count == 27)
        // The KL term needs no draws, so that it can be had from the encoder alone.
        let model = try Self.model()
        let divergences = try (0..<windows.count).map { index in
            let part = windows.values(index..<index + 1)
            return try model.posterior(of: model.batch(part)).klDivergence().item()
        }
        let sorted = divergences.sorted(by: >)
        for (aggregate, expected) in [
            (Aggregate.mean, divergences.reduce(0, +) / 27), (.max, sorted[0]),
            (.topTenth, (sorted[0] + sorted[1]) / 2),
        ] {
            for batchSize in [1, 5, 64] {
                let score = try Self.score(
                    [.at(path)], preprocessing: .grid(), aggregate: aggregate,
                    batchSize: batchSize)[0].score
                #expect(score?.windowCount == 27)
                let found = try #require(score?.values[.kl])
                #expect(abs(found - expected) < 1e-5 * expected)
            }
        }
    }

    @Test("more draws estimate the same expectation with less scatter")
    func scatter() throws {
        let item = try fixtureItems("images/inbox", .image)[0]
        func scatter(_ drawCount: Int) throws -> (mean: Double, variance: Double) {
            let values = try (0..<40).map { seed in
                try #require(
                    Self.score([item], seed: UInt64(seed), drawCount: drawCount)[0]
                        .score?.values[.reconstructionProbability])
            }
            let mean = values.reduce(0, +) / 40
            return (mean, values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 39)
        }
        let (few, many) = (try scatter(2), try scatter(32))
        // Variances of 40 values with a true ratio of 16; F(39, 39) stays within a factor 4.
        #expect(few.variance / many.variance > 4 && few.variance / many.variance < 64)
        let error = (few.variance / 40 + many.variance / 40).squareRoot()
        #expect(abs(few.mean - many.mean) < 5 * error)
    }

    @Test("an error of the receiver ends the run and reaches the caller")
    func receiverThrows() throws {
        struct Full: Error {}
        let scorer = try Scorer(
            [
                DetectorView(
                    model: try Self.model(), preprocessing: .whole(), aggregate: .mean)
            ], configuration: .init(drawCount: 1))
        var count = 0
        #expect(throws: Full.self) {
            try scorer.score(fixtureItems("images/inbox", .image)) { _, _ in
                count += 1
                if count == 3 { throw Full() }
            }
        }
        #expect(count == 3)
    }
}
