import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Quality of synthetic sets")
struct SyntheticQualityTests {
    struct Expected: Decodable, Sendable {
        struct Case: Decodable, Sendable, CustomTestStringConvertible {
            let name: String
            let width: Int
            let real, synthetic, held_out: [Float]
            let density, coverage, kid, frechet, leaking, copy_distance: Double
            let copies, identical: Int
            var testDescription: String { name }
        }
        struct Interval: Decodable, Sendable {
            let count, total: Int
            let low, high: Double
        }
        struct Usefulness: Decodable, Sendable {
            let codes: [Int]
            let correct: [[[Bool]]]
            let accuracy, balanced: [Double]
            let low, high, difference, difference_low, difference_high: Double
        }
        let cases: [Case]
        let intervals: [Interval]
        let usefulness: Usefulness
    }

    static let expected = try? Fixtures.expected("quality.json", as: Expected.self)

    @Test("figures of features are those of NumPy and SciPy", arguments: expected?.cases ?? [])
    func figures(_ expected: Expected.Case) throws {
        let real = Features(width: expected.width, values: expected.real)
        let synthetic = Features(width: expected.width, values: expected.synthetic)
        let heldOut = Features(width: expected.width, values: expected.held_out)

        let found = try DensityCoverage(synthetic: synthetic, real: real)
        #expect(abs(found.density - expected.density) < 1e-12)
        #expect(abs(found.coverage - expected.coverage) < 1e-12)
        let kernel = try KernelDistance(synthetic, real)
        #expect(abs(kernel.value - expected.kid) < 1e-4 * max(1, abs(expected.kid)))
        let frechet = FrechetDistance.squared(synthetic, real)
        #expect(abs(frechet - expected.frechet) < 1e-6)

        let copies = try CopyFigures(
            synthetic: synthetic, training: real, heldOut: heldOut, sample: heldOut)
        #expect(copies.copyCount == expected.copies)
        #expect(copies.identicalCount == expected.identical)
        #expect(abs(copies.threshold - expected.copy_distance) < 1e-9)
        #expect(leakingCount(copies) == expected.leaking)
    }

    private func leakingCount(_ found: CopyFigures) -> Double {
        zip(found.nearestTraining, found.nearestHeldOut).reduce(0) {
            $0 + CopyFigures.leaking($1.0, $1.1)
        }
    }

    @Test("the oracle has the cases that matter")
    func oracle() throws {
        let expected = try #require(Self.expected)
        #expect(expected.cases.map(\.name) == ["alike", "shifted", "narrow", "copies", "flat"])
        for interval in expected.intervals {
            let found = BinomialInterval(count: interval.count, of: interval.total)
            #expect(abs(found.low - interval.low) < 1e-9 && abs(found.high - interval.high) < 1e-9)
        }
    }

    @Test("equal sets are at no distance, and few items have no standard error")
    func extremes() throws {
        let expected = try #require(Self.expected?.cases.first)
        let real = Features(width: expected.width, values: expected.real)
        #expect(FrechetDistance.squared(real, real) < 1e-9)
        let few = real.picked([0, 1, 2])
        #expect(try KernelDistance(few, real).standardError == nil)
        // Nothing but the real items: in a ball are its own item and k - 1 others.
        let found = try DensityCoverage(synthetic: real, real: real)
        #expect(found.coverage == 1 && abs(found.density - 1) < 1e-12)
    }

    @Test("accuracies and their intervals are those of NumPy")
    func usefulness() throws {
        let expected = try #require(Self.expected?.usefulness)
        // The third recipe is the second again.
        let correct = expected.correct + [expected.correct[1]]
        let results = Usefulness(
            correct: correct, codes: expected.codes, resampleCount: 4_000, seed: 0
        ).results
        for index in 0..<2 {
            #expect(abs(results[index].accuracy.value - expected.accuracy[index]) < 1e-12)
            #expect(abs(results[index].balancedAccuracy.value - expected.balanced[index]) < 1e-12)
        }
        #expect(abs(results[0].accuracy.low - expected.low) < 0.012)
        #expect(abs(results[0].accuracy.high - expected.high) < 0.012)
        let difference = results[1].againstReal
        #expect(abs(difference.value - expected.difference) < 1e-12)
        #expect(abs(difference.low - expected.difference_low) < 0.012)
        #expect(abs(difference.high - expected.difference_high) < 0.012)
        #expect(results[0].againstReal == .init(value: 0, low: 0, high: 0))
        #expect(results[2].againstClassic == .init(value: 0, low: 0, high: 0))
        let without = Usefulness(
            correct: correct, codes: expected.codes, resampleCount: 0, seed: 0)
        #expect(without.results[0].accuracy.low == without.results[0].accuracy.value)
    }

