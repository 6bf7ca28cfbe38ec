import Foundation
import TestSupport
import Testing

@Suite("Thresholds of groups")
struct GroupTests {
    /// The shapes as two cameras, whose scores do not overlap: b has the upper half; of each the files
    /// of even rank are for calibration, the others fresh.
    private static let cameras = Result {
        let folder = try TemporaryFolder()
        let run = try Tool.run(
            "score", "-m", try TrainedModels.images().path, TrainedModels.shapes, "-q")
        let ranked = try run.lines.map { try object($0) }.sorted {
            ($0["score"] as? Double ?? 0) < ($1["score"] as? Double ?? 0)
        }.compactMap { $0["path"] as? String }
        for (name, parity) in [("normal", 0), ("fresh", 1)] {
            let rows = ranked.indices.filter { $0 % 2 == parity }.map {
                "\(ranked[$0]),\($0 < ranked.count / 2 ? "a" : "b")\n"
            }
            try Data(("path,camera\n" + rows.joined()).utf8).write(
                to: URL(fileURLWithPath: folder / "\(name).csv"))
        }
        _ = try Tool.run(
            "calibrate", "-m", try TrainedModels.images().path, folder / "normal.csv", "-o",
            folder / "grouped", "--group-by", "camera", "--false-alarms", "0.1")
        return folder
    }

    private func score(_ data: String, _ flags: String..., model: String = "grouped") throws
        -> ToolRun
    {
        try Tool.run(["score", "-m", try Self.cameras.get() / model, data] + flags)
    }

    private func lines(_ run: ToolRun) throws -> [[String: Any]] {
        try run.lines.map { try object($0) }
    }

    /// Flagged of the fresh files of each camera, which are in order of score: 30 of a, 30 of b.
    private func flagged(_ run: ToolRun) throws -> (a: Int, b: Int) {
        let flags = try lines(run).map { $0["anomaly"] as? Bool == true }
        #expect(flags.count == 60)
        return (flags.prefix(30).count(where: \.self), flags.suffix(30).count(where: \.self))
    }

    @Test("each group keeps the rate, where the threshold of all files does not")
    func rates() throws {
        let folder = try Self.cameras.get()
        let run = try score(folder / "fresh.csv")
        #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
        let own = try flagged(run)
        // The third largest of 30 interleaved scores is exceeded by two or three of the others.
        #expect((2...3).contains(own.a) && (2...3).contains(own.b))
        let groups = try lines(run).map { $0["group"] as? String }
        #expect(groups.prefix(30).allSatisfy { $0 == "a" })
        #expect(groups.suffix(30).allSatisfy { $0 == "b" })
        #expect(Set(try lines(run).compactMap { $0["threshold"] as? Double }).count == 2)
        let pooled = try Tool.run(
            "calibrate", "-m", folder / "grouped", folder / "normal.csv", "-o", folder / "pooled",
            "--group-by", "none")
        #expect(pooled.status == 0, "\(pooled.errors)")
        let all = try score(folder / "fresh.csv", model: "pooled")
        let found = try flagged(all)
        #expect(found.a == 0 && (5...6).contains(found.b))
        #expect(try lines(all)[0]["group"] == nil)
    }

    @Test("calibrate promises it for each group, and inspect shows it")
    func promises() throws {
        let folder = try Self.cameras.get()
        let run = try Tool.run("calibrate", "-m", folder / "grouped", folder / "normal.csv")
        #expect(run.status == 0)
        let found = try lines(run)
        #expect(found.count == 9)
        let files = found.map { "\($0["group"] as? String ?? "-") \($0["files"] as? Int ?? 0)" }
        #expect(files == ["- 60", "a 30", "b 30", "- 60", "a 30", "b 30", "- 60", "a 30", "b 30"])
        // ⌊31 · 0.01⌋ is none.
        #expect(found[7]["threshold"] is NSNull && found[7]["needed"] as? Int == 99)
        #expect(run.errors.contains("camera a: of new normal files 9.68 % are flagged on average"))
        let text = try Tool.run("inspect", folder / "grouped")
        #expect(text.lines.count { $0.hasPrefix("group threshold") } == 2)
        let csv = try Tool.run(
            "calibrate", "-m", folder / "grouped", folder / "normal.csv", "--format", "csv")
        #expect(csv.lines[0].hasPrefix("rate,group,kind,") && csv.lines[2].hasPrefix("0.1,a,"))
        let rows = try score(folder / "fresh.csv", "--format", "csv")
        #expect(rows.lines[0].contains(",threshold_kind,group,p_value,"))
        #expect(rows.lines[1].contains(",conformal,a,"))
    }

