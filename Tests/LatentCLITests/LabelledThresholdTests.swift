import Foundation
import TestSupport
import Testing

@Suite("Thresholds by labelled files, from the command line")
struct LabelledThresholdCommandTests {
    private static let labels = Scoring.imageInbox + "/labels.csv"

    private func calibrate(_ flags: [String], model: String? = nil) throws -> ToolRun {
        try Tool.run(["calibrate", "-m", model ?? TrainedModels.images().path] + flags)
    }

    /// The values of all anomalous files, by metric.
    private func values(_ run: ToolRun) throws -> [String: Double] {
        var values: [String: Double] = [:]
        for line in try run.lines.map({ try object($0) }) where line["class"] is NSNull {
            values[try #require(line["metric"] as? String)] =
                (line["value"] as? NSNumber)?.doubleValue
        }
        return values
    }

    private func scored(_ model: String, _ flags: String...) throws -> [[String: Any]] {
        try Tool.run(["score", "-m", model, Self.labels] + flags).lines.map { try object($0) }
    }

    @Test(
        "score flags by the stored threshold, with its kind, until told another; p-values stay",
        arguments: [
            (["--best-f1"], "best-f1"), (["--cost", "miss=10,alarm=1"], "cost"),
            (["--max-alarms", "5/day", "--rate", "2/hour"], "max-alarms"),
        ])
    func stored(flags: [String], kind: String) throws {
        let folder = try TemporaryFolder()
        let before = try scored(TrainedModels.images().path)
        let run = try calibrate([Self.labels, "-o", folder / "m"] + flags)
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.errors.contains("4 anomalous and 16 normal files are few"))
        let found = try values(run)
        #expect(found["normal_count"] == 16 && found["anomaly_count"] == 4)
        let threshold = try #require(found["threshold"])
        let lines = try scored(folder / "m")
        #expect(lines.map { $0["p_value"] as? Double } == before.map { $0["p_value"] as? Double })
        var (detected, alarms) = (0.0, 0.0)
        for line in lines {
            #expect(line["threshold_kind"] as? String == kind)
            #expect(line["threshold"] as? Double == threshold)
            let isFlagged = try #require(line["score"] as? Double) > threshold
            #expect(line["anomaly"] as? Bool == isFlagged)
            guard isFlagged else { continue }
            if line["label"] as? String == "odd" { detected += 1 } else { alarms += 1 }
        }
        #expect(found["detection_rate"] == detected / 4 && found["false_alarm_rate"] == alarms / 16)
        let f1 = 2 * detected / (detected + alarms + 4)
        #expect(try abs(#require(found["f1"]) - f1) < 1e-12)
        #expect(
            found["cost_per_file"] == (kind == "cost" ? (10 * (4 - detected) + alarms) / 20 : nil))
        // ⌊17 · 5/48⌋ = 1 of 17, of 48 files a day.
        let perDay = found["false_alarms_per_day"].map { abs($0 - 48.0 / 17) < 1e-9 }
        #expect(perDay == (kind == "max-alarms" ? true : nil))
        let other = try scored(folder / "m", "--false-alarms", "0.05")
        #expect(other.allSatisfy { $0["threshold_kind"] as? String == "conformal" })
        let mse = try scored(folder / "m", "--score", "mse")
        #expect(mse.allSatisfy { $0["threshold_kind"] as? String == "conformal" })
        let text = try Tool.run("inspect", folder / "m").output
        #expect(text.contains("labelled threshold") && text.contains(" of 4 (95 %"))
    }

    @Test("fresh normal files leave it as it is; a rate ends it")
    func recalibrated() throws {
        let folder = try TemporaryFolder()
        #expect(try calibrate([Self.labels, "-o", folder / "m", "--best-f1"]).status == 0)
        let flags = [TrainedModels.shapes, "--in-place"]
        let kept = try calibrate(flags, model: folder / "m")
        #expect(kept.errors.contains("goes on flagging by best F1"), "\(kept.errors)")
        #expect(try scored(folder / "m").first?["threshold_kind"] as? String == "best-f1")
        let ended = try calibrate(flags + ["--false-alarms", "0.05"], model: folder / "m")
        #expect(ended.status == 0 && !ended.errors.contains("best F1"))
        #expect(try scored(folder / "m").first?["threshold_kind"] as? String == "conformal")
    }

    @Test("labels come from folders, --normal and --labels, as for evaluate detection")
    func labels() throws {
        let folder = try TemporaryFolder()
        for (name, files) in [("fine", "ok-"), ("bad", "odd-")] {
            _ = try folder.makeFolder(name)
            for path in try LatentCLITests.files(in: Scoring.imageInbox)
            where path.split(separator: "/").last?.hasPrefix(files) == true {
                try folder.copy(path, as: "\(name)/\(path.split(separator: "/").last ?? "")")
            }
        }
        let expected = try values(calibrate([Self.labels, "--best-f1"]))
        let named = try calibrate([folder.path, "--best-f1", "--normal", "fine"])
        #expect(named.status == 0, "\(named.errors)")
        #expect(try values(named) == expected)
        let tabled = try calibrate([
            Scoring.imageInbox + "/", "--best-f1", "--labels", Self.labels, "--format", "csv",
        ])
        #expect(tabled.status == 0, "\(tabled.errors)")
        #expect(tabled.lines[0] == "metric,class,value,low,high,interval")
        let unknown = try calibrate([folder.path, "--best-f1"])
        #expect(unknown.status == 65 && unknown.errors.contains("bad, fine"))
    }

    @Test("what cannot be read or done is one clear line")
    func refusals() throws {
        for (flags, text) in [
            (["--cost", "miss=10"], "miss=10,alarm=1"),
            (["--cost", "miss=0,alarm=1"], "two numbers above 0"),
            (["--cost", "miss=x,alarm=1"], "two numbers above 0"),
            (["--max-alarms", "5/day"], "needs --rate"),
            (["--rate", "5/day"], "goes with --max-alarms"),
            (["--max-alarms", "5", "--rate", "2/hour"], "as 5/day"),
            (["--max-alarms", "5/day", "--rate", "2/fortnight"], "as 200/hour"),
            (["--max-alarms", "0/day", "--rate", "2/hour"], "above 0"),
            (["--max-alarms", "50/day", "--rate", "2/hour"], "allow fewer"),
            (["--max-alarms", "1/week", "--rate", "100/hour"], "needs 16799 normal files"),
            (["--best-f1", "--cost", "miss=10,alarm=1"], "exclude each other"),
            (["--best-f1", "--add"], "of normal files"), (["--labels", Self.labels], "go with"),
        ] {
            let run = try calibrate([Self.labels] + flags)
            #expect(run.status == 64, "\(flags)")
            #expect(run.output.isEmpty)
            #expect(run.errorLines.count <= 1 && run.errors.contains(text), "\(run.errors)")
        }
        let normal = try calibrate([TrainedModels.shapes, "--best-f1", "--normal", "disc,ring"])
        #expect(normal.errors.contains("no file has the label ring of --normal"))
        let odd = try calibrate([TrainedModels.shapes + "/disc", "--best-f1", "--normal", "disc"])
        #expect(odd.status == 65 && odd.errors.contains("all files have labels that mean normal"))
    }
}
