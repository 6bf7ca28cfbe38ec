import Foundation
import TestSupport
import Testing

/// `score --stop-early`: fewer draws for files whose verdict is certain.
@Suite("Stopping early")
struct StopEarlyTests {
    private static let detector = Result {
        try TrainedModels.Trained(
            on: TrainedModels.shapes,
            ["--for", "detection", "--epochs", "3", "--threads", "1", "--calibration", "0.2"])
    }

    private func lines(_ run: ToolRun) throws -> [[String: Any]] {
        #expect(run.status == 0, "\(run.errors)")
        return try run.lines.map { try object($0) }
    }

    private func expectClose(_ a: Any?, _ b: Any?, _ name: String) throws {
        let (a, b) = (try #require(a as? Double), try #require(b as? Double))
        #expect(abs(a - b) <= 1e-5 * max(1e-3, abs(a)), "\(name)")
    }

    @Test(
        "lines say how many draws there were; verdicts are those of all draws",
        arguments: [true, false])
    func lines(isDetector: Bool) throws {
        let model = try isDetector ? Self.detector.get() : TrainedModels.images()
        let arguments = ["score", "-q", "-m", model.path, Scoring.imageInbox]
        let all = try lines(Tool.run(arguments))
        let found = try lines(Tool.run(arguments + ["--stop-early", "0.001"]))
        #expect(found.count == 20)
        for (found, all) in zip(found, all) {
            #expect(Set(found.keys) == Set(all.keys).union(["draws"]))
            let draws = try #require(found["draws"] as? Int)
            #expect([4, 8, 16].contains(draws))
            #expect(found["anomaly"] as? Bool == all["anomaly"] as? Bool)
            // Only means over as many draws as those of calibration compare with them.
            #expect((found["p_value"] is NSNull) == (draws < 16))
        }
        #expect(found.contains { $0["draws"] as? Int == 4 })
    }

    @Test("figures are those of the draws that were taken")
    func figures() throws {
        let model = try Self.detector.get().path
        // So small an error that no verdict is certain before the last draw.
        for (rate, draws) in [("1e-300", 16), ("0.999", 4)] {
            let arguments = ["score", "-q", "-m", model, Scoring.imageInbox]
            let found = try lines(
                Tool.run(arguments + ["--stop-early", rate, "--threads", "1"]))
            let fixed = try lines(
                Tool.run(arguments + ["--draws", "\(draws)", "--threads", "1"]))
            var count = 0
            for (found, fixed) in zip(found, fixed) where found["draws"] as? Int == draws {
                count += 1
                try expectClose(found["score"], fixed["score"], "score")
                let parts = try #require(found["components"] as? [String: Any])
                let expected = try #require(fixed["components"] as? [String: Any])
                #expect(parts.count == expected.count && parts["residual"] != nil)
                for (name, value) in parts { try expectClose(value, expected[name], name) }
            }
            #expect(count > 0)
        }
    }

    @Test("eight parts are one run, byte for byte")
    func shards() throws {
        let arguments = [
            "score", "-q", "-m", try TrainedModels.images().path, TrainedModels.shapes,
            "--format", "ndjson", "--threads", "1", "--batch", "4", "--stop-early", "0.0001",
        ]
        let whole = try Tool.run(arguments)
        #expect(try Set(lines(whole).compactMap { $0["draws"] as? Int }).count > 1)
        let parts = try (1...8).flatMap {
            try Tool.run(arguments + ["--shard", "\($0)/8"]).lines
        }
        #expect(parts.sorted() == whole.lines.sorted())
    }

    @Test("tables have a column of draws", arguments: ["csv", "tsv", "table"])
    func tables(format: String) throws {
        let run = try Tool.run(
            "score", "-m", TrainedModels.images().path, Scoring.imageInbox,
            Fixtures.path("broken/truncated.png"), "--format", format, "--stop-early", "0.001")
        #expect(run.status == 65 && run.lines.count == 22)
        #expect(run.lines[0].contains("draws"))
        guard format != "table" else { return }
        let rows = run.lines.map {
            $0.split(separator: format == "csv" ? "," : "\t", omittingEmptySubsequences: false)
        }
        let column = try #require(rows[0].firstIndex(of: "draws"))
        // The message of the last has commas of its own.
        #expect(rows.dropLast().allSatisfy { $0.count == 23 })
        #expect(["4", "8", "16"].contains(rows[1][column]))
        #expect(rows[21][column] == "")
    }

    @Test("a summary compares no scores of fewer draws with those of calibration")
    func summary() throws {
        let run = try Tool.run(
            "score", "-m", TrainedModels.images().path, Scoring.imageInbox, "--summary",
            "--stop-early", "0.01")
        let line = try #require(try lines(run).last)
        #expect(line["files"] as? Int == 20 && line["flagged"] is Int)
        #expect(line["ks"] is NSNull && line["ks_p"] is NSNull && line["psi"] is NSNull)
    }

    @Test(
        "what it cannot serve is refused in one line that says what can",
        arguments: [
            (["--stop-early", "0"], "above 0"), (["--stop-early", "1"], "below 1"),
            (["--stop-early", "nan"], "above 0"),
            (["--stop-early", "0.01", "--fdr", "0.1"], "--fdr"),
            (["--stop-early", "0.01", "--score", "iw-bound"], "reconstruction-probability"),
            (["--stop-early", "0.01", "--score", "residual"], "reconstruction-probability"),
            (["--stop-early", "0.01", "--draws", "4"], "--stop-early"),
            (["--stop-early", "0.01", "--false-alarms", "0.0001"], "larger rate"),
        ])
    func refused(flags: [String], word: String) throws {
        let run = try Tool.run(
            ["score", "-m", try Self.detector.get().path, Scoring.imageInbox] + flags)
        #expect(run.status == 64 && run.output.isEmpty)
        #expect(run.errorLines.count == 1)
        #expect(run.errors.contains(word), "\(run.errors)")
    }

    @Test("without a threshold there is no verdict to be certain of")
    func withoutThreshold() throws {
        let run = try Tool.run(
            "score", "-m", TrainedModels.images().path, Scoring.imageInbox, "--score",
            "elbo+complexity", "--stop-early", "0.01")
        #expect(run.status == 64 && run.output.isEmpty && run.errorLines.count == 1)
        #expect(run.errors.contains("latent calibrate --score elbo+complexity"))
    }
}