    @Test("groups that are too small, or not known, have the threshold of all files")
    func fallback() throws {
        let folder = try Self.cameras.get()
        let small = try score(folder / "fresh.csv", "--false-alarms", "0.02")
        #expect(small.errors.contains("camera a, b: too few"), "\(small.errors)")
        #expect(try lines(small).allSatisfy { $0["group"] is NSNull })
        let other = try score(TrainedModels.shapes)
        #expect(other.errors.contains("nothing tells its camera"))
        #expect(other.errors.split(separator: "\n").count { $0.contains("camera") } == 1)
        #expect(try lines(other).allSatisfy { $0["group"] is NSNull })
        let text = try String(contentsOfFile: folder / "fresh.csv", encoding: .utf8)
        try Data(text.replacing(",b", with: ",c").utf8).write(
            to: URL(fileURLWithPath: folder / "other.csv"))
        let unknown = try score(folder / "other.csv")
        #expect(unknown.errors.contains("camera c is not known"))
        #expect(unknown.errors.split(separator: "\n").count == 1)
        #expect(try lines(unknown).count { $0["group"] as? String == "a" } == 30)
    }

    @Test("--fdr goes by the p-values of each group")
    func discoveries() throws {
        let folder = try Self.cameras.get()
        // The files of b as if they were of a, among whose scores theirs are the largest.
        let text = try String(contentsOfFile: folder / "fresh.csv", encoding: .utf8)
        try Data(text.replacing(",b", with: ",a").utf8).write(
            to: URL(fileURLWithPath: folder / "moved.csv"))
        let run = try score(folder / "moved.csv", "--fdr", "0.2")
        let found = try lines(run)
        let p = found.compactMap { $0["p_value"] as? Double }
        #expect(p.count == 60 && p.allSatisfy { abs(($0 * 31).rounded() - $0 * 31) < 1e-9 })
        let limit =
            p.sorted().enumerated()
            .last { $1 <= Double($0 + 1) * 0.2 / 60 * (1 + 1e-12) }?.element ?? -1
        #expect(found.map { $0["anomaly"] as? Bool } == p.map { $0 <= limit })
        #expect(p.suffix(30).allSatisfy { abs($0 * 31 - 1) < 1e-9 } && limit * 31 > 1 - 1e-9)
        let unmoved = try score(folder / "fresh.csv", "--fdr", "0.2")
        #expect(try lines(unmoved).allSatisfy { $0["anomaly"] as? Bool == false })
    }

    @Test("class groups are found in paths on standard input; --add keeps and fills groups")
    func classes() throws {
        let folder = try TemporaryFolder()
        let model = try TrainedModels.images().path
        let flags = [TrainedModels.shapes, "--group-by", "class", "-o", folder / "m"]
        #expect(try Tool.run(["calibrate", "-m", model] + flags).status == 0)
        let path = try #require(try files(in: TrainedModels.shapes + "/disc").first)
        let line = try Tool.run("score", "-m", folder / "m", "-", input: path + "\n")
        #expect(try object(try #require(line.lines.first))["group"] as? String == "disc")
        let added = try Tool.run(
            "calibrate", "-m", folder / "m", TrainedModels.shapes + "/disc", "--in-place", "--add")
        #expect(added.status == 0, "\(added.errors)")
        let record = try object(try Tool.run("inspect", folder / "m", "--format", "json").output)
        let groups = try #require(record["calibrationGroups"] as? [String: Any])
        let scores = try #require(groups["groups"] as? [String: [String: Any]])
        let counts = scores.mapValues {
            ($0["scoresByKind"] as? [String: [Double]])?["mse"]?.count
        }
        #expect(counts == ["disc": 80, "square": 40, "triangle": 40])
        for (flags, status) in [
            (["--add", "--group-by", "camera"], Int32(64)), (["--group-by", "camera"], 65),
        ] {
            let run = try Tool.run(
                ["calibrate", "-m", folder / "m", TrainedModels.shapes] + flags)
            #expect(run.status == status && run.errors.contains("camera"), "\(run.errors)")
            #expect(run.errorLines.count == 1)
        }
    }
}
