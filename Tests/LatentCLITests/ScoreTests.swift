import Foundation
import Latent
import TestSupport
import Testing
import Torch

@Suite("Scoring")
struct Scoring {
    static let imageInbox = Fixtures.path("images/inbox")
    static let audioInbox = Fixtures.path("audio/inbox")

    private func score(_ data: String..., flags: [String] = []) throws -> ToolRun {
        try Tool.run(["score", "-m", try TrainedModels.images().path] + data + flags)
    }

    /// The scores by path.
    private func scores(_ run: ToolRun) throws -> [String: Double] {
        var scores: [String: Double] = [:]
        for line in run.lines {
            let line = try object(line)
            scores[try #require(line["path"] as? String)] = line["score"] as? Double
        }
        return scores
    }

    private func expectClose(_ a: [String: Double], _ b: [String: Double]) {
        #expect(a.count == b.count)
        for (path, value) in a {
            #expect(abs(value - (b[path] ?? .nan)) <= 1e-5 * max(1, abs(value)), "\(path)")
        }
    }

    @Test(
        "A score that overflows is an error of the file, and no verdict",
        arguments: ["encoder.0.weight", "likelihood.log_scale"])
    func overflow(weights name: String) throws {
        let folder = try TemporaryFolder()
        var file = try ModelFile.read(TrainedModels.images().path).file
        let old = try #require(file.weights[name])
        file.weights[name] = HostTensor(
            shape: old.shape, values: old.values.map { _ in 1e38 })
        try file.write(to: folder / "m.safetensors", overwrite: false)
        let run = try Tool.run(
            "score", "-m", folder / "m.safetensors", Self.imageInbox + "/odd-cross.png",
            "--threads", "1")
        #expect(run.status == 65 && run.lines.count == 1, "\(run.errors)")
        let line = try object(try #require(run.lines.first))
        let error = try #require(line["error"] as? [String: Any])
        let message = try #require(error["message"] as? String)
        #expect(message.contains("the score reconstruction-probability is no finite number"))
        #expect(line["score"] == nil && line["anomaly"] == nil)
    }

    @Test(
        "Each file is one line of schema 1, in the order of the inputs", arguments: [true, false])
    func lines(isImage: Bool) throws {
        let model = try isImage ? TrainedModels.images() : TrainedModels.sound()
        let inbox = isImage ? Self.imageInbox : Self.audioInbox
        let run = try Tool.run("score", "-m", model.path, inbox)
        #expect(run.status == 0)
        #expect(run.errorLines.isEmpty)
        let paths = try files(in: inbox)
        #expect(run.lines.count == paths.count)
        for (line, path) in zip(run.lines, paths) {
            let line = try object(line)
            #expect(
                Set(line.keys) == [
                    "schema", "path", "label", "score", "kind", "threshold", "threshold_kind",
                    "p_value", "anomaly", "windows", "components",
                ])
            #expect(line["schema"] as? Int == 1)
            #expect(line["path"] as? String == path)
            #expect(line["label"] is NSNull)
            #expect(line["kind"] as? String == "reconstruction-probability")
            let score = try #require(line["score"] as? Double)
            let threshold = try #require(line["threshold"] as? Double)
            let p = try #require(line["p_value"] as? Double)
            #expect(p > 0 && p <= 1)
            #expect(line["anomaly"] as? Bool == (score > threshold))
            #expect((line["windows"] as? Int ?? 0) >= 1)
            let parts = try #require(line["components"] as? [String: Double])
            #expect(
                Set(parts.keys) == [
                    "reconstruction_nats", "kl_nats", "negative_elbo_nats", "mse",
                    "negative_iw_bound_nats",
                ])
            let reconstruction = try #require(parts["reconstruction_nats"])
            let divergence = try #require(parts["kl_nats"])
            let bound = try #require(parts["negative_elbo_nats"])
            // Foundation reads the last digit of some negative numbers wrong.
            #expect(abs(reconstruction + score) <= 1e-12 * abs(score))
            #expect(abs(bound - (divergence - reconstruction)) <= 1e-6 * max(1, abs(bound)))
        }
    }

