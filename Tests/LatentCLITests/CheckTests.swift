import Foundation
import TestSupport
import Testing

@Suite("latent check")
struct CheckTests {
    private func check(_ data: String..., flags: [String] = [], input: String? = nil) throws
        -> (run: ToolRun, rows: [[String: Any]])
    {
        let run = try Tool.run(["check", "-q", "--format", "ndjson"] + data + flags, input: input)
        return (run, try run.lines.map(object))
    }

    private func files(_ rows: [[String: Any]], _ kind: String, _ name: String? = nil) -> Int {
        rows.filter {
            $0["row"] as? String == kind && (name == nil || $0["name"] as? String == name)
        }
        .compactMap { $0["files"] as? Int }.reduce(0, +)
    }

    private func plan(_ rows: [[String: Any]], _ name: String) -> Any? {
        rows.first { $0["row"] as? String == "plan" && $0["name"] as? String == name }?["value"]
    }

    @Test("the plan is what training then does", arguments: [true, false])
    func plan(isImage: Bool) throws {
        let model = isImage ? try TrainedModels.images() : try TrainedModels.sound()
        let flags =
            TrainedModels.tiny
            + (isImage ? ["--calibration", "0.2"] : ["--mels", "16", "--calibration", "0.3"])
        let (run, rows) = try check(
            isImage ? TrainedModels.shapes : TrainedModels.sounds, flags: flags)
        #expect(run.status == 0, "\(run.errors)")
        let inspected = try object(try Tool.run("inspect", model.path, "--format", "json").output)
        let training = try #require(inspected["training"] as? [String: Any])
        let configuration = try #require(training["configuration"] as? [String: Any])
        #expect(plan(rows, "fitted") as? Int == training["trainingItemCount"] as? Int)
        #expect(plan(rows, "held-out") as? Int == training["heldOutItemCount"] as? Int)
        #expect(plan(rows, "thresholds") as? Int == training["calibrationItemCount"] as? Int)
        #expect(plan(rows, "batch") as? Int == configuration["batchSize"] as? Int)
        #expect(plan(rows, "epochs") as? Int == configuration["epochCount"] as? Int)
        #expect(plan(rows, "purpose") as? String == inspected["purpose"] as? String)
        let windows = try #require(plan(rows, "windows") as? Int)
        #expect(model.run.errors.contains("(\(windows) windows)"))
        let step = try #require(plan(rows, "step_s") as? Double)
        let seconds = try #require(plan(rows, "time_s") as? Double)
        #expect(step > 0 && seconds > 3 * step && seconds < 600)
        let bytes = try #require(plan(rows, "memory_bytes") as? Int)
        #expect((30_000_000..<2_000_000_000).contains(bytes))
    }

