import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Runs of frames that stand out")
struct NormalRunsTests {
    /// One whose usual level is ln v = 0 and spread is 1, of recordings with that evidence.
    private func runs(_ evidence: [Double] = []) throws -> NormalRuns {
        try JSONDecoder().decode(
            NormalRuns.self,
            from: Data(#"{"middle":0,"deviation":1,"evidence":\#(evidence)}"#.utf8))
    }

    private func gain(_ value: Float, _ level: Double) -> Double {
        max(NormalRuns.lowestGain, level * (log(Double(value)) - level / 2))
    }

    private func noise(_ count: Int, _ generator: inout Generator) -> [Float] {
        generator.normals(count).map { exp($0) }
    }

    @Test("the usual level is the median of ln v, and the spread is that of the upper half")
    func usual() throws {
        var generator = Generator(seed: 3, 0)
        var frames = Exceedance()
        frames.add(generator.normals(20_000).map { exp(0.7 + 0.4 * $0) })
        let found = try #require(NormalRuns(usual: frames))
        #expect(abs(found.middle - 0.7) < 0.02 && abs(found.deviation - 0.4) < 0.02)
        var same = Exceedance()
        same.add([Float](repeating: 2, count: 50) + [Float](repeating: 2.2, count: 50))
        #expect(try #require(NormalRuns(usual: same)).deviation == 0.05)
        #expect(NormalRuns(usual: Exceedance()) == nil)
    }

    @Test("the path is the best of all there are")
    func path() throws {
        let runs = try runs()
        let levels = [0] + NormalRuns.levels
        var generator = Generator(seed: 9, 0)
        for round in 0..<12 {
            let price = [0.5, 3, 20][round % 3]
            let curve = generator.normals(5).map { exp(2 + 3 * $0) }
            let gains = curve.map { value in levels.map { $0 == 0 ? 0 : gain(value, $0) } }
            func sum(_ path: [Int]) -> Double {
                var (total, before) = (0.0, 0)
                for (frame, level) in path.enumerated() {
                    if level != before, level > 0 { total -= before == 0 ? price : price / 2 }
                    total += gains[frame][level]
                    before = level
                }
                return total
            }
            var best = -Double.infinity
            for code in 0..<7776 {
                best = max(best, sum((0..<5).map { code / [1, 6, 36, 216, 1296][$0] % 6 }))
            }
            #expect(abs(sum(runs.path(of: curve, price: price)) - best) < 1e-9)
        }
    }

    @Test("the strongest run is the best of all, at all levels")
    func strongest() throws {
        let runs = try runs()
        var generator = Generator(seed: 4, 0)
        for _ in 0..<20 {
            let curve = noise(12, &generator)
            var best = 0.0
            for level in NormalRuns.levels {
                for start in curve.indices {
                    var sum = 0.0
                    for value in curve[start...] {
                        sum += gain(value, level)
                        best = max(best, sum)
                    }
                }
            }
            #expect(abs(runs.strongest(in: curve) - best) < 1e-9)
        }
        #expect(runs.strongest(in: []) == 0)
        #expect(runs.strongest(in: [Float](repeating: 0, count: 9)) == 0)
        #expect(runs.strongest(in: [.nan]) == runs.strongest(in: [.infinity]))
        #expect(runs.strongest(in: [.nan]).isFinite && runs.strongest(in: [.nan]) > 1000)
    }

    @Test("a price is the conformal threshold, or where files are few the tail's")
    func price() throws {
        let many = try runs((1...199).map { Double($0) })
        for share in [0.005, 0.01, 0.05, 0.3] {
            let price = try #require(many.price(share: share))
            #expect(!many.evidence.isExtrapolated(share))
            // A run has a segment exactly where its p-value is at most the share.
            #expect(try #require(many.evidence.pValue(of: price + 1e-9)) <= share)
            #expect(try #require(many.evidence.pValue(of: price)) > share)
        }
        let few = try runs([1, 2, 3, 4])
        #expect(few.evidence.isExtrapolated(0.01))
        // Of the roots √3 and √4 are the upper half, which begins at √2.
        let excess = 3.0.squareRoot() + 2 - 2 * 2.0.squareRoot()
        let root = 2.0.squareRoot() + excess * (50.0.squareRoot() - 1)
        #expect(abs((few.price(share: 0.01) ?? 0) - root * root) < 1e-9)
        #expect(few.price(share: 0.19).map { $0 >= 4 } == true)
        var last = Double.infinity
        for share in [1e-4, 1e-3, 0.01, 0.1, 0.19, 0.21, 0.5] {
            let price = try #require(few.price(share: share))
            #expect(price <= last && price >= log(1 / share))
            last = price
        }
        #expect(try runs([0, 0, 0]).price(share: 0.01) == log(100))
        #expect(try runs([7]).price(share: 0.5) == 7)
        #expect(try runs().price(share: 0.5) == nil && runs().evidence.pValue(of: 1) == nil)
    }

    @Test("of fresh normal recordings the stated share has a run, however they differ as a whole")
    func promise() throws {
        var generator = Generator(seed: 8, 0)
        var calibrated = try runs()
        func recording() -> [Float] {
            let own = 0.7 * generator.normals(1)[0]
            return generator.normals(40).map { exp(own + $0) }
        }
        for _ in 0..<199 { calibrated.add(recording()) }
        let price = try #require(calibrated.price(share: 0.1))
        let flagged = (0..<300).count { _ in
            !calibrated.runs(in: recording(), price: price).isEmpty
        }
        // 0.1 ± 4 standard errors, of calibration and of the fresh ones.
        let error = (0.1 * 0.9 * (1 / 199 + 1.0 / 300)).squareRoot()
        #expect(abs(Double(flagged) / 300 - 0.1) < 4 * error, "\(flagged)")
    }

    @Test("a long weak run is found that has no strong frame, a short strong one, and their edges")
    func found() throws {
        var generator = Generator(seed: 2, 0)
        var calibrated = try runs()
        for _ in 0..<99 { calibrated.add(noise(200, &generator)) }
        let price = try #require(calibrated.price(share: 0.01))
        var curve = generator.normals(200).map { 0.5 * $0 }
        for frame in 60..<140 { curve[frame] = min(2.2, curve[frame] + 1.2) }
        let weak = calibrated.runs(in: curve.map { exp($0) }, price: price)
        let run = try #require(weak.first)
        #expect(weak.count == 1 && abs(run.lowerBound - 60) <= 4 && abs(run.upperBound - 140) <= 4)
        // No frame of it is above what 1 % of normal frames are.
        #expect(curve.allSatisfy { $0 < 2.326 })

        var short = [Float](repeating: 1, count: 100)
        for frame in 50..<53 { short[frame] = exp(9) }
        #expect(calibrated.runs(in: short, price: price) == [50..<53])
        // A gap parts two of them, and one quiet frame does not.
        for frame in 56..<59 { short[frame] = exp(9) }
        #expect(calibrated.runs(in: short, price: price) == [50..<53, 56..<59])
        short[51] = 1
        #expect(calibrated.runs(in: short, price: price).first == 50..<53)
        // A strong stretch keeps its edge beside a weak one.
        let steps =
            [Float](repeating: 1, count: 40) + [Float](repeating: exp(8), count: 40)
            + [Float](repeating: exp(2), count: 40)
        #expect(calibrated.runs(in: steps, price: price) == [40..<80, 80..<120])
        #expect(calibrated.runs(in: [], price: price).isEmpty)
        let all = [Float](repeating: .nan, count: 20)
        #expect(calibrated.runs(in: all, price: price) == [0..<20])
    }

    @Test("recordings are pooled where the level is the same, and a damaged record is refused")
    func pooled() throws {
        var some = try runs([1, 4])
        some.add(try runs([2, 9]))
        #expect(some.evidence.nats == [1, 2, 4, 9])
        let other = try JSONDecoder().decode(
            NormalRuns.self, from: Data(#"{"middle":1,"deviation":1,"evidence":[3]}"#.utf8))
        some.add(other)
        #expect(some.evidence.nats.count == 4 && some.emptied.evidence.nats.isEmpty)
        try some.validate()
        for damaged in [
            #"{"middle":0,"deviation":0,"evidence":[]}"#,
            #"{"middle":0,"deviation":1,"evidence":[2,1]}"#,
            #"{"middle":0,"deviation":1,"evidence":[-1]}"#,
        ] {
            let runs = try JSONDecoder().decode(NormalRuns.self, from: Data(damaged.utf8))
            #expect(throws: LatentError.self) { try runs.validate() }
        }
    }

    // MARK: Segments

    private func map(of row: [Float], distances: [Float]? = nil) -> AnomalyMap {
        AnomalyMap(
            values: FeatureMap(channelCount: 1, height: 1, width: row.count, values: row),
            frameDistances: distances, stretches: [0..<row.count], contrasts: [nil],
            frameSeconds: 0.01,
            duration: 0.99,
            hash: ContentHash(of: []))
    }

    @Test("segments have times, the largest frame, and the p-value of their evidence")
    func segments() throws {
        var calibration = try #require(MapCalibration(scales: [1], runs: try runs()))
        for peak in 1...9 {
            var row = [Float](repeating: 0.1, count: 100)
            row[50] = exp(Float(peak))
            calibration.add(map(of: row))
        }
        #expect(calibration.runs?.evidence.nats.count == 9)
        var row = [Float](repeating: 0.01, count: 100)
        for index in 40..<60 { row[index] = exp(3) }
        for index in 90..<100 { row[index] = exp(30) }
        let found = try calibration.segments(of: map(of: row), share: 0.2)
        #expect(found.count == 2)
        let middle = try #require(found.first)
        #expect(abs(middle.start - 0.395) < 1e-9 && abs(middle.end - 0.595) < 1e-9)
        // Twenty frames at 3 are 80 nats at level 2 or 4, and one at 9 is 40 at level 8.
        #expect(middle.score == Double(exp(Float(3))) && middle.pValue == 0.1)
        #expect(found.last?.end == 0.99 && found.last?.pValue == 0.1)
        #expect(try calibration.segments(of: map(of: row), share: 1e-300).isEmpty)
    }

    @Test("a frame is the geometric mean of its error and its distance")
    func curve() throws {
        #expect(map(of: [4, 9]).curve == [4, 9])
        #expect(map(of: [4, 9], distances: [1, 4]).curve == [2, 6])
    }

    @Test("a model of before has maps of images and no segments, and says how to mend it")
    func before() throws {
        let old = Data(
            #"{"scales":[1],"elements":{"fileCount":0,"shares":[]},"frames":{"fileCount":0,"shares":[]},"peaks":[1,2]}"#
                .utf8)
        let calibration = try JSONDecoder().decode(MapCalibration.self, from: old)
        try calibration.validate(viewCount: 1)
        #expect(calibration.runs == nil && calibration.frameScales == nil)
        #expect(throws: LatentError.self) {
            try calibration.segments(of: map(of: [1, 2]), share: 0.1)
        }
        let row = try JSONDecoder().decode(
            MapCalibration.self, from: try JSONEncoder().encode(calibration))
        #expect(row == calibration)
    }

    // MARK: Distances

    @Test("a frame's distance is the mean of the three smallest to frames of the kept windows")
    func distances() throws {
        let shape = (channels: 2, height: 3, width: 4)
        let elements = shape.channels * shape.height * shape.width
        var generator = Generator(seed: 6, 0)
        let kept = (0..<5 * elements).map { _ in generator.uniform() }
        let x = (0..<2 * elements).map { _ in generator.uniform() }
        let configuration = VAEConfiguration.tiny(
            channelCount: shape.channels, height: shape.height, width: shape.width)
        func view(_ mode: Windowing.Mode, weights: [String: HostTensor]) throws -> DetectorView {
            DetectorView(
                model: try VAE(configuration, device: .cpu, seed: 1),
                preprocessing: Preprocessing(
                    view: .logMel(LogMelView(sampleRate: 8000, melCount: 3)),
                    windowing: Windowing(
                        mode: mode, height: shape.height, width: shape.width, stride: 2)),
                aggregate: .mean,
                fitted: try FittedScores(weights: weights, of: configuration, on: .cpu))
        }
        let weights = [
            "score.neighbours.kept": HostTensor(shape: [5, elements], values: kept)
        ]
        let neighbours = try #require(try FrameNeighbours(of: try view(.frames, weights: weights)))
        let found = try neighbours.distances(
            of: Tensor(x, shape: [2, shape.channels, shape.height, shape.width]),
            shape: configuration.window)
        func frames(_ windows: [Float]) -> [[Float]] {
            (0..<windows.count / elements).flatMap { window in
                (0..<shape.width).map { column in
                    (0..<shape.channels * shape.height).map {
                        windows[window * elements + $0 * shape.width + column]
                    }
                }
            }
        }
        let known = frames(kept)
        let expected = frames(x).map { frame in
            known.map { zip($0, frame).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } }
                .sorted().prefix(3).reduce(0, +) / 3 / Float(frame.count)
        }
        #expect(found.count == 8)
        for (a, b) in zip(found, expected) { #expect(abs(a - b) < 1e-5) }
        #expect(try FrameNeighbours(of: try view(.grid, weights: weights)) == nil)
        #expect(try FrameNeighbours(of: try view(.frames, weights: [:])) == nil)
    }
}