    @Test("Two runs print the same bytes")
    func repeatable() throws {
        #expect(try score(Self.imageInbox).output == score(Self.imageInbox).output)
    }

    @Test("Batch, threads, order and company do not change a score beyond rounding")
    func independence() throws {
        let reference = try scores(score(Self.imageInbox))
        expectClose(reference, try scores(score(Self.imageInbox, flags: ["--batch", "1"])))
        expectClose(reference, try scores(score(Self.imageInbox, flags: ["--threads", "1"])))
        expectClose(
            reference,
            try scores(score(Self.imageInbox, flags: ["--batch", "7", "--threads", "2"])))
        let paths = try files(in: Self.imageInbox)
        let list = paths.reversed().joined(separator: "\n") + "\n"
        let reversed = try Tool.run(
            "score", "-m", TrainedModels.images().path, "-", input: list)
        #expect(try reversed.lines.map { try object($0)["path"] as? String } == paths.reversed())
        expectClose(reference, try scores(reversed))
        let alone = try scores(score(paths[3]))
        #expect(alone.count == 1)
        expectClose(alone, reference.filter { $0.key == paths[3] })
    }

    @Test(
        "Other kinds of score are what the components say",
        arguments: ["elbo", "kl", "mse", "iw-bound"])
    func kinds(kind: String) throws {
        let run = try score(Self.imageInbox, flags: ["--score", kind])
        let keys = [
            "elbo": "negative_elbo_nats", "kl": "kl_nats", "mse": "mse",
            "iw-bound": "negative_iw_bound_nats",
        ]
        for line in run.lines {
            let line = try object(line)
            #expect(line["kind"] as? String == kind)
            let parts = try #require(line["components"] as? [String: Double])
            #expect(line["score"] as? Double == parts[try #require(keys[kind])])
        }
    }

    @Test("Tables have a header and a row for each file", arguments: ["csv", "tsv", "table"])
    func tables(format: String) throws {
        let run = try score(Self.imageInbox, flags: ["--format", format])
        #expect(run.status == 0)
        #expect(run.lines.count == 21)
        switch format {
        case "table":
            #expect(run.lines[0].contains("verdict"))
            #expect(run.lines[1].hasSuffix("odd-cross.png"))
        default:
            let separator: Character = format == "csv" ? "," : "\t"
            let rows = run.lines.map {
                $0.split(separator: separator, omittingEmptySubsequences: false)
            }
            #expect(rows.allSatisfy { $0.count == 22 })
            #expect(rows[0].prefix(3).elementsEqual(["path", "label", "score"]))
            #expect(Double(rows[1][2]) != nil)
        }
    }

