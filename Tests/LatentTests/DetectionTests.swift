import Foundation
import Media
import TestSupport
import Testing
import Torch

@testable import Latent

/// What scikit-learn says, from `Tools/detection_reference.py`.
private struct Reference: Decodable {
    struct Ranking: Decodable {
        let name: String
        let seed: UInt32?
        let count: Int?
        let levels: Int?
        let scores: [Double]?
        let anomalous: [Bool]?
        let expected: [String: Double]
    }

    struct Bootstrap: Decodable {
        let seed: UInt32
        let count: Int
        let levels: Int
        let low: Double
        let high: Double
    }

    struct Regions: Decodable {
        let width: Int
        let height: Int
        let maps: [[UInt16]]
        let masks: [[UInt16]]
        let pixelAUROC: Double
        let aupro: Double

        enum CodingKeys: String, CodingKey {
            case width, height, maps, masks, aupro
            case pixelAUROC = "pixel_auroc"
        }
    }

    struct Interval: Decodable {
        let count: Int
        let total: Int
        let low: Double
        let high: Double
    }

    let cases: [Ranking]
    let bootstrap: Bootstrap
    let regions: [Regions]
    let intervals: [Interval]
}

@Suite("Detection")
struct DetectionTests {
    private let reference: Reference

    init() throws { reference = try Fixtures.expected("detection.json") }

    /// The items that `drawn` in the reference draws.
    private func drawn(
        _ seed: UInt32, _ count: Int, _ levels: Int
    ) -> (scores: [Double], classes: [String?]) {
        var state = seed
        func next() -> Int {
            state = 1_664_525 &* state &+ 1_013_904_223
            return Int(state >> 16)
        }
        var items: (scores: [Double], classes: [String?]) = ([], [])
        for _ in 0..<count {
            let (a, b, c) = (next(), next(), next())
            let isAnomalous = a % 5 == 0
            items.scores.append(Double(b % levels + (isAnomalous ? c % levels : 0)))
            items.classes.append(isAnomalous ? "anomalous" : nil)
        }
        return items
    }

    private func figures(
        _ scores: [Double], _ classes: [String?], verdicts: [Bool?] = [], resamples: Int = 0,
        seed: UInt64 = 0
    ) throws -> [DetectionEvaluation.Figure] {
        var configuration = DetectionEvaluation.Configuration()
        configuration.resampleCount = resamples
        configuration.seed = seed
        return try DetectionEvaluation(scores: scores, classes: classes, verdicts: verdicts)
            .figures(configuration)
    }

    private func figure(
        _ metric: DetectionEvaluation.Metric, of name: String? = nil,
        in figures: [DetectionEvaluation.Figure]
    ) throws -> DetectionEvaluation.Figure {
        try #require(figures.first { $0.metric == metric && $0.className == name })
    }

    @Test("figures are those of scikit-learn, with ties and in degenerate cases")
    func rankings() throws {
        var worst = 0.0
        for ranking in reference.cases {
            var items = (scores: ranking.scores ?? [], classes: [String?]())
            if let seed = ranking.seed, let count = ranking.count, let levels = ranking.levels {
                items = drawn(seed, count, levels)
            } else {
                items.classes = (ranking.anomalous ?? []).map { $0 ? "anomalous" : nil }
            }
            let found = try figures(items.scores, items.classes)
            #expect(ranking.expected.count == 7)
            for (name, expected) in ranking.expected {
                let metric = try #require(DetectionEvaluation.Metric(rawValue: name))
                let value = try figure(metric, in: found).value
                #expect(abs(value - expected) < 1e-9, "\(ranking.name): \(name) is \(value)")
                worst = max(worst, abs(value - expected))
            }
            // One class of anomalous items: against all normal ones it is the same.
            let metrics: [DetectionEvaluation.Metric] = [
                .auroc, .averagePrecision, .recallAtOnePercent, .recallAtFivePercent,
            ]
            for metric in metrics {
                let whole = try figure(metric, in: found).value
                #expect(try figure(metric, of: "anomalous", in: found).value == whole)
            }
        }
        print("detection: largest difference from scikit-learn \(worst)")
    }

    @Test("the other way round AUROC is 1 - AUROC, and rising transforms change nothing")
    func symmetry() throws {
        for seed in 10..<20 {
            let items = drawn(UInt32(seed), 500, seed)
            let plain = try figures(items.scores, items.classes)
            let negated = try figures(items.scores.map { -$0 }, items.classes)
            let auroc = try figure(.auroc, in: plain).value
            #expect(abs(try figure(.auroc, in: negated).value - (1 - auroc)) < 1e-12)
            let swapped = try figures(items.scores, items.classes.map { $0 == nil ? "a" : nil })
            #expect(abs(try figure(.auroc, in: swapped).value - (1 - auroc)) < 1e-12)
            for transform in [{ exp($0 / 10) }, { 3 * $0 - 1e6 }, { atan($0) * 1e-9 }] {
                let transformed = try figures(items.scores.map(transform), items.classes)
                for (a, b) in zip(plain, transformed) where a.metric != .bestF1Threshold {
                    #expect(a == b)
                }
            }
            // Nor does the order of the items.
            let backwards = try figures(
                items.scores.reversed(), items.classes.reversed(), resamples: 20)
            #expect(try backwards == figures(items.scores, items.classes, resamples: 20))
        }
    }

