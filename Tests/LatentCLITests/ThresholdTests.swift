import Foundation
import TestSupport
import Testing

@Suite("Thresholds of score")
struct ThresholdTests {
    /// A model with 120 calibration scores of its own training files, and one with 240.
    private static let models = Result {
        let folder = try TemporaryFolder()
        let base = try TrainedModels.images().path
        _ = try Tool.run("calibrate", "-m", base, TrainedModels.shapes, "-o", folder / "120")
        // A tail needs 192: the same files again, one class after the other, as the same set is refused.
        try folder.copy(folder / "120", as: "240")
        for name in ["disc", "square", "triangle"] {
            _ = try Tool.run(
                "calibrate", "-m", folder / "240", TrainedModels.shapes + "/" + name, "--add",
                "--in-place")
        }
        return folder
    }

    private func score(_ flags: String..., model: String = "120") throws -> ToolRun {
        try Tool.run(["score", "-m", try Self.models.get() / model] + flags)
    }

    private func lines(_ run: ToolRun) throws -> [[String: Any]] {
        try run.lines.map { try object($0) }
    }

    @Test("verdicts of --fdr are Benjamini and Hochberg's on the printed p-values")
    func discoveries() throws {
        for flags in [["--fdr", "0.2"], ["--fdr", "0.2", "--storey"], ["--fdr", "0.001"]] {
            let run = try Tool.run(
                ["score", "-m", Self.models.get() / "120", Scoring.imageInbox] + flags)
            #expect(run.status == 0, "\(run.errors)")
            let lines = try lines(run)
            #expect(lines.map { $0["path"] as? String } == (try files(in: Scoring.imageInbox)))
            let p = lines.compactMap { $0["p_value"] as? Double }
            #expect(p.count == 20)
            var rate = try #require(Double(flags[1]))
            if flags.count == 3 {
                // λ = 61 / 121.
                let above = p.count { ($0 * 121).rounded() > 61 }
                rate /= Double(1 + above) / (20 * 60 / 121.0)
            }
            let limit =
                p.sorted().enumerated()
                .last { $1 <= Double($0 + 1) * rate / 20 * (1 + 1e-12) }?.element ?? -1
            #expect(lines.map { $0["anomaly"] as? Bool } == p.map { $0 <= limit })
            #expect(lines.allSatisfy { $0["threshold_kind"] as? String == "fdr" })
        }
    }

    @Test("a calibration too small for the batch is said once, with what would do")
    func tooSmallForBatch() throws {
        let run = try score(Scoring.imageInbox, "--fdr", "0.01")
        let note = try #require(run.errors.split(separator: "\n").first { $0.contains("p-value") })
        // 20 / 0.01 / 121 = 16.5; 20 / 0.01 - 1 = 1999.
        #expect(note.contains("unless 17 or more"))
        #expect(note.contains("1999 scores"))
        #expect(try !score(Scoring.imageInbox, "--fdr", "0.5").errors.contains("p-value"))
    }

    @Test("errors and formats stay with --fdr, and the exit codes too")
    func discoveriesWithErrors() throws {
        let broken = Fixtures.path("broken/truncated.png")
        let run = try score(broken, Scoring.imageInbox, "--fdr", "0.2", "--format", "csv")
        #expect(run.status == 65)
        #expect(run.lines.count == 22)
        #expect(run.lines[1].contains("truncated"))
    }

    @Test("--quantile is the empirical quantile of the calibration scores")
    func quantile() throws {
        let text = try Tool.run("inspect", Self.models.get() / "120", "--format", "json").output
        let calibration = try object(text)["calibration"] as? [String: Any]
        let kinds = calibration?["scoresByKind"] as? [String: [Double]]
        let scores = try #require(kinds?["reconstruction-probability"])
        // 0.5 · 119 = 59.5.
        let run = try score(Scoring.imageInbox, "--quantile", "0.5")
        #expect(run.status == 0)
        for line in try lines(run) {
            let threshold = try #require(line["threshold"] as? Double)
            #expect(abs(threshold - (scores[59] + scores[60]) / 2) < 1e-9 * abs(threshold) + 1e-9)
            #expect(line["threshold_kind"] as? String == "quantile")
        }
        let top = try lines(score(Scoring.imageInbox, "--quantile", "1"))
        #expect(top.first?["threshold"] as? Double == scores.last)
    }