    @Test("Names with separators and line breaks stay in their field and row")
    func oddNames() throws {
        let folder = try TemporaryFolder()
        let names = ["-dash.png", "comma,\"quote\".png", "line\r\nbreak.png", "tab\t日本 ü.png"]
        for name in names {
            try folder.copy(Self.imageInbox + "/ok-00-disc.png", as: name)
        }
        let run = try score(folder.path)
        #expect(run.status == 0)
        #expect(
            try run.lines.map { try object($0)["path"] as? String } == names.map { folder / $0 })
        #expect(try score(folder.path, flags: ["--format", "tsv"]).lines.count == 5)
        #expect(try score(folder.path, flags: ["--format", "table"]).lines.count == 5)
        let table = try score(folder.path, flags: ["--format", "csv"]).output
        #expect(table.contains("/comma,\"\"quote\"\".png\","))
        let direct = try Tool.run(
            ["score", "-m", try TrainedModels.images().path, "--", "-dash.png"], in: folder.path)
        #expect(direct.status == 0)
        #expect(direct.lines.count == 1)
    }

    @Test("Standard input gives paths, ended by lines or by NUL", arguments: [false, true])
    func standardInput(isNull: Bool) throws {
        let paths = try files(in: Self.imageInbox)
        let end = isNull ? "\0" : "\n"
        let run = try Tool.run(
            ["score", "-m", try TrainedModels.images().path] + (isNull ? ["-0"] : []) + ["-"],
            input: paths.map { $0 + end }.joined())
        #expect(run.status == 0)
        #expect(try run.lines.map { try object($0)["path"] as? String } == paths)
    }

    @Test("Endless input without line ends is given up", .enabled(if: hasFullDevice))
    func endlessInput() throws {
        let run = try Tool.shell(
            "\"$latent\" score -m \"$1\" - < /dev/zero", try TrainedModels.images().path)
        #expect(run.status == 65)
        #expect(run.lines.count == 1)
    }

    @Test("A manifest gives paths below its folder, and labels", arguments: ["csv", "ndjson"])
    func manifest(format: String) throws {
        let folder = try TemporaryFolder()
        try folder.copy(Self.imageInbox, as: "inbox")
        let text =
            format == "csv"
            ? "\u{FEFF}path,label\ninbox/ok-00-disc.png,\"a \"\"b\"\"\"\ninbox/odd-ring.png,\n"
            : "{\"path\":\"inbox/ok-00-disc.png\",\"label\":\"a \\\"b\\\"\"}\n"
                + "{\"path\":\"inbox/odd-ring.png\"}\n"
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder / "list.\(format)"))
        let run = try score(folder / "list.\(format)")
        #expect(run.status == 0)
        let lines = try run.lines.map { try object($0) }
        #expect(lines.count == 2)
        #expect(lines.first?["path"] as? String == folder / "inbox/ok-00-disc.png")
        #expect(lines.first?["label"] as? String == "a \"b\"")
        #expect(lines.last?["label"] is NSNull)
    }

    @Test("A table without a column of paths is refused")
    func tableWithoutPaths() throws {
        let folder = try TemporaryFolder()
        try Data("name,size\na.png,3\n".utf8).write(to: URL(fileURLWithPath: folder / "list.csv"))
        let run = try score(folder / "list.csv")
        #expect(run.status == 65)
        #expect(run.errorLines.count == 1)
        #expect(run.errors.contains("column path"))
    }

    @Test("A closed pipe ends the run quietly")
    func closedPipe() throws {
        let run = try Tool.shell(
            """
            "$latent" score -m "$1" "$2" "$2" --quiet | head -n 1
            echo "${PIPESTATUS[0]}"
            "$latent" score -m "$1" "$2" --quiet | true
            echo "${PIPESTATUS[0]}"
            """, try TrainedModels.images().path, Self.imageInbox)
        #expect(run.lines.count == 3)
        #expect(run.lines.dropFirst() == ["0", "0"])
        #expect(run.errors.isEmpty)
    }

    @Test("A full disk is one line and 74", .enabled(if: hasFullDevice))
    func fullDisk() throws {
        let run = try Tool.shell(
            "\"$latent\" score -m \"$1\" \"$2\" --quiet > /dev/full",
            try TrainedModels.images().path, Self.imageInbox)
        #expect(run.status == 74)
        #expect(run.errors.hasPrefix("latent: error: standard output: "))
        #expect(run.errors.split(separator: "\n").count == 1)
    }

    @Test("A bad file is a line with an error, and the run goes on")
    func badFiles() throws {
        let good = Self.imageInbox + "/ok-00-disc.png"
        let broken = Fixtures.path("broken/truncated.png")
        let run = try score(good, broken, good)
        #expect(run.status == 65)
        #expect(run.lines.count == 3)
        let line = try object(run.lines[1])
        #expect(Set(line.keys) == ["schema", "path", "error"])
        #expect(line["path"] as? String == broken)
        let error = try #require(line["error"] as? [String: String])
        #expect(Set(error.keys) == ["code", "message"])
        #expect(error["code"] == "truncated")
        #expect(try object(run.lines[2])["score"] is Double)
    }

    @Test("Every broken fixture is either scored or explained", arguments: ["png", "wav"])
    func allBroken(kind: String) throws {
        let model = try kind == "png" ? TrainedModels.images() : TrainedModels.sound()
        let paths = try files(in: Fixtures.path("broken")).filter { $0.hasSuffix(kind) }
        let run = try Tool.run(["score", "-m", model.path] + paths)
        #expect(run.status == 65)
        #expect(run.lines.count == paths.count)
        for line in run.lines {
            let line = try object(line)
            let error = line["error"] as? [String: String]
            #expect((line["score"] is Double) != (error?["message"]?.isEmpty == false))
        }
    }

    @Test("What was flagged shows in the exit code where that is asked for")
    func exitCode() throws {
        // At a rate of one half the median is the threshold: something lies above it.
        let flags = ["--false-alarms", "0.5", "--quiet"]
        let plain = try score(Self.imageInbox, flags: flags)
        #expect(plain.status == 0)
        let isFlagged = try plain.lines.contains { try object($0)["anomaly"] as? Bool == true }
        let asked = try score(Self.imageInbox, flags: flags + ["--exit-code"])
        #expect(asked.status == (isFlagged ? 1 : 0))
        #expect(isFlagged)
        #expect(asked.output == plain.output)
        #expect(asked.errors.isEmpty)
    }

    @Test("A rate that the calibration cannot promise is refused with the number it needs")
    func falseAlarms() throws {
        let run = try score(Self.imageInbox, flags: ["--false-alarms", "0.001"])
        #expect(run.status == 64)
        #expect(run.output.isEmpty)
        #expect(run.errorLines.count == 1)
        #expect(run.errors.contains("needs 999 calibration scores"))
        #expect(try score(Self.imageInbox, flags: ["--false-alarms", "1e-300"]).status == 64)
    }

    @Test("Missing input is 66, a folder without images 65")
    func nothing() throws {
        let folder = try TemporaryFolder()
        for (path, status) in [(folder / "none", 66), (folder.path, 65)] as [(String, Int32)] {
            let run = try score(path)
            #expect(run.status == status)
            #expect(run.output.isEmpty)
            #expect(run.errorLines.count == 1)
        }
        let wrongKind = try score(Self.audioInbox)
        #expect(wrongKind.status == 65)
        #expect(wrongKind.errors.contains("16 .wav"))
    }

    @Test("Links in circles, pipes, devices and folders are lines with an error")
    func oddThings() throws {
        let folder = try TemporaryFolder()
        let manager = FileManager.default
        try manager.createSymbolicLink(
            atPath: folder / "circle.png", withDestinationPath: "circle.png")
        try manager.createSymbolicLink(atPath: folder / "gone.png", withDestinationPath: "nothing")
        try manager.createSymbolicLink(atPath: folder / "up", withDestinationPath: ".")
        try manager.createSymbolicLink(
            atPath: folder / "zero.png", withDestinationPath: "/dev/zero")
        #expect(mkfifo(folder / "pipe.png", 0o600) == 0)
        _ = try folder.makeFolder("folder.png")
        let run = try score(folder.path)
        #expect(run.status == 65)
        #expect(run.lines.count == 4)
        #expect(try run.lines.allSatisfy { try object($0)["error"] != nil })
        #expect(mkfifo(folder / "pipe.csv", 0o600) == 0)
        #expect(try score(folder / "pipe.csv").status == 65)
    }

    @Test("Files and folders that are closed are lines with an error", .enabled(if: !isRoot))
    func closed() throws {
        let folder = try TemporaryFolder()
        try folder.copy(Self.imageInbox + "/ok-00-disc.png", as: "closed.png")
        let inner = try folder.makeFolder("inner")
        chmod(folder / "closed.png", 0)
        chmod(inner, 0)
        defer { chmod(inner, 0o700) }
        let run = try score(folder.path)
        #expect(run.status == 65)
        #expect(run.lines.count == 2)
        #expect(run.output.contains("ermission"))
    }

    @Test("A name that is not UTF-8 is reported and not lost")
    func nameInBytes() throws {
        let folder = try TemporaryFolder()
        let made = try Tool.shell(
            "cp \"$1\" \"$2\"/$'bad\\xff.png'",
            Self.imageInbox + "/ok-00-disc.png", folder.path)
        #expect(made.status == 0)
        let run = try score(folder.path)
        #expect(run.status == 65)
        #expect(run.lines.count == 1)
        #expect(run.output.contains("UTF-8"))
    }
}

