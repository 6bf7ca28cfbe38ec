import Foundation
import TestSupport
import Testing

@Suite("Calibration from the command line")
struct CalibrateTests {
    private static let shapes = TrainedModels.shapes

    private func calibrate(_ flags: [String], input: String? = nil) throws -> ToolRun {
        try Tool.run(
            ["calibrate", "-m", TrainedModels.images().path] + flags, input: input)
    }

    private func record(_ path: String) throws -> [String: Any] {
        try object(try Tool.run("inspect", path, "--format", "json").output)
    }

    /// The calibration scores of a kind, and the stored rate.
    private func scores(
        _ path: String, _ kind: String = "reconstruction-probability"
    ) throws -> ([Double], rate: Double?) {
        let calibration = try record(path)["calibration"] as? [String: Any]
        let kinds = calibration?["scoresByKind"] as? [String: [Double]]
        return (kinds?[kind] ?? [], calibration?["falseAlarmRate"] as? Double)
    }

    @Test("new scores take the place of the old: those that score prints, in every kind")
    func replace() throws {
        let folder = try TemporaryFolder()
        let before = try Data(contentsOf: URL(fileURLWithPath: TrainedModels.images().path))
        let run = try calibrate([Self.shapes, "-o", folder / "new"])
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.contains("wrote \(folder / "new")"))
        #expect(run.errors.contains("drift of 120 files from 24"))
        #expect(run.errors.contains("trained on these very files"))
        let p = try #require(
            run.errors.firstMatch(of: /\(p ([0-9.e-]+)\)/).flatMap { Double($0.1) })
        #expect(
            run.errors.contains(p < 0.01 ? "; the scores have moved" : "; no more than by chance"))
        let fresh = try calibrate([Fixtures.path("images/fresh")])
        #expect(fresh.status == 0 && !fresh.errors.contains("very files"), "\(fresh.errors)")
        let rates = try run.lines.map { try object($0)["rate"] as? Double }
        #expect(rates == [0.1, 0.05, 0.01])
        for line in try run.lines.map({ try object($0) }) {
            #expect(line["files"] as? Int == 120)
            #expect(line["stored"] as? Bool == (line["rate"] as? Double == 0.05))
            let low = try #require(line["low"] as? Double)
            let expected = try #require(line["expected"] as? Double)
            let high = try #require(line["high"] as? Double)
            #expect(low < expected && expected < high)
        }
        let scored = try Tool.run("score", "-m", folder / "new", Self.shapes)
        let lines = try scored.lines.map { try object($0) }
        let found = try scores(folder / "new")
        #expect(found.0 == lines.compactMap { $0["score"] as? Double }.sorted())
        #expect(found.rate == 0.05)
        for kind in ["elbo", "kl", "mse", "iw-bound"] {
            #expect(try scores(folder / "new", kind).0.count == 120)
        }
        // ⌊121 · 0.05⌋ = 6, less the one that is its own threshold.
        #expect(lines.count { $0["anomaly"] as? Bool == true } == 5)
        #expect(try Data(contentsOf: URL(fileURLWithPath: TrainedModels.images().path)) == before)
    }

    @Test("in place, added to the old, at another rate, twice; inspect shows both")
    func inPlace() throws {
        let folder = try TemporaryFolder()
        try folder.copy(TrainedModels.images().path, as: "m")
        let flags = ["-m", folder / "m", Scoring.imageInbox, "--in-place", "--add", "--quiet"]
        #expect(try Tool.run(["calibrate"] + flags).status == 0)
        // The same files would count twice.
        let same = try Tool.run(["calibrate"] + flags)
        #expect(same.status == 64 && same.errorLines.count == 1, "\(same.errors)")
        #expect(same.errors.contains("these very files before"))
        let others = [
            "-m", folder / "m", Self.shapes + "/square", "--in-place", "--add", "--quiet",
        ]
        let again = try Tool.run(["calibrate"] + others + ["--false-alarms", "0.02"])
        #expect(again.status == 0, "\(again.errors)")
        #expect(
            try again.lines.map { try object($0)["rate"] as? Double } == [0.1, 0.05, 0.02, 0.01])
        let found = try scores(folder / "m")
        #expect(found.0.count == 84 && found.rate == 0.02)
        let text = try Tool.run("inspect", folder / "m")
        #expect(text.lines.filter { $0.hasPrefix("calibration ") }.count == 2)
        // What scores keep of the training files is no weight.
        #expect(text.output.contains(" weights; ") && text.output.contains(" numbers beside them"))
        let history = try record(folder / "m")["calibrationHistory"] as? [[String: Any]]
        #expect(history?.map { $0["calibrationCount"] as? Int } == [24, 44])
        #expect(
            history?.first?["dataFingerprint"] as? String != history?.last?["dataFingerprint"]
                as? String)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["m"])
    }

    @Test("too few files for a rate are refused with the number that it needs")
    func tooFew() throws {
        let folder = try TemporaryFolder()
        let paths = try files(in: Self.shapes + "/disc") + files(in: Self.shapes + "/square")
        let list = paths.prefix(50).joined(separator: "\n")
        let run = try calibrate(["-", "-o", folder / "n", "--false-alarms", "0.01"], input: list)
        #expect(run.status == 64)
        #expect(run.output.isEmpty)
        #expect(run.errorLines.count == 1)
        #expect(run.errors.contains("needs 99 normal files, there are 50"))
        #expect(!FileManager.default.fileExists(atPath: folder / "n"))
        let dry = try calibrate(["-"], input: list)
        #expect(dry.status == 0)
        #expect(dry.errors.contains("nothing written"))
        let last = try object(try #require(dry.lines.last))
        #expect(last["threshold"] is NSNull && last["needed"] as? Int == 99)
    }

    @Test("bad files are named, the rest is kept, and the exit code is 65")
    func badFiles() throws {
        let folder = try TemporaryFolder()
        let run = try calibrate([
            Self.shapes, Fixtures.path("broken/truncated.png"), Fixtures.path("broken/crc.png"),
            "-o", folder / "n",
        ])
        #expect(run.status == 65)
        #expect(run.lines.count == 3)
        #expect(run.errors.contains("truncated.png: "))
        #expect(run.errors.contains("2 of 122 files cannot be used"))
        #expect(try scores(folder / "n").0.count == 120)
    }

    @Test("tables have the same figures", arguments: ["csv", "tsv", "table"])
    func tables(format: String) throws {
        let run = try calibrate([Self.shapes, "--format", format])
        #expect(run.status == 0)
        #expect(run.lines.count == 4)
        #expect(run.lines[0].contains("guarantee"))
        #expect(run.lines.dropFirst().allSatisfy { $0.contains("flagged on average") })
    }

    @Test("nothing is overwritten unasked, and flags that do not fit are refused")
    func refusals() throws {
        let folder = try TemporaryFolder()
        try Data("mine".utf8).write(to: URL(fileURLWithPath: folder / "n"))
        let kept = try calibrate([Self.shapes, "-o", folder / "n"])
        #expect(kept.status == 74)
        #expect(try String(contentsOfFile: folder / "n", encoding: .utf8) == "mine")
        #expect(try calibrate([Self.shapes, "-o", folder / "n", "--force"]).status == 0)
        #expect(try Tool.run("inspect", folder / "n").status == 0)
        let full = try Tool.shell(
            "\"$latent\" calibrate -m \"$1\" \"$2\" -o \"$3\" > /dev/full",
            TrainedModels.images().path, Self.shapes, folder / "full")
        #expect(full.status == 74)
        #expect(!FileManager.default.fileExists(atPath: folder / "full"))
        let nowhere = try calibrate([Self.shapes, "-o", folder / "none/n"])
        #expect(nowhere.status == 74)
        let own = try calibrate([
            Scoring.imageInbox, "-o", Scoring.imageInbox + "/ok-00-disc.png", "--force",
        ])
        #expect(own.status == 74)
        for flags in [
            [], [Self.shapes, "--in-place", "-o", "x"], [Self.shapes, "--force"],
            [Self.shapes, "--false-alarms", "1"], [Self.shapes, "--batch", "0"],
            [Self.shapes, "--group-by", ""], [Self.shapes, "-0"],
            [Self.shapes, "--score", "elbo+complexity", "--score", "elbo+complexity"],
        ] { #expect(try calibrate(flags).status == 64, "\(flags)") }
    }
}
