import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Filters") struct FiltersTests {
    @Test("by default, what is made of one real item may be near it")
    func usual() {
        for method in [LatentSampling.posterior, .deform] {
            let filters = Filters.usual(for: method, hasRealItems: true)
            #expect(!filters.has(.copies) && filters.has(.mislabelled))
        }
        #expect(Filters.usual(for: .smote, hasRealItems: true) == .usual)
        #expect(
            Filters.usual(for: .prior, hasRealItems: false) == Filters.usual.withoutRealItems)
        #expect(Filters.usual(for: .transform, hasRealItems: true).isEmpty)
    }

    @Test("lists are read and written, with the usual rate where none is given")
    func lists() throws {
        #expect(Filters("all") == .all && Filters("none") == Filters.none)
        let some = try #require(Filters("copies,off-manifold=0.05"))
        #expect(some.rates == [.copies: 0.01, .offManifold: 0.05])
        #expect(some.description == "off-manifold=0.05,copies=0.01")
        #expect(Filters(Filters.all.description) == .all)
        #expect(
            Filters.usual.withoutRealItems.rates.keys.sorted() == [.broken, .offManifold])
    }

    @Test(
        "what is no list of reasons is refused",
        arguments: [
            "", "copy", "copies,", "copies=0", "copies=0.6", "copies=x", "copies=0.1=0.2",
            "copies,copies", "broken=0.1", "all,copies", "copies=nan",
        ])
    func wrong(list: String) { #expect(Filters(list) == nil) }
}

@Suite("LabelClassifier") struct LabelClassifierTests {
    init() { _ = Runtime.threadCount }

    private struct Expected: Decodable {
        let rows, queries, log_probabilities: [[Float]]
        let labels, own: [String]
        let unlikeness: [Float]
    }

    @Test("folds, shrinkage and probabilities are those of NumPy and scikit-learn")
    func oracle() throws {
        let expected: Expected = try Fixtures.expected("judging.json")
        let classifier = try #require(
            try LabelClassifier(edges: expected.rows, labels: expected.labels))
        #expect(classifier.labels == ["ant", "bee", "cat"])
        let sorted = expected.unlikeness.sorted()
        #expect(
            mismatch(
                classifier.unlikeness.map(Float.init), sorted, absolute: 1e-3, relative: 1e-3)
                == nil)
        let looks = try classifier.judge(expected.queries, labels: expected.own)
        for (look, (logs, own)) in zip(looks, zip(expected.log_probabilities, expected.own)) {
            let best = try #require(logs.indices.max { logs[$0] < logs[$1] })
            #expect(look.predicted == classifier.labels[best])
            let level = -logs[try #require(classifier.labels.firstIndex(of: own))]
            let higher = expected.unlikeness.count { $0 >= level }
            let pValue = try #require(look.pValue)
            #expect(abs(pValue - Double(1 + higher) / Double(sorted.count + 1)) < 1e-9)
        }
        #expect(
            try classifier.judge(expected.queries, labels: ["dog"] + expected.own.dropFirst())[0]
                .pValue == nil)
    }

    @Test("few files, or files of one class, tell nothing")
    func few() throws {
        let rows = (0..<30).map { [Float($0 % 7), Float($0 % 5)] }
        #expect(try LabelClassifier(edges: rows, labels: rows.map { _ in "a" }) == nil)
        #expect(try LabelClassifier(edges: rows, labels: rows.map { _ in nil }) == nil)
        #expect(
            try LabelClassifier(
                edges: Array(rows.prefix(10)), labels: (0..<10).map { $0 < 5 ? "a" : "b" }) == nil)
        // A class of one file is none.
        let odd = try #require(
            try LabelClassifier(
                edges: rows, labels: (0..<30).map { $0 == 0 ? "c" : $0 < 15 ? "a" : "b" }))
        #expect(odd.labels == ["a", "b"] && odd.unlikeness.count == 29)
    }
}

@Suite("Judge") struct JudgeTests {
    private let folder = try! TemporaryFolder()

    init() { _ = Runtime.threadCount }

    private static let preprocessing = Preprocessing.whole(height: 16, width: 16)

    private static func model() throws -> (file: ModelFile, model: VAE) {
        let model = try VAE(
            .tiny(height: 16, width: 16), device: .cpu, seed: 8)
        return (try ModelFile.tiny(model, preprocessing), model)
    }

