import Foundation
import Testing
import Torch

@testable import Latent

@Suite("Stretches of long recordings") struct StretchesTests {
    @Test("short recordings are whole, long ones are cut evenly and completely")
    func ranges() {
        let like = Stretches(count: 500)
        #expect(like.ranges(of: 0) == [0..<0])
        #expect(like.ranges(of: 2_000) == [0..<2_000])
        for count in [2_001, 2_500, 99_999] {
            let found = like.ranges(of: count)
            #expect(found.first?.lowerBound == 0 && found.last?.upperBound == count)
            #expect(zip(found, found.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
            #expect(found.allSatisfy { (1...500).contains($0.count) })
            let lengths = Set(found.map(\.count))
            #expect((lengths.max() ?? 0) - (lengths.min() ?? 0) <= 1)
        }
        // Models of before know of none.
        #expect(Stretches(count: nil).ranges(of: 99_999) == [0..<99_999])
    }

    @Test(
        "a new recording is cut as one of its length was for calibration",
        arguments: [1, 2_048, 2_049, 5_000])
    func asCalibrated(count: Int) {
        let calibrated = Stretches.calibrating.ranges(of: count)
        let longest = calibrated.map(\.count).max()
        #expect(Stretches(count: longest).ranges(of: count) == calibrated)
    }

    /// Frames whose level drifts for minutes, as that of machines does, which the longer a recording is adds
    /// up to the more.
    private static func drifting(_ count: Int, _ generator: inout Generator) -> [Float] {
        let noise = generator.normals(count)
        let phase = 6.28 * Double(generator.uniform())
        return noise.enumerated().map { index, value in
            let drift = 0.8 * sin(phase + Double(index) / 3_200)
            return Float(exp(Double(value) + drift))
        }
    }

    private static func map(of row: [Float], cutBy stretches: Stretches) -> AnomalyMap {
        let ranges = stretches.ranges(of: row.count)
        return AnomalyMap(
            values: FeatureMap(channelCount: 1, height: 1, width: row.count, values: row),
            stretches: ranges, contrasts: ranges.map { _ in nil }, frameSeconds: 0.01,
            duration: Double(row.count - 1) / 100, hash: ContentHash(of: []))
    }

    @Test(
        "in a long recording of changing level strange parts are found, and little else; over an edge as one"
    )
    func long() throws {
        var generator = Generator(seed: 5)
        let runs = try JSONDecoder().decode(
            NormalRuns.self, from: Data(#"{"middle":0,"deviation":1.2,"evidence":[]}"#.utf8))
        var calibration = try #require(MapCalibration(scales: [1], runs: runs))
        for _ in 0..<10 {
            calibration.add(
                Self.map(of: Self.drifting(40_000, &generator), cutBy: .calibrating))
        }
        #expect(calibration.stretches == Stretches(count: 2_000))
        #expect(try calibration.segmentRule(share: 0.01).recordingCount == 200)

        var row = Self.drifting(60_000, &generator)
        // The second lies over an edge, at 30,000.
        for frame in Array(11_000..<11_040) + Array(29_950..<30_050) { row[frame] *= 1_000 }
        let cut = Self.map(of: row, cutBy: calibration.stretches)
        let found = try calibration.segments(of: cut, share: 0.01)
        for times in [(110.0, 110.4), (299.5, 300.5)] {
            #expect(
                found.contains {
                    abs($0.start - times.0) < 0.03 && abs($0.end - times.1) < 0.03
                }, "\(found)")
        }
        // Of 29 stretches one in a hundred may have another.
        #expect(found.count <= 4, "\(found)")
        // Taken whole, the level of minutes is what stands out.
        let whole = try calibration.segments(
            of: Self.map(of: row, cutBy: Stretches(count: nil)), share: 0.01)
        #expect(whole.contains { $0.end - $0.start > 10 })

        let written = try JSONDecoder().decode(
            MapCalibration.self, from: JSONEncoder().encode(calibration))
        #expect(written == calibration)
        let hostile = String(decoding: try JSONEncoder().encode(calibration), as: UTF8.self)
            .replacing(#""stretchFrames":2000"#, with: #""stretchFrames":0"#)
        let broken = try JSONDecoder().decode(MapCalibration.self, from: Data(hostile.utf8))
        #expect(throws: LatentError.self) { try broken.validate(viewCount: 1) }
    }
}