    @Test("of groups that are right or wrong together, as much is known as of so many draws")
    func groupedUsefulness() throws {
        // 8 groups of 50 items of both classes, all right in half of the groups.
        let groups = (0..<400).map { $0 / 50 }
        let correct = [[groups.map { $0 % 2 == 0 }], [groups.map { _ in true }]]
        let codes = (0..<400).map { $0 % 2 }
        func results(_ groups: [Int]?) -> [Usefulness.Result] {
            Usefulness(
                correct: correct, codes: codes, groups: groups, resampleCount: 4_000, seed: 0
            ).results
        }
        let (plain, grouped) = (results(nil)[0], results(groups)[0])
        #expect(plain.accuracy.value == 0.5 && grouped.accuracy.value == 0.5)
        #expect(grouped.balancedAccuracy.value == 0.5)
        // Binomial of 400 and of 8 at one half: deviations of 0.025 and 0.177.
        #expect(abs(plain.accuracy.high - 0.549) < 0.01)
        #expect(grouped.accuracy.low == 0.125 && grouped.accuracy.high == 0.875)
        #expect(grouped.balancedAccuracy.low == 0.125)
        #expect(results(groups)[1].againstReal.low == 0.125)
        // A class may have no item among groups that are drawn.
        let apart = Usefulness(
            correct: [[groups.map { $0 < 4 }]], second: 0, codes: groups.map { $0 < 4 ? 0 : 1 },
            groups: groups, resampleCount: 4_000, seed: 0
        ).results[0]
        #expect(apart.balancedAccuracy.value == 0.5)
        #expect(apart.balancedAccuracy.low == 0.5 && apart.balancedAccuracy.high <= 1)
    }

    @Test("the standard error of the kernel distance is of the size of its scatter")
    func standardError() throws {
        var generator = Generator(seed: 7)
        let found = try (0..<12).map { _ in
            let sets = (0..<2).map { _ in Features(width: 3, values: generator.normals(3 * 60)) }
            return try KernelDistance(sets[0], sets[1])
        }
        let values = found.map(\.value)
        let mean = values.reduce(0, +) / 12
        let scatter = (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 11).squareRoot()
        let errors = found.compactMap(\.standardError)
        let error = errors.reduce(0, +) / Double(errors.count)
        #expect(errors.count == 12 && error > 0.7 * scatter && error < 10 * scatter)
        #expect(abs(mean) < 3 * scatter / 12.0.squareRoot())
    }

    @Test("leakage is one half for what lies among all real items alike, whatever is held out")
    func leakage() throws {
        #expect(CopyFigures.leakage(share: 0.3, trainingShare: 0.5) == 0.3)
        #expect(CopyFigures.leakage(share: 0.8, trainingShare: 0.8) == 0.5)
        #expect(CopyFigures.leakage(share: 1, trainingShare: 0.8) == 1)
        #expect(CopyFigures.leakage(share: 0, trainingShare: 0.8) == 0)
        var generator = Generator(seed: 11)
        let sets = [240, 60, 600].map { Features(width: 3, values: generator.normals(3 * $0)) }
        let fresh = try CopyFigures(
            synthetic: sets[2], training: sets[0], heldOut: sets[1], sample: sets[1])
        let share = leakingCount(fresh) / 600
        #expect(share > 0.7)
        #expect(abs(CopyFigures.leakage(share: share, trainingShare: 0.8) - 0.5) < 0.1)
        // One in a hundred is as near as the nearest hundredth of held-out items.
        let held = Features(width: 3, values: generator.normals(3 * 500))
        let copies = try CopyFigures(
            synthetic: sets[2], training: sets[0], heldOut: held, sample: held)
        #expect(copies.copyCount < 20 && copies.identicalCount == 0)
    }