    /// A bright bar, upright or lying, at a place and of a brightness of its own, with a little noise.
    private static func bar(_ number: Int, isUpright: Bool, size: Int = 16) -> Image {
        var generator = Generator(seed: 77, UInt64(number), isUpright ? 1 : 0)
        let place = 3 + Int(generator.next() % 10)
        let level = 120 + Int(generator.next() % 100)
        let samples = (0..<size * size).map { index -> UInt16 in
            let (y, x) = (index / size, index % size)
            let isInside = abs((isUpright ? x : y) - place) <= 1
            return UInt16((isInside ? level : 10) + Int(generator.next() % 20))
        }
        return Image(width: size, height: size, channelCount: 1, bitDepth: 8, samples: samples)
    }

    private func write(_ image: Image, to name: String, label: String) throws -> Item {
        .at(try folder.write(image.pngData(), to: name), label: label)
    }

    private func bars(_ range: Range<Int>, in name: String) throws -> [Item] {
        try ["upright", "lying"].flatMap { label in
            try range.map {
                try write(
                    Self.bar($0, isUpright: label == "upright"), to: "\(name)/\(label)-\($0).png",
                    label: label)
            }
        }
    }

    private func judging(real: [Item], _ filters: Filters = .all) throws -> FileJudging {
        let (file, model) = try Self.model()
        let judging = try FileJudging(
            file: file, model: model, filters: filters, real: real, workerCount: 2)
        #expect(judging.remarks.isEmpty)
        return judging
    }

    private func judge(_ items: [Item], by judging: FileJudging) throws -> [Judgement] {
        var judgements: [Judgement] = []
        try judging.judge(items) { judgements.append(try $1.get()) }
        return judgements
    }