    @Test("too few files for thresholds are warned of, as training would")
    func thresholds() throws {
        func warning(_ flags: [String]) throws -> String {
            try Tool.run(["check", Scoring.imageInbox, "--epochs", "1"] + flags).errors
        }
        #expect(
            try warning([]).contains(
                "no threshold: a false-alarm rate of 0.05 needs 19 files for calibration, there would "
                    + "be "))
        #expect(
            try !warning(["--false-alarms", "0.4", "--calibration", "0.3"]).contains("threshold"))
        #expect(try !warning(["-q"]).contains("threshold"))
    }

    @Test("files are counted by class, split, size, depth, channels and rate")
    func totals() throws {
        let (_, images) = try check(TrainedModels.shapes, flags: ["--epochs", "1"])
        #expect(files(images, "total") == 120 && files(images, "size") == 120)
        let classes = images.filter { $0["row"] as? String == "class" }
        #expect(classes.map { $0["label"] as? String } == ["disc", "square", "triangle"])
        #expect(classes.allSatisfy { $0["files"] as? Int == 40 })
        let (_, sounds) = try check(TrainedModels.sounds, flags: ["--epochs", "1"])
        #expect(files(sounds, "sample-rate") == 72 && files(sounds, "channels") == 72)
        let shortest = sounds.first { $0["name"] as? String == "shortest" }?["value"] as? Double
        #expect(try #require(shortest) > 0.3)
        // Only training files are planned for where there are splits.
        let folder = try TemporaryFolder()
        for split in ["train", "test"] {
            _ = try folder.makeFolder(split)
            try folder.copy(TrainedModels.shapes + "/disc", as: "\(split)/disc")
        }
        let (run, rows) = try check(folder.path, flags: ["--epochs", "1"])
        #expect(run.status == 0 && files(rows, "total") == 80)
        #expect(
            rows.filter { $0["row"] as? String == "class" }.map { $0["split"] as? String }
                == ["test", "train"])
        let parts = try ["fitted", "held-out", "thresholds"].map {
            try #require(plan(rows, $0) as? Int)
        }
        #expect(parts.reduce(0, +) == 40)
        #expect(files(rows, "problem", "duplicate") == 40)
    }

    @Test("every problem has its line: what it is, and what to do")
    func problems() throws {
        let (run, rows) = try check(
            Fixtures.path("broken"), TrainedModels.shapes, TrainedModels.shapes + "/disc/000.png")
        #expect(run.status == 65)
        #expect(run.errors.contains("cannot be read"))
        var found: [String: [String]] = [:]
        for row in rows where row["path"] != nil {
            let message = try #require(row["message"] as? String)
            #expect(!message.isEmpty)
            found[row["row"] as? String ?? "", default: []].append(
                String((row["path"] as? String ?? "").split(separator: "/").last ?? ""))
        }
        #expect(found["short"] == ["short.wav"] && found["silent"] == ["silence.wav"])
        #expect(found["constant"] == ["single-colour.png"])
        #expect(found["small"] == ["tiny-1x1.png"])
        #expect(found["duplicate"] == ["000.png"])
        for name in ["crc.png", "empty.wav", "nan.wav", "truncated.png", "truncated.wav"] {
            #expect(found["unreadable"]?.contains(name) == true)
        }
        for kind in ["short", "silent", "constant", "small", "duplicate", "unreadable"] {
            #expect(files(rows, "problem", kind) == found[kind]?.count)
        }
        // Images and recordings together are nothing to train on.
        let refusal = rows.last { $0["name"] as? String == "refused" }
        #expect((refusal?["message"] as? String)?.contains("--domain") == true)
    }

    @Test("a copy names the first one, from a list on standard input too")
    func copies() throws {
        let folder = try TemporaryFolder()
        try folder.copy(TrainedModels.shapes + "/disc/000.png", as: "a\n1.png")
        try folder.copy(TrainedModels.shapes + "/disc/001.png", as: "b.png")
        try folder.copy(TrainedModels.shapes + "/disc/000.png", as: "c.png")
        try folder.copy(TrainedModels.shapes + "/disc/000.png", as: "d.png")
        let list = ["a\n1", "b", "c", "d"].map { folder / "\($0).png\0" }.joined()
        let (run, rows) = try check("-", flags: ["-0"], input: list)
        let copies = rows.filter { $0["row"] as? String == "duplicate" }
        #expect(copies.map { $0["path"] as? String } == [folder / "c.png", folder / "d.png"])
        #expect(copies.allSatisfy { $0["value"] as? String == folder / "a\n1.png" })
        // Four files are too few to train on.
        #expect(run.status == 65)
        #expect(rows.contains { $0["name"] as? String == "refused" })
    }

    @Test("exit codes: 0 of good files, 1 of odd ones where that is asked for, 64, 65, 66")
    func exitCodes() throws {
        let flags = ["--epochs", "1"]
        #expect(try check(TrainedModels.shapes, flags: flags).run.status == 0)
        #expect(try check(TrainedModels.shapes, flags: flags + ["--exit-code"]).run.status == 0)
        let odd = Fixtures.path("broken/single-colour.png")
        #expect(try check(TrainedModels.shapes, odd, flags: flags).run.status == 0)
        #expect(
            try check(TrainedModels.shapes, odd, flags: flags + ["--exit-code"]).run.status == 1)
        let view = try check(TrainedModels.shapes, flags: ["--view", "nonsense"]).run
        #expect(view.status == 64 && view.errors.contains("--view nonsense"))
        #expect(try check("/no/such").run.status == 66)
        let folder = try TemporaryFolder()
        #expect(try check(folder.path).run.status == 65)
    }

    @Test("a line for each file, of parts as of the whole", arguments: ["ndjson", "csv", "table"])
    func list(format: String) throws {
        let arguments = [
            "check", "-q", TrainedModels.shapes, Fixtures.path("broken"), "--list", "--format",
            format,
        ]
        let whole = try Tool.run(arguments)
        #expect(whole.status == 65)
        let header = format == "csv" ? 1 : 0
        #expect(whole.lines.count > 120 + header)
        var lines: [String] = []
        for number in 1...8 {
            let part = try Tool.run(arguments + ["--shard", "\(number)/8"])
            #expect(part.lines.prefix(header) == whole.lines.prefix(header))
            lines += part.lines.dropFirst(header)
        }
        #expect(lines.sorted() == whole.lines.dropFirst(header).sorted())
        guard format == "ndjson" else { return }
        let first = try object(whole.lines[0])
        let sum = try Tool.shell("sha256sum < \"$1\"", first["path"] as? String ?? "")
        #expect(sum.output.hasPrefix(first["sha256"] as? String ?? "-"))
        #expect(first["height"] as? Int == 32 && first["bit_depth"] as? Int == 8)
    }

    @Test("other formats have the same rows", arguments: ["csv", "tsv"])
    func formats(format: String) throws {
        let run = try Tool.run(
            "check", "-q", TrainedModels.shapes, "--format", format, "--epochs", "1")
        let (_, rows) = try check(TrainedModels.shapes, flags: ["--epochs", "1"])
        #expect(run.status == 0 && run.lines.count == rows.count + 1)
        let separator: Character = format == "csv" ? "," : "\t"
        #expect(run.lines[0].split(separator: separator).first == "row")
        #expect(run.lines[1].hasPrefix(["total", "bytes"].joined(separator: String(separator))))
    }
}
