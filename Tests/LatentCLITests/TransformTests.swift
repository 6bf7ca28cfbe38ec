import Foundation
import Media
import TestSupport
import Testing

@Suite("Classic transforms")
struct ClassicTransforms {
    private func augment(_ folder: String, _ flags: String...) throws -> ToolRun {
        try Tool.run(["augment", "-o", folder, "--threads", "1"] + flags)
    }

    private func lines(_ folder: String) throws -> [[String: Any]] {
        let text = String(
            decoding: try Data(contentsOf: URL(fileURLWithPath: folder + "/manifest.ndjson")),
            as: UTF8.self)
        return try text.split(separator: "\n").map { try object(String($0)) }
    }

    private func transforms(_ line: [String: Any]) throws -> [[String: Any]] {
        try #require(line["transforms"] as? [[String: Any]])
    }

    @Test("real images are varied without a model, each with a line that says how")
    func images() throws {
        let folder = try TemporaryFolder()
        let run = try augment(
            folder / "more", TrainedModels.shapes, "-n", "7", "--transform",
            "flip-x,classic,elastic=0.03")
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output.isEmpty)
        let lines = try lines(folder / "more")
        #expect(lines.count == 7)
        for line in lines {
            #expect(line["method"] as? String == "transform" && line["model_sha256"] == nil)
            let file = try #require(line["file"] as? String)
            let label = try #require(line["label"] as? String)
            #expect(file.hasPrefix(label + "/transform-"))
            let parent = try #require((line["parents"] as? [[String: String]])?.first)
            let path = try #require(parent["path"])
            #expect(path.contains("/\(label)/") && parent["sha256"]?.count == 64)
            let (made, real) = (
                try Image(contentsOf: folder / "more/\(file)"), try Image(contentsOf: path)
            )
            #expect((made.width, made.height, made.bitDepth) == (real.width, real.height, 8))
            #expect(made.channelCount == real.channelCount && made.samples != real.samples)
            let done = try transforms(line)
            #expect(
                done.compactMap { $0["name"] as? String }
                    == ["flip-x", "rotate", "scale", "shift", "elastic"])
            #expect(done[0]["flipped"] is Bool)
            #expect(abs(try #require(done[1]["degrees"] as? Double)) <= 14)
            #expect((0.85...1.15).contains(try #require(done[2]["factor"] as? Double)))
            #expect(done[4]["deviation"] as? Double == 0.03)
        }
        #expect(
            Set(try lines.map { try #require(transforms($0)[1]["degrees"] as? Double) }).count == 7)
    }

    @Test("real recordings keep rate, channels and length")
    func recordings() throws {
        let folder = try TemporaryFolder()
        let run = try augment(
            folder / "more", TrainedModels.sounds, "-n", "5", "--transform",
            "classic,pitch-shift", "--noise", "pink", "--noise", TrainedModels.sounds, "-q")
        #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
        for line in try lines(folder / "more") {
            let file = try #require(line["file"] as? String)
            let path = try #require((line["parents"] as? [[String: String]])?.first?["path"])
            let made = try Audio(contentsOf: folder / "more/\(file)")
            let real = try Audio(contentsOf: path)
            #expect(made.sampleRate == real.sampleRate && made.frameCount == real.frameCount)
            #expect(made.channelCount == real.channelCount && made.encoding == real.encoding)
            let done = try transforms(line)
            #expect((20...40).contains(try #require(done[2]["snr_db"] as? Double)))
            #expect(done[2]["noise"] is String)
        }
    }

    @Test("a recording of more than 16 bits is written as floats, unless that is said")
    func depth() throws {
        let folder = try TemporaryFolder()
        let path = Fixtures.path("audio/formats/24-mono.wav")
        let deep = try Audio(contentsOf: path)
        for (name, flags) in [("a", []), ("b", ["--encoding", "pcm16"])] {
            let run = try Tool.run(
                ["augment", path, "-o", folder / name, "-n", "1", "--transform", "gain=0"] + flags)
            #expect(run.status == 0, "\(run.errors)")
            let made = try Audio(contentsOf: folder / "\(name)/transform-000000.wav")
            #expect(made.encoding.contains(name == "a" ? "float" : "16-bit"))
            #expect((made.samples == deep.samples) == (name == "a"))
        }
    }

    @Test("what a model draws is varied too, and not drawn otherwise")
    func afterModel() throws {
        let folder = try TemporaryFolder()
        let model = try TrainedModels.images().path
        for (name, list) in [("plain", nil), ("same", "rotate=0"), ("turned", "rotate=90..90")] {
            let run = try Tool.run(
                ["augment", "-m", model, TrainedModels.shapes, "-o", folder / name, "-n", "4"]
                    + (list.map { ["--transform", $0] } ?? []))
            #expect(run.status == 0, "\(run.errors)")
        }
        let (plain, turned) = (try lines(folder / "plain"), try lines(folder / "turned"))
        #expect(plain.allSatisfy { $0["transforms"] == nil })
        for (before, after) in zip(plain, turned) {
            #expect(after["model_sha256"] as? String == before["model_sha256"] as? String)
            #expect(after["method"] as? String == "posterior")
            let file = try #require(before["file"] as? String)
            #expect(after["file"] as? String == file)
            let first = try Image(contentsOf: folder / "plain/\(file)")
            let second = try Image(contentsOf: folder / "turned/\(file)")
            let side = first.width
            for row in 0..<side {
                for column in 0..<side {
                    #expect(
                        second.samples[row * side + column]
                            == first.samples[column * side + side - 1 - row])
                }
            }
            #expect(
                try Data(contentsOf: URL(fileURLWithPath: folder / "same/\(file)"))
                    == Data(contentsOf: URL(fileURLWithPath: folder / "plain/\(file)")))
        }
    }

    @Test("the same command gives the same bytes, parts of it too; another seed others")
    func repeatable() throws {
        let folder = try TemporaryFolder()
        let flags = [TrainedModels.shapes, "-n", "70", "--transform", "classic,noise"]
        for (name, more) in [
            ("a", ["--threads", "1"]), ("b", []), ("c", ["--seed", "1"]),
            ("parts", ["--shard", "1/2"]), ("parts", ["--shard", "2/2"]),
        ] {
            let run = try Tool.run(["augment", "-o", folder / name] + flags + more)
            #expect(run.status == 0, "\(run.errors)")
        }
        let whole = try contents(below: folder / "a")
        #expect(try contents(below: folder / "b") == whole)
        #expect(try contents(below: folder / "c") != whole)
        let parts = try contents(below: folder / "parts").filter { $0.key.hasSuffix(".png") }
        #expect(parts.count == 70 && parts == whole.filter { $0.key.hasSuffix(".png") })
    }

    @Test("classes are filled beside the real files; other transforms are another run")
    func filled() throws {
        let folder = try TemporaryFolder()
        func fill(_ transforms: String) throws -> ToolRun {
            try augment(
                folder / "set", TrainedModels.shapes, "--balance-to", "42", "--include-originals",
                "--transform", transforms)
        }
        let run = try fill("classic")
        #expect(run.status == 0, "\(run.errors)")
        let lines = try lines(folder / "set")
        #expect(lines.count == 126)
        #expect(lines.count { $0["method"] as? String == "original" } == 120)
        for name in ["disc", "square", "triangle"] {
            let varied = lines.filter { $0["transforms"] != nil && $0["label"] as? String == name }
            #expect(varied.count == 2)
            #expect(varied.allSatisfy { $0["method"] as? String == "transform" })
        }
        let again = try fill("classic")
        #expect(again.status == 0 && again.errors.contains("is finished"))
        let other = try fill("classic,noise")
        #expect(other.status == 74 && other.errors.contains("transforms was"))
    }

    @Test("a real item that cannot be read is named, and the others do its work")
    func badParent() throws {
        let folder = try TemporaryFolder()
        let run = try augment(
            folder / "more", TrainedModels.shapes + "/disc", Fixtures.path("broken/truncated.png"),
            "-n", "60", "--transform", "flip-y")
        #expect(run.status == 65)
        #expect(run.errors.contains("truncated.png"))
        #expect(try lines(folder / "more").count == 60)
    }

    @Test("of a folder with train and test, what is in train is varied")
    func splits() throws {
        let folder = try TemporaryFolder()
        _ = try folder.makeFolder("data/train")
        _ = try folder.makeFolder("data/test")
        try folder.copy(TrainedModels.shapes + "/disc", as: "data/train/disc")
        try folder.copy(TrainedModels.shapes + "/square", as: "data/test/square")
        let run = try augment(folder / "more", folder / "data", "-n", "20", "--transform", "flip-x")
        #expect(run.status == 0, "\(run.errors)")
        #expect(try lines(folder / "more").allSatisfy { $0["label"] as? String == "disc" })
    }

    @Test("noise that cannot be read ends the run with its name")
    func badNoise() throws {
        let folder = try TemporaryFolder()
        let run = try augment(
            folder / "more", TrainedModels.sounds, "-n", "3", "--transform", "snr", "--noise",
            Fixtures.path("broken/truncated.wav"))
        #expect(run.status == 65 && run.errorLines.count == 1)
        #expect(run.errors.contains("truncated.wav"))
    }

    @Test(
        "what cannot be is refused in one line, before anything is written",
        arguments: [
            (["SHAPES"], 64, "varied by --transform"),
            (["SHAPES", "--method", "transform"], 64, "add it"),
            (["--transform", "classic"], 64, "name some as DATA"),
            (["SHAPES", "--method", "posterior", "--transform", "classic"], 64, "name it with -m"),
            (["SHAPES", "--transform", "classic", "--spread", "0.5"], 64, "are of a model"),
            (
                ["SHAPES", "--transform", "classic", "--condition", "class=disc"], 64,
                "are of a model"
            ),
            (
                ["SHAPES", "-m", "x", "--method", "transform", "--transform", "flip-x"], 64,
                "no model"
            ),
            (["SHAPES", "--transform", "spin"], 64, "there is no transform spin"),
            (["SHAPES", "--transform", "rotate=400"], 64, "within -180..180"),
            (["SHAPES", "--transform", "gain"], 64, "is of recordings, and the files are images"),
            (["SHAPES", "--transform", "classic", "--noise", "pink"], 64, "the list has none"),
            (["SHAPES", "--transform", "noise", "--padding", "reflect"], 64, "leave it out"),
            (["SHAPES", "--padding", "edge"], 64, "go with --transform"),
            (
                ["SOUNDS", "--transform", "rotate"], 64,
                "is of images, and the files are recordings"
            ),
            (["SOUNDS", "--transform", "snr", "--noise", "nowhere"], 66, "no such file"),
            (
                ["SOUNDS", "--transform", "snr", "--noise", "SHAPES"], 65,
                "no recordings to mix in were found, but 1 .md, 120 .png"
            ),
            (["SHAPES", "SOUNDS", "--transform", "classic"], 65, "120 images and 72 recordings"),
        ] as [([String], Int32, String)])
    func refused(flags: [String], status: Int32, words: String) throws {
        let folder = try TemporaryFolder()
        let named = flags.map {
            $0 == "SHAPES" ? TrainedModels.shapes : $0 == "SOUNDS" ? TrainedModels.sounds : $0
        }
        let run = try Tool.run(["augment", "-o", folder / "more", "-n", "2"] + named)
        #expect(run.status == status, "\(run.errors)")
        #expect(run.errorLines.count == 1 && run.errors.contains(words), "\(run.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder / "more"))
    }
}