    @Test("what few real files cannot tell is said")
    func remarks() throws {
        let (file, model) = try Self.model()
        func remarks(_ real: [Item]) throws -> [String] {
            try FileJudging(
                file: file, model: model, filters: .all, real: real, workerCount: 1
            ).remarks
        }
        let few = try remarks(bars(0..<3, in: "few"))
        #expect(
            few.contains { $0.hasPrefix("copies are only files that are the same: 6 different") })
        #expect(try remarks([]).contains("copies is not judged: no real files are named"))
        // A rate that no number of files can tell.
        _ = try FileJudging(
            file: file, model: model, filters: #require(Filters("off-manifold=1e-300")),
            real: bars(0..<3, in: "few"), workerCount: 1)
    }

    @Test("what is planted is found, and most of what is like the real files passes")
    func planted() throws {
        let real = try bars(0..<60, in: "real")
        let good = try bars(100..<130, in: "good")
        let judging = try self.judging(real: real)
        let found = try judge(good, by: judging)
        #expect(found.count { !$0.reasons.isEmpty } <= 6)

        let copies = try judge(Array(real.prefix(5)), by: judging)
        #expect(copies.allSatisfy { $0.reasons.contains(.copies) && $0.nearest == 0 })
        let wrong = good.prefix(10).map { Item.at($0.path, label: "lying") }
        let mislabelled = try judge(wrong, by: judging)
        #expect(
            mislabelled.allSatisfy {
                $0.reasons.contains(.mislabelled) && $0.predicted == "upright"
            })
        var generator = Generator(seed: 3)
        let noise = try (0..<5).map { index in
            try write(
                Image(
                    width: 16, height: 16, channelCount: 1, bitDepth: 8,
                    samples: (0..<256).map { _ in UInt16(generator.next() % 256) }),
                to: "noise-\(index).png", label: "lying")
        }
        let noisy = try judge(noise, by: judging)
        #expect(noisy.allSatisfy { $0.reasons.contains(.offManifold) })
        let flat = try write(
            Image(
                width: 16, height: 16, channelCount: 1, bitDepth: 8,
                samples: (0..<256).map { _ in 99 }), to: "flat.png", label: "lying")
        let broken = try judge([flat], by: judging)
        #expect(broken[0].reasons.first == .broken && broken[0].flaw == "constant")
    }

    @Test("of files that are alike the first passes, wherever they come")
    func duplicates() throws {
        let filters = try #require(Filters("duplicates"))
        let items = try bars(0..<40, in: "new")
        // The first ten again, in the same group of 64; then more, in the next, and one that was refused.
        let found = try judge(
            Array(items.prefix(50) + items.prefix(10) + items.suffix(4) + items.prefix(3)),
            by: self.judging(real: [], filters))
        let refused = found.indices.filter { !found[$0].reasons.isEmpty }
        #expect(refused == Array(50..<60) + Array(64..<67))
        #expect(found[55].twin == 0)
    }

    @Test("distances, gaps and p-values are those of every pair")
    func distances() throws {
        let items = try bars(0..<20, in: "real")
        let prints = try items.map {
            try Fingerprint(
                of: FileBytes.read($0.path), path: $0.path, preprocessing: Self.preprocessing)
        }
        // A file twice counts once.
        let distances = try #require(
            try RealDistances(prints + [prints[3]], labels: (items + [items[3]]).map(\.label)))
        func distance(_ a: Fingerprint, _ b: Fingerprint) -> Double {
            let squares = zip(a.values, b.values).map { pow(Double($0 - $1), 2) }
            return (squares.reduce(0, +) / Double(squares.count)).squareRoot()
        }
        let gaps = prints.indices.map { row in
            prints.indices.filter { $0 != row }.map { distance(prints[row], prints[$0]) }.min() ?? 0
        }
        #expect(
            mismatch(
                distances.nearness.map { Float(-$0) }, gaps.sorted(by: >).map { Float($0) },
                relative: 1e-6) == nil)
        let other = try Fingerprint(
            of: Self.bar(999, isUpright: true).pngData(), path: "other",
            preprocessing: Self.preprocessing)
        let nearest = try distances.nearest(to: [other, prints[7]])
        #expect(abs(nearest[0] - (prints.map { distance(other, $0) }.min() ?? 0)) < 1e-9)
        #expect(nearest[1] == 0)
        let median = gaps.sorted()[20]
        // Of 20 files of a class all are taken.
        #expect(
            distances.pValue(median, of: "lying") == Double(1 + gaps.count { $0 <= median }) / 41)
        let few = try RealDistances(
            Array(prints.prefix(5)), labels: items.prefix(5).map(\.label))
        #expect(few?.pValue(0, of: nil) == nil)
    }

    @Test("files are as near as others of their class, where there are enough of it")
    func classes() throws {
        // Levels a step apart, and ten steps apart.
        func print(_ level: Int) throws -> Fingerprint {
            let image = Image(
                width: 16, height: 16, channelCount: 1, bitDepth: 8,
                samples: (0..<256).map { UInt16($0 < 128 ? 255 - level : level) })
            return try Fingerprint(
                of: image.pngData(), path: "new", preprocessing: Self.preprocessing)
        }
        let alike = try (0..<100).map { try print($0) }
        let apart = try (0..<10).map { try print(110 + 10 * $0) }
        let distances = try #require(
            try RealDistances(
                alike + apart, labels: alike.map { _ in "alike" } + apart.map { _ in "apart" }))
        #expect(distances.nearness.count == 110)
        #expect(distances.nearness(of: "alike").count == 100)
        // Too few of the class, one that is not known, and none.
        for label in ["apart", "other", nil] {
            #expect(distances.nearness(of: label) == distances.nearness)
        }
        let step = -distances.nearness(of: "alike")[50]
        #expect(distances.pValue(step * 0.9, of: "alike") == 1.0 / 101)
        #expect(distances.pValue(step * 5, of: "alike") == 1)
        #expect(distances.pValue(step * 5, of: "apart") == 101.0 / 111)
    }

    @Test(
        "recordings without sound, or cut off at full scale, are broken",
        arguments: [Float(0), 0.5, 4])
    func recordings(gain: Float) throws {
        let samples = (0..<8000).map { min(1, max(-1, gain * sin(Float($0) * 0.3))) }
        let audio = Audio(sampleRate: 8000, channelCount: 1, samples: samples, encoding: "test")
        let print = try Fingerprint(
            of: audio.wavData(.pcm16), path: "a.wav", preprocessing: .frames)
        #expect(print.flaw == (gain == 0 ? "silent" : gain == 4 ? "clipped" : nil))
    }
}