    @Test("--tail goes below what the scores promise, and says that it extrapolates")
    func tail() throws {
        let refused = try score(Scoring.imageInbox, "--false-alarms", "0.001")
        #expect(refused.status == 64)
        #expect(refused.errors.contains("needs 999"))
        let few = try score(Scoring.imageInbox, "--false-alarms", "0.001", "--tail")
        #expect(few.status == 64)
        #expect(few.errors.contains("needs 192"))
        let found = try score(
            Scoring.imageInbox, "--false-alarms", "0.001", "--tail", model: "240")
        #expect(found.status == 0, "\(found.errors)")
        #expect(found.errors.contains("extrapolated from 240"))
        for line in try lines(found) {
            #expect(line["threshold_kind"] as? String == "tail")
            let score = try #require(line["score"] as? Double)
            let threshold = try #require(line["threshold"] as? Double)
            #expect(line["anomaly"] as? Bool == (score > threshold))
        }
        let wide = try score(
            Scoring.imageInbox, "--false-alarms", "0.3", "--tail", model: "240")
        #expect(wide.status == 64)
        #expect(wide.errors.contains("outside of the tail"))
    }

    @Test("rules that exclude each other are refused")
    func refusals() throws {
        for flags in [
            ["--fdr", "0.1", "--false-alarms", "0.1"], ["--fdr", "0.1", "--quantile", "0.9"],
            ["--quantile", "0.9", "--tail"], ["--storey"], ["--fdr", "0"], ["--quantile", "2"],
            ["--summary", "--format", "csv"], ["--only", "nothing"],
        ] {
            let run = try Tool.run(
                ["score", "-m", Self.models.get() / "120", Scoring.imageInbox] + flags)
            #expect(run.status == 64, "\(flags)")
            #expect(run.output.isEmpty)
        }
    }

    @Test("--summary is a last line, which evaluate detection reads past")
    func summary() throws {
        let run = try score(Scoring.imageInbox, "--summary", "--score", "mse")
        #expect(run.lines.count == 21)
        let last = try object(try #require(run.lines.last))
        #expect(
            Set(last.keys) == [
                "schema", "summary", "files", "errors", "flagged", "ks", "ks_p", "psi",
            ])
        #expect(last["files"] as? Int == 20 && last["errors"] as? Int == 0)
        let flagged = try run.lines.dropLast().count { try object($0)["anomaly"] as? Bool == true }
        #expect(last["flagged"] as? Int == flagged)
        let own = try score(TrainedModels.shapes, "--summary")
        let same = try object(try #require(own.lines.last))
        #expect(same["ks"] as? Double == 0 && same["ks_p"] as? Double == 1)
        #expect(same["psi"] as? Double == 0)
        let labelled = try score(Scoring.imageInbox + "/labels.csv", "--summary")
        let evaluated = try Tool.run(["evaluate", "detection", "-"], input: labelled.output)
        #expect(evaluated.status == 0, "\(evaluated.errors)")
        let table = try score(Scoring.imageInbox, "--summary", "--format", "table")
        #expect(table.lines.last?.hasPrefix("20 files, 0 errors, ") == true)
    }

    @Test("--only anomalies writes flagged files and errors")
    func only() throws {
        let all = try score(TrainedModels.shapes, "--false-alarms", "0.1")
        let some = try score(
            Fixtures.path("broken/crc.png"), TrainedModels.shapes, "--false-alarms", "0.1",
            "--only", "anomalies", "--summary")
        #expect(some.status == 65)
        let flagged = try all.lines.filter { try object($0)["anomaly"] as? Bool == true }
        #expect(!flagged.isEmpty)
        #expect(Array(some.lines.dropFirst().dropLast()) == flagged)
        #expect(some.lines.first?.contains("\"error\"") == true)
        let summary = try object(try #require(some.lines.last))
        #expect(summary["files"] as? Int == 121 && summary["errors"] as? Int == 1)
    }
}