    @Test("classes are measured alone against all normal items")
    func classes() throws {
        let items = drawn(30, 600, 40)
        let names = items.classes.enumerated().map { index, name in
            name.map { _ in index % 3 == 0 ? "crack" : "dent" }
        }
        let found = try figures(items.scores, names, resamples: 50)
        for name in ["crack", "dent"] {
            let kept = names.indices.filter { names[$0] == nil || names[$0] == name }
            let alone = try figures(
                kept.map { items.scores[$0] }, kept.map { names[$0] }, resamples: 50)
            for metric in [DetectionEvaluation.Metric.auroc, .averagePrecision] {
                let figure = try figure(metric, of: name, in: found)
                #expect(try figure.value == self.figure(metric, in: alone).value)
            }
        }
        #expect(try figure(.anomalyCount, of: "crack", in: found).value > 0)
    }

    @Test("intervals hold the value, do not vary, and are those of other resamples")
    func bootstrap() throws {
        for seed in 40..<44 {
            let items = drawn(UInt32(seed), 300, 60)
            let found = try figures(items.scores, items.classes, resamples: 300)
            for metric in [DetectionEvaluation.Metric.auroc, .averagePrecision, .partialAUROC] {
                let figure = try figure(metric, in: found)
                let (low, high) = (try #require(figure.low), try #require(figure.high))
                #expect(low <= figure.value && figure.value <= high)
                #expect(low < high && low >= 0 && high <= 1)
                #expect(figure.interval == .bootstrap)
            }
            #expect(try figures(items.scores, items.classes, resamples: 300) == found)
            #expect(try figures(items.scores, items.classes, resamples: 300, seed: 1) != found)
        }
        let expected = reference.bootstrap
        let items = drawn(expected.seed, expected.count, expected.levels)
        let figure = try figure(
            .auroc, in: figures(items.scores, items.classes, resamples: 4_000))
        let ends = (try #require(figure.low), try #require(figure.high))
        // Ends of 4,000 resamples have a standard error of about 0.001.
        #expect(abs(ends.0 - expected.low) < 0.004, "\(ends.0), expected \(expected.low)")
        #expect(abs(ends.1 - expected.high) < 0.004, "\(ends.1), expected \(expected.high)")
        print("detection: interval \(ends), of numpy (\(expected.low), \(expected.high))")
    }

    @Test("verdicts give F1 and shares of flagged items with exact intervals")
    func verdicts() throws {
        // Of 20 normal items 1 is flagged, of 5 anomalous ones 3.
        let scores = (0..<25).map(Double.init)
        let classes: [String?] = (0..<25).map { $0 < 20 ? nil : "odd" }
        let verdicts: [Bool?] = (0..<25).map { $0 == 19 || $0 > 21 }
        let found = try figures(scores, classes, verdicts: verdicts, resamples: 200)
        let f1 = try figure(.f1, in: found)
        // 2 · 3 / (2 · 3 + 1 + 2).
        #expect(abs(f1.value - 6.0 / 9) < 1e-12)
        #expect(try #require(f1.low) < f1.value && f1.value < #require(f1.high))
        let alarms = try figure(.falseAlarmRate, in: found)
        #expect(alarms.value == 0.05 && alarms.interval == .clopperPearson)
        let expected = try #require(reference.intervals.first { $0.count == 1 && $0.total == 20 })
        #expect(abs(try #require(alarms.high) - expected.high) < 1e-9)
        #expect(try figure(.detectionRate, in: found).value == 0.6)
        #expect(try figure(.detectionRate, of: "odd", in: found).value == 0.6)
        // Items without a verdict count for neither.
        let some = verdicts.enumerated().map { $0.offset < 10 ? nil : $0.element }
        let partial = try figures(scores, classes, verdicts: some)
        #expect(try figure(.falseAlarmRate, in: partial).value == 0.1)
        let none = try figures(scores, classes)
        #expect(!none.contains { [.f1, .falseAlarmRate, .detectionRate].contains($0.metric) })
    }

    @Test("exact intervals are those of SciPy")
    func intervals() {
        for expected in reference.intervals {
            let found = BinomialInterval(count: expected.count, of: expected.total)
            #expect(abs(found.low - expected.low) < 1e-9, "\(expected)")
            #expect(abs(found.high - expected.high) < 1e-9, "\(expected)")
        }
        #expect(BinomialInterval(count: 0, of: 0) == BinomialInterval(count: 0, of: 0))
        #expect(BinomialInterval(count: 0, of: 0).high == 1)
    }

    @Test("what cannot be ranked is refused")
    func refused() {
        let one: [Double] = [1, 2]
        for (scores, classes) in [
            (one, [nil, nil]), (one, ["a", "b"]), ([.nan, 1], ["a", nil]),
        ] {
            #expect(throws: LatentError.self) {
                try DetectionEvaluation(scores: scores, classes: classes)
            }
        }
        #expect(throws: LatentError.self) {
            try DetectionEvaluation(scores: one, classes: ["a"])
        }
    }

