import Foundation
import TestSupport
import Testing

/// The score of hidden parts, from the command line.
@Suite("Masked")
struct MaskedTests {
    private static let discs = Fixtures.path("images/shapes/disc")
    private static let others = Fixtures.path("images/shapes/triangle")
    private static let quick = [
        "--for", "detection", "--epochs", "20", "--threads", "1", "--calibration", "0.5",
    ]

    private func lines(_ run: ToolRun) throws -> [[String: Any]] {
        try run.output.split(separator: "\n").map { try object(String($0)) }
    }

    @Test(
        "a model that is trained with it ranks by it, has a threshold, and can be calibrated again")
    func trained() throws {
        let folder = try TemporaryFolder()
        let trained = try Tool.run(
            ["train", Self.discs, "-o", folder / "m", "--score", "masked"] + Self.quick)
        #expect(trained.status == 0, "\(trained.errors)")
        #expect(trained.errors.contains("(masked) at 5.0 % false alarms"))
        let scored = try Tool.run(
            ["score", "-m", folder / "m", Self.discs, Self.others, "--quiet"])
        #expect(scored.status == 0, "\(scored.errors)")
        var (normal, odd): ([Double], [Double]) = ([], [])
        for line in try lines(scored) {
            #expect(line["kind"] as? String == "masked")
            #expect(line["threshold_kind"] as? String == "conformal")
            let value = try #require(line["score"] as? Double)
            let parts = try #require(line["components"] as? [String: Double])
            #expect(parts["masked"] == value)
            #expect(parts["ensemble"]?.isFinite == true)
            let path = try #require(line["path"] as? String)
            if path.contains("/disc/") { normal.append(value) } else { odd.append(value) }
        }
        #expect(normal.count == 40 && odd.count == 40)
        let pairs = normal.flatMap { a in odd.map { b in a < b ? 1.0 : 0 } }
        #expect(pairs.reduce(0, +) / Double(pairs.count) > 0.9)
        // Another of its scores, and a table with a column for it.
        let other = try Tool.run(
            ["score", "-m", folder / "m", Self.discs, "--score", "ensemble", "--format", "csv"])
        let header = try #require(other.output.split(separator: "\n").first)
        #expect(header.split(separator: ",").contains("masked"))
        #expect(try Tool.run(["inspect", folder / "m"]).output.contains("masked"))

        let calibrated = try Tool.run(
            [
                "calibrate", "-m", folder / "m", Self.discs, "-o", folder / "c", "--score",
                "masked",
                "--format", "ndjson",
            ])
        #expect(calibrated.status == 0, "\(calibrated.errors)")
        #expect(
            try lines(calibrated).allSatisfy {
                $0["kind"] as? String == "masked" && $0["files"] as? Int == 40
            })
    }

    @Test("the same command gives the same bytes, and recordings have it too")
    func recordings() throws {
        let folder = try TemporaryFolder()
        let tones = Fixtures.path("audio/sounds/tone")
        for name in ["a", "b"] {
            let trained = try Tool.run(
                ["train", tones, "-o", folder / name, "--score", "masked"] + Self.quick)
            #expect(trained.status == 0, "\(trained.errors)")
        }
        let bytes = try ["a", "b"].map {
            try Data(contentsOf: URL(fileURLWithPath: folder / $0))
        }
        #expect(bytes[0] == bytes[1])
        let scored = try Tool.run(["score", "-m", folder / "a", tones, "--quiet"])
        #expect(try lines(scored).allSatisfy { ($0["score"] as? Double)?.isFinite == true })
    }

    @Test("it is refused of models without it, with what to do")
    func refused() throws {
        let folder = try TemporaryFolder()
        let draws = try Tool.run(
            ["train", Self.discs, "-o", folder / "m", "--score", "masked", "--for", "augmentation"])
        #expect(draws.status == 64)
        #expect(draws.errors.contains("masked is fitted to models that detect"))
        let trained = try Tool.run(["train", Self.discs, "-o", folder / "m"] + Self.quick)
        #expect(trained.status == 0, "\(trained.errors)")
        let plain = try lines(Tool.run(["score", "-m", folder / "m", Self.discs, "--quiet"]))
        #expect((plain[0]["components"] as? [String: Any])?["masked"] == nil)
        for command in ["score", "calibrate"] {
            let run = try Tool.run([command, "-m", folder / "m", Self.discs, "--score", "masked"])
            #expect(run.status == 64)
            #expect(run.errors.contains("has no score masked"))
            #expect(run.errors.contains("--for detection --score masked"), "\(run.errors)")
        }
    }
}
