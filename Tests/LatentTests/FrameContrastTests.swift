import Foundation
import TestSupport
import Testing
import Torch

@testable import Latent

@Suite("Stretches unlike the rest of their recording")
struct FrameContrastTests {
    /// Twice the nats of two means against one: what the sum of squares to the mean loses.
    private func gain(_ frames: [[Float]], _ range: Range<Int>) -> Double {
        func squares(_ rows: [[Float]]) -> Double {
            (rows.first ?? []).indices.reduce(0) { total, element in
                let values = rows.map { Double($0[element]) }
                let mean = values.reduce(0, +) / Double(values.count)
                return total + values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
            }
        }
        let rest = Array(frames[..<range.lowerBound] + frames[range.upperBound...])
        return squares(frames) - squares(Array(frames[range])) - squares(rest)
    }

    @Test("the strongest stretch is that which two means explain best, of all there are")
    func strongest() throws {
        var generator = Generator(seed: 5, 0)
        for count in [6, 7, 11, 20] {
            let frames = (0..<count).map { _ in generator.normals(3) }
            var best = (nats: 0.0, range: 0..<0)
            for start in 0..<count {
                for end in start + 3..<max(start + 4, count + 1) where end <= count {
                    let parts = [start, count - end].filter { $0 > 0 }
                    guard !parts.isEmpty, parts.allSatisfy({ $0 >= 3 }) else { continue }
                    let nats = gain(frames, start..<end) / 2
                    if nats > best.nats { best = (nats, start..<end) }
                }
            }
            let found = try #require(
                FrameContrast.strongest(in: frames.flatMap { $0 }, count: count))
            #expect(abs(found.nats - best.nats) < 1e-4)
            // A stretch and the rest are the same contrast.
            let rest = [0..<best.range.lowerBound, best.range.upperBound..<count]
            #expect(found.frames == best.range || rest.contains(found.frames))
        }
        #expect(FrameContrast.strongest(in: generator.normals(15), count: 5) == nil)
        #expect(
            FrameContrast.strongest(in: [Float](repeating: 2, count: 30), count: 10) == nil)
    }

    @Test("of a long recording the edges are found too, to the frame")
    func long() throws {
        var generator = Generator(seed: 7, 0)
        let range = 1_234..<2_345
        var frames = generator.normals(5_000 * 2)
        for frame in range { frames[2 * frame] += 6 }
        let found = try #require(FrameContrast.strongest(in: frames, count: 5_000))
        #expect(found.frames == range)
        let rows = (0..<5_000).map { Array(frames[2 * $0..<2 * $0 + 2]) }
        #expect(abs(found.nats / gain(rows, range) * 2 - 1) < 1e-6)
    }

    /// A view of recordings whose windows are 2 bands by 8 frames.
    private func view(kept: [Float], mode: Windowing.Mode = .frames) throws -> DetectorView {
        let configuration = VAEConfiguration.tiny(height: 2, width: 8)
        return DetectorView(
            model: try VAE(configuration, device: .cpu, seed: 1),
            preprocessing: Preprocessing(
                view: .logMel(LogMelView(sampleRate: 8000, melCount: 2)),
                windowing: Windowing(mode: mode, height: 2, width: 8, stride: 4)),
            aggregate: .mean,
            fitted: try FittedScores(
                weights: [
                    "score.neighbours.kept": HostTensor(shape: [kept.count / 16, 16], values: kept)
                ], of: configuration, on: .cpu))
    }

    private func windows(of rows: [[Float]], view: DetectorView) -> ItemWindows {
        let width = rows[0].count
        let map = FeatureMap(
            channelCount: 1, height: 2, width: width, values: rows.flatMap { $0 })
        return ItemWindows(
            map: map, preprocessing: view.preprocessing,
            count: view.preprocessing.windowing.windowCount(height: 2, width: width), mapHeight: 2,
            mapWidth: width, source: SourceDescription(), hash: ContentHash(of: []))
    }

    private func strongest(
        of rows: [[Float]], by contrast: FrameContrast, _ view: DetectorView
    ) throws -> ContrastingStretch? {
        try contrast.strongest(of: windows(of: rows, view: view), in: [0..<rows[0].count])[0]
    }

    @Test("frames are compared in units of what they differ by within windows of training")
    func whitened() throws {
        var generator = Generator(seed: 11, 0)
        // Windows differ much from each other, the first band varies much within them and the second
        // little.
        let kept = (0..<400).flatMap { _ in
            let own = 50 * generator.normals(1)[0]
            return generator.normals(8).map { own + 3 * $0 } + generator.normals(8).map { own + $0 }
        }
        let view = try view(kept: kept)
        let contrast = try #require(try FrameContrast(of: view))
        let rows = [generator.normals(30).map { 3 * $0 }, generator.normals(30)]
        let still = try #require(try strongest(of: rows, by: contrast, view))
        var loud = rows
        var strange = rows
        for frame in 12..<20 {
            loud[0][frame] += 3
            strange[1][frame] += 3
        }
        let first = try #require(try strongest(of: loud, by: contrast, view))
        let second = try #require(try strongest(of: strange, by: contrast, view))
        #expect(second.frames == 12..<20)
        // Eight of 30 frames that are off by 3, of standard deviation 1 or 3, shrunk by 5 % to the mean of
        // both, and of 8 frames each less their mean, so 7 / 8.
        let variance = 0.875 * (0.95 + 0.05 * 5)
        #expect(abs(second.nats / (9.0 / variance * 8 * 22 / 30 / 2) - 1) < 0.5)
        #expect(second.nats > 2 * first.nats && second.nats > 2 * still.nats)
        #expect(try FrameContrast(of: self.view(kept: kept, mode: .grid)) == nil)
        // Cells of silence that never changed say nothing, and are no error.
        let silent = try #require(
            try FrameContrast(of: self.view(kept: [Float](repeating: 1, count: 160))))
        let flat = [[Float](repeating: 0, count: 30), [Float](repeating: 0, count: 30)]
        #expect(try strongest(of: flat, by: silent, view) == nil)
        // Of stretches each has its own, in frames from its start.
        let parts = try contrast.strongest(
            of: windows(of: strange, view: view), in: [0..<9, 9..<30])
        #expect(parts[1]?.frames == 3..<11)
        #expect((parts[0]?.nats ?? 0) < second.nats / 4)
    }

    // MARK: Segments

    private func map(of row: [Float], contrast: ContrastingStretch?) -> AnomalyMap {
        AnomalyMap(
            values: FeatureMap(channelCount: 1, height: 1, width: row.count, values: row),
            stretches: [0..<row.count], contrasts: [contrast], frameSeconds: 0.01,
            duration: Double(row.count - 1) / 100,
            hash: ContentHash(of: []))
    }

    private func calibration(_ contrasts: [Double]) throws -> MapCalibration {
        let runs = try JSONDecoder().decode(
            NormalRuns.self, from: Data(#"{"middle":0,"deviation":1,"evidence":[]}"#.utf8))
        var found = try #require(MapCalibration(scales: [1], runs: runs, hasContrasts: true))
        for nats in contrasts {
            found.add(
                map(
                    of: [Float](repeating: 1, count: 50),
                    contrast: nats > 0 ? ContrastingStretch(frames: 0..<9, nats: nats) : nil))
        }
        return found
    }

    @Test(
        "a stretch is a segment where no frame stands out; the stranger side of it, at half the share"
    )
    func segments() throws {
        let calibration = try calibration((1...99).map { Double($0) })
        var row = [Float](repeating: 1, count: 50)
        for frame in 20..<50 { row[frame] = 1.2 }
        let strong = ContrastingStretch(frames: 20..<50, nats: 99.5)
        let found = try calibration.segments(of: map(of: row, contrast: strong), share: 0.02)
        let segment = try #require(found.first)
        #expect(found.count == 1 && abs(segment.start - 0.195) < 1e-9 && segment.end == 0.49)
        #expect(segment.pValue == 0.02 && segment.score == Double(Float(1.2)))
        // The same contrast, told of the other side.
        let other = ContrastingStretch(frames: 0..<20, nats: 99.5)
        #expect(try calibration.segments(of: map(of: row, contrast: other), share: 0.02) == found)
        // Half of 0.02 of 99 recordings is none of them.
        let weak = ContrastingStretch(frames: 20..<50, nats: 98.5)
        #expect(try calibration.segments(of: map(of: row, contrast: weak), share: 0.02).isEmpty)
        #expect(try calibration.segments(of: map(of: row, contrast: weak), share: 0.04).count == 1)
        // In the middle, either the stretch or both ends.
        let inner = ContrastingStretch(frames: 20..<30, nats: 200)
        for frame in 30..<50 { row[frame] = 1 }
        #expect(
            try calibration.segments(of: map(of: row, contrast: inner), share: 0.02).count == 1)
        for frame in 20..<30 { row[frame] = 0.5 }
        let ends = try calibration.segments(of: map(of: row, contrast: inner), share: 0.02)
        #expect(ends.map(\.start) == [0, 0.295] && ends.map(\.end) == [0.195, 0.49])
        // Where a frame stands out by itself, that is what is said.
        for frame in 40..<50 { row[frame] = exp(9) }
        let loud = try calibration.segments(of: map(of: row, contrast: inner), share: 0.02)
        #expect(loud.count == 1 && loud.first.map { abs($0.start - 0.395) < 1e-9 } == true)
    }

    @Test("a run ends where the recording turns into what a normal one may be as a whole")
    func turned() throws {
        // Normal recordings of 50 frames whose ln v is up to 2 throughout: at level 2 that is 2 · (2 - 1)
        // nats a frame.
        var calibration = try calibration([])
        for index in 1...99 {
            calibration.add(
                map(of: [Float](repeating: exp(Float(index) / 49.5), count: 50), contrast: nil))
        }
        let runs = try #require(calibration.runs)
        let price = try #require(runs.price(share: 0.01))
        #expect(abs((runs.rates?.nats.last ?? 0) - 2) < 1e-5)
        #expect(abs(price - 100) < 1e-3)
        func segments(_ row: [Float], _ contrast: ContrastingStretch?) throws -> [[Int]] {
            try calibration.segments(
                of: map(of: row.map { exp($0) }, contrast: contrast), share: 0.02
            )
            .map { [Int(($0.start * 100).rounded(.up)), Int(($0.end * 100).rounded(.up))] }
        }
        // Usual beside strange, of which one run is made as a change of level has its price.
        let row = [Float](repeating: 1.9, count: 40) + [Float](repeating: 3.2, count: 30)
        let stretch = ContrastingStretch(frames: 40..<70, nats: 500)
        #expect(try segments(row, nil) == [[0, 69]])
        #expect(try segments(row, stretch) == [[40, 69]])
        // No more of a contrast than normal recordings have.
        #expect(try segments(row, ContrastingStretch(frames: 40..<70, nats: 0)) == [[0, 69]])
        // Frame by frame it is farther off than normal recordings are: it stays, though short.
        let tail = [Float](repeating: 3.2, count: 60) + [Float](repeating: 2.4, count: 10)
        #expect(try segments(tail, ContrastingStretch(frames: 0..<60, nats: 500)) == [[0, 69]])
        // Of a run no part of which is enough by itself all of it stays.
        let even = [Float](repeating: 1.9, count: 100)
        #expect(try segments(even, ContrastingStretch(frames: 0..<50, nats: 500)) == [[0, 99]])
    }

    @Test("beyond what there are recordings for, a Pareto tail says it")
    func tail() throws {
        let few = NormalEvidence([1, 2, 3, 4])
        let excess = log(3.0 / 2) + log(4.0 / 2)
        let expected = exp(log(2) + excess * (50.0.squareRoot() - 1))
        #expect(abs((few.price(share: 0.01, tail: .logarithm) ?? 0) / expected - 1) < 1e-12)
        #expect(few.price(share: 0.2, tail: .logarithm) == 4)
        #expect(NormalEvidence().price(share: 0.2, tail: .logarithm) == nil)
        #expect(
            NormalEvidence([0, 0]).price(share: 0.001, tail: .logarithm).map { $0 < 1e-8 } == true)
    }

    @Test("of fresh normal recordings the stated share has a segment, by either rule")
    func promise() throws {
        var generator = Generator(seed: 21, 0)
        func recording() -> AnomalyMap {
            let own = 0.5 * generator.normals(1)[0]
            let row = generator.normals(40).map { exp(own + $0) }
            return map(
                of: row, contrast: FrameContrast.strongest(in: generator.normals(80), count: 40))
        }
        var calibrated = try calibration([])
        for _ in 0..<199 { calibrated.add(recording()) }
        let flagged = try (0..<300).count { _ in
            try !calibrated.segments(of: recording(), share: 0.1).isEmpty
        }
        // Independent here: 1 - 0.95² = 0.0975, ± 4 standard errors of calibration and of the fresh ones.
        let error = (0.1 * 0.9 * (1 / 199 + 1.0 / 300)).squareRoot()
        #expect(abs(Double(flagged) / 300 - 0.0975) < 4 * error, "\(flagged)")
    }

    @Test("calibrations are pooled, written and read; a damaged one is refused")
    func record() throws {
        var some = try calibration([3, 1])
        some.add(try calibration([2]))
        #expect(some.contrasts?.nats == [1, 2, 3])
        try some.validate(viewCount: 1)
        let data = try JSONEncoder().encode(some)
        #expect(try JSONDecoder().decode(MapCalibration.self, from: data) == some)
        let text = String(decoding: data, as: UTF8.self)
        #expect(text.contains(#""contrasts":[1,2,3]"#))
        let damaged = try JSONDecoder().decode(
            MapCalibration.self,
            from: Data(
                text.replacingOccurrences(of: #""contrasts":[1,2,3]"#, with: #""contrasts":[2,1]"#)
                    .utf8))
        #expect(throws: LatentError.self) { try damaged.validate(viewCount: 1) }
        // Recordings of a few frames have none, which counts as none.
        #expect(try calibration([0, 1]).contrasts?.nats == [0, 1])
    }
}