    // MARK: Pixels

    private func image(
        _ samples: [UInt16], _ width: Int, _ height: Int, bitDepth: Int = 16
    ) -> Image {
        Image(width: width, height: height, channelCount: 1, bitDepth: bitDepth, samples: samples)
    }

    @Test("pixels and regions are measured as by counting at every threshold")
    func regions() throws {
        for regions in reference.regions {
            var overlap = RegionOverlap()
            for (map, mask) in zip(regions.maps, regions.masks) {
                // No mask is a mask of zeros.
                let isEmpty = mask.allSatisfy { $0 == 0 }
                try overlap.add(
                    image(map, regions.width, regions.height),
                    mask: isEmpty
                        ? nil : image(mask, regions.width, regions.height, bitDepth: 1))
            }
            let (pixels, aupro) = (try #require(overlap.pixelAUROC), try #require(overlap.aupro))
            #expect(abs(pixels - regions.pixelAUROC) < 1e-9)
            #expect(abs(aupro - regions.aupro) < 1e-9)
            print("detection: pixel AUROC \(pixels), AUPRO \(aupro), both as counted")
        }
    }

    @Test("regions are connected by corners, and each counts the same")
    func connected() throws {
        let mask: [UInt16] = [
            255, 0, 0, 255,
            0, 255, 0, 255,
            0, 0, 0, 0,
            7, 0, 0, 0,
        ]
        let (numbers, sizes) = RegionOverlap.regions(image(mask, 4, 4, bitDepth: 8))
        #expect(sizes.dropFirst().sorted() == [1, 2, 2])
        #expect(numbers[0] == numbers[5] && numbers[3] == numbers[7] && numbers[0] != numbers[3])
        // All of two regions and none of the third, before any normal pixel.
        var overlap = RegionOverlap()
        let map = mask.map { $0 == 255 ? UInt16(9) : 0 }
        try overlap.add(image(map, 4, 4, bitDepth: 8), mask: image(mask, 4, 4, bitDepth: 8))
        #expect(overlap.regionCount == 3)
        // From 2/3 it rises to 1 while all normal pixels are flagged.
        let expected: Double = (2 + 0.15) / 3
        let aupro = try #require(overlap.aupro)
        #expect(abs(aupro - expected) < 1e-12)
        #expect(RegionOverlap().aupro == nil && RegionOverlap().pixelAUROC == nil)
    }

    @Test("maps of 8 and of 16 bits mean the same, and sizes must agree")
    func maps() throws {
        let mask = image([1, 0, 0, 0], 2, 2, bitDepth: 1)
        var eight = RegionOverlap()
        try eight.add(image([200, 100, 201, 0], 2, 2, bitDepth: 8), mask: mask)
        var sixteen = RegionOverlap()
        try sixteen.add(image([200 * 257, 100 * 257, 201 * 257, 0], 2, 2), mask: mask)
        #expect(eight.pixelAUROC == sixteen.pixelAUROC)
        // 200 is above two normal pixels and below one.
        let auroc = try #require(eight.pixelAUROC)
        #expect(abs(3 * auroc - 2) < 1e-12)
        let error = #expect(throws: LatentError.self) {
            try sixteen.add(image([1, 2, 3, 4, 5, 6], 3, 2), mask: mask)
        }
        #expect(error?.message.contains("3×2") == true && error?.message.contains("2×2") == true)
    }

    // MARK: Picture

    @Test("a picture is drawn of any ranking, and is the same each time")
    func picture() throws {
        let items = drawn(50, 400, 50)
        let ends: [Double] = [-1e308, 1e308, 3, 4, 5]
        let far: [Double] = [1e308, 1, 2, 3, 4, 5]
        let near: [Double] = [.leastNonzeroMagnitude, 0, 1e-300]
        var rankings: [(scores: [Double], classes: [String?])] = [items]
        rankings.append((items.scores.map { exp($0 / 4) }, items.classes))
        rankings.append(([1, 1], ["a", nil]))
        for scores in [ends, far, near] {
            let classes = scores.indices.map { $0 == 0 ? "a" : nil }
            rankings.append((scores, classes))
        }
        for (scores, classes) in rankings {
            let verdicts: [Bool?] = scores.map { $0 > 40 }
            let evaluation = try DetectionEvaluation(
                scores: scores, classes: classes, verdicts: verdicts, threshold: 40)
            let figures = evaluation.figures()
            let plot = try DetectionPlot(evaluation, figures: figures)
            let image = try Image(pngData: plot.png, path: nil)
            #expect(image.width == DetectionPlot.width && image.height == DetectionPlot.height)
            #expect(Set(image.samples).count > 20)
            #expect(try DetectionPlot(evaluation, figures: figures).png == plot.png)
        }
    }
}