    @Test("neighbours are found across blocks, and a set's rows are no neighbours of their own")
    func neighbours() throws {
        var generator = Generator(seed: 5)
        let references = Features(width: 2, values: generator.normals(2 * 4_100))
        let queries = Features(width: 2, values: generator.normals(2 * 20))
        let found = try NearestRows.nearest(3, to: queries, in: references)
        for (query, list) in found.enumerated() {
            let row = queries.rows(query..<query + 1)
            let distances = (0..<references.count).map {
                NearestRows.squaredDistance(row, references.rows($0..<$0 + 1))
            }
            let order = distances.indices.sorted { distances[$0] < distances[$1] }
            #expect(list.map(\.index) == Array(order.prefix(3)))
        }
        let counts = try NearestRows.countsWithin(
            found.map { $0[2].squaredDistance }, of: queries, points: references)
        // What lies on the sphere is not within it.
        #expect(counts == [Int](repeating: 2, count: 20))
        let own = try NearestRows.nearest(1, to: queries, in: queries, excludesSelf: true)
        #expect(own.enumerated().allSatisfy { $1.count == 1 && $1[0].index != $0 })
        #expect(
            try NearestRows.nearest(1, to: queries, in: queries).enumerated()
                .allSatisfy { $1[0] == .init(index: $0, squaredDistance: 0) })
    }

    // MARK: Sets

    /// Items of small maps, two classes, three groups.
    private static func items(_ count: Int, seed: UInt64) -> MappedItems {
        var set = MappedItems(shape: WindowShape(channelCount: 1, height: 8, width: 8))
        var generator = Generator(seed: seed)
        for index in 0..<count {
            let label = index % 4 == 0 ? "rare" : "common"
            let item = Item(
                path: "\(seed)/\(index)", relativePath: "\(index)", label: label, split: nil,
                attributes: ["group \(index % 3)"])
            let base: Float = label == "rare" ? 0.3 : 0.6
            set.append(
                item, generator.normals(64).map { base + 0.1 * $0 },
                contentWord: generator.next())
        }
        return set
    }

    private static let view = try? SmallMapView(of: Survey(items: []), domain: .image)

    @Test("a fifth of each class is held out, or whole groups, whatever the order of the files")
    func division() throws {
        let items = Self.items(40, seed: 1)
        let (rest, held) = try items.divided(byGroup: false, seed: 0)
        #expect(held.items.count { $0.label == "rare" } == 2)
        #expect(held.items.count { $0.label == "common" } == 6)
        #expect(Set(rest.items.map(\.path)).union(held.items.map(\.path)).count == 40)
        let again = try items.picked(Array((0..<40).reversed())).divided(byGroup: false, seed: 0)
        #expect(Set(again.heldOut.items.map(\.path)) == Set(held.items.map(\.path)))
        let other = try items.divided(byGroup: false, seed: 1)
        #expect(other.heldOut.items != held.items)

        let grouped = try items.divided(byGroup: true, seed: 0)
        let groups = [grouped.rest, grouped.heldOut].map { Set($0.items.map(\.attributes)) }
        #expect(groups[0].isDisjoint(with: groups[1]) && groups[1].count == 1)
        #expect(throws: LatentError.self) { try items.picked([0]).divided(byGroup: false, seed: 0) }
        #expect(held.without(filesOf: items).count == 0 && held.without(filesOf: rest).count == 8)
    }

    @Test("copies leak and fresh items do not; labels that nothing real has are refused")
    func sets() throws {
        let view = try #require(Self.view)
        let training = Self.items(60, seed: 1)
        let heldOut = Self.items(60, seed: 2)
        var configuration = AugmentationEvaluation.Configuration()
        configuration.seedCount = 0
        configuration.stepCount = 2
        func figures(_ synthetic: MappedItems) throws -> [AugmentationEvaluation.Figure] {
            var evaluation = try AugmentationEvaluation(
                training: training, heldOut: heldOut, synthetic: synthetic, view: view,
                configuration: configuration)
            var steps = 0
            var figures: [AugmentationEvaluation.Figure] = []
            try evaluation.figures {
                steps = $0
            } onPart: {
                figures += $0
            }
            #expect(steps == evaluation.totalStepCount)
            #expect(evaluation.omissions == ["no usefulness, as --seeds is 0"])
            return figures
        }
        func value(
            _ metric: AugmentationEvaluation.Metric, _ figures: [AugmentationEvaluation.Figure]
        ) -> Double {
            figures.first { $0.metric == metric && $0.subject == "synthetic" }?.value ?? .nan
        }
        let copies = try figures(training.picked(Array(0..<40)))
        #expect(value(.leakage, copies) == 1 && value(.copyShare, copies) == 1)
        #expect(value(.identicalCount, copies) == 40)
        let fresh = try figures(Self.items(200, seed: 3))
        #expect(abs(value(.leakage, fresh) - 0.5) < 0.2 && value(.copyShare, fresh) < 0.1)
        #expect(value(.identicalCount, fresh) == 0)
        // 15 of 60 are rare: as many of each class are compared as both sets have.
        let rare = Self.items(200, seed: 3).items.indices.filter { $0 % 4 == 0 }
        let filled = try figures(Self.items(200, seed: 3).picked(rare))
        #expect(filled.first { $0.metric == .kid && $0.subject == "synthetic" }?.itemCount == 15)

        // Of synthetic items without labels all is measured but usefulness.
        var bare = MappedItems(shape: training.maps.shape)
        let values = Self.items(40, seed: 4)
        for index in 0..<40 {
            bare.append(
                Item(path: "\(index)", relativePath: "\(index)", label: nil, split: nil),
                values.maps.values([index]),
                contentWord: UInt64(index))
        }
        configuration.seedCount = 1
        var unlabelled = try AugmentationEvaluation(
            training: training, heldOut: heldOut, synthetic: bare, view: view,
            configuration: configuration)
        var steps = 0
        var without: [AugmentationEvaluation.Figure] = []
        try unlabelled.figures {
            steps = $0
        } onPart: {
            without += $0
        }
        #expect(steps == 4 && unlabelled.totalStepCount == 4)
        #expect(Set(without.compactMap(\.features)) == ["classifier", "components", "maps"])
        #expect(!without.contains { $0.metric == .accuracy })
        #expect(unlabelled.omissions.first?.hasPrefix("no usefulness: 40 of 40 synthetic") == true)

        var strange = MappedItems(shape: training.maps.shape)
        strange.append(
            Item(path: "odd.png", relativePath: "odd.png", label: "odd", split: nil),
            [Float](repeating: 0, count: 64), contentWord: 1)
        let error = #expect(throws: LatentError.self) { try figures(strange) }
        #expect(error?.path == "odd.png" && error?.message.contains("class odd") == true)
        #expect(throws: LatentError.self) { try figures(training.picked([])) }
    }

    @Test("figures come part by part, and the bootstrap draws the groups of held-out items")
    func parts() throws {
        let view = try #require(Self.view)
        var configuration = AugmentationEvaluation.Configuration()
        configuration.seedCount = 1
        configuration.stepCount = 2
        func evaluation(_ heldOut: MappedItems) throws -> AugmentationEvaluation {
            try AugmentationEvaluation(
                training: Self.items(60, seed: 1), heldOut: heldOut,
                synthetic: Self.items(40, seed: 3), view: view, configuration: configuration)
        }
        /// The width of the interval of accuracy on real items alone, and what could not be measured.
        func measured(_ heldOut: MappedItems) throws -> (width: Double, omissions: [String]) {
            var evaluation = try evaluation(heldOut)
            var steps = 0
            var parts: [(steps: Int, figures: [AugmentationEvaluation.Figure])] = []
            try evaluation.figures {
                steps = $0
            } onPart: {
                parts.append((steps, $0))
            }
            #expect(parts.map(\.steps) == [0, 4, evaluation.totalStepCount])
            #expect(parts[0].figures.contains { $0.metric == .syntheticCount })
            #expect(parts[1].figures.contains { $0.metric == .leakage })
            let accuracy = try #require(
                parts[2].figures.first { $0.metric == .accuracy && $0.subject == "real" })
            return (
                try #require(accuracy.high) - (try #require(accuracy.low)), evaluation.omissions
            )
        }
        // Two groups of very unequal accuracy, as one is of the rare class only: 0 or 1 of 2 draws.
        let held = Self.items(120, seed: 2)
        let picked = held.items.indices.filter { index in
            let isRare = held.items[index].label == "rare"
            return index % 3 == 0 ? isRare : index % 3 == 1 && !isRare
        }
        let alone = try measured(held.picked(picked))
        configuration.hasGroups = true
        let grouped = try measured(held.picked(picked))
        #expect(grouped.width > alone.width && grouped.omissions.isEmpty)
        let single = try measured(held.picked(held.items.indices.filter { $0 % 3 == 0 }))
        #expect(single.omissions.first?.contains("one group") == true)

        let bare = Item(
            path: "bare", relativePath: "bare", label: "rare", split: nil, attributes: [nil])
        var set = held.picked([1, 2, 3])
        set.append(bare, [Float](repeating: 0, count: 64), contentWord: 1)
        #expect(throws: LatentError.self) { try evaluation(set) }
    }
}