/// Detection with a model that had time to learn: the only slow tests.
@Suite("Signals") struct SignalTests {
    @Test("where nobody asks for a signal it ends the process with a line, and 130")
    func atOnce() throws {
        let folder = try TemporaryFolder()
        let run = try Tool.shell(
            """
            mkfifo "$2"
            "$latent" score -m "$1" - --format ndjson < "$2" > "$2.out" &
            exec 3> "$2"
            echo "$3" >&3
            until [ -s "$2.out" ] || ! kill -0 $! 2> /dev/null; do sleep 0.05; done
            kill -TERM $!
            wait $!
            """, TrainedModels.images().path, folder / "pipe",
            TrainedModels.shapes + "/disc/000.png")
        #expect(run.status == 130)
        #expect(run.errorLines == ["latent: error: interrupted"], "\(run.errors)")
    }
}

@Suite("Planted anomalies")
struct PlantedAnomalies {
    @Test("They rank above normal files", arguments: [true, false])
    func ranking(isImage: Bool) throws {
        let folder = try TemporaryFolder()
        let data = isImage ? TrainedModels.shapes : TrainedModels.sounds
        let flags =
            isImage
            ? ["--channels", "16,32", "--latent", "8", "--epochs", "150"]
            : ["--architecture", "mlp", "--channels", "128", "--latent", "8", "--epochs", "200"]
        let trained = try Tool.run(
            ["train", data, "-o", folder / "m", "--quiet", "--deform-steps", "0"] + flags)
        #expect(trained.status == 0)
        let run = try Tool.run(
            "score", "-m", folder / "m", isImage ? Scoring.imageInbox : Scoring.audioInbox)
        var odd: [Double] = []
        var normal: [Double] = []
        for line in run.lines {
            let line = try object(line)
            let path = try #require(line["path"] as? String)
            let score = try #require(line["score"] as? Double)
            if path.contains("/odd-") { odd.append(score) } else { normal.append(score) }
        }
        #expect(odd.count == 4)
        #expect(normal.count >= 12)
        let wins = odd.reduce(0) { sum, score in sum + normal.filter { $0 < score }.count }
        let area = Double(wins) / Double(odd.count * normal.count)
        #expect(area >= 0.9, "AUROC \(area)")
    }

    @Test(
        "scores are the same to the last bit for any number of threads",
        arguments: [[], ["--batch", "7"], ["--stop-early", "0.2"], ["--score", "regret"]])
    func threads(flags: [String]) throws {
        let path = try TrainedModels.images().path
        let runs = try ["1", "2", "3"].map {
            try Tool.run(
                ["score", "-q", "-m", path, TrainedModels.shapes, "--threads", $0] + flags)
        }
        #expect(runs[0].status == 0 && runs[0].lines.count == 120, "\(runs[0].errors)")
        #expect(runs.allSatisfy { $0.output == runs[0].output })
    }

    @Test("windows of one image are divided among threads too")
    func threadsOfPatches() throws {
        let trained = try TrainedModels.Trained(
            on: TrainedModels.shapes,
            TrainedModels.tiny
                + ["--windows", "grid", "--size", "12", "--calibration", "0.2"])
        let runs = try ["1", "2"].map {
            try Tool.run(
                "score", "-q", "-m", trained.path, TrainedModels.shapes, "--threads", $0, "--batch",
                "5")
        }
        #expect(runs[0].status == 0 && runs[0].lines.count == 120, "\(runs[0].errors)")
        #expect(try (object(runs[0].lines[0])["windows"] as? Int ?? 0) > 1)
        #expect(runs[0].output == runs[1].output)
    }
}
